//! Decodes the constant tensors of a file.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::limit;
use super::proto::{DataType, TensorProto};

/// The maximum number of elements of a tensor, so that the product of two sizes does not overflow.
const MAX_NUMBERS: u64 = 1 << 30;

/// Decodes a tensor into the types that SCV computes with: floating-point types become f32, integers i64, and booleans
/// bytes of 1 and 0.
///
/// # Errors
/// An unsupported type, or a number of elements that does not match the shape.
pub fn tensor(proto: &TensorProto) -> Result<Tensor, String> {
    let dims: Vec<usize> = proto
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("tensor {:?} has a negative dimension", proto.name))?;
    let length = limit::length(&dims).filter(|&length| dims.len() <= limit::MAX_RANK && length <= MAX_NUMBERS);
    let expected = length.map(|_| dims.iter().product::<usize>());
    let mismatch = |found: usize| {
        format!(
            "tensor {:?} of shape {dims:?} holds {found} numbers: the file is damaged or incomplete",
            proto.name
        )
    };
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    let mut elements = elements(proto, kind)?;
    if let (DataType::Uint4 | DataType::Int4, Elements::Integers(values), Some(expected)) =
        (kind, &mut elements, expected)
        && values.len() == expected + 1
    {
        // The second half of the last byte is empty.
        values.truncate(expected);
    }
    if expected != Some(elements.len()) {
        return Err(mismatch(elements.len()));
    }
    let tensor = match elements {
        Elements::Floats(values) => Tensor::from_vec(values, dims, &Device::Cpu),
        Elements::Integers(values) => Tensor::from_vec(values, dims, &Device::Cpu),
        Elements::Bools(values) => Tensor::from_vec(values, dims, &Device::Cpu),
    };
    tensor.map_err(|error| format!("tensor {:?}: {error}", proto.name))
}

/// Bytes of a tensor once it is decoded, if it holds as many numbers as its shape says.
pub(super) fn decoded_bytes(proto: &TensorProto) -> u64 {
    let number = match DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined) {
        DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16 => size_of::<f32>(),
        DataType::Bool => size_of::<u8>(),
        _ => size_of::<i64>(),
    };
    let dims = proto.dims.iter().map(|&dim| u64::try_from(dim).unwrap_or_default());
    dims.fold(number as u64, u64::saturating_mul)
}

/// Decodes a tensor that is part of a network. Infinity is allowed, because masks use it, but NaN is not.
///
/// # Errors
/// As [`tensor`], or if the tensor holds NaN.
pub(super) fn tensor_without_nan(proto: &TensorProto) -> Result<Tensor, String> {
    let tensor = tensor(proto)?;
    if tensor.dtype().is_float() {
        let numbers = floats(&tensor).map_err(|error| error.to_string())?;
        let count = numbers.iter().filter(|number| number.is_nan()).count();
        if count > 0 {
            return Err(format!(
                "tensor {:?} holds {count} NaN values: export a checkpoint from before the training diverged",
                proto.name
            ));
        }
    }
    Ok(tensor)
}

enum Elements {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
    Bools(Vec<u8>),
}

impl Elements {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Bools(values) => values.len(),
        }
    }
}

fn elements(proto: &TensorProto, kind: DataType) -> Result<Elements, String> {
    let raw = proto.raw_data.as_slice();
    let has_raw = !raw.is_empty();
    let ints = || proto.int32_data.iter().map(|&value| i64::from(value));
    Ok(match kind {
        DataType::Float if has_raw => Elements::Floats(read(raw, |bytes| f32::from_le_bytes(*bytes))),
        DataType::Float => Elements::Floats(proto.float_data.clone()),
        DataType::Double if has_raw => Elements::Floats(read(raw, |bytes| f64::from_le_bytes(*bytes) as f32)),
        DataType::Double => Elements::Floats(proto.double_data.iter().map(|&value| value as f32).collect()),
        DataType::Float16 if has_raw => Elements::Floats(read(raw, |bytes| f16::from_le_bytes(*bytes).to_f32())),
        DataType::Float16 => Elements::Floats(ints().map(|bits| f16::from_bits(bits as u16).to_f32()).collect()),
        DataType::Bfloat16 if has_raw => Elements::Floats(read(raw, |bytes| bf16::from_le_bytes(*bytes).to_f32())),
        DataType::Bfloat16 => Elements::Floats(ints().map(|bits| bf16::from_bits(bits as u16).to_f32()).collect()),
        DataType::Int64 if has_raw => Elements::Integers(read(raw, |bytes| i64::from_le_bytes(*bytes))),
        DataType::Int64 => Elements::Integers(proto.int64_data.clone()),
        DataType::Int32 if has_raw => Elements::Integers(read(raw, |bytes| i64::from(i32::from_le_bytes(*bytes)))),
        DataType::Int16 if has_raw => Elements::Integers(read(raw, |bytes| i64::from(i16::from_le_bytes(*bytes)))),
        DataType::Uint16 if has_raw => Elements::Integers(read(raw, |bytes| i64::from(u16::from_le_bytes(*bytes)))),
        DataType::Uint32 if has_raw => Elements::Integers(read(raw, |bytes| i64::from(u32::from_le_bytes(*bytes)))),
        DataType::Int8 if has_raw => Elements::Integers(raw.iter().map(|&byte| i64::from(byte as i8)).collect()),
        DataType::Uint8 if has_raw => Elements::Integers(raw.iter().map(|&byte| i64::from(byte)).collect()),
        DataType::Int32 | DataType::Int16 | DataType::Int8 | DataType::Uint16 | DataType::Uint8 => {
            Elements::Integers(ints().collect())
        }
        DataType::Uint4 | DataType::Int4 => {
            let bytes: Vec<u8> = match has_raw {
                true => raw.to_vec(),
                false => ints().map(|pair| pair as u8).collect(),
            };
            let signed = kind == DataType::Int4;
            Elements::Integers(
                bytes
                    .iter()
                    .flat_map(|&pair| [pair & 15, pair >> 4].map(|half| nibble(half, signed)))
                    .collect(),
            )
        }
        DataType::Uint64 if has_raw => Elements::Integers(read(raw, |bytes| u64::from_le_bytes(*bytes) as i64)),
        DataType::Uint32 | DataType::Uint64 => {
            Elements::Integers(proto.uint64_data.iter().map(|&value| value as i64).collect())
        }
        DataType::Bool if has_raw => Elements::Bools(raw.iter().map(|&byte| u8::from(byte != 0)).collect()),
        DataType::Bool => Elements::Bools(proto.int32_data.iter().map(|&value| u8::from(value != 0)).collect()),
        other => {
            return Err(format!(
                "tensor {:?} has element type {other:?}, which SCV does not support",
                proto.name
            ));
        }
    })
}

/// A number of four bits.
fn nibble(bits: u8, signed: bool) -> i64 {
    let number = i64::from(bits);
    if signed && number > 7 { number - 16 } else { number }
}

fn read<const N: usize, T>(raw: &[u8], number: impl Fn(&[u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(number).collect()
}

/// The numbers of a constant as integers, such as sizes or positions.
///
/// # Errors
/// If they cannot be read.
pub(super) fn integers(tensor: &Tensor) -> candle_core::Result<Vec<i64>> {
    tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()
}

/// The numbers of a constant as floats.
///
/// # Errors
/// If they cannot be read.
pub(super) fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// A constant with a single number and no dimensions.
///
/// # Errors
/// If memory is exhausted.
pub(super) fn scalar(number: f32) -> candle_core::Result<Tensor> {
    Tensor::new(number, &Device::Cpu)
}

/// A one-dimensional constant of integers.
///
/// # Errors
/// If memory is exhausted.
pub(super) fn list(numbers: Vec<i64>) -> candle_core::Result<Tensor> {
    let count = numbers.len();
    Tensor::from_vec(numbers, count, &Device::Cpu)
}
