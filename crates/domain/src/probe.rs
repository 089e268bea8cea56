//! Probe sets: the images that every layer answers, and so what layers are compared by.

use std::collections::{BTreeMap, HashSet};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::dataset::Split;
use super::image::{ChannelStatistics, Images, LabelledImages};
use super::vector::{MAX_PROBES, MIN_PROBES};

/// Probe images of a set when nobody asks for another number.
pub const DEFAULT_PROBES: usize = 100;

/// Seed of the choice when nobody asks for another.
pub const DEFAULT_PROBE_SEED: u64 = 20_240_101;

/// Stands before everything that is hashed. Another form of the bytes needs another of these.
const CONTENT_VERSION: &[u8] = b"scv probe set 1\n";

/// How many probe images are wanted, and the seed of their choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Images, [`MIN_PROBES`] to [`MAX_PROBES`].
    pub count: usize,
    /// Equal seeds and images give equal choices.
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

/// The images of a probe set: places in one split, in order, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeChoice {
    /// The split the images are from.
    pub split: Split,
    /// Indices of images of that split.
    pub indices: Vec<u32>,
}

/// Chooses probe images, the same number of each class as far as it goes.
///
/// They come from the train split if that has enough images, so that no image is both a probe and
/// a measure of accuracy, else from the test split. The classes, in a drawn order, take turns: each
/// gives its next image in a drawn order, or none when it has no more. So a remainder falls on some
/// classes by chance, and what a small class lacks is spread over the others. An image with the
/// same pixels as one already chosen is passed over: it would only repeat a row of every Gram. The
/// order is that of the turns, so the first probes show different classes.
///
/// # Errors
/// A number out of bounds, or more than either split has distinct images.
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

/// As many distinct images as the split has, up to the number wanted.
fn draw(split: &LabelledImages, request: ProbeRequest) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    // Sorted by class, so that the draw depends on nothing but the labels and the seed.
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

/// The identity of a probe set: SHA-256, in hexadecimal, of everything a network sees of it.
///
/// Hashed are, one after the other: the words `scv probe set 1` and a line feed; the number of
/// images, channels, rows and columns as little-endian u32; the mean of each channel, then the
/// deviation of each, as little-endian f32; all pixels in order. Labels and where the images come
/// from are no part of it: they do not change what a layer answers.
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
    /// Too few or too many are wanted.
    #[error("a probe set must have {MIN_PROBES} to {MAX_PROBES} images: got {count}")]
    Count {
        /// Images wanted.
        count: usize,
    },
    /// No split has so many.
    #[error(
        "a probe set of {count} images needs as many different ones in one split: train gives {train}, test {test}; ask for fewer"
    )]
    TooFewImages {
        /// Images wanted.
        count: usize,
        /// Different images of the train split.
        train: usize,
        /// Different images of the test split.
        test: usize,
    },
}
