//! The built-in data set: 1,797 handwritten digits that are embedded in the program.
//!
//! `assets/digits/README.md` documents their origin.

use std::io::Read;

use flate2::read::GzDecoder;

use scv_domain::dataset::{DatasetDraft, NewDataset};
use scv_domain::image::{ImageShape, Images, LabelledImages};

/// Name of the data set.
pub const DIGITS_NAME: &str = "digits";

const SHAPE: ImageShape = ImageShape {
    channels: 1,
    height: 8,
    width: 8,
};

/// Maximum value of a pixel in the file.
const MAX_VALUE: u16 = 16;

/// In each class, one of this many images becomes a test image.
const TEST_EVERY: usize = 5;

static FILE: &[u8] = include_bytes!("../../../assets/digits/digits.csv.gz");

/// The digits: 1x8x8 pixels, ten classes, 1,442 train and 355 test images.
///
/// In each class, every fifth image in file order is a test image. The split therefore needs no seed
/// and preserves the class proportions.
pub fn digits() -> NewDataset {
    parse(FILE)
        .and_then(|draft| NewDataset::check(draft).ok())
        .expect("the embedded file is valid, as a test checks")
}

/// Returns `None` if the file does not have the format described in its README.
fn parse(file: &[u8]) -> Option<DatasetDraft> {
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).ok()?;
    let mut train = Rows::default();
    let mut test = Rows::default();
    let mut seen = [0_usize; 10];
    for line in text.lines() {
        let (pixels, label) = line.rsplit_once(',')?;
        let label: u16 = label.parse().ok()?;
        let seen = seen.get_mut(usize::from(label))?;
        *seen += 1;
        let rows = if seen.is_multiple_of(TEST_EVERY) {
            &mut test
        } else {
            &mut train
        };
        rows.push(pixels, label)?;
    }
    Some(DatasetDraft {
        name: DIGITS_NAME.parse().ok()?,
        class_names: (0..seen.len()).map(|digit| digit.to_string()).collect(),
        statistics: None,
        train: train.finish(),
        test: test.finish(),
    })
}

#[derive(Default)]
struct Rows {
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Rows {
    fn push(&mut self, pixels: &str, label: u16) -> Option<()> {
        for pixel in pixels.split(',') {
            let value: u16 = pixel.parse().ok().filter(|&value| value <= MAX_VALUE)?;
            // Rounded to the nearest integer, halves up.
            let scaled = (value * 255 + MAX_VALUE / 2) / MAX_VALUE;
            self.pixels.push(u8::try_from(scaled).ok()?);
        }
        self.labels.push(label);
        Some(())
    }

    fn finish(self) -> LabelledImages {
        LabelledImages {
            images: Images {
                shape: SHAPE,
                pixels: self.pixels.into(),
            },
            labels: self.labels.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use scv_domain::dataset::Split;

    #[test]
    fn the_file_is_the_published_one() {
        assert_eq!(
            hex::encode(Sha256::digest(FILE)),
            "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
        );
    }

    #[test]
    fn there_are_1797_digits_and_a_fifth_of_each_class_is_in_the_test_split() {
        let digits = digits();
        let (train, test) = (digits.split(Split::Train), digits.split(Split::Test));
        assert_eq!((train.images.count(), test.images.count()), (1_442, 355));
        for class in 0..10 {
            let of_class = |split: &LabelledImages| split.labels.iter().filter(|&&label| label == class).count();
            let (train, test) = (of_class(train), of_class(test));
            assert_eq!(test, (train + test) / 5, "class {class}");
        }
    }

    #[test]
    fn pixels_span_the_whole_range_of_a_byte() {
        let digits = digits();
        let images = &digits.split(Split::Train).images;
        // The first image of the file is a zero. Its first row is 0 0 5 13 9 1 0 0, on a scale to 16.
        assert_eq!(images.image(0)[..8], [0, 0, 80, 207, 143, 16, 0, 0]);
        assert_eq!(images.pixels.iter().max(), Some(&255));
    }
}
