//! Converts the numbers of a file into single precision.

use std::io::{self, Read};

/// How many bytes are read at a time; a multiple of the size of every number type.
const BUFFER_BYTES: usize = 64 * 1024;

/// The supported kinds of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

/// How one number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberFormat {
    pub(super) kind: NumberKind,
    pub(super) big_endian: bool,
}

impl NumberFormat {
    pub(super) fn little(kind: NumberKind) -> Self {
        Self {
            kind,
            big_endian: false,
        }
    }

    /// The size of one number in bytes.
    pub(super) fn size(self) -> usize {
        match self.kind {
            NumberKind::I8 | NumberKind::U8 => 1,
            NumberKind::F16 | NumberKind::Bf16 | NumberKind::I16 | NumberKind::U16 => 2,
            NumberKind::F32 | NumberKind::I32 | NumberKind::U32 => 4,
            NumberKind::F64 | NumberKind::I64 | NumberKind::U64 => 8,
        }
    }

    /// Numbers that single precision cannot represent are rounded; those that are too large become infinite.
    fn decode(self, bytes: &[u8], numbers: &mut [f32]) {
        match self.kind {
            NumberKind::F16 => self.each(bytes, numbers, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
            NumberKind::Bf16 => self.each(bytes, numbers, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
            NumberKind::F32 => self.each(bytes, numbers, f32::from_le_bytes),
            NumberKind::F64 => self.each(bytes, numbers, |bytes| f64::from_le_bytes(bytes) as f32),
            NumberKind::I8 => self.each(bytes, numbers, |bytes| f32::from(i8::from_le_bytes(bytes))),
            NumberKind::I16 => self.each(bytes, numbers, |bytes| f32::from(i16::from_le_bytes(bytes))),
            NumberKind::I32 => self.each(bytes, numbers, |bytes| i32::from_le_bytes(bytes) as f32),
            NumberKind::I64 => self.each(bytes, numbers, |bytes| i64::from_le_bytes(bytes) as f32),
            NumberKind::U8 => self.each(bytes, numbers, |bytes| f32::from(u8::from_le_bytes(bytes))),
            NumberKind::U16 => self.each(bytes, numbers, |bytes| f32::from(u16::from_le_bytes(bytes))),
            NumberKind::U32 => self.each(bytes, numbers, |bytes| u32::from_le_bytes(bytes) as f32),
            NumberKind::U64 => self.each(bytes, numbers, |bytes| u64::from_le_bytes(bytes) as f32),
        }
    }

    fn each<const N: usize>(self, bytes: &[u8], numbers: &mut [f32], from_little: impl Fn([u8; N]) -> f32) {
        for (bytes, number) in bytes.as_chunks::<N>().0.iter().zip(numbers) {
            let mut bytes = *bytes;
            if self.big_endian {
                bytes.reverse();
            }
            *number = from_little(bytes);
        }
    }
}

/// Which index varies fastest in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The last, as in C.
    RowMajor,
    /// The first, as in Fortran.
    ColumnMajor,
}

/// What a file says about an array before its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ArrayLayout {
    pub(super) number: NumberFormat,
    pub(super) order: Order,
    pub(super) shape: Vec<usize>,
}

impl ArrayLayout {
    /// The number of elements, or `None` if it does not fit into a `usize`.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |count, &length| count.checked_mul(length))
    }

    /// The size of the numbers in the file, in bytes.
    pub(super) fn bytes(&self) -> Option<u64> {
        let count = self.count()? as u64;
        count.checked_mul(self.number.size() as u64)
    }

    /// Reads all numbers into row-major order. The caller has checked that they fit into memory.
    ///
    /// # Errors
    /// If the reader fails, or ends too early.
    pub(super) fn read(&self, reader: &mut impl Read) -> io::Result<Vec<f32>> {
        let count = self.count().ok_or(io::ErrorKind::InvalidData)?;
        let mut numbers = vec![0.0; count];
        let mut positions = ColumnMajor::new(&self.shape);
        let size = self.number.size();
        let mut bytes = vec![0; BUFFER_BYTES];
        let mut decoded = vec![0.0; BUFFER_BYTES / size];
        let mut done = 0;
        while done < count {
            let length = decoded.len().min(count - done);
            let read = &mut bytes[..length * size];
            reader.read_exact(read)?;
            match self.order {
                Order::RowMajor => self.number.decode(read, &mut numbers[done..done + length]),
                Order::ColumnMajor => {
                    self.number.decode(read, &mut decoded[..length]);
                    for &number in &decoded[..length] {
                        numbers[positions.next_position()] = number;
                    }
                }
            }
            done += length;
        }
        Ok(numbers)
    }
}

/// Walks through an array in column-major order and returns the position of each number in row-major order.
struct ColumnMajor<'a> {
    shape: &'a [usize],
    strides: Vec<usize>,
    index: Vec<usize>,
    position: usize,
}

impl<'a> ColumnMajor<'a> {
    fn new(shape: &'a [usize]) -> Self {
        let mut strides = vec![1_usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            // Only an array without numbers can overflow, and such an array is never walked through.
            strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
        }
        Self {
            shape,
            strides,
            index: vec![0; shape.len()],
            position: 0,
        }
    }

    fn next_position(&mut self) -> usize {
        let position = self.position;
        for ((index, &length), &stride) in self.index.iter_mut().zip(self.shape).zip(&self.strides) {
            *index += 1;
            self.position += stride;
            if *index < length {
                break;
            }
            self.position -= stride * length;
            *index = 0;
        }
        position
    }
}
