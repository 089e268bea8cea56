-- Sketches stand in a table of their own, each once, apart from what filters use.
--
-- Layers that answer alike to the last bit, such as those of one frozen backbone under many heads, crowd each other's lists
-- of neighbours in an HNSW graph until nothing leads out of their crowd or into it: as one entry they cannot. And a change of
-- tags, of an accuracy or of a model's deletion no longer writes a sketch anew, which left dead entries in the graph.
create function sketch_digest(debiased_sketch halfvec, cka_sketch halfvec) returns bytea
    language sql immutable strict parallel safe
    return sha256(halfvec_send(debiased_sketch) || halfvec_send(cka_sketch));

create sequence sketch_id_seq;

create table sketch (
    probe_set_id    bigint       not null,
    sketch_id       bigint       not null default nextval('sketch_id_seq'),
    debiased_sketch halfvec(512) not null,
    cka_sketch      halfvec(512) not null,
    digest          bytea        not null generated always as (sketch_digest(debiased_sketch, cka_sketch)) stored,
    primary key (probe_set_id, sketch_id),
    constraint sketch_digest_key unique (probe_set_id, digest)
) partition by list (probe_set_id);
alter sequence sketch_id_seq owned by sketch.sketch_id;
-- Inline, since a scan of the table would otherwise fetch every sketch from TOAST.
alter table sketch alter column debiased_sketch set storage plain;
alter table sketch alter column cka_sketch set storage plain;

create temporary table old_layer_sketch on commit drop as select * from layer_sketch;
drop table layer_sketch;

-- The sketch of each layer, beside every column that a filter uses.
create table layer_sketch (
    probe_set_id bigint  not null,
    layer_id     bigint  not null,
    sketch_id    bigint  not null,
    version_id   bigint  not null,
    model_id     bigint  not null,
    dataset_id   bigint  not null,
    layer_kind   text    not null,
    accuracy     double precision,
    tags         text[]  not null,
    searchable   boolean not null,
    primary key (probe_set_id, layer_id),
    constraint layer_sketch_sketch_fkey foreign key (probe_set_id, sketch_id) references sketch
) partition by list (probe_set_id);
create index layer_sketch_sketch_idx on layer_sketch (sketch_id);
create index layer_sketch_version_idx on layer_sketch (version_id);
create index layer_sketch_model_idx on layer_sketch (model_id);
create index layer_sketch_accuracy_idx on layer_sketch (accuracy);
create index layer_sketch_dataset_idx on layer_sketch (dataset_id);
create index layer_sketch_kind_idx on layer_sketch (layer_kind);
create index layer_sketch_tags_idx on layer_sketch using gin (tags);

create or replace function create_sketch_index(partition regclass, sketch name) returns void language plpgsql as $$
begin
    execute format(
        'create index on %s using hnsw (%I halfvec_l2_ops) with (m = 24, ef_construction = 800)', partition, sketch
    );
end $$;

-- The indexes of a probe set's sketches; of many, made faster after they are there.
create function create_sketch_indexes(probe_set bigint) returns void language sql as $$
    select create_sketch_index(format('sketch_%s', probe_set)::regclass, sketch)
      from unnest(array['debiased_sketch', 'cka_sketch']::name[]) as sketch
$$;

create function create_sketch_tables(probe_set bigint) returns void language plpgsql as $$
declare
    parent text;
begin
    foreach parent in array array['sketch', 'layer_sketch'] loop
        execute format(
            'create table %I partition of %I for values in (%s)', format('%s_%s', parent, probe_set), parent, probe_set
        );
    end loop;
end $$;

create or replace function create_sketch_partition(probe_set bigint) returns void language sql as $$
    select create_sketch_tables(probe_set);
    select create_sketch_indexes(probe_set);
$$;

select create_sketch_tables(probe_set_id) from probe_set;

insert into sketch (probe_set_id, debiased_sketch, cka_sketch)
     select probe_set_id, debiased_sketch, cka_sketch
       from old_layer_sketch
      order by layer_id
on conflict (probe_set_id, digest) do nothing;

insert into layer_sketch
     select old.probe_set_id, layer_id, sketch_id, version_id, model_id, dataset_id, layer_kind, accuracy, tags, searchable
       from old_layer_sketch as old
       join sketch on sketch.probe_set_id = old.probe_set_id
                  and digest = sketch_digest(old.debiased_sketch, old.cka_sketch);

set local maintenance_work_mem = '1GB';
select create_sketch_indexes(probe_set_id) from probe_set;
