-- How the file of a version is to be read, for those that are not block lists: of activations the probe set that they
-- were computed on, of an ONNX file the output and how images are made for its input.
alter table version add column source jsonb;
alter table version add constraint version_source_check check ((format = 'BLOCKS') = (source is null));
