//! The images that the channels of layers answer to most.

use super::{Store, StoreError, Tx};
use crate::domain::exemplar::ChannelExemplars;
use crate::domain::id::LayerId;
use crate::domain::synthesis::Activating;

impl Store {
    /// The images that the channels of a layer answer to most; `None` before they were looked for.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.channel_exemplars", skip_all)]
    pub async fn channel_exemplars(&self, layer: LayerId) -> Result<Option<ChannelExemplars>, StoreError> {
        let row = sqlx::query!(
            r#"select image_count, images as "images!: Vec<Option<i32>>", activations as "activations!: Vec<Option<f32>>"
                 from channel_exemplars
                where layer_id = $1"#,
            layer.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| {
            let places = row.images.into_iter().zip(row.activations);
            let places = places.map(|(image, activation)| {
                let (index, activation) = image.zip(activation)?;
                Some(Activating {
                    index: index as usize,
                    activation: activation.into(),
                })
            });
            ChannelExemplars::of_places(row.image_count as usize, places)
        }))
    }
}

impl Tx {
    /// Writes the images that the channels of a layer answer to most in place of earlier ones.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_channel_exemplars(
        &mut self,
        layer: LayerId,
        exemplars: &ChannelExemplars,
    ) -> Result<(), StoreError> {
        let (mut images, mut activations) = (Vec::new(), Vec::new());
        for place in exemplars.places() {
            images.push(place.map(|kept| kept.index as i32));
            activations.push(place.map(|kept| kept.activation as f32));
        }
        sqlx::query!(
            "insert into channel_exemplars (layer_id, image_count, images, activations)
             values ($1, $2, $3, $4)
             on conflict (layer_id)
             do update set image_count = excluded.image_count, images = excluded.images,
                           activations = excluded.activations",
            layer.0,
            exemplars.count() as i32,
            &images as &[Option<i32>],
            &activations as &[Option<f32>],
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
