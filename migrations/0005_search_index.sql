-- The sketches are indexed by their distance and no longer by their inner product. Both rank alike, since sketches have
-- length one; but rounded to half precision their lengths differ in the fourth digit, and among near-identical layers the
-- longest one then had the greatest product with all others, which led every path of the index to it alone.
--
-- The graph is made with more care than by default (m = 16, ef_construction = 64): small groups of layers were not linked
-- well enough to be found from elsewhere, which looking further in a search does not mend. Layers of deleted models are not
-- in it.
create function create_sketch_index(partition regclass, sketch name) returns void language plpgsql as $$
begin
    execute format(
        'create index on %s using hnsw (%I halfvec_l2_ops) with (m = 24, ef_construction = 400) where searchable',
        partition, sketch
    );
end $$;

create or replace function create_sketch_partition(probe_set bigint) returns void language plpgsql as $$
declare
    partition text := format('layer_sketch_%s', probe_set);
begin
    execute format('create table %I partition of layer_sketch for values in (%s)', partition, probe_set);
    perform create_sketch_index(partition::regclass, 'debiased_sketch');
    perform create_sketch_index(partition::regclass, 'cka_sketch');
end $$;

do $$
declare
    old record;
begin
    for old in
        select indexrelid::regclass as index, indrelid::regclass as partition, attname as sketch
          from pg_index
          join pg_class on pg_class.oid = indexrelid
          join pg_am on pg_am.oid = relam and amname = 'hnsw'
          join pg_inherits on inhrelid = indrelid and inhparent = 'layer_sketch'::regclass
          join pg_attribute on attrelid = indrelid and attnum = indkey[0]
    loop
        execute format('drop index %s', old.index);
        perform create_sketch_index(old.partition, old.sketch);
    end loop;
end $$;

-- What filters single out.
create index layer_sketch_accuracy_idx on layer_sketch (accuracy);
create index layer_sketch_dataset_idx on layer_sketch (dataset_id);
create index layer_sketch_kind_idx on layer_sketch (layer_kind);
create index layer_sketch_tags_idx on layer_sketch using gin (tags);
