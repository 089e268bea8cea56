//! The top-activating images of the channels of layers.

use super::rows::raw;
use super::{Store, StoreError, Tx};
use scv_domain::exemplar::Exemplars;
use scv_domain::id::LayerId;
use scv_domain::synthesis::ImageActivation;

impl Store {
    /// The top-activating images of the channels of layers. Layers for which none were computed are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.channel_exemplars", skip_all)]
    pub async fn channel_exemplars(&self, layers: &[LayerId]) -> Result<Vec<(LayerId, Exemplars)>, StoreError> {
        let rows = sqlx::query!(
            r#"select layer_id, image_count, images as "images!: Vec<Option<i32>>",
                      activations as "activations!: Vec<Option<f32>>"
                 from channel_exemplars
                where layer_id = any($1)"#,
            &raw(layers, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let of_layers = rows.into_iter().map(|row| {
            let places = row.images.into_iter().zip(row.activations);
            let places = places.map(|(image, activation)| {
                let (index, activation) = image.zip(activation)?;
                Some(ImageActivation {
                    index: index as usize,
                    activation: activation.into(),
                })
            });
            let exemplars = Exemplars::from_slots(row.image_count as usize, places);
            (LayerId(row.layer_id), exemplars)
        });
        Ok(of_layers.collect())
    }
}

impl Tx {
    /// Writes the top-activating images of the channels of a layer, replacing earlier ones.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_channel_exemplars(&mut self, layer: LayerId, exemplars: &Exemplars) -> Result<(), StoreError> {
        let (mut images, mut activations) = (Vec::new(), Vec::new());
        for place in exemplars.slots() {
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
