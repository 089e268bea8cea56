-- What an evaluation tells beside accuracy and loss. Those of earlier releases have no more until they are repeated.
alter table evaluation
    add column top_five_accuracy double precision,
    add column calibration       jsonb,
    add constraint evaluation_details_check check ((top_five_accuracy is null) = (calibration is null));

create table confusion_cell (
    version_id          bigint           not null,
    dataset_id          bigint           not null,
    actual              integer          not null,
    predicted           integer          not null,
    image_count         integer          not null,
    exemplar_index      integer          not null,
    exemplar_confidence double precision not null,
    primary key (version_id, dataset_id, actual, predicted),
    foreign key (version_id, dataset_id) references evaluation
);

create table confident_mistake (
    version_id  bigint           not null,
    dataset_id  bigint           not null,
    rank        integer          not null,
    actual      integer          not null,
    predicted   integer          not null,
    image_index integer          not null,
    confidence  double precision not null,
    primary key (version_id, dataset_id, rank),
    foreign key (version_id, dataset_id) references evaluation
);

create view analytics.confusion as
    select version_id, cell.dataset_id, class_names[actual + 1] as actual, class_names[predicted + 1] as predicted,
           cell.image_count, exemplar_index, exemplar_confidence
      from confusion_cell as cell
      join dataset using (dataset_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null;

comment on view analytics.confusion is
    'Confusion matrices on the test split of a data set: how many images of one class were taken for another, or for their own.';
comment on column analytics.confusion.version_id is 'The version.';
comment on column analytics.confusion.dataset_id is 'The data set.';
comment on column analytics.confusion.actual is 'Name of the class that the images are of.';
comment on column analytics.confusion.predicted is 'Name of the class that they were taken for; null if the network has more classes.';
comment on column analytics.confusion.image_count is 'How many.';
comment on column analytics.confusion.exemplar_index is 'The one that the network was most sure of: its index in the test split.';
comment on column analytics.confusion.exemplar_confidence is 'How sure it was, 0 to 1.';

create view analytics.mistakes as
    select version_id, mistake.dataset_id, rank, class_names[actual + 1] as actual, class_names[predicted + 1] as predicted,
           image_index, confidence
      from confident_mistake as mistake
      join dataset using (dataset_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null;

comment on view analytics.mistakes is
    'The hundred mistakes on the test split of a data set that a version was most sure of.';
comment on column analytics.mistakes.version_id is 'The version.';
comment on column analytics.mistakes.dataset_id is 'The data set.';
comment on column analytics.mistakes.rank is 'From 1, the most confident mistake.';
comment on column analytics.mistakes.actual is 'Name of the class that the image is of.';
comment on column analytics.mistakes.predicted is 'Name of the class that it was taken for; null if the network has more classes.';
comment on column analytics.mistakes.image_index is 'The image: its index in the test split.';
comment on column analytics.mistakes.confidence is 'How sure the network was, 0 to 1.';
