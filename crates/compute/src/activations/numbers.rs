//! Numbers as files write them, turned into single precision.

use std::io::{self, Read};

/// Bytes that are read at a time; a multiple of the longest number.
const BUFFER_BYTES: usize = 64 * 1024;

/// The kinds of numbers that are understood.
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

/// How one number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberType {
    pub(super) kind: NumberKind,
    pub(super) big_endian: bool,
}

impl NumberType {
    pub(super) fn little(kind: NumberKind) -> Self {
        Self {
            kind,
            big_endian: false,
        }
    }

    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self.kind {
            NumberKind::I8 | NumberKind::U8 => 1,
            NumberKind::F16 | NumberKind::Bf16 | NumberKind::I16 | NumberKind::U16 => 2,
            NumberKind::F32 | NumberKind::I32 | NumberKind::U32 => 4,
            NumberKind::F64 | NumberKind::I64 | NumberKind::U64 => 8,
        }
    }

    /// What single precision cannot hold is rounded, or becomes infinite if it is too large.
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

/// Which index runs fastest in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The last, as in C.
    RowMajor,
    /// The first, as in Fortran.
    ColumnMajor,
}

/// What a file says about an array before its numbers come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) number: NumberType,
    pub(super) order: Order,
    pub(super) shape: Vec<usize>,
}

impl Layout {
    /// How many numbers, or `None` if no memory could hold so many.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1_usize, |count, &length| count.checked_mul(length))
    }

    /// How many bytes they take in the file.
    pub(super) fn bytes(&self) -> Option<u64> {
        let count = self.count()? as u64;
        count.checked_mul(self.number.size() as u64)
    }

    /// Reads all numbers into row-major order. The caller has made sure that so many may be held.
    ///
    /// # Errors
    /// If the reader fails or ends too early.
    pub(super) fn read(&self, reader: &mut impl Read) -> io::Result<Vec<f32>> {
        let count = self.count().ok_or(io::ErrorKind::InvalidData)?;
        let mut numbers = vec![0.0; count];
        let mut places = ColumnMajor::new(&self.shape);
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
                        numbers[places.next_place()] = number;
                    }
                }
            }
            done += length;
        }
        Ok(numbers)
    }
}

/// Walks through an array in column-major order and says where each number stands in row-major order.
struct ColumnMajor<'a> {
    shape: &'a [usize],
    strides: Vec<usize>,
    index: Vec<usize>,
    place: usize,
}

impl<'a> ColumnMajor<'a> {
    fn new(shape: &'a [usize]) -> Self {
        let mut strides = vec![1_usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            // Only an array without numbers could overflow, and it is never walked through.
            strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
        }
        Self {
            shape,
            strides,
            index: vec![0; shape.len()],
            place: 0,
        }
    }

    fn next_place(&mut self) -> usize {
        let place = self.place;
        for ((index, &length), &stride) in self.index.iter_mut().zip(self.shape).zip(&self.strides) {
            *index += 1;
            self.place += stride;
            if *index < length {
                break;
            }
            self.place -= stride * length;
            *index = 0;
        }
        place
    }
}
