-- The search of the API (`Store::search`, `Library::similar`) for analysts: which candidates are scored is decided in the same
-- way, among the layers of public models. Placeholders in braces are filled from the constants of that search.
--
-- SCV runs this text after the migrations, whenever it differs from the one that was run last. Replacing the function keeps
-- the rights on it. Other arguments or columns need a migration that drops the function first; the default privileges that
-- `scv analyst-role` sets grant the new one to analysts again.
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
{session_settings}
as $$
#variable_conflict use_column
declare
    -- Scopes of up to this many layers are scored as a whole.
    max_exact_rows         constant integer := {max_exact_rows};
    -- A part of a library of n layers is searched without the index if it holds up to this many times the root of n.
    sorted_rows_per_root   constant integer := {sorted_rows_per_root};
    -- Number of hits that sketches may select.
    max_sketched_hits      constant integer := {max_sketched_hits};
    -- Minimum number of layers whose exact scores are computed when sketches select them: from the whole library, and from
    -- a part, where the nearest layers are further away and sketches order them less reliably.
    min_candidates         constant integer := {min_candidates};
    min_candidates_of_part constant integer := {min_candidates_of_part};
    candidates_per_hit     constant integer := {candidates_per_hit};
    target            record;
    searched_set      bigint;
    wanted_dataset    bigint;
    sketch_column     text;
    scope             text;
    fewest_candidates integer := min_candidates;
    max_sorted_rows   integer := max_exact_rows;
    admitted_rows     integer;
    sorted_choices    boolean[];
    is_sorted         boolean;
    target_reached    boolean;
    candidates        bigint[];
    by_sketches       boolean := false;
begin
    if k is null or k < 0 then
        raise invalid_parameter_value using message = format('k must be 0 or more, got %s', coalesce(k::text, 'null'));
    end if;
    if min_accuracy not between 0 and 1 then
        raise invalid_parameter_value using message = format('min_accuracy must be 0 to 1, got %s', min_accuracy);
    end if;
    sketch_column := case measure when 'DEBIASED_CKA' then 'debiased_sketch' when 'CKA' then 'cka_sketch' end;
    if sketch_column is null then
        raise invalid_parameter_value
            using message = format('measure must be DEBIASED_CKA or CKA, got %s', coalesce(measure, 'null'));
    end if;

    select found.model_id, found.dataset_id, found.default_probe_set_id
      into target
      from analytics.layers as found
     where found.layer_id = nearest_layers.layer;
    if not found then
        raise no_data_found
            using message = format('there is no layer %s', coalesce(layer::text, 'null')),
                  hint = 'The view analytics.layers lists all layers; layers of deleted and of private models are not included.';
    end if;
    searched_set := coalesce(probe_set, target.default_probe_set_id);
    if not exists (select from probe_set as own
                    where own.probe_set_id = searched_set and own.dataset_id = target.dataset_id) then
        raise no_data_found
            using message = format('the data set of layer %s has no probe set %s', layer, coalesce(searched_set::text, 'null')),
                  hint = 'The view analytics.probe_sets lists all probe sets.';
    end if;
    if dataset is not null then
        select named.dataset_id into wanted_dataset from dataset as named where named.name = nearest_layers.dataset;
        if not found then
            raise no_data_found
                using message = format('there is no data set %L', dataset),
                      hint = 'The view analytics.datasets lists all data sets.';
        end if;
    end if;

    if not exists (select from layer_sketch as own
                    where own.probe_set_id = searched_set and own.layer_id = nearest_layers.layer) then
        return;
    end if;

    -- The key of the partition is a literal, so the planner sees a single table with its index.
    scope := format(
        'probe_set_id = %s
         and searchable
         and private_to is null
         and model_id <> $1
         and ($2 is null or accuracy >= $2)
         and ($3 is null or dataset_id = $3)', searched_set
    );
    if min_accuracy is not null or dataset is not null then
        fewest_candidates := min_candidates_of_part;
        -- The number of rows is negative until PostgreSQL has analysed the table for the first time.
        select greatest(max_exact_rows, sorted_rows_per_root * sqrt(greatest(reltuples, 0)))
          into max_sorted_rows
          from pg_class
         where oid = format('layer_sketch_%s', searched_set)::regclass;
    end if;
    execute format('select count(*) from (select from layer_sketch where %s limit %s) as admitted', scope, max_sorted_rows + 1)
       into admitted_rows
      using target.model_id, min_accuracy, wanted_dataset;
    if admitted_rows > max_exact_rows and k <= max_sketched_hits then
        sorted_choices := case when admitted_rows <= max_sorted_rows then array[true] else array[false, true] end;
        foreach is_sorted in array sorted_choices loop
            -- An index that does not find the layer itself may have missed all its neighbours; then the sketches are sorted.
            -- No index is ordered by the distance plus zero, so the planner cannot use one.
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
                scope, searched_set, sketch_column, case when is_sorted then '+ 0' end,
                greatest(fewest_candidates, candidates_per_hit * k)
            )
               into candidates, target_reached
              using target.model_id, min_accuracy, wanted_dataset, layer;
            exit when target_reached;
        end loop;
        -- A filter may have left the index without candidates.
        by_sketches := coalesce(cardinality(candidates), 0) > k;
    end if;
    if not by_sketches then
        execute format('select array_agg(layer_id) from layer_sketch where %s', scope)
           into candidates
          using target.model_id, min_accuracy, wanted_dataset;
    end if;

    return query
      with own_vector as materialized (
            -- A copy in memory: read in place, it would be fetched and decompressed for every candidate.
            select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm
              from layer_vector
             where probe_set_id = searched_set
               and layer_id = nearest_layers.layer
      ), scored as (
            select candidate.layer_id,
                   greatest(-1, least(product.lead / product.norms, 1)) as debiased_cka,
                   least(product.lead + product.tail, 1) as cka
              from unnest(candidates) as candidate (layer_id)
             cross join lateral (
                  select -sum(theirs.lead <#> own_vector.lead order by part) as lead,
                         -sum(theirs.tail <#> own_vector.tail order by part) as tail,
                         max(theirs.lead_norm::double precision * own_vector.lead_norm) as norms
                    from layer_vector as theirs
                    join own_vector using (part)
                   where theirs.probe_set_id = searched_set
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

comment on function analytics.nearest_layers is
    'The k layers of other models that are most similar to a layer, best first, as in Layer.similar of the API. Only layers
of versions with at least min_accuracy and of the named data set are included, unless these are null. Ranked by measure
(DEBIASED_CKA or CKA) on a probe set (null: the default one of the layer''s data set). exact says whether every admitted
layer was compared. A layer without a vector has no rows; an unknown layer is an error.';

-- By default, every role may execute a new function.
revoke execute on function analytics.nearest_layers from public;

-- The function runs with the rights of its owner, so no object of the caller may take the place of a table or an operator:
-- only our schema and that of pgvector are searched, and temporary tables last.
do $$
begin
    execute format(
        'alter function analytics.nearest_layers set search_path = pg_catalog, %I, %I, pg_temp',
        (select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
          where pg_class.oid = 'layer_sketch'::regclass),
        (select nspname from pg_extension join pg_namespace on pg_namespace.oid = extnamespace where extname = 'vector')
    );
end $$;
