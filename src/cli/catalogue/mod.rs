//! Commands about the things that a server stores: models, versions, data sets, layers and jobs.

pub(super) mod dataset;
pub(super) mod job;
pub(super) mod layer;
pub(super) mod model;
pub(super) mod version;
