//! The search for what is like activations that nobody stores.

use async_graphql::SimpleObject;

use super::error::{ApiError, Result};
use super::layer::{DegenerateReason, Layer};
use crate::domain::vector::Degenerate;

/// What is like one layer of a file of activations.
#[derive(Debug, SimpleObject)]
pub struct ActivationMatches {
    /// The name of its array.
    pub name: String,
    /// The shape of its response to one image.
    pub shape: Vec<usize>,
    /// Why it cannot be compared; null for a layer that is as it should be.
    pub degenerate: Option<DegenerateReason>,
    /// Whether every admitted layer was compared.
    pub exact: bool,
    /// The layers that compute most nearly the same, best first.
    pub hits: Vec<ActivationHit>,
}

/// A layer that computes much the same.
#[derive(Debug, SimpleObject)]
pub struct ActivationHit {
    /// Place in the list, from 1.
    pub rank: u32,
    /// Linear CKA, 0 to 1. Biased upwards for wide layers.
    pub cka: f64,
    /// Debiased CKA, -1 to 1; near 0 for unrelated layers, however wide.
    pub debiased_cka: f64,
    /// The layer.
    pub node: Layer,
}

impl ActivationMatches {
    /// A layer that is like nothing.
    pub fn of_degenerate(name: String, shape: Vec<usize>, reason: Degenerate) -> Self {
        Self {
            name,
            shape,
            degenerate: Some(reason.into()),
            exact: true,
            hits: Vec::new(),
        }
    }
}

/// The number of hits wanted, if it is a page's.
pub fn hits_wanted(first: i32) -> Result<usize> {
    let page = crate::domain::page::Page::<()>::new(Some(first), None, None, None);
    Ok(page.map_err(ApiError::from)?.limit)
}
