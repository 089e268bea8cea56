//! A file of activations of either format.

use super::array::{ActivationLayer, Array};
use super::check_arrays::ArrayChecker;
use super::limits::ActivationLimits;
use super::{npy, npz, tensors};
use crate::error::ActivationError;

/// A file of activations whose headers have no errors. Layers are in the order of the file.
#[derive(Debug)]
pub struct ActivationFile<'a> {
    source: Source<'a>,
    arrays: Vec<Array>,
}

/// Where the numbers are stored.
#[derive(Debug)]
enum Source<'a> {
    Npz(npz::Archive<'a>),
    Tensors(tensors::Tensors<'a>),
}

impl<'a> ActivationFile<'a> {
    /// Reads all headers. The first bytes decide which format the file has.
    ///
    /// # Errors
    /// Every error of the headers.
    pub fn open(bytes: &'a [u8], limits: ActivationLimits) -> Result<Self, Vec<ActivationError>> {
        let mut checker = ArrayChecker::new(limits);
        let opened = if npz::MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
            npz::open(bytes, &mut checker).map(|(archive, arrays)| (Source::Npz(archive), arrays))
        } else if bytes.starts_with(npy::MAGIC) {
            let actual = "it is a single .npy file, which does not name its layer".to_owned();
            checker.errors.push(ActivationError::unreadable_file(actual));
            None
        } else {
            tensors::open(bytes, &mut checker).map(|(tensors, arrays)| (Source::Tensors(tensors), arrays))
        };
        match opened {
            Some((source, arrays)) if checker.errors.is_empty() => Ok(Self { source, arrays }),
            _ => Err(checker.errors),
        }
    }

    /// The number of layers.
    pub fn layer_count(&self) -> usize {
        self.arrays.len()
    }

    /// The layers in order, each with its numbers in single precision, image by image.
    ///
    /// A number beyond single precision becomes infinite. A layer's error is damage that only shows when its numbers
    /// are read.
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

    /// Reads all numbers without keeping them.
    ///
    /// # Errors
    /// Every array whose numbers are damaged.
    pub fn verify(&self) -> Result<(), Vec<ActivationError>> {
        let Source::Npz(archive) = &self.source else {
            // A safetensors file has no checksums: only its header can be wrong.
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

/// Checks a whole file, headers and numbers, in little memory, and returns its layers.
///
/// # Errors
/// Every error. The numbers are checked for damage once the headers have none.
pub fn check(bytes: &[u8], limits: ActivationLimits) -> Result<Vec<ActivationLayer>, Vec<ActivationError>> {
    let file = ActivationFile::open(bytes, limits)?;
    file.verify()?;
    Ok(file.arrays.into_iter().map(|array| array.layer).collect())
}
