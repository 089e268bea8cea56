//! Data sets: storing them, and reading their images back.

use std::sync::Arc;

use super::probe::draw_default;
use super::{Library, ServiceError, StoredPicture};
use scv_artifact::{ArtifactError, SplitKeys};
use scv_compute::control::{Control, Progress};
use scv_dataset::{DIGITS_NAME, digits};
use scv_domain::dataset::{NewDataset, Split};
use scv_domain::dataset_record::{Dataset, StoredSplit};
use scv_domain::id::DatasetId;
use scv_domain::image::LabelledImages;
use scv_memory::Reservation;
use scv_picture::Raster;
use scv_store::error::Conflict;
use scv_store::{NewProbeSet, StoreError, Tx};

/// A new data set with what else is to be written of it.
pub(super) struct StoredDataset {
    pub(super) new: NewDataset,
    /// Its splits, whose images are stored already.
    pub(super) splits: Vec<StoredSplit>,
    /// Its default probe set.
    pub(super) probe_set: NewProbeSet,
}

impl Library {
    /// Stores the images of a data set.
    pub(super) async fn put_splits(
        &self,
        new: &NewDataset,
        control: &Control,
    ) -> Result<Vec<StoredSplit>, ServiceError> {
        let mut splits = Vec::new();
        for split in Split::ALL {
            control.check()?;
            control.report(Progress::Fraction(splits.len() as f64 / 2.0));
            let images = new.split(split);
            let keys = self.artifacts.put_split(images).await?;
            splits.push(StoredSplit {
                split,
                image_count: images.images.count() as i32,
                images_key: keys.images.to_string(),
                labels_key: keys.labels.to_string(),
            });
        }
        Ok(splits)
    }

    /// Imports the digits, which ship with the program, unless they are in the catalogue. Their images are stored in any case:
    /// the artifact directory may be another one than at the last start.
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
        let stored = StoredDataset {
            splits: self.put_splits(&digits, &Control::unwatched()).await?,
            probe_set: draw_default(&digits)?,
            new: digits,
        };
        let mut tx = self.store.begin().await?;
        match insert_dataset(&mut tx, &stored).await {
            // Another server on the same database was quicker.
            Err(StoreError::Conflict(Conflict::DatasetName)) => return Ok(()),
            outcome => outcome?,
        };
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn dataset(&self, id: DatasetId) -> Result<Dataset, ServiceError> {
        let found = self.store.datasets_by_id(&[id]).await?.pop();
        found.ok_or_else(|| ServiceError::not_found("data set", id))
    }

    /// The data set of a name.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none.
    pub async fn dataset_named(&self, name: &str) -> Result<Dataset, ServiceError> {
        if let Some(found) = self.store.dataset_by_name(name).await? {
            return Ok(found);
        }
        let known = self.store.datasets().await?;
        Err(ServiceError::not_found_by_name(
            "data set",
            unknown_dataset(name, &known),
        ))
    }

    /// An image of a data set as a picture. Small images are enlarged.
    ///
    /// # Errors
    /// `NOT_FOUND` if the split has no such image.
    pub async fn dataset_picture(
        &self,
        dataset: DatasetId,
        split: Split,
        index: usize,
    ) -> Result<StoredPicture, ServiceError> {
        let images = self.split_images(dataset, split).await?.images;
        if index >= images.count() {
            let name = self.dataset(dataset).await?.name;
            return Err(no_such_image(&name, split, index, images.count()));
        }
        let raster = Raster::from_planes(images.shape, images.image(index));
        self.pictures.put(raster.enlarged()).await
    }

    /// The class index of each image of a split, in order.
    ///
    /// # Errors
    /// The artifact store or the database fails.
    pub async fn image_classes(&self, dataset: DatasetId, split: Split) -> Result<Arc<[u16]>, ServiceError> {
        let dataset = self.dataset(dataset).await?;
        let stored = self.stored_split(&dataset, split).await?;
        let key = stored.labels_key.parse().map_err(ArtifactError::from)?;
        Ok(self.artifacts.get_labels(&key, stored.image_count as usize).await?)
    }

    /// The images of a split, read from the artifact store, and the memory that they take.
    pub(super) async fn images(
        &self,
        dataset: &Dataset,
        split: Split,
    ) -> Result<(LabelledImages, Reservation), ServiceError> {
        let stored = self.stored_split(dataset, split).await?;
        let memory = self.memory.reserve(split_bytes(dataset, &stored)).await?;
        Ok((self.read_images(dataset, &stored).await?, memory))
    }

    /// The images of all splits, train images first, read from the artifact store, and the memory that they take.
    pub(super) async fn all_images(
        &self,
        dataset: &Dataset,
    ) -> Result<([LabelledImages; 2], Reservation), ServiceError> {
        let [train, test] = Split::ALL;
        let [train, test] = [
            self.stored_split(dataset, train).await?,
            self.stored_split(dataset, test).await?,
        ];
        let bytes = [&train, &test].map(|stored| split_bytes(dataset, stored)).iter().sum();
        let memory = self.memory.reserve(bytes).await?;
        let images = [
            self.read_images(dataset, &train).await?,
            self.read_images(dataset, &test).await?,
        ];
        Ok((images, memory))
    }

    async fn read_images(&self, dataset: &Dataset, stored: &StoredSplit) -> Result<LabelledImages, ServiceError> {
        let keys = SplitKeys {
            images: stored.images_key.parse().map_err(ArtifactError::from)?,
            labels: stored.labels_key.parse().map_err(ArtifactError::from)?,
        };
        Ok(self.artifacts.get_split(&keys, dataset.shape).await?)
    }

    async fn stored_split(&self, dataset: &Dataset, split: Split) -> Result<StoredSplit, ServiceError> {
        let stored = self.store.split(dataset.id, split).await?;
        stored.ok_or_else(|| ServiceError::internal(anyhow::anyhow!("data set {} has no {split} split", dataset.name)))
    }

    /// The images of a split, cached in memory.
    pub(super) async fn split_images(&self, dataset: DatasetId, split: Split) -> Result<LabelledImages, ServiceError> {
        let read = async {
            let dataset = self.dataset(dataset).await?;
            // From here on they belong to the cache, which has a limit of its own.
            let (images, _memory) = self.images(&dataset, split).await?;
            Ok(images)
        };
        self.splits.get_or((dataset, split), read).await
    }
}

/// Bytes of the images of a split.
fn split_bytes(dataset: &Dataset, stored: &StoredSplit) -> u64 {
    u64::from(stored.image_count.unsigned_abs()) * dataset.shape.len() as u64
}

/// Writes a data set whose images are stored, with its default probe set.
pub(super) async fn insert_dataset(tx: &mut Tx, stored: &StoredDataset) -> Result<Dataset, StoreError> {
    let StoredDataset { new, splits, probe_set } = stored;
    let dataset = tx
        .insert_dataset(
            new.name().as_str(),
            new.shape(),
            new.class_names(),
            new.statistics(),
            splits,
        )
        .await?;
    tx.insert_probe_set(dataset.id, probe_set).await?;
    Ok(dataset)
}

/// The name of an unknown data set, with the names that are known.
pub(super) fn unknown_dataset(name: &str, known: &[Dataset]) -> String {
    let known: Vec<_> = known.iter().map(|dataset| dataset.name.as_str()).collect();
    let known = if known.is_empty() {
        "none yet".to_owned()
    } else {
        known.join(", ")
    };
    format!("{name:?} (known: {known})")
}

/// A split has no image of an index.
pub(super) fn no_such_image(dataset: &str, split: Split, index: usize, count: usize) -> ServiceError {
    let last = count.saturating_sub(1);
    ServiceError::not_found_by_name(
        "image",
        format!("{index}: the {split} split of {dataset} has images 0 to {last}"),
    )
}
