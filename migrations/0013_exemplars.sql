-- The images that each channel of a layer answers to most, found by a job in one pass over the test split.
alter table job
    drop constraint job_kind_check,
    add constraint job_kind_check check (kind in ('TRAIN', 'INGEST', 'EVALUATE', 'SYNTHESIZE', 'EXEMPLIFY'));

create table channel_exemplars (
    layer_id    bigint    not null primary key references layer,
    -- Images of each channel, the strongest first, channel after channel; null where a channel has fewer.
    image_count integer   not null,
    images      integer[] not null,
    activations real[]    not null
);
