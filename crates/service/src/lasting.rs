//! What never changes once it is stored, kept for as long as there is room. It may be shown to a caller who has found it: what was
//! found in a search or read by its key is visible to the caller.

use std::sync::Arc;

use super::Library;
use super::cache::MeteredCache;
use scv_domain::id::{LayerId, VersionId};
use scv_domain::page::{Page, Slice};
use scv_domain::version::{Layer, VersionOrigin};
use scv_store::StoreError;

/// Bytes of the layers that are kept by their keys, and as many of those that are kept in pages.
const LAYER_CACHE_BYTES: u64 = 32 << 20;

/// Number of versions whose origins are kept.
const KEPT_ORIGINS: u64 = 100_000;

/// Layers by key.
pub(super) type LayerCache = MeteredCache<LayerId, Arc<Layer>>;

/// A page of the layers of a version.
type LayersKey = (VersionId, Page<i32>);

/// Pages of the layers of versions. All layers of a version are written at once.
pub(super) type LayerPageCache = MeteredCache<LayersKey, Arc<Slice<Arc<Layer>>>>;

/// Origins of versions, by the key of the version.
pub(super) type OriginCache = moka::sync::Cache<VersionId, VersionOrigin>;

pub(super) fn origin_cache() -> OriginCache {
    moka::sync::Cache::new(KEPT_ORIGINS)
}

impl LayerCache {
    pub(super) fn of_layers() -> Self {
        Self::new("layers", LAYER_CACHE_BYTES, |_, layer: &Arc<Layer>| bytes(layer))
    }
}

impl LayerPageCache {
    pub(super) fn of_layer_pages() -> Self {
        Self::new("layer pages", LAYER_CACHE_BYTES, |_, page: &Arc<Slice<Arc<Layer>>>| {
            size_of::<LayersKey>() as u64 + page.entries.iter().map(|layer| bytes(layer)).sum::<u64>()
        })
    }
}

fn bytes(layer: &Layer) -> u64 {
    // A JSON value takes several times the memory of its text.
    let texts = layer.name.len() + layer.kind.len() + 4 * layer.parameters.to_string().len();
    let shapes = (layer.input_shape.len() + layer.output_shape.len()) * size_of::<i32>();
    (size_of::<Layer>() + texts + shapes) as u64
}

impl Library {
    /// A layer that the caller has found, if it is kept.
    pub async fn kept_layer(&self, id: LayerId) -> Option<Arc<Layer>> {
        let layer = self.layers.peek(&id).await;
        self.layers.count(layer.is_some());
        layer
    }

    /// Keeps a layer.
    pub async fn keep_layer(&self, layer: &Arc<Layer>) {
        self.layers.insert(layer.id, Arc::clone(layer)).await;
    }

    /// A page of the layers of each of some versions that the caller has read, from memory where it is kept. Versions without
    /// layers on it are left out.
    ///
    /// # Errors
    /// The database fails.
    pub async fn layers_pages(
        &self,
        versions: &[VersionId],
        page: &Page<i32>,
    ) -> Result<Vec<(VersionId, Slice<Arc<Layer>>)>, StoreError> {
        let (mut found, mut missing) = (Vec::with_capacity(versions.len()), Vec::new());
        for &version in versions {
            let kept = self.layer_pages.peek(&(version, page.clone())).await;
            self.layer_pages.count(kept.is_some());
            match kept {
                Some(slice) => found.push((version, Slice::clone(&slice))),
                None => missing.push(version),
            }
        }
        if !missing.is_empty() {
            for (version, slice) in self.store.layers_pages(&missing, page).await? {
                let slice = slice.map(Arc::new);
                // A version that has no layers yet may get some.
                if !slice.entries.is_empty() {
                    let key = (version, page.clone());
                    self.layer_pages.insert(key, Arc::new(slice.clone())).await;
                }
                found.push((version, slice));
            }
        }
        Ok(found)
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
