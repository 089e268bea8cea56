//! The cache of search results.

use std::sync::Arc;

use super::ServiceError;
use super::cache::MeteredCache;
use scv_domain::comparison::{LayerPair, VersionMatch, VersionMatches};
use scv_domain::id::{AccountId, LayerId, ProbeSetId, VersionId};
use scv_domain::similarity::{LayerMatch, Matches};

/// The layers most similar to a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct SimilarLayers {
    /// The probe set that they were compared on.
    pub probe_set: ProbeSetId,
    /// Whether the layer can be compared on the probe set. A degenerate layer cannot, and has no hits.
    pub is_comparable: bool,
    /// A page of hits.
    pub matches: Matches,
}

/// Results of searches, each valid for one generation of the catalogue.
pub(super) type SearchCache = MeteredCache<SearchKey, SearchResult>;

/// Everything that the result of a search depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SearchKey {
    /// The catalogue's generation, read before the search. A result that is newer than its key says is never wrong; an older
    /// one would be.
    pub(super) generation: i64,
    /// The account whose private models the caller sees.
    pub(super) viewer: Option<AccountId>,
    pub(super) target: SearchedFor,
    /// The query as JSON, in which floating-point numbers can be compared and hashed.
    pub(super) query: String,
}

/// What a search compares with everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SearchedFor {
    Layer(LayerId),
    Version(VersionId),
}

/// What a search found.
#[derive(Debug, Clone)]
pub(super) enum SearchResult {
    Layers(Arc<SimilarLayers>),
    Versions(Arc<VersionMatches>),
}

impl SearchResult {
    /// The layers that a search for layers found.
    ///
    /// # Errors
    /// The result is of another kind than its key, which is a mistake of the program.
    pub(super) fn layers(self) -> Result<Arc<SimilarLayers>, ServiceError> {
        match self {
            Self::Layers(found) => Ok(found),
            Self::Versions(_) => Err(wrong_kind()),
        }
    }

    /// The versions that a search for versions found.
    ///
    /// # Errors
    /// As for [`SearchResult::layers`].
    pub(super) fn versions(self) -> Result<Arc<VersionMatches>, ServiceError> {
        match self {
            Self::Versions(found) => Ok(found),
            Self::Layers(_) => Err(wrong_kind()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Layers(found) => size_of::<SimilarLayers>() + found.matches.hits.len() * size_of::<LayerMatch>(),
            Self::Versions(found) => {
                let pairs = found.hits.iter().map(|hit| hit.matching.len() + hit.alignment.len());
                size_of::<VersionMatches>()
                    + found.hits.len() * size_of::<VersionMatch>()
                    + pairs.sum::<usize>() * size_of::<LayerPair>()
            }
        }
    }
}

fn wrong_kind() -> ServiceError {
    ServiceError::internal(anyhow::anyhow!(
        "the cached result of a search is not of the kind of its key"
    ))
}

impl SearchCache {
    pub(super) fn of_searches(byte_limit: u64) -> Self {
        Self::new("searches", byte_limit, |key: &SearchKey, result: &SearchResult| {
            (size_of::<SearchKey>() + key.query.len() + result.bytes()) as u64
        })
    }
}
