-- Plain names for what some columns, stored values and descriptions said in words of our own. No row changes its meaning.

-- The activation of the target at each step of the optimization.
alter table synthesis rename column course to activation_history;

alter table job drop constraint job_kind_check;
update job set kind = 'FIND_EXEMPLARS' where kind = 'EXEMPLIFY';
update job set phase = 'FINDING_EXEMPLARS' where phase = 'EXEMPLIFYING';
alter table job
    add constraint job_kind_check check (kind in ('TRAIN', 'INGEST', 'EVALUATE', 'SYNTHESIZE', 'FIND_EXEMPLARS'));

-- Functions whose text is part of the program: which text was installed last.
create table installed_function (
    name   text  primary key,
    digest bytea not null
);

-- What analysts read about the schema.
comment on schema analytics is 'The library for analysts: read-only views and functions, documented in docs/sql.md.';

comment on view analytics.datasets is 'Data sets of labelled images.';
comment on column analytics.datasets.class_names is 'Class names in the order of the labels.';

comment on view analytics.probe_sets is
    'Ordered lists of images on which layers are measured. Only vectors of the same probe set can be compared.';
comment on column analytics.probe_sets.dataset_name is 'Name of the data set.';
comment on column analytics.probe_sets.split is 'Split of the data set that contains the images: TRAIN or TEST.';
comment on column analytics.probe_sets.image_count is 'Number of images: n in the layout of the vectors.';
comment on column analytics.probe_sets.image_indices is 'Indices of the images in the split, from 0, in order.';
comment on column analytics.probe_sets.seed is 'Random seed with which the images were drawn.';
comment on column analytics.probe_sets.is_default is
    'Whether this probe set is used when none is specified; one per data set.';

comment on view analytics.models is 'Public models that are not deleted.';
comment on column analytics.models.description is 'Description by the owner.';
comment on column analytics.models.tags is 'Tags for filters.';

comment on view analytics.versions is 'Versions of the models, with any status.';
comment on column analytics.versions.model_name is 'Name of the model.';
comment on column analytics.versions.number is 'Unique within the model, from 1.';
comment on column analytics.versions.status is 'QUEUED, RUNNING, READY or FAILED. Only READY versions have layers.';
comment on column analytics.versions.format is 'Format of the upload: BLOCKS, ONNX or ACTIVATIONS.';
comment on column analytics.versions.dataset_id is 'Data set for which the network is made.';
comment on column analytics.versions.dataset_name is 'Name of the data set.';
comment on column analytics.versions.parameter_count is 'Number of trainable parameters.';
comment on column analytics.versions.multiply_accumulates is 'Multiply-accumulate operations per image.';
comment on column analytics.versions.accuracy is
    'Accuracy on the test split of its data set, 0 to 1; null if it was not evaluated.';
comment on column analytics.versions.blocks is 'The block list as uploaded; only for BLOCKS versions.';
comment on column analytics.versions.train_settings is 'Training settings, if the version was trained by SCV.';
comment on column analytics.versions.train_epochs is 'Loss and accuracy per epoch, if the version was trained by SCV.';
comment on column analytics.versions.failure is 'Why the version is FAILED: code, message and layer.';
comment on column analytics.versions.duplicate_of is
    'The version that had an equal for every layer of this one when it was ingested; null if there was none.';

comment on view analytics.layers is 'Layers of the READY versions, with the main facts about the version.';
comment on column analytics.layers.version_number is 'Number of the version.';
comment on column analytics.layers.model_name is 'Name of the model.';
comment on column analytics.layers.index is 'From 0, in execution order, without gaps within a version.';
comment on column analytics.layers.name is 'Position in the block list, such as 3.main.0, or its name in the file.';
comment on column analytics.layers.parameters is 'Its settings under the names that PyTorch uses, including defaults.';
comment on column analytics.layers.input_shape is 'Shape of the input for one image.';
comment on column analytics.layers.output_shape is 'Shape of the output for one image.';
comment on column analytics.layers.parameter_count is 'Number of trainable parameters.';
comment on column analytics.layers.multiply_accumulates is 'Multiply-accumulate operations per image.';
comment on column analytics.layers.dataset_id is 'Data set for which its version is made.';
comment on column analytics.layers.dataset_name is 'Name of the data set.';
comment on column analytics.layers.default_probe_set_id is 'Probe set on which it is compared when none is specified.';
comment on column analytics.layers.accuracy is
    'Accuracy of its version on the test split of that data set; null if it was not evaluated.';

comment on view analytics.evaluations is 'Accuracy and loss of versions on the test split of a data set.';
comment on column analytics.evaluations.dataset_name is 'Name of the data set.';
comment on column analytics.evaluations.accuracy is 'Share of correctly classified images, 0 to 1.';
comment on column analytics.evaluations.image_count is 'Number of images in the split.';

comment on view analytics.vectors is
    'Layer vectors, in parts of at most 16,000 numbers. Inner products are sums over the parts. The layout is documented in
docs/sql.md.';
comment on column analytics.vectors.probe_set_id is 'Probe set on which the layer was measured.';
comment on column analytics.vectors.part is 'From 0; vectors of up to 180 probe images have a single part.';
comment on column analytics.vectors.lead is
    'Coordinates of the U-centred part of the Gram matrix: n(n-3)/2 numbers over all parts, for n images.';
comment on column analytics.vectors.tail is 'The remaining n coordinates, in part 0; null in the other parts.';
comment on column analytics.vectors.lead_norm is 'Norm of the whole lead, the same in each part.';

comment on view analytics.degenerate_layers is 'Layers without a vector on a probe set.';
comment on column analytics.degenerate_layers.reason is
    'Why: CONSTANT (the output is the same for every image), NOT_FINITE (the output contains NaN or infinity) or
NO_SHARED_STRUCTURE (nothing is left after U-centring).';

comment on view analytics.confusion is
    'Confusion matrices on the test split of a data set: number of images per true and predicted class.';
comment on column analytics.confusion.actual is 'Name of the true class.';
comment on column analytics.confusion.predicted is
    'Name of the predicted class; null if the network has more classes than the data set.';
comment on column analytics.confusion.image_count is 'Number of images.';
comment on column analytics.confusion.exemplar_index is
    'The image that was classified with the highest confidence: its index in the test split.';
comment on column analytics.confusion.exemplar_confidence is 'Confidence of that prediction, 0 to 1.';

comment on view analytics.mistakes is
    'The hundred test images of a data set that a version misclassified with the highest confidence.';
comment on column analytics.mistakes.rank is 'From 1, the most confident mistake.';
comment on column analytics.mistakes.actual is 'Name of the true class.';
comment on column analytics.mistakes.predicted is
    'Name of the predicted class; null if the network has more classes than the data set.';
comment on column analytics.mistakes.image_index is 'Index of the image in the test split.';
comment on column analytics.mistakes.confidence is 'Confidence of the prediction, 0 to 1.';

comment on function analytics.cka is
    'Linear CKA of two layers, 0 to 1, on a probe set (null: the default one of the first layer''s data set). Null unless
both layers have a vector on it.';
comment on function analytics.debiased_cka is
    'Debiased CKA of two layers, -1 to 1 and near 0 for unrelated layers of any width, on a probe set (null: the default one
of the first layer''s data set). Null unless both layers have a vector on it.';
