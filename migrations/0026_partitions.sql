-- The tables of a new basis are made alone and then attached. `create table … partition of` locks the parent, so it would wait for
-- every transaction that writes or reads sketches, and all searches would wait behind it. An attachment waits only for another one.
create function add_sketch_partition(parent text, basis bigint) returns void language plpgsql
    set lock_timeout = '500ms'
as $$
declare
    partition text := format('%s_%s', parent, basis);
begin
    execute format('create table %I (like %I including all)', partition, parent);
    for attempt in 1..20 loop
        begin
            execute format('alter table %I attach partition %I for values in (%s)', parent, partition, basis);
            return;
        exception when lock_not_available then
            if attempt = 20 then
                raise;
            end if;
        end;
    end loop;
end $$;

create or replace function create_sketch_partition(basis bigint) returns void language plpgsql as $$
begin
    perform add_sketch_partition('layer_sketch', basis);
    perform add_sketch_partition('long_sketch', basis);
end $$;
