-- Layer vectors and what finds them.

-- A vector of n probe images has n(n-1)/2 numbers, and pgvector stores at most 16,000 in one value,
-- so a long one lies in several parts. Inner products are sums over parts. `lead` is cut into parts;
-- `tail` (n numbers) stands in part 0 and is empty elsewhere.
create table layer_vector (
    probe_set_id bigint   not null references probe_set,
    layer_id     bigint   not null references layer,
    part         smallint not null,
    lead         vector   not null,
    tail         vector,
    lead_norm    real     not null,
    primary key (probe_set_id, layer_id, part),
    constraint layer_vector_tail_check check ((part = 0) = (tail is not null))
);

-- A layer without a vector on a probe set, and why.
create table degenerate_layer (
    probe_set_id bigint not null references probe_set,
    layer_id     bigint not null references layer,
    reason       text   not null constraint degenerate_layer_reason_check check (reason in ('CONSTANT', 'NOT_FINITE', 'NO_SHARED_STRUCTURE')),
    primary key (probe_set_id, layer_id)
);

-- Candidates. Every column that a filter uses stands beside the sketches, so a filtered index scan
-- needs no join. One partition a probe set, made with it, each with its own two HNSW indexes.
create table layer_sketch (
    probe_set_id    bigint       not null,
    layer_id        bigint       not null,
    version_id      bigint       not null,
    model_id        bigint       not null,
    dataset_id      bigint       not null,
    layer_kind      text         not null,
    accuracy        double precision,
    tags            text[]       not null,
    searchable      boolean      not null,
    debiased_sketch halfvec(512) not null,
    cka_sketch      halfvec(512) not null,
    primary key (probe_set_id, layer_id)
) partition by list (probe_set_id);
-- Inline, since a scan of the table would otherwise fetch every sketch from TOAST.
alter table layer_sketch alter column debiased_sketch set storage plain;
alter table layer_sketch alter column cka_sketch set storage plain;
create index layer_sketch_version_idx on layer_sketch (version_id);
create index layer_sketch_model_idx on layer_sketch (model_id);

create function create_sketch_partition(probe_set bigint) returns void language plpgsql as $$
declare
    partition text := format('layer_sketch_%s', probe_set);
begin
    execute format('create table %I partition of layer_sketch for values in (%s)', partition, probe_set);
    execute format('create index on %I using hnsw (debiased_sketch halfvec_ip_ops)', partition);
    execute format('create index on %I using hnsw (cka_sketch halfvec_ip_ops)', partition);
end $$;
