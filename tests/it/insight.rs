//! The insides of a network: feature maps, attributions, and predictions of uploaded images.

mod attribution;
mod failures;
mod feature_maps;
mod formats;
mod pictures;
mod predictions;
