//! Activations in a safetensors file.
//!
//! `save_file` sorts what it writes, so the order of the numbers in the file need not be that of
//! execution. A file may therefore say the order itself: the entry `layers` of its metadata is a
//! JSON list with the name of every array. Without it the order of the numbers counts.

use std::ops::Range;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};

use super::error::{ActivationError, ActivationRule};
use super::judge::Judge;
use super::numbers::{Layout, NumberKind, NumberType, Order};
use super::{Array, MAX_LAYERS, Source};
use crate::weights::check_header;

/// The entry of the metadata that says the order.
const ORDER_KEY: &str = "layers";

/// A safetensors file whose header has been read.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    /// What follows the header.
    data: &'a [u8],
    /// Where the numbers of each array stand.
    ranges: Vec<Range<usize>>,
}

impl Tensors<'_> {
    /// The numbers of one array.
    ///
    /// # Errors
    /// None on a file that was opened without faults, since the sizes of all arrays were compared.
    pub(super) fn read(&self, index: usize, layout: &Layout) -> Result<Vec<f32>, String> {
        let range = self.ranges.get(index).cloned();
        let mut bytes = range.and_then(|range| self.data.get(range)).unwrap_or_default();
        layout.read(&mut bytes).map_err(|error| error.to_string())
    }
}

/// Reads the header, which says all about the arrays.
pub(super) fn open<'a>(bytes: &'a [u8], judge: &mut Judge) -> Option<(Source<'a>, Vec<Array>)> {
    let metadata =
        check_header(bytes).and_then(|()| SafeTensors::read_metadata(bytes).map_err(|error| error.to_string()));
    let (header_bytes, metadata) = match metadata {
        Ok(read) => read,
        Err(actual) => {
            judge.errors.push(ActivationError::unreadable_file(actual));
            return None;
        }
    };
    let names = in_order(&metadata, judge);
    judge.count(names.len());
    let mut ranges = Vec::new();
    let mut arrays = Vec::new();
    for name in names.into_iter().take(MAX_LAYERS) {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        judge.name(&name);
        judge.shape(&name, &info.shape);
        let Some(kind) = number_kind(info.dtype) else {
            judge.dtype(&name, &info.dtype.to_string());
            continue;
        };
        let layout = Layout {
            number: NumberType::little(kind),
            order: Order::RowMajor,
            shape: info.shape.clone(),
        };
        if judge.size(&name, &layout).is_some() {
            arrays.push(Array::new(&name, layout, ranges.len()));
            ranges.push(info.data_offsets.0..info.data_offsets.1);
        }
    }
    let data = bytes.get(8 + header_bytes..).unwrap_or_default();
    Some((Source::Tensors(Tensors { data, ranges }), arrays))
}

/// The names of all arrays, in the order that the file says, else in that of their numbers.
fn in_order(metadata: &Metadata, judge: &mut Judge) -> Vec<String> {
    let mut names = metadata.offset_keys();
    // Arrays without numbers share a place.
    names.sort_by_cached_key(|name| (metadata.info(name).map(|info| info.data_offsets), name.clone()));
    let said = metadata.metadata().as_ref().and_then(|entries| entries.get(ORDER_KEY));
    let Some(said) = said else {
        return names;
    };
    let said: Vec<String> = serde_json::from_str(said).unwrap_or_default();
    if sorted(&said) == sorted(&names) {
        return said;
    }
    judge.errors.push(ActivationError {
        array: None,
        rule: ActivationRule::Order,
        expected: format!("a JSON list of the {} arrays", names.len()),
        actual: format!("{} names that are not those of the arrays", said.len()),
        message: format!(
            "The metadata entry {ORDER_KEY:?} must be a JSON list that names every array once; \
             make it with json.dumps(list(arrays)), or leave it out."
        ),
    });
    names
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<_> = names.iter().collect();
    names.sort_unstable();
    names
}

fn number_kind(dtype: Dtype) -> Option<NumberKind> {
    Some(match dtype {
        Dtype::F16 => NumberKind::F16,
        Dtype::BF16 => NumberKind::Bf16,
        Dtype::F32 => NumberKind::F32,
        Dtype::F64 => NumberKind::F64,
        Dtype::I8 => NumberKind::I8,
        Dtype::I16 => NumberKind::I16,
        Dtype::I32 => NumberKind::I32,
        Dtype::I64 => NumberKind::I64,
        Dtype::U8 => NumberKind::U8,
        Dtype::U16 => NumberKind::U16,
        Dtype::U32 => NumberKind::U32,
        Dtype::U64 => NumberKind::U64,
        _ => return None,
    })
}
