-- The catalogue: data sets, probe sets, models, versions, layers, jobs.
create extension if not exists vector;

-- One row that counts changes to what a search can see. A cached answer carries the count it was
-- computed from and is never used after the count has moved.
create table catalogue (
    singleton  boolean primary key default true constraint catalogue_singleton_check check (singleton),
    generation bigint  not null default 0
);
insert into catalogue default values;

create table dataset (
    dataset_id  bigint      generated always as identity primary key,
    name        text        not null constraint dataset_name_key unique,
    channels    integer     not null,
    height      integer     not null,
    width       integer     not null,
    class_names text[]      not null,
    mean        real[]      not null,
    std         real[]      not null,
    created_at  timestamptz not null default now()
);

create table dataset_split (
    dataset_id  bigint  not null references dataset,
    split       text    not null constraint dataset_split_split_check check (split in ('TRAIN', 'TEST')),
    image_count integer not null,
    images_key  text    not null,
    labels_key  text    not null,
    primary key (dataset_id, split)
);

create table probe_set (
    probe_set_id  bigint      generated always as identity primary key,
    dataset_id    bigint      not null references dataset,
    split         text        not null constraint probe_set_split_check check (split in ('TRAIN', 'TEST')),
    image_indices integer[]   not null,
    seed          bigint      not null,
    content_hash  text        not null,
    is_default    boolean     not null,
    created_at    timestamptz not null default now(),
    constraint probe_set_content_key unique (dataset_id, content_hash)
);
create unique index probe_set_default_key on probe_set (dataset_id) where is_default;

create table model (
    model_id    bigint      generated always as identity primary key,
    name        text        not null,
    description text        not null default '',
    tags        text[]      not null default '{}',
    visibility  text        not null default 'PUBLIC' constraint model_visibility_check check (visibility in ('PRIVATE', 'PUBLIC')),
    created_at  timestamptz not null default now(),
    deleted_at  timestamptz
);
create unique index model_name_key on model (name) where deleted_at is null;

create table version (
    version_id           bigint      generated always as identity primary key,
    model_id             bigint      not null references model,
    number               integer     not null,
    status               text        not null default 'QUEUED' constraint version_status_check check (status in ('QUEUED', 'RUNNING', 'READY', 'FAILED')),
    format               text        not null constraint version_format_check check (format in ('BLOCKS', 'ONNX', 'ACTIVATIONS')),
    dataset_id           bigint      not null references dataset,
    blocks               jsonb,
    weights_key          text,
    parameter_count      bigint      not null,
    multiply_accumulates bigint      not null,
    train_settings       jsonb,
    train_epochs         jsonb,
    failure              jsonb,
    created_at           timestamptz not null default now(),
    constraint version_number_key unique (model_id, number),
    -- A failed version says why; no other one has a reason to.
    constraint version_failure_check check ((status = 'FAILED') = (failure is not null))
);

create table layer (
    layer_id             bigint    generated always as identity primary key,
    version_id           bigint    not null references version,
    index                integer   not null,
    name                 text      not null,
    kind                 text      not null,
    parameters           jsonb     not null,
    input_shape          integer[] not null,
    output_shape         integer[] not null,
    parameter_count      bigint    not null,
    multiply_accumulates bigint    not null,
    constraint layer_index_key unique (version_id, index)
);

create table evaluation (
    version_id  bigint           not null references version,
    dataset_id  bigint           not null references dataset,
    accuracy    double precision not null,
    loss        double precision not null,
    image_count integer          not null,
    created_at  timestamptz      not null default now(),
    primary key (version_id, dataset_id)
);

-- What users see of background work. The queue itself (claims, leases, retries) is the schema
-- graphile_worker; a row here and its entry there are written in one transaction.
create table job (
    job_id           bigint           generated always as identity primary key,
    kind             text             not null constraint job_kind_check check (kind in ('TRAIN', 'INGEST', 'EVALUATE')),
    status           text             not null default 'QUEUED' constraint job_status_check check (status in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
    version_id       bigint           not null references version,
    dataset_id       bigint           references dataset,
    progress         double precision not null default 0,
    phase            text             not null default 'QUEUED',
    epochs           jsonb            not null default '[]',
    attempts         integer          not null default 0,
    cancel_requested boolean          not null default false,
    failure          jsonb,
    created_at       timestamptz      not null default now(),
    started_at       timestamptz,
    finished_at      timestamptz
);
create index job_version_idx on job (version_id);

create function notify_job() returns trigger language plpgsql as $$
begin
    perform pg_notify('scv_job', new.job_id::text);
    return null;
end $$;
create trigger job_changed after insert or update on job for each row execute function notify_job();
