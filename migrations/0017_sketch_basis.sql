-- Sketches in learned directions, whose inner product is never below the score, in place of random ones.
--
-- A basis belongs to a probe set and never changes: a better one replaces it, with the sketches of all layers. While it is
-- BUILDING, layers get their sketches for both. Each basis has a partition of its own, which searches name.
create table sketch_basis (
    basis_id             bigint  generated always as identity primary key,
    probe_set_id         bigint  not null references probe_set,
    state                text    not null
        constraint sketch_basis_state_check check (state in ('BUILDING', 'ACTIVE')),
    -- Number of layers of the probe set when the basis was fitted.
    layer_count          bigint  not null,
    -- Rows of little-endian single-precision numbers.
    debiased_directions  bytea   not null,
    cka_directions       bytea   not null,
    -- Mean squared length of the rests in the sample, and the typical cosine between those of near neighbours.
    debiased_rest        real    not null,
    cka_rest             real    not null,
    debiased_rest_cosine real    not null,
    cka_rest_cosine      real    not null,
    created_at           timestamptz not null default now()
);
-- Random numbers do not compress.
alter table sketch_basis alter column debiased_directions set storage external;
alter table sketch_basis alter column cka_directions set storage external;
create unique index sketch_basis_state_key on sketch_basis (probe_set_id, state);

-- The centres of the cells of a basis, with the share of the layers in each ring around it when the basis was fitted.
create table sketch_centre (
    basis_id    bigint     not null references sketch_basis on delete cascade,
    measure     text       not null
        constraint sketch_centre_measure_check check (measure in ('DEBIASED_CKA', 'CKA')),
    index       integer    not null,
    centre      vector(129) not null,
    ring_shares real[]     not null,
    primary key (basis_id, measure, index)
);

create temporary table old_layer_sketch on commit drop as select * from layer_sketch;
drop table layer_sketch;
drop table sketch;
drop function create_sketch_partition;
drop function create_sketch_indexes;
drop function create_sketch_index;
drop function create_sketch_tables;
drop function sketch_digest;

-- The sketches of each layer, beside every column that a filter uses: a scan needs no join. Layers with equal vectors have
-- equal sketch_ids. No foreign keys, and keys with sketch_id, so that the rows can be spread over several servers.
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
    debiased_sketch halfvec(129) not null,
    cka_sketch      halfvec(129) not null,
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

create function create_sketch_partition(basis bigint) returns void language plpgsql as $$
begin
    execute format('create table %I partition of layer_sketch for values in (%s)', format('layer_sketch_%s', basis), basis);
end $$;

-- The key of a vector: the first half of the SHA-256 of its numbers, as pgvector sends them.
create function vector_key(parts bytea) returns uuid
    language sql immutable strict parallel safe
    return encode(substring(sha256(parts) for 16), 'hex')::uuid;

-- The basis that knows no direction. A server replaces it soon.
create function create_empty_basis(probe_set bigint) returns bigint language plpgsql as $$
declare
    basis bigint;
begin
    insert into sketch_basis (probe_set_id, state, layer_count, debiased_directions, cka_directions, debiased_rest, cka_rest,
                              debiased_rest_cosine, cka_rest_cosine)
    values (probe_set, 'ACTIVE', 0, '', '', 1, 1, 1, 1)
    returning basis_id into basis;
    perform create_sketch_partition(basis);
    return basis;
end $$;

select create_empty_basis(probe_set_id) from probe_set order by probe_set_id;

insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell, version_id,
                          model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags)
     select basis_id, layer_id, key, empty.sketch, empty.sketch, 0, 0, version_id, model_id, dataset_id, private_to, accuracy,
            searchable, layer_kind, tags
       from old_layer_sketch
       join sketch_basis using (probe_set_id)
       join (select probe_set_id, layer_id,
                    vector_key(string_agg(vector_send(lead) || coalesce(vector_send(tail), ''), '' order by part)) as key
               from layer_vector
              group by probe_set_id, layer_id) as keyed using (probe_set_id, layer_id)
      cross join (select (repeat('0,', 128) || '1')::text as numbers) as written
      cross join lateral (select format('[%s]', numbers)::halfvec(129) as sketch) as empty;

alter table layer_vector drop constraint layer_vector_probe_set_id_fkey;
alter table layer_vector drop constraint layer_vector_layer_id_fkey;
-- Compression would find nothing in their numbers.
alter table layer_vector alter column lead set storage external;

-- The search in SQL gets a column more. The program installs its text after the migrations; whoever may use it still may.
do $$
declare
    granted text[] := (
        select array_agg(case grantee when 0 then 'public' else grantee::regrole::text end)
          from pg_proc
         cross join aclexplode(proacl)
         where oid = 'analytics.nearest_layers'::regproc
           and grantee <> proowner
    );
    role text;
begin
    drop function analytics.nearest_layers;
    create function analytics.nearest_layers(
        layer        bigint,
        k            integer          default 10,
        min_accuracy double precision default null,
        dataset      text             default null,
        measure      text             default 'DEBIASED_CKA',
        probe_set    bigint           default null
    ) returns table (
        rank           integer,
        layer_id       bigint,
        layer_name     text,
        layer_kind     text,
        version_id     bigint,
        version_number integer,
        model_id       bigint,
        model_name     text,
        accuracy       double precision,
        debiased_cka   double precision,
        cka            double precision,
        exact          boolean,
        complete_above double precision
    )
        language plpgsql as 'begin end';
    revoke execute on function analytics.nearest_layers from public;
    foreach role in array coalesce(granted, '{}') loop
        execute format('grant execute on function analytics.nearest_layers to %s', role);
    end loop;
end $$;
delete from installed_function where name = 'analytics.nearest_layers';
