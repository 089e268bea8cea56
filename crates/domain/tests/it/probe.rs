use std::collections::{HashMap, HashSet};

use scv_dataset::digits;
use scv_domain::dataset::Split;
use scv_domain::image::{ChannelStatistics, LabelledImages};
use scv_domain::probe::{ProbeError, ProbeRequest, choose_probes, content_hash};
use sha2::{Digest, Sha256};

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
fn the_first_probes_include_every_class() {
    let (train, test) = digit_splits();
    let choice = choose_probes(&train, &test, ProbeRequest::default()).unwrap();
    assert_eq!(per_class(&train, &choice.indices[..10]).len(), 10);
}

#[test]
fn a_remainder_is_spread_over_classes() {
    let (train, test) = digit_splits();
    let choice = choose_probes(&train, &test, request(37, 1)).unwrap();
    let counts = per_class(&train, &choice.indices);
    assert_eq!(counts.values().filter(|&&count| count == 4).count(), 7);
    assert_eq!(counts.values().filter(|&&count| count == 3).count(), 3);
}

#[test]
fn equal_seeds_give_equal_choices_and_different_seeds_differ() {
    let (train, test) = digit_splits();
    let choose = |seed| choose_probes(&train, &test, request(20, seed)).unwrap();
    assert_eq!(choose(5), choose(5));
    assert_ne!(choose(5), choose(6));
}

#[test]
fn what_a_small_class_lacks_is_taken_from_the_others() {
    let (train, test) = digit_splits();
    let of_class = |class, count| {
        let indices = (0..train.labels.len()).filter(|&index| train.labels[index] == class);
        indices.take(count).collect::<Vec<_>>()
    };
    let kept = [of_class(3, 2), of_class(5, 50), of_class(8, 50)].concat();
    let small = pick(&train, &kept);
    let counts = per_class(&small, &choose_probes(&small, &test, request(30, 1)).unwrap().indices);
    assert_eq!((counts[&3], counts[&5], counts[&8]), (2, 14, 14));
}

#[test]
fn a_train_split_with_too_few_images_is_replaced_by_the_test_split() {
    let (train, test) = digit_splits();
    let short = pick(&train, &(0..99).collect::<Vec<_>>());
    let choice = choose_probes(&short, &test, ProbeRequest::default()).unwrap();
    assert_eq!(choice.split, Split::Test);
}

#[test]
fn a_duplicate_image_is_chosen_once() {
    let (train, _) = digit_splits();
    let doubled = pick(&train, &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    let five = choose_probes(&doubled, &doubled, request(5, 1)).unwrap();
    let originals: HashSet<_> = five.indices.iter().map(|index| index % 5).collect();
    assert_eq!(originals.len(), 5);
    let six = choose_probes(&doubled, &doubled, request(6, 1)).unwrap_err();
    assert!(six.to_string().contains("train has 5, test has 5"), "{six}");
}

#[test]
fn a_count_out_of_range_is_rejected() {
    let (train, test) = digit_splits();
    for count in [0, 3, 1_001] {
        let error = choose_probes(&train, &test, request(count, 1)).unwrap_err();
        assert_eq!(error, ProbeError::Count { count });
    }
    assert!(choose_probes(&train, &test, request(4, 1)).is_ok());
    assert!(choose_probes(&train, &test, request(1_000, 1)).is_ok());
}

#[test]
fn the_content_hash_covers_the_documented_bytes() {
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

/// Stored vectors belong to this hash: changing it, or the choice of images, would orphan them.
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
fn image_order_and_statistics_change_the_content_hash() {
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
