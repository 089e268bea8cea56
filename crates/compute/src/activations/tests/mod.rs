#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Cursor, Write};

use safetensors::tensor::{Dtype, TensorView};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::check_arrays::ArrayChecker;
use super::numbers::ArrayLayout;
use super::*;
use crate::error::{ActivationError, ActivationRule};

mod bombs;
mod errors;
mod golden;
pub(crate) mod measured;
mod random;

const GOLDEN_PROBES: usize = 4;

/// A file made by `scripts/golden_activations.py`.
fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/activations");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

fn limits(probes: usize) -> ActivationLimits {
    ActivationLimits {
        probes,
        layer_bytes: 1 << 20,
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A `.npy` file of single precision numbers; `shape` is written as in Python.
fn npy(shape: &str, numbers: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), numbers].concat()
}

fn npz(method: CompressionMethod, entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(format!("{name}.npy"), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn safetensors(entries: &[(String, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
    let views = entries
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// Name, shape and numbers of every layer.
fn read(bytes: &[u8], probes: usize) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let file = ActivationFile::open(bytes, limits(probes)).unwrap();
    file.verify().unwrap();
    file.layers()
        .map(|(layer, numbers)| (layer.name.clone(), layer.shape.clone(), numbers.unwrap()))
        .collect()
}
