-- The process that started the last attempt of a job, and how many attempts ended together with their process: a job that ends the
-- server must not do so again and again.
alter table job
    add column process_id    uuid,
    add column lost_attempts integer not null default 0;

-- What `/metrics` counts.
create index job_unfinished_idx on job (status, created_at) where status in ('QUEUED', 'RUNNING');

-- The id of the artifact store with the objects of this catalogue; null until a server has used one.
alter table catalogue add column artifact_store_id text;
