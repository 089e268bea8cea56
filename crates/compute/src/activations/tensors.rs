//! Activations in a safetensors file.
//!
//! `save_file` sorts what it writes, so the order of the numbers in the file can differ from the order of execution. A
//! file may therefore state the order: the entry `layers` of its metadata is a JSON list with the name of every array.
//! Without it the order of the numbers counts.

use std::ops::Range;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata};

use super::array::Array;
use super::check_arrays::ArrayChecker;
use super::limits::MAX_LAYERS;
use super::numbers::{ArrayLayout, NumberFormat, NumberKind, Order};
use crate::error::{ActivationError, ActivationRule};
use crate::weights::check_header;

/// The entry of the metadata that states the order.
const ORDER_KEY: &str = "layers";

/// A safetensors file whose header has been read.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    /// The bytes after the header.
    data: &'a [u8],
    /// Where the numbers of each array are stored.
    ranges: Vec<Range<usize>>,
}

impl Tensors<'_> {
    /// The numbers of one array.
    ///
    /// # Errors
    /// None for a file that was opened without errors, because the sizes of all arrays were compared.
    pub(super) fn read(&self, index: usize, layout: &ArrayLayout) -> Result<Vec<f32>, String> {
        let range = self.ranges.get(index).cloned();
        let mut bytes = range.and_then(|range| self.data.get(range)).unwrap_or_default();
        layout.read(&mut bytes).map_err(|error| error.to_string())
    }
}

/// The last parts of names that PyTorch and others give to weights.
const WEIGHT_NAMES: [&str; 6] = [
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "kernel",
];

/// Reads the header, which describes all arrays.
pub(super) fn open<'a>(bytes: &'a [u8], checker: &mut ArrayChecker) -> Option<(Tensors<'a>, Vec<Array>)> {
    let metadata =
        check_header(bytes).and_then(|()| SafeTensors::read_metadata(bytes).map_err(|error| error.to_string()));
    let (header_bytes, metadata) = match metadata {
        Ok(read) => read,
        Err(actual) => {
            checker.errors.push(ActivationError::unreadable_file(actual));
            return None;
        }
    };
    let names = in_order(&metadata, checker);
    if holds_weights(&metadata, &names, checker) {
        // What is wrong with each of them as an activation would only hide what the file is.
        checker.errors.clear();
        checker.report_weights();
        return None;
    }
    checker.check_count(names.len());
    let mut ranges = Vec::new();
    let mut arrays = Vec::new();
    for name in names.into_iter().take(MAX_LAYERS) {
        let Some(info) = metadata.info(&name) else {
            continue;
        };
        checker.check_name(&name);
        checker.check_shape(&name, &info.shape);
        let Some(kind) = number_kind(info.dtype) else {
            checker.report_dtype(&name, &info.dtype.to_string());
            continue;
        };
        let layout = ArrayLayout {
            number: NumberFormat::little(kind),
            order: Order::RowMajor,
            shape: info.shape.clone(),
        };
        if checker.check_size(&name, &layout).is_some() {
            arrays.push(Array::new(&name, layout, ranges.len()));
            ranges.push(info.data_offsets.0..info.data_offsets.1);
        }
    }
    let data = bytes.get(8 + header_bytes..).unwrap_or_default();
    Some((Tensors { data, ranges }, arrays))
}

/// Whether a file seems to hold weights: most of its tensors are named like weights, and one of them does not have the
/// probe images as its first dimension.
fn holds_weights(metadata: &Metadata, names: &[String], checker: &ArrayChecker) -> bool {
    let is_weight = |name: &&String| {
        let last = name.rsplit(['.', '/']).next().unwrap_or(name);
        WEIGHT_NAMES.contains(&last)
    };
    let lacks_probes = |name: &String| metadata.info(name).is_some_and(|info| !checker.has_probes(&info.shape));
    2 * names.iter().filter(is_weight).count() > names.len() && names.iter().any(lacks_probes)
}

/// The names of all arrays, in the order that the file states, else in the order of their numbers.
fn in_order(metadata: &Metadata, checker: &mut ArrayChecker) -> Vec<String> {
    let mut names = metadata.offset_keys();
    // Arrays without numbers share an offset.
    names.sort_by_cached_key(|name| (metadata.info(name).map(|info| info.data_offsets), name.clone()));
    let stated = metadata.metadata().as_ref().and_then(|entries| entries.get(ORDER_KEY));
    let Some(stated) = stated else {
        return names;
    };
    let stated: Vec<String> = serde_json::from_str(stated).unwrap_or_default();
    if sorted(&stated) == sorted(&names) {
        return stated;
    }
    checker.errors.push(ActivationError {
        array: None,
        rule: ActivationRule::Order,
        expected: format!("a JSON list of the {} arrays", names.len()),
        actual: format!("{} names that do not match the arrays", stated.len()),
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
