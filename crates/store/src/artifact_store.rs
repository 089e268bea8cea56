//! Which artifact store has the objects of the catalogue, and which objects it needs.

use super::{Store, StoreError, Tx};

/// How many versions and data sets [`Tx::named_artifacts`] looks at.
const NEWEST: i64 = 4;

impl Store {
    /// The keys of all weights, networks, activations, images and labels that the catalogue needs.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.needed_artifacts", skip_all)]
    pub async fn needed_artifacts(&self) -> Result<Vec<String>, StoreError> {
        let keys = sqlx::query_scalar!(
            r#"select weights_key as "key!" from version where weights_key is not null
               union all select images_key from dataset_split
               union all select labels_key from dataset_split"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(keys)
    }
}

impl Tx {
    /// The id of the artifact store with the objects of this catalogue; `None` if no server has used one. Other servers that start
    /// wait here until the transaction ends.
    ///
    /// # Errors
    /// The database fails.
    pub async fn artifact_store_id(&mut self) -> Result<Option<String>, StoreError> {
        let id = sqlx::query_scalar!("select artifact_store_id from catalogue for update")
            .fetch_one(self.connection())
            .await?;
        Ok(id)
    }

    /// Draws the id of the artifact store of this catalogue, unless there is one. Returns the id.
    ///
    /// # Errors
    /// The database fails.
    pub async fn draw_artifact_store_id(&mut self) -> Result<String, StoreError> {
        let id = sqlx::query_scalar!(
            r#"update catalogue
                  set artifact_store_id = coalesce(artifact_store_id, gen_random_uuid()::text)
               returning artifact_store_id as "id!""#
        )
        .fetch_one(self.connection())
        .await?;
        Ok(id)
    }

    /// The keys of some objects that the catalogue needs: those of the newest versions and data sets. The images of one data set
    /// are left out, which the program has itself.
    ///
    /// # Errors
    /// The database fails.
    pub async fn named_artifacts(&mut self, own_dataset: &str) -> Result<Vec<String>, StoreError> {
        let keys = sqlx::query_scalar!(
            r#"(select weights_key as "key!" from version where weights_key is not null order by version_id desc limit $1)
               union all
               (select images_key
                  from dataset_split
                  join dataset using (dataset_id)
                 where name <> $2
                 order by dataset_id desc
                 limit $1)"#,
            NEWEST,
            own_dataset,
        )
        .fetch_all(self.connection())
        .await?;
        Ok(keys)
    }
}
