-- Which tensors of a file became the weights of a block version, and what told so; null for other versions, and for those of
-- earlier releases.
alter table version add column weight_mapping jsonb;
alter table version add constraint version_weight_mapping_check check (weight_mapping is null or format = 'BLOCKS');
