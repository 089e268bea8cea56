//! Bringing data sets in.

use super::import::{DIGITS_NAME, digits};
use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::dataset::{NewDataset, Split};
use scv_domain::dataset_record::{Dataset, StoredSplit};
use scv_domain::probe::{DEFAULT_PROBE_SEED, DEFAULT_PROBES, ProbeRequest};
use scv_store::error::Conflict;

impl Library {
    /// Stores a data set with its default probe set.
    ///
    /// # Errors
    /// `CONFLICT` if the name is taken, `BAD_USER_INPUT` if it has too few images for a probe set.
    pub async fn import_dataset(&self, new: &NewDataset) -> Result<Dataset, ServiceError> {
        self.require(Scope::Write)?;
        let mut splits = Vec::new();
        for split in Split::ALL {
            let images = new.split(split);
            let keys = self.artifacts.put_split(images).await?;
            splits.push(StoredSplit {
                split,
                image_count: images.images.count() as i32,
                images_key: keys.images.to_string(),
                labels_key: keys.labels.to_string(),
            });
        }
        let (train, test) = (new.split(Split::Train), new.split(Split::Test));
        let most = train.images.count().max(test.images.count());
        let request = ProbeRequest {
            count: DEFAULT_PROBES.min(most),
            seed: DEFAULT_PROBE_SEED,
        };
        let mut tx = self.store.begin().await?;
        let dataset = tx
            .insert_dataset(
                new.name().as_str(),
                new.shape(),
                new.class_names(),
                new.statistics(),
                &splits,
            )
            .await?;
        tx.insert_probe_set(&super::probe::draw(&dataset, train, test, request, true)?)
            .await?;
        tx.commit().await?;
        tracing::info!(dataset = %dataset.name, "imported a data set");
        Ok(dataset)
    }

    /// Imports the digits, which ship with the program, unless they are there. Their images are brought in even so: the
    /// artifacts may lie in another folder than at the last start.
    ///
    /// # Errors
    /// The store or the database fails.
    pub async fn ensure_digits(&self) -> Result<(), ServiceError> {
        let digits = digits();
        if self.store.dataset_by_name(DIGITS_NAME).await?.is_some() {
            for split in Split::ALL {
                self.artifacts.put_split(digits.split(split)).await?;
            }
            return Ok(());
        }
        match self.import_dataset(&digits).await {
            // Another server on the same database was quicker.
            Err(ServiceError::Conflict(reason)) if reason == Conflict::DatasetName.to_string() => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
