-- When a model last changed: its registration, a change of its fields, or a new version.
alter table model add column updated_at timestamptz not null default now();
update model
   set updated_at = greatest(created_at, (select max(version.created_at)
                                            from version
                                           where version.model_id = model.model_id));
create index model_updated_idx on model (updated_at, model_id);

-- The account that registered a version; null where no token was required, and for versions of earlier releases.
alter table version add column created_by bigint references account;
