//! The rows of versions in the database, for comparing two histories.

use serde_json::Value;
use sqlx::PgConnection;

/// Every version with its jobs, evaluations, layers, vectors and sketches, without keys, times and numbers of attempts.
/// Those record the history; nothing else may depend on it.
pub async fn versions(connection: &mut PgConnection) -> Vec<Value> {
    sqlx::query_scalar(
        "select jsonb_build_object(
                    'model', model.name, 'number', number, 'status', status, 'format', format, 'blocks', blocks,
                    'weights', weights_key, 'parameters', parameter_count, 'operations', multiply_accumulates,
                    'settings', train_settings, 'epochs', train_epochs, 'failure', failure,
                    'jobs', (select jsonb_agg(jsonb_build_array(kind, job.status, phase, progress, epochs, job.failure)
                                              order by job_id)
                               from job
                              where job.version_id = version.version_id),
                    'evaluations', (select jsonb_agg(jsonb_build_array(dataset.name, accuracy, loss, image_count)
                                                     order by dataset.name)
                                      from evaluation join dataset using (dataset_id)
                                     where evaluation.version_id = version.version_id),
                    'layers', (select jsonb_agg(to_jsonb(layer) - array['layer_id', 'version_id'] || jsonb_build_object(
                                                    'vectors', vectors.of_layer, 'sketches', sketches.of_layer,
                                                    'degenerate', degenerate.of_layer)
                                                order by index)
                                 from layer
                                cross join lateral (
                                      select jsonb_agg(jsonb_build_array(content_hash, part, md5(vector_send(lead)),
                                                                         md5(vector_send(tail)), lead_norm)
                                                       order by content_hash, part) as of_layer
                                        from layer_vector join probe_set using (probe_set_id)
                                       where layer_vector.layer_id = layer.layer_id) as vectors
                                cross join lateral (
                                      select jsonb_agg(jsonb_build_array(content_hash, layer_kind, accuracy, tags,
                                                                         searchable,
                                                                         md5(halfvec_send(layer_sketch.debiased_sketch)),
                                                                         md5(halfvec_send(layer_sketch.cka_sketch)),
                                                                         md5(halfvec_send(long_sketch.debiased_sketch)),
                                                                         md5(halfvec_send(long_sketch.cka_sketch)))
                                                       order by content_hash) as of_layer
                                        from layer_sketch
                                        join long_sketch using (basis_id, layer_id)
                                        join sketch_basis using (basis_id)
                                        join probe_set using (probe_set_id)
                                       where layer_sketch.layer_id = layer.layer_id) as sketches
                                cross join lateral (
                                      select jsonb_agg(jsonb_build_array(content_hash, reason)
                                                       order by content_hash) as of_layer
                                        from degenerate_layer join probe_set using (probe_set_id)
                                       where degenerate_layer.layer_id = layer.layer_id) as degenerate
                                where layer.version_id = version.version_id))
           from version join model using (model_id)
          order by model.name, number",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Checks what must hold at every moment, whatever was interrupted.
pub async fn assert_nothing_is_half_done(connection: &mut PgConnection) {
    let never = [
        (
            "a version that is not READY has layers",
            "select count(*) from layer join version using (version_id) where status <> 'READY'",
        ),
        (
            "a READY version has no layers",
            "select count(*) from version where status = 'READY' and version_id not in (select version_id from layer)",
        ),
        (
            "a READY version has no evaluation",
            "select count(*) from version where status = 'READY' and version_id not in (select version_id from evaluation)",
        ),
        (
            "a layer has neither a vector nor a reason for having none",
            "select count(*)
               from layer
              where layer_id not in (select layer_id from layer_vector union select layer_id from degenerate_layer)",
        ),
        (
            "a layer has a vector without a sketch, or a sketch without a vector",
            "select count(*)
               from layer_vector
               full join (select * from layer_sketch join sketch_basis using (basis_id)) as sketched
                      using (probe_set_id, layer_id)
              where part is null
                 or version_id is null",
        ),
        (
            "a layer has a short sketch without a long one, or a long one without a short one",
            "select count(*)
               from layer_sketch as short
               full join long_sketch as long using (basis_id, layer_id)
              where short.layer_id is null
                 or long.layer_id is null",
        ),
        (
            "a version has no job",
            "select count(*) from version where version_id not in (select version_id from job)",
        ),
        (
            "a job has succeeded and its version is not READY, or the version is READY and its job has not succeeded",
            "select count(*)
               from version
               join job using (version_id)
              where (version.status = 'READY') <> (job.status = 'SUCCEEDED')",
        ),
        (
            "a job that has not ended is not in the queue",
            "select count(*)
               from job
              where status in ('QUEUED', 'RUNNING')
                and 'scv_job:' || job_id not in (select key from graphile_worker.jobs where key is not null)",
        ),
    ];
    for (violation, count) in never {
        let found: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(found, 0, "{violation}");
    }
}
