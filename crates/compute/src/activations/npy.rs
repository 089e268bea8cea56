//! The header of a `.npy` file, versions 1 to 3, which numpy writes before the numbers of an array.
//!
//! It consists of the six bytes `\x93NUMPY`, two bytes of a version, the length of the text that follows (two bytes in
//! version 1, else four), and the text: a Python dictionary with `descr`, `fortran_order` and `shape`, padded with
//! spaces.

use std::io::{self, Read};

use super::numbers::{ArrayLayout, NumberFormat, NumberKind, Order};

mod dictionary;

use dictionary::Dictionary;

/// What every `.npy` file begins with.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The maximum length of the header text, in bytes. It is also numpy's default.
const MAX_HEADER_BYTES: u32 = 10_000;

/// The contents of a header, and its length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of the numbers, or the name of a type that is not supported.
    pub(super) number: Result<NumberFormat, String>,
    pub(super) order: Order,
    pub(super) shape: Vec<usize>,
    /// Bytes before the first number.
    pub(super) length: u64,
}

impl Header {
    /// The layout, if the type of the numbers is supported; else the name of the type.
    pub(super) fn layout(self) -> Result<ArrayLayout, String> {
        Ok(ArrayLayout {
            number: self.number?,
            order: self.order,
            shape: self.shape,
        })
    }
}

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("it does not start like a .npy file")]
    NotNpy,
    #[error("it has version {0}.{1} of the .npy format; the supported versions are 1.0, 2.0 and 3.0")]
    Version(u8, u8),
    #[error("it claims a header of {0} bytes; the limit is {MAX_HEADER_BYTES}")]
    TooLong(u32),
    #[error("its header {0}")]
    Text(#[from] dictionary::TextError),
    #[error("it ends within its header")]
    Truncated,
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for HeaderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// Reads a header and leaves the reader at the first number.
///
/// # Errors
/// Anything except a well-formed header of a known version. An unsupported type is not an error here, so that the shape
/// can be checked too.
pub(super) fn read_header(reader: &mut impl Read) -> Result<Header, HeaderError> {
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(HeaderError::NotNpy);
    }
    let mut version = [0; 2];
    reader.read_exact(&mut version)?;
    let (preamble, length) = match version.into() {
        (1, 0) => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            (10, u32::from(u16::from_le_bytes(length)))
        }
        (2 | 3, 0) => {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            (12, u32::from_le_bytes(length))
        }
        (major, minor) => return Err(HeaderError::Version(major, minor)),
    };
    if length > MAX_HEADER_BYTES {
        return Err(HeaderError::TooLong(length));
    }
    let mut text = vec![0; length as usize];
    reader.read_exact(&mut text)?;
    // Only names of fields can contain anything except ASCII, and arrays with fields are not supported.
    let dictionary = Dictionary::parse(&String::from_utf8_lossy(&text))?;
    Ok(Header {
        number: number_format(&dictionary.descr).ok_or(dictionary.descr),
        order: if dictionary.fortran_order {
            Order::ColumnMajor
        } else {
            Order::RowMajor
        },
        shape: dictionary.shape,
        length: preamble + u64::from(length),
    })
}

/// The type for numpy's short form, such as `<f4`.
fn number_format(descr: &str) -> Option<NumberFormat> {
    let kind = match descr.get(1..)? {
        "f2" => NumberKind::F16,
        "f4" => NumberKind::F32,
        "f8" => NumberKind::F64,
        "i1" => NumberKind::I8,
        "i2" => NumberKind::I16,
        "i4" => NumberKind::I32,
        "i8" => NumberKind::I64,
        "u1" => NumberKind::U8,
        "u2" => NumberKind::U16,
        "u4" => NumberKind::U32,
        "u8" => NumberKind::U64,
        _ => return None,
    };
    let number = NumberFormat {
        kind,
        big_endian: descr.starts_with('>'),
    };
    let has_valid_order = match descr.as_bytes()[0] {
        b'<' | b'>' => true,
        // No byte order, because there is only one byte.
        b'|' => number.size() == 1,
        _ => false,
    };
    has_valid_order.then_some(number)
}
