-- Servers keep a copy of the sketches in memory. They bring it up to date by the rows that transactions have written since they
-- read it, and read the keys of all layers again once some have been deleted.

-- The transaction that wrote the row last. The default fills in the rows that there are. Later ones name it, because of several
-- servers each would fill in its own.
alter table layer_sketch add column changed xid8 not null default pg_current_xact_id();
alter table layer_sketch alter column changed drop default;
create index layer_sketch_changed_idx on layer_sketch (changed);
alter table catalogue add column deletions bigint not null default 0;
