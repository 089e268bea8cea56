use scv_dataset::digits;
use scv_domain::dataset::{DatasetDraft, DatasetName, NewDataset, Split};
use scv_domain::image::{ChannelStatistics, ImageShape, Images};

fn draft() -> DatasetDraft {
    let digits = digits();
    DatasetDraft {
        name: digits.name().clone(),
        class_names: digits.class_names().to_vec(),
        statistics: None,
        train: digits.split(Split::Train).clone(),
        test: digits.split(Split::Test).clone(),
    }
}

fn rejection(change: impl FnOnce(&mut DatasetDraft)) -> String {
    let mut draft = draft();
    change(&mut draft);
    NewDataset::check(draft).unwrap_err().to_string()
}

fn channel_images(channels: usize, pixels: &[u8]) -> Images {
    Images {
        shape: ImageShape {
            channels,
            height: 1,
            width: 2,
        },
        pixels: pixels.to_vec().into(),
    }
}

#[test]
fn a_name_is_lowercase_letters_digits_underscore_and_hyphen() {
    for good in ["mnist", "fashion_mnist", "my-set-2", &"a".repeat(64)] {
        assert_eq!(good.parse::<DatasetName>().unwrap().as_str(), good);
    }
    for bad in ["", "MNIST", "two words", "naïve", "a/b", &"a".repeat(65)] {
        assert!(bad.parse::<DatasetName>().is_err(), "{bad:?}");
    }
    assert!(serde_json::from_str::<DatasetName>("\"a/b\"").is_err());
}

#[test]
fn statistics_are_the_mean_and_population_deviation_of_each_channel() {
    // Two images of three channels with two pixels each.
    let images = channel_images(3, &[0, 255, 51, 51, 10, 20, 0, 255, 51, 51, 30, 40]);
    let statistics = ChannelStatistics::of(&images);
    assert_eq!(statistics.mean, [0.5, 0.2, 25.0 / 255.0]);
    assert_eq!(statistics.std, [0.5, 1.0, (125.0_f64.sqrt() / 255.0) as f32]);
}

#[test]
fn missing_statistics_are_computed_from_the_train_images() {
    let dataset = NewDataset::check(draft()).unwrap();
    let direct = dataset.split(Split::Train).images.pixels.iter();
    let mean =
        direct.map(|&p| f64::from(p) / 255.0).sum::<f64>() / dataset.split(Split::Train).images.pixels.len() as f64;
    assert!((f64::from(dataset.statistics().mean[0]) - mean).abs() < 1e-7);
}

#[test]
fn given_statistics_are_kept() {
    let given = ChannelStatistics {
        mean: vec![0.5],
        std: vec![0.25],
    };
    let mut draft = draft();
    draft.statistics = Some(given.clone());
    assert_eq!(*NewDataset::check(draft).unwrap().statistics(), given);
}

#[test]
fn statistics_for_another_number_of_channels_are_rejected() {
    let message = rejection(|draft| {
        draft.statistics = Some(ChannelStatistics {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
        });
    });
    assert!(
        message.contains("1 channels") && message.contains("3 means"),
        "{message}"
    );
}

#[test]
fn a_zero_deviation_is_rejected() {
    let message = rejection(|draft| {
        draft.statistics = Some(ChannelStatistics {
            mean: vec![0.5],
            std: vec![0.0],
        });
    });
    assert!(
        message.contains("channel 0") && message.contains("above zero"),
        "{message}"
    );
}

#[test]
fn a_label_out_of_range_is_reported_with_its_index() {
    let message = rejection(|draft| {
        let mut labels = draft.test.labels.to_vec();
        labels[7] = 10;
        draft.test.labels = labels.into();
    });
    assert_eq!(message, "label 7 of the test split: class 10 is out of range (0–9)");
}

#[test]
fn a_missing_label_is_rejected() {
    let message = rejection(|draft| draft.train.labels = draft.train.labels[1..].into());
    assert!(message.contains("1442 images but 1441 labels"), "{message}");
}

#[test]
fn a_duplicate_class_name_is_rejected() {
    let message = rejection(|draft| draft.class_names[4] = "0".to_owned());
    assert!(message.contains("class 4") && message.contains("\"0\""), "{message}");
}

#[test]
fn an_empty_or_padded_class_name_is_rejected() {
    for name in ["", " 4", "4\n"] {
        let message = rejection(|draft| draft.class_names[4] = name.to_owned());
        assert!(message.contains("name of class 4"), "{message}");
    }
}

#[test]
fn a_single_class_is_rejected() {
    let message = rejection(|draft| draft.class_names.truncate(1));
    assert!(message.contains("2 to 1000 classes: got 1"), "{message}");
}

#[test]
fn an_empty_split_is_rejected() {
    let message = rejection(|draft| {
        draft.test.images.pixels = Vec::new().into();
        draft.test.labels = [].into();
    });
    assert!(message.contains("test split") && message.contains("got 0"), "{message}");
}

#[test]
fn splits_of_different_shapes_are_rejected() {
    let message = rejection(|draft| {
        draft.test.images.shape = ImageShape {
            channels: 1,
            height: 4,
            width: 16,
        };
    });
    assert!(message.contains("1x8x8") && message.contains("1x4x16"), "{message}");
}

#[test]
fn a_partial_image_is_rejected() {
    let message = rejection(|draft| {
        let pixels = &draft.train.images.pixels;
        draft.train.images.pixels = pixels.slice(..pixels.len() - 1);
    });
    assert!(message.contains("not a multiple of the 64"), "{message}");
}

#[test]
fn two_channels_or_large_sides_are_rejected() {
    for (channels, height, width) in [(2, 8, 8), (1, 0, 8), (1, 8, 513)] {
        let message = rejection(|draft| {
            draft.train.images.shape = ImageShape {
                channels,
                height,
                width,
            };
        });
        assert!(message.contains("1 or 3 channels"), "{message}");
    }
}
