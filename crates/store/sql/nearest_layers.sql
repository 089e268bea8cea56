-- The search of the API (`Store::search`) for analysts, among the layers of public models. It proves its hits in the same way,
-- and always completes the proof, as `exact: true` does there. Placeholders in braces are filled from the constants of that
-- search.
--
-- SCV runs this text after the migrations, whenever it differs from the one that was run last. Replacing the function keeps
-- the rights on it. Other arguments or columns need a migration that drops the function first; the default privileges that
-- `scv analyst-role` sets grant the new one to analysts again.

-- Exact scores of layers with another one.
create or replace function layer_scores(searched_set bigint, target bigint, candidates bigint[])
    returns table (layer_id bigint, cka double precision, debiased_cka double precision)
    language sql stable parallel safe
as $$
    with own_vector as materialized (
         -- A copy in memory: read in place, it would be fetched for every candidate.
         select part, subvector(lead, 1, vector_dims(lead)) as lead, tail, lead_norm
           from layer_vector
          where layer_vector.probe_set_id = searched_set
            and layer_vector.layer_id = target
    ), product as materialized (
         select theirs.layer_id, part, -(theirs.lead <#> own_vector.lead) as lead, -(theirs.tail <#> own_vector.tail) as tail,
                theirs.lead_norm::double precision * own_vector.lead_norm as norms
           from layer_vector as theirs
           join own_vector using (part)
          where theirs.probe_set_id = searched_set
            and theirs.layer_id = any(candidates)
    )
    select product.layer_id, least(sum(lead order by part) + sum(tail order by part), 1),
           greatest(-1, least(sum(lead order by part) / max(norms), 1))
      from product
     group by product.layer_id
$$;

-- The cells of a basis as seen from a short sketch.
create or replace function ranked_cells(basis bigint, wanted_measure text, sketch vector, rest_cosine real)
    returns table (cell integer, bound double precision, estimate double precision, share double precision)
    language sql stable parallel safe
as $$
    select index * {rings} + ring.position::integer - 1,
           cosd(greatest(angle - ring.outer_edge, ring.inner_edge - angle, 0)) + {bound_slack},
           seen.estimate,
           ring_shares[ring.position]::double precision
      from sketch_centre
     cross join lateral (
           select acosd(greatest(-1, least(1, 1 - (centre <=> sketch)))) as angle,
                  -(subvector(centre, 1, {directions}) <#> subvector(sketch, 1, {directions}))
                      - rest_cosine * (subvector(centre, {directions} + 1, 1) <#> subvector(sketch, {directions} + 1, 1))
                      as estimate) as seen
     cross join lateral unnest(array[{inner_edges}]::double precision[], array[{outer_edges}]::double precision[])
           with ordinality as ring (inner_edge, outer_edge, position)
     where basis_id = basis
       and sketch_centre.measure = wanted_measure
$$;

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
    exact          boolean,
    complete_above double precision
)
    language plpgsql stable parallel safe security definer cost 100000 rows 10
{session_settings}
as $$
#variable_conflict use_column
declare
    -- Scopes of up to this many layers are visited as a whole.
    scanned_layers     constant integer := {scanned_layers};
    -- Layers in the cells that are visited for candidates, and where a filter admits few of them.
    visited_layers     constant integer := {visited_layers};
    max_visited_layers constant integer := {max_visited_layers};
    -- Sketches that are scored in the first round, and in the second. The third scores all that can be hits.
    first_round        constant integer := {first_round};
    second_round       constant integer := {min_listed};
    -- What rounding can add to a bound.
    bound_slack        constant double precision := {bound_slack};
    target         record;
    basis          record;
    searched_set   bigint;
    wanted_dataset bigint;
    sketch_column  text;
    cell_column    text;
    scope          text;
    plan           json;
    admitted       double precision;
    has_cells      boolean;
    own_short      halfvec;
    own_long       halfvec;
    visited        integer[];
    round_size     bigint;
    -- A further sketch whose bound is lower cannot have a hit.
    threshold      double precision := '-infinity';
    layers         bigint[];
    counts         bigint[];
    sketches       uuid[];
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

    if k = 0 then
        return;
    end if;

    select sketch_basis.basis_id, layer_count,
           case measure when 'CKA' then cka_short_rest_cosine else debiased_short_rest_cosine end as rest_cosine
      into basis
      from sketch_basis
     where sketch_basis.probe_set_id = searched_set
       and state = 'ACTIVE';
    execute format('select short.%1$I, long.%1$I
                      from layer_sketch_%2$s as short
                      join long_sketch_%2$s as long using (basis_id, layer_id)
                     where basis_id = %2$s
                       and layer_id = $1', sketch_column, basis.basis_id)
       into own_short, own_long
      using layer;
    if own_short is null then
        return;
    end if;

    cell_column := replace(sketch_column, 'sketch', 'cell');
    scope := 'searchable
              and private_to is null
              and model_id <> $1
              and ($2 is null or accuracy >= $2)
              and ($3 is null or dataset_id = $3)';
    has_cells := exists (select from sketch_centre where sketch_centre.basis_id = basis.basis_id);
    admitted := basis.layer_count;
    if has_cells and admitted > scanned_layers and (min_accuracy is not null or dataset is not null) then
        execute format('explain (format json) select from layer_sketch_%s where %s', basis.basis_id, scope)
           into plan
          using target.model_id, min_accuracy, wanted_dataset;
        admitted := plan -> 0 -> 'Plan' ->> 'Plan Rows';
    end if;
    has_cells := has_cells and admitted > scanned_layers;
    if has_cells then
        select array_agg(cell)
          into visited
          from (select cell, sum(share) over (order by estimate desc, cell) - share as before
                  from ranked_cells(basis.basis_id, measure, own_short::vector, basis.rest_cosine)) as ranked
         where before * basis.layer_count < least(visited_layers * basis.layer_count / admitted, max_visited_layers);
    end if;

    foreach round_size in array array[greatest(first_round, k), greatest(second_round, 2 * k::bigint), null] loop
        -- The short sketches with the greatest bounds that reach the threshold, each once, and of these those whose long bound
        -- does too. Copies of one layer tie, and are taken together or not at all.
        execute format(
            'with listed as materialized (
                  select min(layer_id) as layer_id, count(*) as layers, sketch_id
                    from (select layer_id, sketch_id, %1$I <#> $4 as distance
                            from layer_sketch_%2$s
                           where %3$s
                             and %1$I <#> $4 <= $5
                             %4$s
                           order by distance
                           fetch first $6 rows with ties) as nearest
                   group by sketch_id
             )
             select array_agg(layer_id), array_agg(layers), array_agg(sketch_id)
               from long_sketch_%2$s as long
               join listed using (layer_id)
              where basis_id = %2$s
                and long.layer_id = any(array(select layer_id from listed))
                and long.%1$I <#> $8 <= $5',
            sketch_column, basis.basis_id, scope,
            case when visited is not null then format('and %I = any($7)', cell_column) end
        )
           into layers, counts, sketches
          using target.model_id, min_accuracy, wanted_dataset, own_short, bound_slack - threshold,
                coalesce(round_size, 9223372036854775807), visited, own_long;
        select coalesce(max(score) filter (where covered >= k), '-infinity')
          into threshold
          from (select score, sum(count) over (order by score desc, scored.layer_id) as covered
                  from (select found.layer_id, case measure when 'CKA' then found.cka else found.debiased_cka end as score
                          from layer_scores(searched_set, layer, layers) as found) as scored
                  join unnest(layers, counts) as listed (layer_id, count) using (layer_id)) as reached;
        if has_cells then
            -- All cells that can hold a hit; most of the library is read faster as a whole.
            select case when sum(share) <= 0.5 then array_agg(cell) end
              into visited
              from ranked_cells(basis.basis_id, measure, own_short::vector, basis.rest_cosine)
             where bound >= threshold;
        end if;
    end loop;

    return query execute format(
        'with best as (
              select layer_sketch.layer_id, scored.cka, scored.debiased_cka,
                     row_number() over (order by score desc, layer_sketch.layer_id) as rank, score
                from (select found.*, case $9 when ''CKA'' then found.cka else found.debiased_cka end as score
                        from layer_scores($4, $5, $6) as found) as scored
                join unnest($6, $7) as listed (layer_id, sketch_id) using (layer_id)
                join layer_sketch_%s as layer_sketch on layer_sketch.sketch_id = listed.sketch_id
               where %s
               order by score desc, layer_sketch.layer_id
               limit $8
         )
         select rank::integer, best.layer_id, found.name, found.kind, found.version_id, found.version_number, found.model_id,
                found.model_name, found.accuracy, best.debiased_cka, best.cka, true,
                case when (select count(*) from best) = $8 then (select min(score) from best) else -1 end
           from best
           join analytics.layers as found on found.layer_id = best.layer_id
          order by rank', basis.basis_id, replace(scope, 'searchable', 'layer_sketch.searchable'))
    using target.model_id, min_accuracy, wanted_dataset, searched_set, layer, layers, sketches, k, measure;
end $$;

comment on function analytics.nearest_layers is
    'The k layers of other models that are most similar to a layer, best first, as in Layer.similar of the API. Only layers
of versions with at least min_accuracy and of the named data set are included, unless these are null. Ranked by measure
(DEBIASED_CKA or CKA) on a probe set (null: the default one of the layer''s data set). exact says whether the rows are proven
to be the k best, which they always are, and complete_above that every admitted layer with a higher score is among them. A
layer without a vector has no rows; an unknown layer is an error.';

-- By default, every role may execute a new function.
revoke execute on function analytics.nearest_layers from public;
revoke execute on function layer_scores from public;
revoke execute on function ranked_cells from public;

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
