-- What analysts read in SQL. Views and functions of this schema stay as they are while the tables behind them change.
--
-- Whoever may use the schema needs no rights on the tables: views and `nearest_layers` read them with the rights of
-- their owner. They show what the API shows: nothing of a deleted model. There are no users yet whose own a model could
-- be, so private models are shown as well. docs/sql.md tells how to work with them.
create schema analytics;
comment on schema analytics is 'The library for analysts: read-only views and functions, described in docs/sql.md.';

create view analytics.datasets as
    select dataset_id, name, channels, height, width, class_names, created_at
      from dataset;

comment on view analytics.datasets is 'Labelled images that networks are made for.';
comment on column analytics.datasets.dataset_id is 'Key.';
comment on column analytics.datasets.name is 'Unique name.';
comment on column analytics.datasets.channels is 'Colour channels of an image.';
comment on column analytics.datasets.height is 'Rows of an image.';
comment on column analytics.datasets.width is 'Columns of an image.';
comment on column analytics.datasets.class_names is 'One name a class, in the order of the labels.';
comment on column analytics.datasets.created_at is 'When it was imported.';

create view analytics.probe_sets as
    select probe_set_id, dataset_id, dataset.name as dataset_name, split, cardinality(image_indices) as image_count,
           image_indices, seed, is_default, probe_set.created_at
      from probe_set
      join dataset using (dataset_id);

comment on view analytics.probe_sets is
    'Ordered lists of images that layers are measured on. Vectors of one probe set can be compared, of two never.';
comment on column analytics.probe_sets.probe_set_id is 'Key.';
comment on column analytics.probe_sets.dataset_id is 'Data set of the images.';
comment on column analytics.probe_sets.dataset_name is 'Its name.';
comment on column analytics.probe_sets.split is 'Split of the data set that the images are of: TRAIN or TEST.';
comment on column analytics.probe_sets.image_count is 'Number of images, n in the layout of the vectors.';
comment on column analytics.probe_sets.image_indices is 'Places of the images in the split, from 0, in order.';
comment on column analytics.probe_sets.seed is 'What the images were drawn with.';
comment on column analytics.probe_sets.is_default is 'Whether it is taken when none is named; one a data set.';
comment on column analytics.probe_sets.created_at is 'When it was drawn.';

-- The API's global ids are the type and the key in base64 for URLs.
create view analytics.models as
    select model_id,
           rtrim(translate(encode(convert_to('Model:' || model_id, 'UTF8'), 'base64'), '+/', '-_'), '=') as global_id,
           name, description, tags, visibility, created_at
      from model
     where deleted_at is null;

comment on view analytics.models is 'Models that are not deleted, PRIVATE ones among them.';
comment on column analytics.models.model_id is 'Key.';
comment on column analytics.models.global_id is 'The id of the model in the API.';
comment on column analytics.models.name is 'Unique name.';
comment on column analytics.models.description is 'What its owner says of it.';
comment on column analytics.models.tags is 'Words to filter by.';
comment on column analytics.models.visibility is 'PUBLIC or PRIVATE.';
comment on column analytics.models.created_at is 'When it was registered.';

create view analytics.versions as
    select version_id,
           rtrim(translate(encode(convert_to('Version:' || version_id, 'UTF8'), 'base64'), '+/', '-_'), '=') as global_id,
           model_id, model.name as model_name, number, status, format, dataset_id, dataset.name as dataset_name,
           parameter_count, multiply_accumulates, accuracy, blocks, train_settings, train_epochs, failure,
           version.created_at
      from version
      join model using (model_id)
      join dataset using (dataset_id)
      left join evaluation using (version_id, dataset_id)
     where deleted_at is null;

comment on view analytics.versions is 'Versions of the models, whatever their status.';
comment on column analytics.versions.version_id is 'Key.';
comment on column analytics.versions.global_id is 'The id of the version in the API.';
comment on column analytics.versions.model_id is 'Its model.';
comment on column analytics.versions.model_name is 'The name of the model.';
comment on column analytics.versions.number is 'From 1, without gaps within a model.';
comment on column analytics.versions.status is 'QUEUED, RUNNING, READY or FAILED. Only READY ones have layers.';
comment on column analytics.versions.format is 'What it was brought as: BLOCKS, ONNX or ACTIVATIONS.';
comment on column analytics.versions.dataset_id is 'The data set it is made for.';
comment on column analytics.versions.dataset_name is 'The name of the data set.';
comment on column analytics.versions.parameter_count is 'Trainable numbers.';
comment on column analytics.versions.multiply_accumulates is 'Multiply-accumulate operations for one image.';
comment on column analytics.versions.accuracy is
    'Share of the test images of its data set that it classifies right, 0 to 1; null if it was not evaluated.';
comment on column analytics.versions.blocks is 'The block list as given, of BLOCKS versions.';
comment on column analytics.versions.train_settings is 'How it was trained, if it was trained here.';
comment on column analytics.versions.train_epochs is 'What each epoch came to, if it was trained here.';
comment on column analytics.versions.failure is 'Why it is FAILED: code, message and layer.';
comment on column analytics.versions.created_at is 'When it was registered.';

create view analytics.layers as
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
       and status = 'READY';

comment on view analytics.layers is 'Layers of the READY versions, with what one needs to know of those.';
comment on column analytics.layers.layer_id is 'Key.';
comment on column analytics.layers.global_id is 'The id of the layer in the API.';
comment on column analytics.layers.version_id is 'Its version.';
comment on column analytics.layers.version_number is 'The number of the version.';
comment on column analytics.layers.model_id is 'Its model.';
comment on column analytics.layers.model_name is 'The name of the model.';
comment on column analytics.layers.index is 'From 0, in the order of execution, without gaps within a version.';
comment on column analytics.layers.name is 'Where it stands in the block list, such as 3.main.0, or its name in the file.';
comment on column analytics.layers.kind is 'Layer kind, such as Conv2d.';
comment on column analytics.layers.parameters is 'Its settings under PyTorch''s names, defaults filled in.';
comment on column analytics.layers.input_shape is 'Shape of what it reads, for one image.';
comment on column analytics.layers.output_shape is 'Shape of what it makes, for one image.';
comment on column analytics.layers.parameter_count is 'Trainable numbers.';
comment on column analytics.layers.multiply_accumulates is 'Multiply-accumulate operations for one image.';
comment on column analytics.layers.dataset_id is 'The data set its version is made for.';
comment on column analytics.layers.dataset_name is 'The name of the data set.';
comment on column analytics.layers.default_probe_set_id is 'The probe set it is compared on when none is named.';
comment on column analytics.layers.accuracy is 'Accuracy of its version on that data set; null if it was not evaluated.';

create view analytics.evaluations as
    select version_id, evaluation.dataset_id, dataset.name as dataset_name, accuracy, loss, image_count,
           evaluation.created_at
      from evaluation
      join dataset on dataset.dataset_id = evaluation.dataset_id
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null;

comment on view analytics.evaluations is 'How well versions do on the test split of a data set.';
comment on column analytics.evaluations.version_id is 'The version.';
comment on column analytics.evaluations.dataset_id is 'The data set.';
comment on column analytics.evaluations.dataset_name is 'Its name.';
comment on column analytics.evaluations.accuracy is 'Share of the images classified right, 0 to 1.';
comment on column analytics.evaluations.loss is 'Mean cross-entropy in nats.';
comment on column analytics.evaluations.image_count is 'Images in the split.';
comment on column analytics.evaluations.created_at is 'When it was computed.';

create view analytics.vectors as
    select probe_set_id, layer_id, part, lead, tail, lead_norm
      from layer_vector
      join layer using (layer_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and status = 'READY';

comment on view analytics.vectors is
    'Layer vectors, in parts of at most 16,000 numbers. Inner products are sums over parts. docs/sql.md has the layout.';
comment on column analytics.vectors.probe_set_id is 'The probe set that the layer was measured on.';
comment on column analytics.vectors.layer_id is 'The layer.';
comment on column analytics.vectors.part is 'From 0; a probe set of up to 180 images has this one part alone.';
comment on column analytics.vectors.lead is
    'Coordinates of the U-centred part of the Gram: n(n-3)/2 numbers over all parts, for n images.';
comment on column analytics.vectors.tail is 'The remaining n coordinates, in part 0; null in the others.';
comment on column analytics.vectors.lead_norm is 'Length of the whole lead, the same in each part.';

create view analytics.degenerate_layers as
    select probe_set_id, layer_id, reason
      from degenerate_layer
      join layer using (layer_id)
      join version using (version_id)
      join model using (model_id)
     where deleted_at is null
       and status = 'READY';

comment on view analytics.degenerate_layers is 'Layers that have no vector on a probe set.';
comment on column analytics.degenerate_layers.probe_set_id is 'The probe set.';
comment on column analytics.degenerate_layers.layer_id is 'The layer.';
comment on column analytics.degenerate_layers.reason is
    'Why: CONSTANT (it answers every image alike), NOT_FINITE (it gives NaN or infinity) or NO_SHARED_STRUCTURE (nothing
is left after U-centring).';

-- The sums run in the order of the parts, as those of the search do, so that both give the same score to the last bit.
create function analytics.cka(layer bigint, other bigint, probe_set bigint default null) returns double precision
    language sql stable parallel safe cost 10000
begin atomic
    select least(-sum(mine.lead <#> theirs.lead order by part) + -sum(mine.tail <#> theirs.tail order by part), 1)
      from analytics.vectors as mine
      join analytics.vectors as theirs using (probe_set_id, part)
     where mine.layer_id = layer
       and theirs.layer_id = other
       and probe_set_id = coalesce(probe_set, (select default_probe_set_id from analytics.layers where layer_id = layer))
    -- Without a row there is no score, and not the greatest one.
    having count(*) > 0;
end;

comment on function analytics.cka is
    'Linear CKA of two layers, 0 to 1, on a probe set (the default one of the first layer''s data set if null). Null
unless both have a vector on it.';

create function analytics.debiased_cka(layer bigint, other bigint, probe_set bigint default null)
    returns double precision
    language sql stable parallel safe cost 10000
begin atomic
    select greatest(-1, least(-sum(mine.lead <#> theirs.lead order by part)
                              / max(mine.lead_norm::double precision * theirs.lead_norm), 1))
      from analytics.vectors as mine
      join analytics.vectors as theirs using (probe_set_id, part)
     where mine.layer_id = layer
       and theirs.layer_id = other
       and probe_set_id = coalesce(probe_set, (select default_probe_set_id from analytics.layers where layer_id = layer))
    having count(*) > 0;
end;

comment on function analytics.debiased_cka is
    'Debiased CKA of two layers, -1 to 1 and near 0 for unrelated ones however wide they are, on a probe set (the default
one of the first layer''s data set if null). Null unless both have a vector on it.';

-- The search of the API (src/store/search.rs, src/service/search.rs) for its main case: candidates from the sketch index
-- and exact scores of those, or of every layer where few are admitted or the index found too few.
create function analytics.nearest_layers(
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
    set hnsw.ef_search = 200
    set hnsw.iterative_scan = relaxed_order
    set jit = off
as $$
#variable_conflict use_column
declare
    -- Scopes of up to so many rows are compared whole.
    exact_rows    constant integer := 500;
    -- Hits that are found through the index at most.
    indexed_depth constant integer := 1000;
    mine       record;
    on_probes  bigint;
    of_dataset bigint;
    sketch     text;
    scope      text;
    admitted   integer;
    candidates bigint[];
    by_index   boolean := false;
begin
    if k is null or k < 0 then
        raise invalid_parameter_value using message = format('k must be 0 or more, got %s', coalesce(k::text, 'null'));
    end if;
    if min_accuracy not between 0 and 1 then
        raise invalid_parameter_value using message = format('min_accuracy must be 0 to 1, got %s', min_accuracy);
    end if;
    sketch := case measure when 'DEBIASED_CKA' then 'debiased_sketch' when 'CKA' then 'cka_sketch' end;
    if sketch is null then
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
        'from layer_sketch
          where probe_set_id = %s
            and searchable
            and model_id <> $1
            and ($2 is null or accuracy >= $2)
            and ($3 is null or dataset_id = $3)', on_probes
    );
    execute format('select count(*) from (select %s limit %s) as admitted', scope, exact_rows + 1)
       into admitted
      using mine.model_id, min_accuracy, of_dataset;
    if admitted > exact_rows and k <= indexed_depth then
        execute format(
            'select array_agg(layer_id)
               from (select layer_id %s
                      order by %I <-> (select %I from layer_sketch where probe_set_id = %s and layer_id = $4)
                      fetch first %s rows with ties) as nearest', scope, sketch, sketch, on_probes, greatest(100, 2 * k)
        )
           into candidates
          using mine.model_id, min_accuracy, of_dataset, layer;
        -- A filter may have left the index nothing at all.
        by_index := coalesce(cardinality(candidates), 0) > k;
    end if;
    if not by_index then
        execute format('select array_agg(layer_id) %s', scope)
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
           found.model_name, found.accuracy, best.debiased_cka, best.cka, not by_index
      from best
      join analytics.layers as found using (layer_id)
     order by best.score desc, best.layer_id;
end $$;

comment on function analytics.nearest_layers is
    'The k layers of other models that compute most nearly the same as a layer, best first, as Layer.similar of the API
finds them: only of versions of at least min_accuracy and made for the named data set, unless these are null; ranked by
measure (DEBIASED_CKA or CKA) on a probe set (the default one of the layer''s data set if null). exact says whether every
admitted layer was compared. No rows for a layer without a vector; an error for one that is not there.';

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

-- Everybody could by default, if they may use the schema: only those may who are told so.
revoke execute on all functions in schema analytics from public;
