-- Data sets are imported by jobs. Such a job has no version: it has the source of the new data set, which names its uploaded files.
alter table job
    alter column version_id drop not null,
    add column import jsonb,
    drop constraint job_kind_check,
    add constraint job_kind_check check (kind in ('TRAIN', 'INGEST', 'EVALUATE', 'SYNTHESIZE', 'FIND_EXEMPLARS', 'IMPORT')),
    add constraint job_version_check check ((kind = 'IMPORT') = (version_id is null)),
    add constraint job_import_check check ((kind = 'IMPORT') = (import is not null));
