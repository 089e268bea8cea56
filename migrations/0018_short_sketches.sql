-- Sketches of two lengths: a scan reads the short ones, and the long ones of those layers that they leave in question. And
-- vectors in parts that fit in a page: one that lies in TOAST takes twice as long to read.

-- Each part has up to 1,750 numbers of the lead and 200 of the tail.
alter table layer_vector rename to old_layer_vector;
alter index layer_vector_pkey rename to old_layer_vector_pkey;
create table layer_vector (
    probe_set_id bigint   not null,
    layer_id     bigint   not null,
    part         smallint not null,
    lead_norm    real     not null,
    lead         vector   not null,
    tail         vector,
    primary key (probe_set_id, layer_id, part)
);
alter table layer_vector alter column lead set storage plain;
alter table layer_vector alter column tail set storage plain;

create aggregate pg_temp.joined(vector) (sfunc = vector_concat, stype = vector);
insert into layer_vector (probe_set_id, layer_id, part, lead_norm, lead, tail)
     select probe_set_id, layer_id, new.part, whole.lead_norm,
            pg_temp.joined(subvector(old.lead, greatest(1, new.part * 1750 - old.part * 16000 + 1),
                                     least(vector_dims(old.lead), (new.part + 1) * 1750 - old.part * 16000)
                                         - greatest(0, new.part * 1750 - old.part * 16000))
                           order by old.part),
            case when new.part * 200 < vector_dims(whole.tail)
                 then subvector(whole.tail, new.part * 200 + 1, least(200, vector_dims(whole.tail) - new.part * 200)) end
       from (select probe_set_id, layer_id, sum(vector_dims(lead)) as length
               from old_layer_vector
              group by probe_set_id, layer_id) as measured
      cross join lateral generate_series(0, (length - 1)::integer / 1750) as new (part)
       join old_layer_vector as old using (probe_set_id, layer_id)
       join old_layer_vector as whole using (probe_set_id, layer_id)
      where whole.part = 0
        and old.part * 16000 < (new.part + 1) * 1750
        and old.part * 16000 + vector_dims(old.lead) > new.part * 1750
      group by probe_set_id, layer_id, new.part, whole.lead_norm, whole.tail;

create or replace view analytics.vectors as
    select probe_set_id, layer_id, part, lead, tail, lead_norm
      from layer_vector
      join layer using (layer_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null
       and status = 'READY';
-- Replacing a view removes its options.
alter view analytics.vectors set (security_barrier);
comment on view analytics.vectors is
    'Layer vectors, in parts that fit in a page. Inner products are sums over parts. docs/sql.md has the layout.';
comment on column analytics.vectors.part is
    'From 0: each part has up to 1,750 numbers of the lead and 200 of the tail. A vector on 100 images has three.';
comment on column analytics.vectors.tail is 'The remaining n coordinates over all parts; null in parts that have none of them.';
drop table old_layer_vector;

create temporary table old_layer_sketch on commit drop as
    select probe_set_id, layer_id, model_id, version_id, dataset_id, searchable, layer_kind, tags, private_to, accuracy
      from layer_sketch
      join sketch_basis using (basis_id)
     where state = 'ACTIVE';
drop table layer_sketch;
delete from sketch_basis;
alter table sketch_basis rename column debiased_rest_cosine to debiased_short_rest_cosine;
alter table sketch_basis rename column cka_rest_cosine to cka_short_rest_cosine;
alter table sketch_basis add column debiased_long_rest_cosine real not null;
alter table sketch_basis add column cka_long_rest_cosine real not null;
alter table sketch_centre alter column centre type vector(65);

-- The short sketches of each layer, beside every column that a filter uses: a scan needs no join. Layers with equal vectors
-- have equal sketch_ids. No foreign keys, and keys with sketch_id, so that the rows can be spread over several servers.
create table layer_sketch (
    -- What scans look at comes first, at fixed offsets.
    basis_id        bigint       not null,
    layer_id        bigint       not null,
    model_id        bigint       not null,
    version_id      bigint       not null,
    dataset_id      bigint       not null,
    sketch_id       uuid         not null,
    debiased_cell   integer      not null,
    cka_cell        integer      not null,
    searchable      boolean      not null,
    debiased_sketch halfvec(65)  not null,
    cka_sketch      halfvec(65)  not null,
    layer_kind      text         not null,
    tags            text[]       not null,
    private_to      bigint,
    accuracy        double precision,
    primary key (basis_id, layer_id, sketch_id)
) partition by list (basis_id);
-- Inline, since a scan of the table would otherwise fetch every sketch from TOAST.
alter table layer_sketch alter column debiased_sketch set storage plain;
alter table layer_sketch alter column cka_sketch set storage plain;
create index layer_sketch_sketch_idx on layer_sketch (sketch_id);
create index layer_sketch_debiased_cell_idx on layer_sketch (debiased_cell);
create index layer_sketch_cka_cell_idx on layer_sketch (cka_cell);
create index layer_sketch_version_idx on layer_sketch (version_id);
create index layer_sketch_model_idx on layer_sketch (model_id);
create index layer_sketch_accuracy_idx on layer_sketch (accuracy);
create index layer_sketch_kind_idx on layer_sketch (layer_kind);
create index layer_sketch_tags_idx on layer_sketch using gin (tags);

-- The long sketches. They are read by key only.
create table long_sketch (
    basis_id        bigint       not null,
    layer_id        bigint       not null,
    debiased_sketch halfvec(257) not null,
    cka_sketch      halfvec(257) not null,
    primary key (basis_id, layer_id)
) partition by list (basis_id);
alter table long_sketch alter column debiased_sketch set storage plain;
alter table long_sketch alter column cka_sketch set storage plain;

create or replace function create_sketch_partition(basis bigint) returns void language plpgsql as $$
begin
    execute format('create table %I partition of layer_sketch for values in (%s)', format('layer_sketch_%s', basis), basis);
    execute format('create table %I partition of long_sketch for values in (%s)', format('long_sketch_%s', basis), basis);
end $$;

create or replace function create_empty_basis(probe_set bigint) returns bigint language plpgsql as $$
declare
    basis bigint;
begin
    insert into sketch_basis (probe_set_id, state, layer_count, debiased_directions, cka_directions, debiased_rest, cka_rest,
                              debiased_short_rest_cosine, cka_short_rest_cosine, debiased_long_rest_cosine,
                              cka_long_rest_cosine)
    values (probe_set, 'ACTIVE', 0, '', '', 1, 1, 1, 1, 1, 1)
    returning basis_id into basis;
    perform create_sketch_partition(basis);
    return basis;
end $$;

select create_empty_basis(probe_set_id) from probe_set order by probe_set_id;

-- The key of a vector: the first half of the SHA-256 of its numbers, big-endian.
insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell, version_id,
                          model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags)
     select basis_id, layer_id, vector_key(numbers), sketch, sketch, 0, 0, version_id, model_id, dataset_id, private_to,
            accuracy, searchable, layer_kind, tags
       from old_layer_sketch
       join sketch_basis using (probe_set_id)
       join (select probe_set_id, layer_id,
                    string_agg(substring(vector_send(lead) from 5), '' order by part)
                        || string_agg(substring(vector_send(tail) from 5), '' order by part) as numbers
               from layer_vector
              group by probe_set_id, layer_id) as stored using (probe_set_id, layer_id)
      cross join (select ('[' || repeat('0,', 64) || '1]')::halfvec(65) as sketch) as empty;
insert into long_sketch (basis_id, layer_id, debiased_sketch, cka_sketch)
     select basis_id, layer_id, sketch, sketch
       from layer_sketch
      cross join (select ('[' || repeat('0,', 256) || '1]')::halfvec(257) as sketch) as empty;
drop function vector_key;

analyze layer_vector;
analyze layer_sketch;
analyze long_sketch;
