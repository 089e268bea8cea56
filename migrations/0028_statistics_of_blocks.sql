-- Networks of blocks have a source if their images are normalised otherwise than those of their data set.

alter table version drop constraint version_source_check;
alter table version add constraint version_source_check check (format = 'BLOCKS' or source is not null);
