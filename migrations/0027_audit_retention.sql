-- The audit log is kept for a time, and up to a number of entries: of changes, and of requests whose mutations failed.
create index audit_entry_at_idx on audit_entry (at);
create index audit_entry_change_idx on audit_entry (audit_entry_id) where code is null;
create index audit_entry_failure_idx on audit_entry (audit_entry_id) where code is not null;

-- Further mutations of the same request that failed. They have no entries of their own.
alter table audit_entry add column further_failures integer not null default 0;

-- Explanations that the language model wrote for an account in a day; of null: for callers without an account.
create table explanation_use (
    account_id bigint  references account,
    day        date    not null,
    count      integer not null,
    constraint explanation_use_key unique nulls not distinct (account_id, day)
);
