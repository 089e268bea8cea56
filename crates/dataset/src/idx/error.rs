//! Errors of IDX files.

use std::fmt;

use scv_domain::dataset::{MAX_IMAGE_SIDE, MAX_IMAGES_PER_SPLIT, MAX_PIXEL_BYTES, Split};

/// Classes that an error names.
const NAMED_CLASSES: usize = 5;

/// The offset of the first label in a file of labels.
const LABELS_START: usize = 8;

/// One of the four files of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdxFile {
    /// The split it belongs to.
    pub split: Split,
    /// Whether it contains images or labels.
    pub content: IdxContent,
}

/// The content of an IDX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdxContent {
    /// Pixels.
    Images,
    /// Class labels.
    Labels,
}

impl IdxFile {
    /// The file of images of a split.
    pub fn images(split: Split) -> Self {
        Self {
            split,
            content: IdxContent::Images,
        }
    }

    /// The file of labels of a split.
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

/// Why an IDX file was rejected. Offsets and lengths refer to the decompressed file.
#[derive(Debug, thiserror::Error)]
pub enum IdxError {
    /// The file ends inside its header.
    #[error("{file} ends inside its header: {expected} bytes expected, got {actual}; upload the whole file")]
    ShortHeader {
        /// The file.
        file: IdxFile,
        /// Size of the header in bytes.
        expected: u64,
        /// Size of the file in bytes.
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
    /// The elements are not unsigned bytes.
    #[error("{file} has numbers of type 0x{found:02x} at byte 2: only 0x08, unsigned bytes, is supported")]
    NumberType {
        /// The file.
        file: IdxFile,
        /// The element type.
        found: u8,
    },
    /// The number of dimensions is wrong, which usually means that images and labels are swapped.
    #[error("{file} has {found} dimensions at byte 3, not {expected}: are the files of images and labels swapped?")]
    Dimensions {
        /// The file.
        file: IdxFile,
        /// A description of the allowed numbers.
        expected: &'static str,
        /// Number of dimensions.
        found: u8,
    },
    /// There are no entries or too many.
    #[error("{file} declares {count} entries at byte 4: 1 to {MAX_IMAGES_PER_SPLIT} are allowed")]
    Count {
        /// The file.
        file: IdxFile,
        /// Number of entries declared.
        count: u32,
    },
    /// The shape of the images is not supported.
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
    /// There are more pixels than a data set may have.
    #[error(
        "{file} declares {bytes} bytes of pixels in its dimensions at byte 4: at most {MAX_PIXEL_BYTES} are allowed"
    )]
    TooManyPixels {
        /// The file.
        file: IdxFile,
        /// Bytes declared.
        bytes: u64,
    },
    /// The file is truncated.
    #[error("{file} is truncated: its header declares {expected} bytes, got {actual}; upload the whole file")]
    Truncated {
        /// The file.
        file: IdxFile,
        /// Declared size of the file in bytes, including the header.
        expected: u64,
        /// Actual size of the file in bytes.
        actual: u64,
    },
    /// The file continues after its declared end.
    #[error("{file} continues after the {expected} bytes that its header declares: the header or the file is wrong")]
    TrailingBytes {
        /// The file.
        file: IdxFile,
        /// Declared size of the file in bytes, including the header.
        expected: u64,
    },
    /// The compressed data is corrupt or truncated.
    #[error("{file} cannot be decompressed after byte {offset} ({cause}); upload it again, whole and unchanged")]
    Gzip {
        /// The file.
        file: IdxFile,
        /// Number of bytes decompressed before the error.
        offset: u64,
        /// Error of the decompressor, which the message contains.
        cause: std::io::Error,
    },
    /// A label is not the label of a class.
    #[error(
        "{file} has label {label} at index {index} (byte {}), which is out of range ({first}–{last}); check the class names and the first label",
        .index + LABELS_START
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
    /// No image has the first label.
    #[error(
        "the labels begin at {lowest}, and the first label is {first_label}: set `firstLabel` to {lowest}, or allow classes \
         without train images (`allowEmptyClasses`)"
    )]
    FirstLabel {
        /// The lowest label of both splits.
        lowest: u16,
        /// Label of the first class.
        first_label: u16,
    },
    /// Classes have no train images.
    #[error(
        "no train image is of {}: check the labels and `classNames`, or allow that (`allowEmptyClasses`)",
        named(.classes)
    )]
    EmptyClasses {
        /// The names of the classes.
        classes: Vec<String>,
    },
}

/// The first of some classes, with the number of others.
fn named(classes: &[String]) -> String {
    let names: Vec<String> = classes
        .iter()
        .take(NAMED_CLASSES)
        .map(|name| format!("{name:?}"))
        .collect();
    let word = if classes.len() == 1 { "class" } else { "classes" };
    let more = match classes.len().saturating_sub(NAMED_CLASSES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{word} {}{more}", names.join(", "))
}
