//! What can be wrong with an IDX file.

use std::fmt;

use scv_domain::dataset::{MAX_IMAGE_SIDE, MAX_IMAGES_PER_SPLIT, MAX_PIXEL_BYTES, Split};

/// Which of the four files is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdxFile {
    /// The split it belongs to.
    pub split: Split,
    /// Whether it holds images or labels.
    pub content: IdxContent,
}

/// What an IDX file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdxContent {
    /// Pixels.
    Images,
    /// Class labels.
    Labels,
}

impl IdxFile {
    /// The images of a split.
    pub fn images(split: Split) -> Self {
        Self {
            split,
            content: IdxContent::Images,
        }
    }

    /// The labels of a split.
    pub fn labels(split: Split) -> Self {
        Self {
            split,
            content: IdxContent::Labels,
        }
    }
}

impl fmt::Display for IdxFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = match self.content {
            IdxContent::Images => "images",
            IdxContent::Labels => "labels",
        };
        write!(f, "the IDX file of {} {content}", self.split)
    }
}

/// Why an IDX file was refused. Offsets and lengths are of the decompressed file.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file ends inside its header.
    #[error("{file} ends inside its header: {expected} bytes expected, got {actual}; upload the whole file")]
    ShortHeader {
        /// The file.
        file: IdxFile,
        /// Bytes of the header.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// The first two bytes are not zero.
    #[error(
        "{file} is not IDX: it begins with {found:02x?}, and IDX, raw or gzipped, begins with two zero bytes; upload the file as published, not an archive of it"
    )]
    NotIdx {
        /// The file.
        file: IdxFile,
        /// Its first four bytes.
        found: [u8; 4],
    },
    /// The numbers are not bytes.
    #[error("{file} has numbers of type 0x{found:02x} at byte 2: only 0x08, unsigned bytes, is read")]
    NumberType {
        /// The file.
        file: IdxFile,
        /// The type.
        found: u8,
    },
    /// Labels where images should be, or the other way round.
    #[error("{file} has {found} dimensions at byte 3, not {expected}: are the files of images and labels exchanged?")]
    Dimensions {
        /// The file.
        file: IdxFile,
        /// What is allowed, in words.
        expected: &'static str,
        /// Dimensions there are.
        found: u8,
    },
    /// Nothing, or too many.
    #[error("{file} declares {count} entries at byte 4: 1 to {MAX_IMAGES_PER_SPLIT} are allowed")]
    Count {
        /// The file.
        file: IdxFile,
        /// Entries declared.
        count: u32,
    },
    /// Images of a shape that is not kept.
    #[error(
        "{file} declares images of {channels}x{height}x{width} (channels x rows x columns) at byte 8: 1 or 3 channels and sides of 1 to {MAX_IMAGE_SIDE} are allowed"
    )]
    Shape {
        /// The file.
        file: IdxFile,
        /// Channels.
        channels: u32,
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
    /// More pixels than a data set may have.
    #[error("{file} declares {bytes} bytes of pixels: at most {MAX_PIXEL_BYTES} are allowed")]
    TooManyPixels {
        /// The file.
        file: IdxFile,
        /// Bytes declared.
        bytes: u64,
    },
    /// The file is cut off.
    #[error("{file} is cut off: its header declares {expected} bytes in all, got {actual}; upload the whole file")]
    Truncated {
        /// The file.
        file: IdxFile,
        /// Bytes of header and content.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// The file goes on after its end.
    #[error(
        "{file} goes on after the {expected} bytes in all that its header declares: the header or the file is wrong"
    )]
    TrailingBytes {
        /// The file.
        file: IdxFile,
        /// Bytes of header and content.
        expected: u64,
    },
    /// The compression is broken or cut off.
    #[error("{file} cannot be decompressed after byte {offset} ({source}); upload it again, whole and unchanged")]
    Gzip {
        /// The file.
        file: IdxFile,
        /// Bytes decompressed before.
        offset: u64,
        /// What the decompressor says.
        source: std::io::Error,
    },
    /// A label that belongs to no class.
    #[error(
        "{file} has label {label} at index {index}: the classes are {first} to {last}; check the class names and the first label"
    )]
    Label {
        /// The file.
        file: IdxFile,
        /// Index of the label.
        index: usize,
        /// The label.
        label: u8,
        /// Label of the first class.
        first: usize,
        /// Label of the last class.
        last: usize,
    },
}
