-- Layers that are all but identical crowd each other's lists of neighbours in an HNSW graph, until nothing leads into or
-- out of their crowd. Longer lists keep the ways open.
create or replace function create_sketch_partition(probe_set bigint) returns void language plpgsql as $$
declare
    partition text := format('layer_sketch_%s', probe_set);
    lists     text := 'm = 48, ef_construction = 200';
begin
    execute format('create table %I partition of layer_sketch for values in (%s)', partition, probe_set);
    execute format('create index on %I using hnsw (debiased_sketch halfvec_ip_ops) with (%s)', partition, lists);
    execute format('create index on %I using hnsw (cka_sketch halfvec_ip_ops) with (%s)', partition, lists);
end $$;

do $$
declare
    old regclass;
begin
    for old in
        select pg_class.oid::regclass
          from pg_class
          join pg_am on pg_am.oid = relam and amname = 'hnsw'
          join pg_index on indexrelid = pg_class.oid
          join pg_inherits on inhrelid = indrelid and inhparent = 'layer_sketch'::regclass
    loop
        execute format('alter index %s set (m = 48, ef_construction = 200)', old);
        execute format('reindex index %s', old);
    end loop;
end $$;
