-- Images that parts of a network answer to most, each found by a job.
alter table job
    drop constraint job_kind_check,
    add constraint job_kind_check check (kind in ('TRAIN', 'INGEST', 'EVALUATE', 'SYNTHESIZE'));

create table synthesis (
    synthesis_id bigint      generated always as identity primary key,
    version_id   bigint      not null references version,
    job_id       bigint      not null references job,
    target       jsonb       not null,
    settings     jsonb       not null,
    image_hash   text,
    image_width  integer,
    image_height integer,
    activation   double precision,
    course       double precision[],
    exemplars    jsonb,
    created_at   timestamptz not null default now(),
    constraint synthesis_job_key unique (job_id),
    -- All of a result is there, or nothing.
    constraint synthesis_result_check
        check (num_nulls(image_hash, image_width, image_height, activation, course, exemplars) in (0, 6))
);
create index synthesis_version_idx on synthesis (version_id);
