-- The number of a deleted version is never used again.
alter table model add column last_version_number integer not null default 0;
update model
   set last_version_number = latest.number
  from (select model_id, max(number) as number from version group by model_id) as latest
 where latest.model_id = model.model_id;
