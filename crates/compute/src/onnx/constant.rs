//! Constant tensors of a file, decoded once.

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use super::limit;
use super::proto::{DataType, TensorProto};

/// Most numbers of a tensor, so that products of two shapes can be computed.
const MAX_NUMBERS: u64 = 1 << 30;

/// The tensor in the types that SCV computes with: every floating-point type becomes f32, every other one i64, and
/// truths bytes of 1 and 0.
///
/// # Errors
/// In words: a type that is not known, or numbers that do not fill the shape.
pub fn tensor(proto: &TensorProto) -> Result<Tensor, String> {
    let dims: Vec<usize> = proto
        .dims
        .iter()
        .map(|&dim| usize::try_from(dim))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("tensor {:?} has a negative dimension", proto.name))?;
    let room = limit::length(&dims).filter(|&room| dims.len() <= limit::MAX_RANK && room <= MAX_NUMBERS);
    let wanted = room.map(|_| dims.iter().product::<usize>());
    let wrong = |found: usize| {
        format!(
            "tensor {:?} of shape {dims:?} holds {found} numbers: the file is damaged or incomplete",
            proto.name
        )
    };
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    let numbers = numbers(proto, kind)?;
    if wanted != Some(numbers.len()) {
        return Err(wrong(numbers.len()));
    }
    let made = match numbers {
        Numbers::Floats(values) => Tensor::from_vec(values, dims, &Device::Cpu),
        Numbers::Integers(values) => Tensor::from_vec(values, dims, &Device::Cpu),
        Numbers::Truths(values) => Tensor::from_vec(values, dims, &Device::Cpu),
    };
    made.map_err(|error| format!("tensor {:?}: {error}", proto.name))
}

/// A tensor that is part of a network. Infinity is a constant like others, of masks for instance, but nothing is
/// computed with NaN.
///
/// # Errors
/// As [`tensor`], or some of its numbers are NaN.
pub(super) fn weights(proto: &TensorProto) -> Result<Tensor, String> {
    let tensor = tensor(proto)?;
    if tensor.dtype().is_float() {
        let numbers = floats(&tensor).map_err(|error| error.to_string())?;
        let count = numbers.iter().filter(|number| number.is_nan()).count();
        if count > 0 {
            return Err(format!(
                "tensor {:?} holds {count} numbers that are NaN: export a checkpoint from before the training diverged",
                proto.name
            ));
        }
    }
    Ok(tensor)
}

enum Numbers {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
    Truths(Vec<u8>),
}

impl Numbers {
    fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Truths(values) => values.len(),
        }
    }
}

fn numbers(proto: &TensorProto, kind: DataType) -> Result<Numbers, String> {
    let raw = proto.raw_data.as_slice();
    let has_raw = !raw.is_empty();
    let ints = || proto.int32_data.iter().map(|&value| i64::from(value));
    Ok(match kind {
        DataType::Float if has_raw => Numbers::Floats(read(raw, |bytes| f32::from_le_bytes(*bytes))),
        DataType::Float => Numbers::Floats(proto.float_data.clone()),
        DataType::Double if has_raw => Numbers::Floats(read(raw, |bytes| f64::from_le_bytes(*bytes) as f32)),
        DataType::Double => Numbers::Floats(proto.double_data.iter().map(|&value| value as f32).collect()),
        DataType::Float16 if has_raw => Numbers::Floats(read(raw, |bytes| f16::from_le_bytes(*bytes).to_f32())),
        DataType::Float16 => Numbers::Floats(ints().map(|bits| f16::from_bits(bits as u16).to_f32()).collect()),
        DataType::Bfloat16 if has_raw => Numbers::Floats(read(raw, |bytes| bf16::from_le_bytes(*bytes).to_f32())),
        DataType::Bfloat16 => Numbers::Floats(ints().map(|bits| bf16::from_bits(bits as u16).to_f32()).collect()),
        DataType::Int64 if has_raw => Numbers::Integers(read(raw, |bytes| i64::from_le_bytes(*bytes))),
        DataType::Int64 => Numbers::Integers(proto.int64_data.clone()),
        DataType::Int32 if has_raw => Numbers::Integers(read(raw, |bytes| i64::from(i32::from_le_bytes(*bytes)))),
        DataType::Int16 if has_raw => Numbers::Integers(read(raw, |bytes| i64::from(i16::from_le_bytes(*bytes)))),
        DataType::Uint16 if has_raw => Numbers::Integers(read(raw, |bytes| i64::from(u16::from_le_bytes(*bytes)))),
        DataType::Uint32 if has_raw => Numbers::Integers(read(raw, |bytes| i64::from(u32::from_le_bytes(*bytes)))),
        DataType::Int8 if has_raw => Numbers::Integers(raw.iter().map(|&byte| i64::from(byte as i8)).collect()),
        DataType::Uint8 if has_raw => Numbers::Integers(raw.iter().map(|&byte| i64::from(byte)).collect()),
        DataType::Int32 | DataType::Int16 | DataType::Int8 | DataType::Uint16 | DataType::Uint8 => {
            Numbers::Integers(ints().collect())
        }
        DataType::Uint64 if has_raw => Numbers::Integers(read(raw, |bytes| u64::from_le_bytes(*bytes) as i64)),
        DataType::Uint32 | DataType::Uint64 => {
            Numbers::Integers(proto.uint64_data.iter().map(|&value| value as i64).collect())
        }
        DataType::Bool if has_raw => Numbers::Truths(raw.iter().map(|&byte| u8::from(byte != 0)).collect()),
        DataType::Bool => Numbers::Truths(proto.int32_data.iter().map(|&value| u8::from(value != 0)).collect()),
        other => {
            return Err(format!(
                "tensor {:?} has numbers of type {other:?}, which SCV does not compute with",
                proto.name
            ));
        }
    })
}

fn read<const N: usize, T>(raw: &[u8], number: impl Fn(&[u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(number).collect()
}

/// Numbers of a constant that says where something is or how large.
///
/// # Errors
/// If they cannot be read.
pub(super) fn integers(tensor: &Tensor) -> candle_core::Result<Vec<i64>> {
    tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()
}

/// Numbers of a constant.
///
/// # Errors
/// If they cannot be read.
pub(super) fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// A constant of one number and no dimensions.
///
/// # Errors
/// If there is no memory for it.
pub(super) fn scalar(number: f32) -> candle_core::Result<Tensor> {
    Tensor::new(number, &Device::Cpu)
}

/// A list of whole numbers.
///
/// # Errors
/// If there is no memory for it.
pub(super) fn list(numbers: Vec<i64>) -> candle_core::Result<Tensor> {
    let count = numbers.len();
    Tensor::from_vec(numbers, count, &Device::Cpu)
}
