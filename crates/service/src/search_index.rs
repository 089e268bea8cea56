//! Rebuilding the search index of a probe set.

use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::SearchIndex;

impl Library {
    /// Rebuilds the search index of a probe set. It is rebuilt to the end even if the caller stops waiting.
    ///
    /// # Errors
    /// `NOT_FOUND` for the probe set, `CONFLICT` if an index is being rebuilt already.
    pub async fn rebuild_search_index(&self, probe_set: ProbeSetId) -> Result<SearchIndex, ServiceError> {
        self.require(Scope::Admin)?;
        if self.store.probe_sets_by_id(&[probe_set]).await?.is_empty() {
            return Err(ServiceError::not_found("probe set", probe_set));
        }
        let store = self.store.clone();
        let rebuilt = tokio::spawn(async move { store.rebuild_search_index(probe_set).await });
        let index = rebuilt.await.map_err(ServiceError::internal)??;
        index.ok_or_else(|| {
            ServiceError::Conflict("a search index is being rebuilt already: wait until that has finished".to_owned())
        })
    }
}
