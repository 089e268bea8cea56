-- The version that every layer of this one had its equal in when it was ingested, the oldest if there were several.
alter table version add column duplicate_of bigint references version;
