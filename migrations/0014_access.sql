-- Who may ask: accounts with their tokens, owners of models, and a record of what was changed by whom.
create table account (
    account_id bigint      generated always as identity primary key,
    name       text        not null constraint account_name_key unique,
    created_at timestamptz not null default now()
);

-- A token itself is never kept, only the SHA-256 digest of its 256 random bits.
create table token (
    token_id     bigint      generated always as identity primary key,
    account_id   bigint      not null references account,
    digest       bytea       not null constraint token_digest_key unique,
    description  text        not null default '',
    scope        text        not null constraint token_scope_check check (scope in ('READ', 'WRITE', 'ADMIN')),
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
create index token_account_idx on token (account_id);

-- A model of nobody was made by a server that answers anybody. `private_to` is the account that alone may see it, 0 where
-- that is nobody's; null where everybody may.
alter table model add column owner_id bigint references account;
alter table model add column private_to bigint
    generated always as (case visibility when 'PRIVATE' then coalesce(owner_id, 0) end) stored;

-- The same beside what filters use.
alter table layer_sketch add column private_to bigint;
update layer_sketch
   set private_to = model.private_to
  from model
 where model.model_id = layer_sketch.model_id
   and model.private_to is not null;

-- The rule, for all that belongs to a model. A viewer of null sees everything.
create function is_visible(model bigint, viewer bigint) returns boolean
    language sql stable parallel safe
begin atomic
    select viewer is null
           or exists (select from model
                       where model_id = is_visible.model
                         and (private_to is null or private_to = is_visible.viewer));
end;

create table audit_entry (
    audit_entry_id bigint      generated always as identity primary key,
    at             timestamptz not null default now(),
    account_id     bigint      references account,
    token_id       bigint      references token,
    address        text,
    mutation       text        not null,
    input          jsonb       not null,
    -- The code of the error; null where there was none.
    code           text
);

-- Analysts see what everybody may.
create or replace view analytics.models as
    select model_id,
           rtrim(translate(encode(convert_to('Model:' || model_id, 'UTF8'), 'base64'), '+/', '-_'), '=') as global_id,
           name, description, tags, visibility, created_at
      from model
     where deleted_at is null
       and private_to is null;
comment on view analytics.models is 'Models that are not deleted and that everybody may see.';

create or replace view analytics.versions as
    select version_id,
           rtrim(translate(encode(convert_to('Version:' || version_id, 'UTF8'), 'base64'), '+/', '-_'), '=') as global_id,
           model_id, model.name as model_name, number, status, format, dataset_id, dataset.name as dataset_name,
           parameter_count, multiply_accumulates, accuracy, blocks, train_settings, train_epochs, failure,
           version.created_at,
           (select original.version_id
              from version as original
              join model as of_original using (model_id)
             where original.version_id = version.duplicate_of
               and of_original.deleted_at is null
               and of_original.private_to is null) as duplicate_of
      from version
      join model using (model_id)
      join dataset using (dataset_id)
      left join evaluation using (version_id, dataset_id)
     where deleted_at is null
       and private_to is null;

create or replace view analytics.layers as
    select layer_id,
           rtrim(translate(encode(convert_to('Layer:' || layer_id, 'UTF8'), 'base64'), '+/', '-_'), '=') as global_id,
           version_id, version.number as version_number, model_id, model.name as model_name, index, layer.name, kind,
           parameters, input_shape, output_shape, layer.parameter_count, layer.multiply_accumulates, dataset_id,
           dataset.name as dataset_name, probe_set_id as default_probe_set_id, accuracy
      from layer
      join version using (version_id)
      join model using (model_id)
      join dataset using (dataset_id)
      left join (select dataset_id, probe_set_id from probe_set where is_default) as default_one using (dataset_id)
      left join evaluation using (version_id, dataset_id)
     where deleted_at is null
       and private_to is null
       and status = 'READY';

create or replace view analytics.evaluations as
    select version_id, evaluation.dataset_id, dataset.name as dataset_name, accuracy, loss, image_count,
           evaluation.created_at
      from evaluation
      join dataset on dataset.dataset_id = evaluation.dataset_id
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null;

create or replace view analytics.vectors as
    select probe_set_id, layer_id, part, lead, tail, lead_norm
      from layer_vector
      join layer using (layer_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null
       and status = 'READY';

create or replace view analytics.degenerate_layers as
    select probe_set_id, layer_id, reason
      from degenerate_layer
      join layer using (layer_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null
       and status = 'READY';

create or replace view analytics.confusion as
    select version_id, cell.dataset_id, class_names[actual + 1] as actual, class_names[predicted + 1] as predicted,
           cell.image_count, exemplar_index, exemplar_confidence
      from confusion_cell as cell
      join dataset using (dataset_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null;

create or replace view analytics.mistakes as
    select version_id, mistake.dataset_id, rank, class_names[actual + 1] as actual, class_names[predicted + 1] as predicted,
           image_index, confidence
      from confident_mistake as mistake
      join dataset using (dataset_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and private_to is null;

-- Conditions of an analyst's own are looked at after those of the views: an error in one of them would tell of what it saw.
alter view analytics.models set (security_barrier);
alter view analytics.versions set (security_barrier);
alter view analytics.layers set (security_barrier);
alter view analytics.evaluations set (security_barrier);
alter view analytics.vectors set (security_barrier);
alter view analytics.degenerate_layers set (security_barrier);
alter view analytics.confusion set (security_barrier);
alter view analytics.mistakes set (security_barrier);

-- The search as before (0010), among the layers that everybody may see.
create or replace function analytics.nearest_layers(
    layer        bigint,
    k            integer          default 10,
    min_accuracy double precision default null,
    dataset      text             default null,
    measure      text             default 'DEBIASED_CKA',
    probe_set    bigint           default null
) returns table (
    rank           integer,
    layer_id       bigint,
    layer_name     text,
    layer_kind     text,
    version_id     bigint,
    version_number integer,
    model_id       bigint,
    model_name     text,
    accuracy       double precision,
    debiased_cka   double precision,
    cka            double precision,
    exact          boolean
)
    language plpgsql stable parallel safe security definer cost 100000 rows 10
    set hnsw.ef_search = 75
    set hnsw.iterative_scan = relaxed_order
    set jit = off
as $$
#variable_conflict use_column
declare
    -- Scopes of up to so many rows are compared whole.
    exact_rows        constant integer := 250;
    -- A part of a library of n layers is searched without the index if it holds up to so many times the root of n.
    sorted_rows_a_root constant integer := 18;
    -- Hits that are found by sketches at most.
    indexed_depth     constant integer := 1000;
    -- Rows whose exact scores are computed where sketches choose them: of a whole library, and of a part, where the nearest
    -- are further away and sketches tell less well which is nearer.
    candidates_of_all  constant integer := 50;
    candidates_of_part constant integer := 100;
    candidates_a_hit  constant integer := 2;
    mine        record;
    on_probes   bigint;
    of_dataset  bigint;
    of_measure  text;
    scope       text;
    fewest      integer := candidates_of_all;
    sorted_rows integer := exact_rows;
    admitted    integer;
    sorts       boolean[];
    sort        boolean;
    reached     boolean;
    candidates  bigint[];
    by_sketches boolean := false;
begin
    if k is null or k < 0 then
        raise invalid_parameter_value using message = format('k must be 0 or more, got %s', coalesce(k::text, 'null'));
    end if;
    if min_accuracy not between 0 and 1 then
        raise invalid_parameter_value using message = format('min_accuracy must be 0 to 1, got %s', min_accuracy);
    end if;
    of_measure := case measure when 'DEBIASED_CKA' then 'debiased_sketch' when 'CKA' then 'cka_sketch' end;
    if of_measure is null then
        raise invalid_parameter_value
            using message = format('measure must be DEBIASED_CKA or CKA, got %s', coalesce(measure, 'null'));
    end if;

    select found.model_id, found.dataset_id, found.default_probe_set_id
      into mine
      from analytics.layers as found
     where found.layer_id = nearest_layers.layer;
    if not found then
        raise no_data_found
            using message = format('there is no layer %s', coalesce(layer::text, 'null')),
                  hint = 'The view analytics.layers lists all layers; those of deleted models are not among them.';
    end if;
    on_probes := coalesce(probe_set, mine.default_probe_set_id);
    if not exists (select from probe_set as own
                    where own.probe_set_id = on_probes and own.dataset_id = mine.dataset_id) then
        raise no_data_found
            using message = format('the data set of layer %s has no probe set %s', layer, coalesce(on_probes::text, 'null')),
                  hint = 'The view analytics.probe_sets lists all probe sets.';
    end if;
    if dataset is not null then
        select named.dataset_id into of_dataset from dataset as named where named.name = nearest_layers.dataset;
        if not found then
            raise no_data_found
                using message = format('there is no data set %L', dataset),
                      hint = 'The view analytics.datasets lists all data sets.';
        end if;
    end if;

    if not exists (select from layer_sketch as own
                    where own.probe_set_id = on_probes and own.layer_id = nearest_layers.layer) then
        return;
    end if;

    -- The key of the partition is written out, so that the planner sees one table with its index.
    scope := format(
        'probe_set_id = %s
         and searchable
         and private_to is null
         and model_id <> $1
         and ($2 is null or accuracy >= $2)
         and ($3 is null or dataset_id = $3)', on_probes
    );
    if min_accuracy is not null or dataset is not null then
        fewest := candidates_of_part;
        -- It is below zero until it has been counted for the first time.
        select greatest(exact_rows, sorted_rows_a_root * sqrt(greatest(reltuples, 0)))
          into sorted_rows
          from pg_class
         where oid = format('layer_sketch_%s', on_probes)::regclass;
    end if;
    execute format('select count(*) from (select from layer_sketch where %s limit %s) as admitted', scope, sorted_rows + 1)
       into admitted
      using mine.model_id, min_accuracy, of_dataset;
    if admitted > exact_rows and k <= indexed_depth then
        sorts := case when admitted <= sorted_rows then array[true] else array[false, true] end;
        foreach sort in array sorts loop
            -- An index that does not find the layer itself may have missed all its neighbours. And no index knows an order
            -- with something added.
            execute format(
                'select array_agg(layer_id) filter (where admitted), bool_or(layer_id = $4)
                   from (select layer_id, %1$s as admitted
                           from layer_sketch
                           join sketch using (probe_set_id, sketch_id)
                          where probe_set_id = %2$s
                            and (%1$s or layer_id = $4)
                          order by (%3$I <-> (select %3$I
                                                from layer_sketch
                                                join sketch using (probe_set_id, sketch_id)
                                               where probe_set_id = %2$s
                                                 and layer_id = $4)) %4$s
                          fetch first %5$s rows with ties) as nearest',
                scope, on_probes, of_measure, case when sort then '+ 0' end, greatest(fewest, candidates_a_hit * k)
            )
               into candidates, reached
              using mine.model_id, min_accuracy, of_dataset, layer;
            exit when reached;
        end loop;
        -- A filter may have left the index nothing at all.
        by_sketches := coalesce(cardinality(candidates), 0) > k;
    end if;
    if not by_sketches then
        execute format('select array_agg(layer_id) from layer_sketch where %s', scope)
           into candidates
          using mine.model_id, min_accuracy, of_dataset;
    end if;

    return query
      with target as materialized (
            -- A copy in memory: as it lies in the table it would be fetched and decompressed for every candidate.
            select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm
              from layer_vector
             where probe_set_id = on_probes
               and layer_id = nearest_layers.layer
      ), scored as (
            select candidate.layer_id,
                   greatest(-1, least(product.lead / product.norms, 1)) as debiased_cka,
                   least(product.lead + product.tail, 1) as cka
              from unnest(candidates) as candidate (layer_id)
             cross join lateral (
                  select -sum(theirs.lead <#> target.lead order by part) as lead,
                         -sum(theirs.tail <#> target.tail order by part) as tail,
                         max(theirs.lead_norm::double precision * target.lead_norm) as norms
                    from layer_vector as theirs
                    join target using (part)
                   where theirs.probe_set_id = on_probes
                     and theirs.layer_id = candidate.layer_id) as product
      ), best as (
            select scored.*, case when measure = 'CKA' then scored.cka else scored.debiased_cka end as score
              from scored
             order by score desc, layer_id
             limit k
      )
    select row_number() over (order by best.score desc, best.layer_id)::integer,
           best.layer_id, found.name, found.kind, found.version_id, found.version_number, found.model_id,
           found.model_name, found.accuracy, best.debiased_cka, best.cka, not by_sketches
      from best
      join analytics.layers as found using (layer_id)
     order by best.score desc, best.layer_id;
end $$;

-- It runs with its owner's rights, so nothing that the caller has may stand in for a table or an operator: only our schema
-- and that of pgvector are looked at, and temporary tables last.
do $$
begin
    execute format(
        'alter function analytics.nearest_layers set search_path = pg_catalog, %I, %I, pg_temp',
        (select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
          where pg_class.oid = 'layer_sketch'::regclass),
        (select nspname from pg_extension join pg_namespace on pg_namespace.oid = extnamespace where extname = 'vector')
    );
end $$;
