#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::{IdxPreset, digits};
use scv_domain::dataset_source::IdxFiles;
use scv_domain::image::{ChannelStatistics, Images};

fn idx(dimensions: &[usize], content: &[u8]) -> Bytes {
    let mut file = vec![0, 0, 8, dimensions.len() as u8];
    for &dimension in dimensions {
        file.extend((dimension as u32).to_be_bytes());
    }
    file.extend_from_slice(content);
    file.into()
}

fn images_file(images: &Images) -> Bytes {
    idx(
        &[images.count(), images.shape.height, images.shape.width],
        &images.pixels,
    )
}

fn labels_file(labels: &[u16], first_label: u16) -> Bytes {
    let bytes: Vec<u8> = labels.iter().map(|&label| (label + first_label) as u8).collect();
    idx(&[bytes.len()], &bytes)
}

/// Edits the bytes of a file.
fn edit(file: &mut Bytes, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = file.to_vec();
    change(&mut bytes);
    *file = bytes.into();
}

fn gzipped(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

/// The digits as IDX files.
fn digit_import() -> IdxImport<Bytes> {
    let digits = digits();
    let (train, test) = (digits.split(Split::Train), digits.split(Split::Test));
    IdxImport {
        name: digits.name().clone(),
        class_names: None,
        first_label: 0,
        allow_empty_classes: false,
        transposed: false,
        statistics: None,
        files: IdxFiles {
            train_images: images_file(&train.images),
            train_labels: labels_file(&train.labels, 0),
            test_images: images_file(&test.images),
            test_labels: labels_file(&test.labels, 0),
        },
    }
}

fn read_whole(import: IdxImport<Bytes>) -> Result<NewDataset, ImportError> {
    read(import, |_| Ok(()))
}

fn rejection(change: impl FnOnce(&mut IdxImport<Bytes>)) -> String {
    let mut import = digit_import();
    change(&mut import);
    read_whole(import).unwrap_err().to_string()
}

#[test]
fn the_digits_round_trip_through_idx() {
    assert_eq!(read_whole(digit_import()).unwrap(), digits());
}

#[test]
fn gzipped_files_read_like_raw_ones() {
    let mut import = digit_import();
    import.files.train_images = gzipped(&import.files.train_images);
    import.files.test_labels = gzipped(&import.files.test_labels);
    assert_eq!(read_whole(import).unwrap(), digits());
}

#[test]
fn labels_can_start_at_one() {
    let mut import = digit_import();
    import.first_label = 1;
    import.files.train_labels = labels_file(&digits().split(Split::Train).labels, 1);
    import.files.test_labels = labels_file(&digits().split(Split::Test).labels, 1);
    let dataset = read_whole(import).unwrap();
    assert_eq!(dataset.split(Split::Train).labels, digits().split(Split::Train).labels);
    assert_eq!(dataset.class_names()[0], "1");
    assert_eq!(dataset.class_names().len(), 10);
}

#[test]
fn transposed_files_are_read_upright() {
    let transpose = |images: &Images| {
        let pixels: Vec<u8> = images
            .pixels
            .chunks_exact(64)
            .flat_map(|image| (0..64).map(|index| image[index % 8 * 8 + index / 8]))
            .collect();
        idx(&[images.count(), 8, 8], &pixels)
    };
    let mut import = digit_import();
    import.transposed = true;
    import.files.train_images = transpose(&digits().split(Split::Train).images);
    import.files.test_images = transpose(&digits().split(Split::Test).images);
    assert_eq!(read_whole(import).unwrap(), digits());
}

#[test]
fn transposing_swaps_height_and_width() {
    let file = idx(&[1, 2, 3], &[1, 2, 3, 4, 5, 6]);
    let images = file::images(IdxFile::images(Split::Test), &file, true).unwrap();
    assert_eq!((images.shape.height, images.shape.width), (3, 2));
    assert_eq!(images.pixels[..], [1, 4, 2, 5, 3, 6]);
}

#[test]
fn four_dimensions_are_images_with_channels() {
    let file = idx(&[1, 3, 1, 2], &[1, 2, 3, 4, 5, 6]);
    let images = file::images(IdxFile::images(Split::Test), &file, false).unwrap();
    assert_eq!(images.shape.dims(), [3, 1, 2]);
    assert_eq!(images.pixels[..], [1, 2, 3, 4, 5, 6]);
}

#[test]
fn mistakes_in_headers_and_in_the_description_are_found_without_reading_whole_files() {
    let refused = |change: fn(&mut IdxImport<Bytes>)| {
        let mut import = digit_import();
        change(&mut import);
        check(&import).unwrap_err().to_string()
    };
    assert!(
        refused(|import| edit(&mut import.files.test_labels, |file| file.truncate(5))).contains("inside its header")
    );
    assert!(refused(|import| edit(&mut import.files.test_images, |file| file[2] = 9)).contains("type 0x09"));
    assert!(refused(|import| import.class_names = Some(vec!["one".to_owned()])).contains("2 to 1000 classes"));
    let statistics = |mean: &[f32]| {
        Some(ChannelStatistics {
            mean: mean.to_vec(),
            std: mean.to_vec(),
        })
    };
    let mut import = digit_import();
    import.statistics = statistics(&[0.5, 0.5]);
    assert!(check(&import).unwrap_err().to_string().contains("2 means"));
    import.statistics = statistics(&[0.5]);
    // The content of a file is not looked at.
    edit(&mut import.files.train_images, |file| file.truncate(1_000));
    check(&import).unwrap();
}

#[test]
fn each_part_of_the_work_is_announced_and_can_be_refused() {
    let shares = std::cell::RefCell::new(Vec::new());
    let all = read(digit_import(), |share| {
        shares.borrow_mut().push(share);
        Ok::<_, ImportError>(())
    });
    assert_eq!(all.unwrap(), digits());
    assert!(shares.borrow().is_sorted() && shares.borrow().len() == 3, "{shares:?}");
    let stopped = read(digit_import(), |share| {
        if share > 0.0 {
            return Err(Stopped::Here);
        }
        Ok(())
    });
    assert!(matches!(stopped, Err(Stopped::Here)));
}

/// Why a test ended the reading.
#[derive(Debug)]
enum Stopped {
    Here,
    Import,
}

impl From<ImportError> for Stopped {
    fn from(_: ImportError) -> Self {
        Self::Import
    }
}

#[test]
fn a_truncated_file_is_reported_with_its_expected_and_actual_size() {
    let message = rejection(|import| import.files.train_images.truncate(1_000));
    assert_eq!(
        message,
        "the IDX file of train images is truncated: its header declares 92304 bytes, got 1000; upload the whole file"
    );
}

#[test]
fn a_file_truncated_inside_its_header_is_rejected() {
    for length in [0, 3, 4, 15] {
        let message = rejection(|import| import.files.test_images.truncate(length));
        assert!(message.contains("ends inside its header"), "{message}");
        assert!(message.contains(&format!("got {length};")), "{message}");
    }
}

#[test]
fn trailing_bytes_are_rejected() {
    let message = rejection(|import| edit(&mut import.files.test_labels, |file| file.push(0)));
    assert!(
        message.contains("test labels continues after the 363 bytes"),
        "{message}"
    );
}

#[test]
fn another_format_is_rejected_with_its_first_bytes() {
    let message = rejection(|import| import.files.train_images = Bytes::from_static(b"PK\x03\x04 an archive"));
    assert!(
        message.contains("is not IDX: it begins with [50, 4b, 03, 04]"),
        "{message}"
    );
}

#[test]
fn element_types_other_than_unsigned_bytes_are_rejected() {
    let message = rejection(|import| edit(&mut import.files.train_images, |file| file[2] = 0x0d));
    assert!(message.contains("type 0x0d at byte 2"), "{message}");
}

#[test]
fn swapped_files_are_recognised() {
    let message = rejection(|import| std::mem::swap(&mut import.files.train_images, &mut import.files.train_labels));
    assert!(
        message.contains("are the files of images and labels swapped?"),
        "{message}"
    );
}

#[test]
fn different_numbers_of_images_and_labels_are_rejected() {
    let message = rejection(|import| import.files.train_labels = labels_file(&[0, 1, 2], 0));
    assert!(message.contains("1442 images but 3 labels"), "{message}");
}

#[test]
fn a_label_out_of_range_is_reported_with_file_and_index() {
    let names = |count: usize| Some((0..count).map(|class| class.to_string()).collect());
    let message = rejection(|import| import.class_names = names(9));
    assert!(message.contains("train labels has label 9 at index"), "{message}");
    assert!(message.contains("which is out of range (0–8)"), "{message}");
    let below = rejection(|import| import.first_label = 1);
    assert!(
        below.contains("label 0 at index 0 (byte 8), which is out of range (1–9)"),
        "{below}"
    );
}

#[test]
fn labels_that_begin_later_are_rejected_with_the_field_that_settles_it() {
    let later = |import: &mut IdxImport<Bytes>| {
        let labels = |split| labels_file(&digits().split(split).labels, 3);
        import.files.train_labels = labels(Split::Train);
        import.files.test_labels = labels(Split::Test);
    };
    assert_eq!(
        rejection(later),
        "the labels begin at 3, and the first label is 0: set `firstLabel` to 3, or allow classes without train images \
         (`allowEmptyClasses`)"
    );
    let read = |change: fn(&mut IdxImport<Bytes>)| {
        let mut import = digit_import();
        later(&mut import);
        change(&mut import);
        read_whole(import).unwrap().class_names().len()
    };
    assert_eq!(read(|import| import.first_label = 3), 10);
    assert_eq!(read(|import| import.allow_empty_classes = true), 13);
}

#[test]
fn classes_without_train_images_are_named() {
    let without = |gone: &[u16]| {
        let labels = |split| -> Vec<u16> {
            let moved = |&label: &u16| if gone.contains(&label) { 0 } else { label };
            digits().split(split).labels.iter().map(moved).collect()
        };
        let (train, test) = (labels(Split::Train), labels(Split::Test));
        rejection(|import| {
            import.files.train_labels = labels_file(&train, 0);
            import.files.test_labels = labels_file(&test, 0);
        })
    };
    assert!(without(&[4]).starts_with("no train image is of class \"4\": check"));
    let message = without(&[1, 2, 3, 4, 5, 6, 7]);
    assert!(
        message.starts_with("no train image is of classes \"1\", \"2\", \"3\", \"4\", \"5\" and 2 more: check"),
        "{message}"
    );
}

#[test]
fn splits_of_different_shapes_are_rejected() {
    let message = rejection(|import| import.files.test_images = idx(&[355, 4, 4], &[0; 355 * 16]));
    assert!(message.contains("1x8x8") && message.contains("1x4x4"), "{message}");
}

#[test]
fn declared_sizes_over_the_limits_are_rejected_before_anything_is_read() {
    let header = |dimensions: &[usize]| gzipped(&idx(dimensions, &[]));
    let counts = rejection(|import| import.files.train_images = header(&[1_000_001, 8, 8]));
    assert!(counts.contains("declares 1000001 entries"), "{counts}");
    let sides = rejection(|import| import.files.train_images = header(&[1, 513, 8]));
    assert!(sides.contains("1x513x8"), "{sides}");
    let pixels = rejection(|import| import.files.train_images = header(&[1_000_000, 512, 512]));
    assert!(pixels.contains("declares 262144000000 bytes"), "{pixels}");
    let none = rejection(|import| import.files.train_images = header(&[0, 8, 8]));
    assert!(none.contains("declares 0 entries"), "{none}");
}

#[test]
fn a_gzip_bomb_is_not_read_further_than_its_header_declares() {
    // 64 MiB of zeros after the header of ten images.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&idx(&[10, 8, 8], &[])).unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let error = file::images(IdxFile::images(Split::Train), &bomb, false).unwrap_err();
    assert!(
        matches!(error, IdxError::TrailingBytes { expected: 656, .. }),
        "{error}"
    );
}

#[test]
fn a_corrupt_gzip_file_is_rejected() {
    let truncated = rejection(|import| {
        let whole = gzipped(&import.files.train_images);
        import.files.train_images = whole.slice(..whole.len() / 2);
    });
    assert!(
        truncated.contains("train images cannot be decompressed after byte"),
        "{truncated}"
    );
    let flipped = rejection(|import| {
        import.files.train_images = gzipped(&import.files.train_images);
        edit(&mut import.files.train_images, |file| {
            let checksum = file.len() - 8;
            file[checksum] ^= 1;
        });
    });
    assert!(flipped.contains("cannot be decompressed after byte"), "{flipped}");
}

#[test]
fn presets_describe_valid_data_sets() {
    for preset in super::super::IDX_PRESETS {
        let classes = preset.class_names.len() as u16;
        let labels: Vec<u16> = (0..classes).collect();
        let images = digits()
            .split(Split::Train)
            .images
            .select(&(0..labels.len()).collect::<Vec<_>>());
        let files = IdxFiles {
            train_images: images_file(&images),
            train_labels: labels_file(&labels, preset.first_label),
            test_images: images_file(&images),
            test_labels: labels_file(&labels, preset.first_label),
        };
        let dataset = read_whole(preset.import(files).unwrap()).unwrap();
        assert_eq!(dataset.class_names(), preset.class_names);
        assert_eq!(dataset.statistics().std, [preset.std]);
        assert_eq!(dataset.split(Split::Test).labels[..], labels);
    }
    assert!(IdxPreset::find("fashion_mnist").is_some());
    assert!(IdxPreset::find("imagenet").is_none());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), transposed: bool) {
        let _ = file::images(IdxFile::images(Split::Train), &bytes, transposed);
        let _ = file::labels(IdxFile::labels(Split::Train), &bytes);
    }

    #[test]
    fn no_header_makes_the_reader_panic(
        dimensions in proptest::collection::vec(prop_oneof![0_usize..6, any::<u32>().prop_map(|d| d as usize)], 0..6),
        content in proptest::collection::vec(any::<u8>(), 0..100),
        zipped: bool,
        transposed: bool,
    ) {
        let mut file = idx(&dimensions, &content);
        if zipped {
            file = gzipped(&file);
        }
        if let Ok(images) = file::images(IdxFile::images(Split::Test), &file, transposed) {
            prop_assert_eq!(images.pixels.len(), images.count() * images.shape.len());
        }
        let _ = file::labels(IdxFile::labels(Split::Test), &file);
    }

    #[test]
    fn no_damage_to_a_gzipped_file_makes_the_reader_panic(position in 0_usize..2_000, flip in 1_u8..) {
        let mut file = gzipped(&images_file(&digits().split(Split::Test).images.select(&[0, 1, 2])));
        let position = position % file.len();
        edit(&mut file, |file| file[position] ^= flip);
        let _ = file::images(IdxFile::images(Split::Test), &file, false);
    }
}
