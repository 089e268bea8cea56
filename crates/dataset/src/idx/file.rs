//! Reads images or labels from the bytes of one IDX file.

use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::error::{IdxContent, IdxError, IdxFile};
use scv_domain::dataset::{MAX_IMAGE_SIDE, MAX_IMAGES_PER_SPLIT, MAX_PIXEL_BYTES};
use scv_domain::image::{ImageShape, Images};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const UNSIGNED_BYTES: u8 = 0x08;

/// Checks the header of a file of images. Returns the shape of the images as they are stored, and the bytes of all of their pixels.
pub(super) fn check_images(file: IdxFile, bytes: &[u8]) -> Result<(ImageShape, u64), IdxError> {
    Source::new(file, bytes).images()
}

/// Checks the header of a file of labels.
pub(super) fn check_labels(file: IdxFile, bytes: &[u8]) -> Result<(), IdxError> {
    Source::new(file, bytes).dimensions().map(drop)
}

/// Reads the images of a file with dimensions count x rows x columns, or count x channels x rows x columns.
pub(super) fn images(file: IdxFile, bytes: &[u8], transposed: bool) -> Result<Images, IdxError> {
    let mut source = Source::new(file, bytes);
    let (stored, declared) = source.images()?;
    let pixels = source.content(declared)?;
    if !transposed {
        return Ok(Images {
            shape: stored,
            pixels: pixels.into(),
        });
    }
    Ok(Images {
        shape: ImageShape {
            height: stored.width,
            width: stored.height,
            ..stored
        },
        pixels: transpose(&pixels, stored).into(),
    })
}

/// Reads the labels of a file, unchanged.
pub(super) fn labels(file: IdxFile, bytes: &[u8]) -> Result<Vec<u8>, IdxError> {
    let mut source = Source::new(file, bytes);
    let dimensions = source.dimensions()?;
    source.content(u64::from(dimensions[0]))
}

/// The range of labels that are classes.
pub(super) struct Classes {
    pub(super) first_label: u16,
    pub(super) count: usize,
}

impl Classes {
    /// Converts labels into class indices.
    pub(super) fn indices(&self, file: IdxFile, labels: &[u8]) -> Result<Vec<u16>, IdxError> {
        let index_of = |(index, &label): (usize, &u8)| {
            let class = u16::from(label).checked_sub(self.first_label);
            class
                .filter(|&class| usize::from(class) < self.count)
                .ok_or_else(|| IdxError::Label {
                    file,
                    index,
                    label,
                    first: usize::from(self.first_label),
                    last: (usize::from(self.first_label) + self.count).saturating_sub(1),
                })
        };
        labels.iter().enumerate().map(index_of).collect()
    }
}

/// The decompressed bytes of a file and the read position.
struct Source<'a> {
    file: IdxFile,
    reader: Box<dyn Read + 'a>,
    offset: u64,
}

impl<'a> Source<'a> {
    fn new(file: IdxFile, bytes: &'a [u8]) -> Self {
        let reader: Box<dyn Read + 'a> = if bytes.starts_with(&GZIP_MAGIC) {
            Box::new(MultiGzDecoder::new(bytes))
        } else {
            Box::new(bytes)
        };
        Self {
            file,
            reader,
            offset: 0,
        }
    }

    /// Reads the header. The first dimension, which is the number of entries, is within the limits.
    fn dimensions(&mut self) -> Result<Vec<u32>, IdxError> {
        let file = self.file;
        let magic: [u8; 4] = self.header_word(4)?;
        let [0, 0, number_type, count] = magic else {
            return Err(IdxError::NotIdx { file, found: magic });
        };
        if number_type != UNSIGNED_BYTES {
            return Err(IdxError::NumberType {
                file,
                found: number_type,
            });
        }
        let is_valid = match file.content {
            IdxContent::Images => matches!(count, 3 | 4),
            IdxContent::Labels => count == 1,
        };
        if !is_valid {
            return Err(IdxError::Dimensions {
                file,
                expected: expected_dimensions(file),
                found: count,
            });
        }
        let header = 4 + 4 * u64::from(count);
        let dimensions = (0..count)
            .map(|_| self.header_word(header).map(u32::from_be_bytes))
            .collect::<Result<Vec<u32>, _>>()?;
        if !(1..=MAX_IMAGES_PER_SPLIT as u32).contains(&dimensions[0]) {
            return Err(IdxError::Count {
                file,
                count: dimensions[0],
            });
        }
        Ok(dimensions)
    }

    /// Reads the header of a file of images: their shape, and the bytes of pixels that it declares.
    fn images(&mut self) -> Result<(ImageShape, u64), IdxError> {
        let file = self.file;
        let dimensions = self.dimensions()?;
        let (channels, rows, columns) = match dimensions[1..] {
            [rows, columns] => (1, rows, columns),
            [channels, rows, columns] => (channels, rows, columns),
            _ => {
                return Err(IdxError::Dimensions {
                    file,
                    expected: expected_dimensions(file),
                    found: dimensions.len() as u8,
                });
            }
        };
        let sides = 1..=MAX_IMAGE_SIDE as u32;
        if !matches!(channels, 1 | 3) || !sides.contains(&rows) || !sides.contains(&columns) {
            return Err(IdxError::Shape {
                file,
                channels,
                height: rows,
                width: columns,
            });
        }
        let shape = ImageShape {
            channels: channels as usize,
            height: rows as usize,
            width: columns as usize,
        };
        let declared = u64::from(dimensions[0]) * shape.len() as u64;
        if declared > MAX_PIXEL_BYTES {
            return Err(IdxError::TooManyPixels { file, bytes: declared });
        }
        Ok((shape, declared))
    }

    fn header_word(&mut self, header: u64) -> Result<[u8; 4], IdxError> {
        let word = self.read_up_to(4)?;
        word.try_into().map_err(|_| IdxError::ShortHeader {
            file: self.file,
            expected: header,
            actual: self.offset,
        })
    }

    /// Reads the rest of the file, which must have `declared` bytes.
    fn content(&mut self, declared: u64) -> Result<Vec<u8>, IdxError> {
        let expected = self.offset + declared;
        // Reads at most one byte more than declared. That is enough to detect trailing bytes, and
        // no gzip file can expand beyond what its header declares.
        let content = self.read_up_to(declared + 1)?;
        if self.offset < expected {
            return Err(IdxError::Truncated {
                file: self.file,
                expected,
                actual: self.offset,
            });
        }
        if self.offset > expected {
            return Err(IdxError::TrailingBytes {
                file: self.file,
                expected,
            });
        }
        Ok(content)
    }

    /// Reads `limit` bytes, or fewer if the file ends first.
    fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>, IdxError> {
        // A vector that grows takes twice its length while it moves.
        let mut bytes = Vec::with_capacity(usize::try_from(limit).unwrap_or_default());
        let outcome: io::Result<usize> = self.reader.by_ref().take(limit).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match outcome {
            Ok(_) => Ok(bytes),
            Err(cause) => Err(IdxError::Gzip {
                file: self.file,
                offset: self.offset,
                cause,
            }),
        }
    }
}

fn expected_dimensions(file: IdxFile) -> &'static str {
    match file.content {
        IdxContent::Images => "3 (images, rows, columns) or 4 (images, channels, rows, columns)",
        IdxContent::Labels => "1 (labels)",
    }
}

/// Swaps rows and columns of every plane.
fn transpose(pixels: &[u8], stored: ImageShape) -> Vec<u8> {
    let (rows, columns) = (stored.height, stored.width);
    let mut transposed = Vec::with_capacity(pixels.len());
    for plane in pixels.chunks_exact(rows * columns) {
        for column in 0..columns {
            transposed.extend((0..rows).map(|row| plane[row * columns + column]));
        }
    }
    transposed
}
