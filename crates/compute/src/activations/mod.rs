//! Layers that another program has run: one array a layer, its first dimension the probe images.
//!
//! Two formats are read, `.npz` and safetensors; `docs/activations.md` says what may be in them.
//! A file is opened first: all headers are read and every fault is listed. Numbers are then read an
//! array at a time, each into single precision and let go once its Gram is made, so that beside the
//! file itself never more than the largest layer is in memory. A list of all arrays would be simpler
//! and several times the size of the file, since half precision doubles and deflated bytes grow more.

mod error;
mod judge;
mod measure;
mod npy;
mod npz;
mod numbers;
mod tensors;
#[cfg(test)]
pub(super) mod tests;

pub use error::{ActivationError, ActivationRule};
pub use measure::{ActivationTask, MeasuredLayer, measure};

use judge::Judge;
use numbers::Layout;

/// Most layers of one file.
pub const MAX_LAYERS: usize = 2_000;

/// Most characters of the name of a layer.
pub const MAX_NAME_LENGTH: usize = 256;

/// Most bytes that all arrays of a file may take when they are unpacked: 64 GiB.
pub const MAX_UNPACKED_BYTES: u64 = 64 << 30;

/// What a file of activations is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationLimits {
    /// Images of the probe set.
    pub probes: usize,
    /// Most bytes that one layer may take in single precision.
    pub layer_bytes: u64,
}

/// A layer that a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivationLayer {
    /// Its name, which no other layer of the file has.
    pub name: String,
    /// The shape of its response to one image; empty for a single number.
    pub shape: Vec<usize>,
}

/// A file of activations without a fault in its headers. Layers are in the order of the file.
#[derive(Debug)]
pub struct ActivationFile<'a> {
    source: Source<'a>,
    arrays: Vec<Array>,
}

/// Where the numbers are.
#[derive(Debug)]
enum Source<'a> {
    Npz(npz::Archive<'a>),
    Tensors(tensors::Tensors<'a>),
}

/// An array whose numbers can be read.
#[derive(Debug)]
struct Array {
    layer: ActivationLayer,
    layout: Layout,
    /// Its number in the source.
    index: usize,
}

impl Array {
    fn new(name: &str, layout: Layout, index: usize) -> Self {
        let layer = ActivationLayer {
            name: name.to_owned(),
            shape: layout.shape.iter().skip(1).copied().collect(),
        };
        Self { layer, layout, index }
    }
}

impl<'a> ActivationFile<'a> {
    /// Reads all headers. Which format it is, the first bytes tell.
    ///
    /// # Errors
    /// Every fault of the headers.
    pub fn open(bytes: &'a [u8], limits: ActivationLimits) -> Result<Self, Vec<ActivationError>> {
        let mut judge = Judge::new(limits);
        let opened = if npz::MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
            npz::open(bytes, &mut judge)
        } else if bytes.starts_with(npy::MAGIC) {
            let actual = "it is a single .npy file, which has no name for its layer".to_owned();
            judge.errors.push(ActivationError::unreadable_file(actual));
            None
        } else {
            tensors::open(bytes, &mut judge)
        };
        match opened {
            Some((source, arrays)) if judge.errors.is_empty() => Ok(Self { source, arrays }),
            _ => Err(judge.errors),
        }
    }

    /// How many layers it holds.
    pub fn layer_count(&self) -> usize {
        self.arrays.len()
    }

    /// The layers one after the other, each with its numbers in single precision, image by image.
    ///
    /// A number beyond single precision becomes infinite. The error of a layer is damage that does
    /// not show before its numbers are read.
    pub fn layers(&self) -> impl Iterator<Item = (&ActivationLayer, Result<Vec<f32>, ActivationError>)> {
        self.arrays.iter().map(|array| {
            let numbers = match &self.source {
                Source::Npz(archive) => npz::read(archive, array.index, &array.layout),
                Source::Tensors(tensors) => tensors.read(array.index, &array.layout),
            };
            let numbers = numbers.map_err(|actual| ActivationError::unreadable_array(&array.layer.name, actual));
            (&array.layer, numbers)
        })
    }

    /// Reads all numbers and keeps none.
    ///
    /// # Errors
    /// Every array whose numbers are damaged.
    pub fn verify(&self) -> Result<(), Vec<ActivationError>> {
        let Source::Npz(archive) = &self.source else {
            // Nothing but the header of a safetensors file can be wrong.
            return Ok(());
        };
        let damage = |array: &Array| {
            let actual = npz::verify(archive, array.index, &array.layout).err()?;
            Some(ActivationError::unreadable_array(&array.layer.name, actual))
        };
        let errors: Vec<_> = self.arrays.iter().filter_map(damage).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// Checks a whole file, headers and numbers, in little memory, and says which layers it holds.
///
/// # Errors
/// Every fault. Damage to the numbers is looked for once the headers have no fault.
pub fn check(bytes: &[u8], limits: ActivationLimits) -> Result<Vec<ActivationLayer>, Vec<ActivationError>> {
    let file = ActivationFile::open(bytes, limits)?;
    file.verify()?;
    Ok(file.arrays.into_iter().map(|array| array.layer).collect())
}
