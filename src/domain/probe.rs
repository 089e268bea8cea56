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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;

    use super::*;
    use crate::service::import::digits;

    fn request(count: usize, seed: u64) -> ProbeRequest {
        ProbeRequest { count, seed }
    }

    fn digit_splits() -> (LabelledImages, LabelledImages) {
        let digits = digits();
        (digits.split(Split::Train).clone(), digits.split(Split::Test).clone())
    }

    fn pick(labelled: &LabelledImages, indices: &[usize]) -> LabelledImages {
        LabelledImages {
            images: labelled.images.select(indices),
            labels: indices.iter().map(|&index| labelled.labels[index]).collect(),
        }
    }

    fn per_class(labelled: &LabelledImages, indices: &[u32]) -> HashMap<u16, usize> {
        let mut counts = HashMap::new();
        for &index in indices {
            *counts.entry(labelled.labels[index as usize]).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_hundred_probes_of_ten_classes_are_ten_of_each_from_the_train_split() {
        let (train, test) = digit_splits();
        let choice = choose_probes(&train, &test, ProbeRequest::default()).unwrap();
        assert_eq!(choice.split, Split::Train);
        assert_eq!(choice.indices.iter().collect::<HashSet<_>>().len(), 100);
        let counts = per_class(&train, &choice.indices);
        assert!((0..10).all(|class| counts[&class] == 10), "{counts:?}");
    }

    #[test]
    fn the_first_probes_show_every_class() {
        let (train, test) = digit_splits();
        let choice = choose_probes(&train, &test, ProbeRequest::default()).unwrap();
        assert_eq!(per_class(&train, &choice.indices[..10]).len(), 10);
    }

    #[test]
    fn a_remainder_falls_on_different_classes() {
        let (train, test) = digit_splits();
        let choice = choose_probes(&train, &test, request(37, 1)).unwrap();
        let counts = per_class(&train, &choice.indices);
        assert_eq!(counts.values().filter(|&&count| count == 4).count(), 7);
        assert_eq!(counts.values().filter(|&&count| count == 3).count(), 3);
    }

    #[test]
    fn equal_seeds_give_equal_choices_and_others_differ() {
        let (train, test) = digit_splits();
        let choose = |seed| choose_probes(&train, &test, request(20, seed)).unwrap();
        assert_eq!(choose(5), choose(5));
        assert_ne!(choose(5), choose(6));
    }

    #[test]
    fn what_a_small_class_lacks_is_spread_over_the_others() {
        let (train, test) = digit_splits();
        let of_class = |class, count| {
            let places = (0..train.labels.len()).filter(|&index| train.labels[index] == class);
            places.take(count).collect::<Vec<_>>()
        };
        let kept = [of_class(3, 2), of_class(5, 50), of_class(8, 50)].concat();
        let small = pick(&train, &kept);
        let counts = per_class(&small, &choose_probes(&small, &test, request(30, 1)).unwrap().indices);
        assert_eq!((counts[&3], counts[&5], counts[&8]), (2, 14, 14));
    }

    #[test]
    fn a_short_train_split_leaves_the_choice_to_the_test_split() {
        let (train, test) = digit_splits();
        let short = pick(&train, &(0..99).collect::<Vec<_>>());
        let choice = choose_probes(&short, &test, ProbeRequest::default()).unwrap();
        assert_eq!(choice.split, Split::Test);
    }

    #[test]
    fn an_image_that_occurs_twice_is_chosen_once() {
        let (train, _) = digit_splits();
        let doubled = pick(&train, &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        let five = choose_probes(&doubled, &doubled, request(5, 1)).unwrap();
        let places: HashSet<_> = five.indices.iter().map(|index| index % 5).collect();
        assert_eq!(places.len(), 5);
        let six = choose_probes(&doubled, &doubled, request(6, 1)).unwrap_err();
        assert!(six.to_string().contains("train gives 5, test 5"), "{six}");
    }

    #[test]
    fn a_count_out_of_bounds_is_refused() {
        let (train, test) = digit_splits();
        for count in [0, 3, 1_001] {
            let error = choose_probes(&train, &test, request(count, 1)).unwrap_err();
            assert_eq!(error, ProbeError::Count { count });
        }
        assert!(choose_probes(&train, &test, request(4, 1)).is_ok());
        assert!(choose_probes(&train, &test, request(1_000, 1)).is_ok());
    }

    #[test]
    fn the_content_hash_is_of_the_documented_bytes() {
        let (train, _) = digit_splits();
        let images = train.images.select(&[0, 1]);
        let statistics = ChannelStatistics {
            mean: vec![0.5],
            std: vec![0.25],
        };
        let mut bytes = b"scv probe set 1\n".to_vec();
        bytes.extend([2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0x3f, 0, 0, 0x80, 0x3e]);
        bytes.extend_from_slice(&images.pixels);
        assert_eq!(content_hash(&images, &statistics), hex::encode(Sha256::digest(&bytes)));
    }

    /// Stored vectors are compared by this hash: a change of it, or of the choice, orphans them.
    #[test]
    fn the_default_probes_of_the_digits_never_change() {
        let digits = digits();
        let train = digits.split(Split::Train);
        let choice = choose_probes(train, digits.split(Split::Test), ProbeRequest::default()).unwrap();
        let indices: Vec<usize> = choice.indices.iter().map(|&index| index as usize).collect();
        let hash = content_hash(&train.images.select(&indices), digits.statistics());
        assert_eq!(hash, "b4d988c9d01521f5593b2df6ffae51e0dd2ddb504ced04b62910376aaa6857ec");
    }

    #[test]
    fn order_pixels_and_statistics_all_change_the_content_hash() {
        let (train, _) = digit_splits();
        let statistics = ChannelStatistics::of(&train.images);
        let base = content_hash(&train.images.select(&[0, 1]), &statistics);
        assert_ne!(base, content_hash(&train.images.select(&[1, 0]), &statistics));
        let other = ChannelStatistics {
            mean: vec![0.0],
            ..statistics.clone()
        };
        assert_ne!(base, content_hash(&train.images.select(&[0, 1]), &other));
    }
}
