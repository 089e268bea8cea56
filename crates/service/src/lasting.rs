//! What never changes once it is stored, kept for as long as there is room. It may be shown to a caller who has found it: what was
//! found in a search or read by its key is visible to the caller.

use super::Library;
use super::cache::MeteredCache;
use scv_domain::id::LayerId;
use scv_domain::version::{Layer, VersionOrigin};

/// Bytes of all layers that are kept.
const LAYER_CACHE_BYTES: u64 = 32 << 20;

/// Number of versions whose origins are kept.
const KEPT_ORIGINS: u64 = 100_000;

/// Layers by key.
pub(super) type LayerCache = MeteredCache<LayerId, Layer>;

/// Origins of versions, by the key of the version.
pub(super) type OriginCache = moka::sync::Cache<scv_domain::id::VersionId, VersionOrigin>;

pub(super) fn origin_cache() -> OriginCache {
    moka::sync::Cache::new(KEPT_ORIGINS)
}

impl LayerCache {
    pub(super) fn of_layers() -> Self {
        Self::new("layers", LAYER_CACHE_BYTES, |_, layer: &Layer| {
            // A JSON value takes several times the memory of its text.
            let texts = layer.name.len() + layer.kind.len() + 4 * layer.parameters.to_string().len();
            let shapes = (layer.input_shape.len() + layer.output_shape.len()) * size_of::<i32>();
            (size_of::<Layer>() + texts + shapes) as u64
        })
    }
}

impl Library {
    /// A layer that the caller has found, if it is kept.
    pub async fn kept_layer(&self, id: LayerId) -> Option<Layer> {
        let layer = self.layers.peek(&id).await;
        self.layers.count(layer.is_some());
        layer
    }

    /// Keeps a layer.
    pub async fn keep_layer(&self, layer: &Layer) {
        self.layers.insert(layer.id, layer.clone()).await;
    }

    /// Where the version of a layer comes from that the caller has read, if that is kept.
    pub fn kept_origin(&self, layer: &Layer) -> Option<VersionOrigin> {
        self.origins.get(&layer.version_id)
    }

    /// Keeps where a version comes from.
    pub fn keep_origin(&self, origin: VersionOrigin) {
        self.origins.insert(origin.version, origin);
    }
}
