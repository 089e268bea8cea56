//! Probe sets: the images that layers are compared on.

use std::collections::{BTreeMap, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::dataset::Split;
use super::image::{ChannelStatistics, Images, LabelledImages};
use super::vector::{MAX_PROBES, MIN_PROBES};

/// Default number of images of a probe set.
pub const DEFAULT_PROBES: usize = 100;

/// Default seed of the choice of images.
pub const DEFAULT_PROBE_SEED: u64 = 20_240_101;

/// Prefix of the hashed bytes. A change of their layout needs a new prefix.
const CONTENT_VERSION: &[u8] = b"scv probe set 1\n";

/// The number of probe images requested, and the seed of their choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Number of images, [`MIN_PROBES`] to [`MAX_PROBES`].
    pub count: usize,
    /// Seed of the choice. Equal seeds and images give equal choices.
    pub seed: u64,
}

impl Default for ProbeRequest {
    fn default() -> Self {
        Self {
            count: DEFAULT_PROBES,
            seed: DEFAULT_PROBE_SEED,
        }
    }
}

/// The images of a probe set: distinct indices in one split, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeChoice {
    /// The split the images are from.
    pub split: Split,
    /// Indices of the images in that split.
    pub indices: Vec<u32>,
}

/// Chooses probe images, the same number from each class as far as possible.
///
/// The images come from the train split if it has enough, so that no image is both a probe and part
/// of the accuracy, else from the test split. Classes take turns in random order. At its turn, a
/// class gives its next image in random order, if it has any left. A remainder thus falls on random
/// classes, and the shortage of a small class is spread over the others. Images with the same
/// pixels as a chosen one are skipped, because they would only repeat a row of every Gram matrix.
/// Images keep the order of the turns, so the first probes are from different classes.
///
/// # Errors
/// The count is out of range, or exceeds the number of distinct images in both splits.
pub fn choose_probes(
    train: &LabelledImages,
    test: &LabelledImages,
    request: ProbeRequest,
) -> Result<ProbeChoice, ProbeError> {
    if !(MIN_PROBES..=MAX_PROBES).contains(&request.count) {
        return Err(ProbeError::Count { count: request.count });
    }
    let from_train = draw(train, request);
    if from_train.len() == request.count {
        return Ok(ProbeChoice {
            split: Split::Train,
            indices: from_train,
        });
    }
    let from_test = draw(test, request);
    if from_test.len() == request.count {
        return Ok(ProbeChoice {
            split: Split::Test,
            indices: from_test,
        });
    }
    Err(ProbeError::TooFewImages {
        count: request.count,
        train: from_train.len(),
        test: from_test.len(),
    })
}

/// Draws distinct images of a split, as many as it has and at most the number requested.
fn draw(split: &LabelledImages, request: ProbeRequest) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    // Sorted by class, so that the draw depends only on the labels and the seed.
    let mut by_class: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
    for (index, &label) in (0_u32..).zip(split.labels.iter()) {
        by_class.entry(label).or_default().push(index);
    }
    let mut classes: Vec<Vec<u32>> = by_class.into_values().collect();
    classes.iter_mut().for_each(|images| images.shuffle(&mut rng));
    classes.shuffle(&mut rng);

    let mut seen = HashSet::new();
    let mut chosen = Vec::with_capacity(request.count);
    while chosen.len() < request.count && !classes.is_empty() {
        classes.retain_mut(|images| {
            if chosen.len() == request.count {
                return false;
            }
            while let Some(index) = images.pop() {
                if seen.insert(split.images.image(index as usize)) {
                    chosen.push(index);
                    return true;
                }
            }
            false
        });
    }
    chosen
}

/// The identity of a probe set: the hexadecimal SHA-256 of everything a network reads from it.
///
/// The hash covers, in this order: the text `scv probe set 1` and a line feed; the number of
/// images, channels, rows and columns as little-endian u32; the mean of each channel, then the
/// deviation of each, as little-endian f32; all pixels in order. Labels and the origin of the images
/// are not part of it, because they do not change the activations of a layer.
pub fn content_hash(images: &Images, statistics: &ChannelStatistics) -> String {
    let mut hash = Sha256::new_with_prefix(CONTENT_VERSION);
    let shape = images.shape;
    for number in [images.count(), shape.channels, shape.height, shape.width] {
        hash.update((number as u32).to_le_bytes());
    }
    for number in statistics.mean.iter().chain(&statistics.std) {
        hash.update(number.to_le_bytes());
    }
    hash.update(&images.pixels);
    hex::encode(hash.finalize())
}

/// Why probe images could not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Too few or too many images are requested.
    #[error("a probe set must have {MIN_PROBES} to {MAX_PROBES} images: got {count}")]
    Count {
        /// Number of images requested.
        count: usize,
    },
    /// No split has that many distinct images.
    #[error(
        "a probe set of {count} images needs that many distinct images in one split: train has {train}, test has {test}; request fewer"
    )]
    TooFewImages {
        /// Number of images requested.
        count: usize,
        /// Number of distinct images of the train split, at most `count`.
        train: usize,
        /// Number of distinct images of the test split, at most `count`.
        test: usize,
    },
}
