//! The element types of PyTorch's tensors.

use std::fmt;

use safetensors::tensor::Dtype;

/// The type of one element of a tensor. Each has a row in `TYPES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of PyTorch's dtypes")]
pub enum ElementType {
    Float8,
    Float16,
    Bfloat16,
    Float32,
    Float64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Bool,
    Complex32,
    Complex64,
    Complex128,
}

/// The type, PyTorch's names of its dtype and of its storage class (newer types have none), and the size of one element
/// in bytes.
const TYPES: [(ElementType, &str, &str, usize); 20] = [
    (ElementType::Float8, "float8_e4m3fn", "", 1),
    (ElementType::Float8, "float8_e5m2", "", 1),
    (ElementType::Float8, "float8_e4m3fnuz", "", 1),
    (ElementType::Float8, "float8_e5m2fnuz", "", 1),
    (ElementType::Float16, "float16", "HalfStorage", 2),
    (ElementType::Bfloat16, "bfloat16", "BFloat16Storage", 2),
    (ElementType::Float32, "float32", "FloatStorage", 4),
    (ElementType::Float64, "float64", "DoubleStorage", 8),
    (ElementType::Uint8, "uint8", "ByteStorage", 1),
    (ElementType::Uint16, "uint16", "", 2),
    (ElementType::Uint32, "uint32", "", 4),
    (ElementType::Uint64, "uint64", "", 8),
    (ElementType::Int8, "int8", "CharStorage", 1),
    (ElementType::Int16, "int16", "ShortStorage", 2),
    (ElementType::Int32, "int32", "IntStorage", 4),
    (ElementType::Int64, "int64", "LongStorage", 8),
    (ElementType::Bool, "bool", "BoolStorage", 1),
    (ElementType::Complex32, "complex32", "", 4),
    (ElementType::Complex64, "complex64", "ComplexFloatStorage", 8),
    (ElementType::Complex128, "complex128", "ComplexDoubleStorage", 16),
];

impl ElementType {
    /// The type of a storage class, such as `FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<ElementType> {
        let row = TYPES.iter().find(|row| row.2 == class && !class.is_empty());
        row.map(|row| row.0)
    }

    /// The type with PyTorch's name, such as `float32`.
    pub(super) fn of_dtype(name: &str) -> Option<ElementType> {
        TYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The type with the name that safetensors gives it; `None` for those that hold several numbers in a byte.
    pub(crate) fn of_safetensors(dtype: Dtype) -> Option<ElementType> {
        Some(match dtype {
            Dtype::F8_E5M2 | Dtype::F8_E4M3 | Dtype::F8_E5M2FNUZ | Dtype::F8_E4M3FNUZ => Self::Float8,
            Dtype::F16 => Self::Float16,
            Dtype::BF16 => Self::Bfloat16,
            Dtype::F32 => Self::Float32,
            Dtype::F64 => Self::Float64,
            Dtype::U8 => Self::Uint8,
            Dtype::U16 => Self::Uint16,
            Dtype::U32 => Self::Uint32,
            Dtype::U64 => Self::Uint64,
            Dtype::I8 => Self::Int8,
            Dtype::I16 => Self::Int16,
            Dtype::I32 => Self::Int32,
            Dtype::I64 => Self::Int64,
            Dtype::BOOL => Self::Bool,
            Dtype::C64 => Self::Complex64,
            _ => return None,
        })
    }

    /// The size of one element in bytes.
    pub fn size(self) -> usize {
        self.row().map_or(1, |row| row.3)
    }

    /// Whether an element is one floating point number that SCV can compute with.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Bfloat16 | Self::Float32 | Self::Float64)
    }

    /// An element as f32, from its bytes in little-endian order. `None` if it is not a floating point number, or if
    /// there are too few bytes.
    pub(crate) fn number(self, bytes: &[u8]) -> Option<f32> {
        Some(match self {
            Self::Float16 => half::f16::from_le_bytes(*bytes.first_chunk()?).to_f32(),
            Self::Bfloat16 => half::bf16::from_le_bytes(*bytes.first_chunk()?).to_f32(),
            Self::Float32 => f32::from_le_bytes(*bytes.first_chunk()?),
            Self::Float64 => f64::from_le_bytes(*bytes.first_chunk()?) as f32,
            _ => return None,
        })
    }

    fn row(self) -> Option<&'static (ElementType, &'static str, &'static str, usize)> {
        TYPES.iter().find(|row| row.0 == self)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.row().map_or("", |row| row.1))
    }
}
