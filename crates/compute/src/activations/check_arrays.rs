//! The rules for arrays of either format.

use std::collections::HashSet;

use super::limits::{ActivationLimits, MAX_LAYERS, MAX_NAME_LENGTH, MAX_UNPACKED_BYTES};
use super::numbers::ArrayLayout;
use crate::error::{ActivationError, ActivationRule, shortened};

/// The types that an array may have.
const DTYPES: &str = "floating point numbers or integers of 8 to 64 bits";

/// Checks arrays one after the other and collects their errors.
#[derive(Debug)]
pub(super) struct ArrayChecker {
    limits: ActivationLimits,
    names: HashSet<String>,
    unpacked_bytes: u64,
    pub(super) errors: Vec<ActivationError>,
}

impl ArrayChecker {
    pub(super) fn new(limits: ActivationLimits) -> Self {
        Self {
            limits,
            names: HashSet::new(),
            unpacked_bytes: 0,
            errors: Vec::new(),
        }
    }

    /// Checks that there is an array, and that there are not too many.
    pub(super) fn check_count(&mut self, arrays: usize) {
        let (rule, expected, advice) = match arrays {
            0 => (
                ActivationRule::NotEmpty,
                "at least 1 array".to_owned(),
                "The file holds no arrays; save one for each layer.".to_owned(),
            ),
            1..=MAX_LAYERS => return,
            _ => (
                ActivationRule::Limit,
                format!("at most {MAX_LAYERS} arrays"),
                format!("The file holds {arrays} arrays; the limit is {MAX_LAYERS}. Save fewer layers."),
            ),
        };
        self.errors.push(ActivationError {
            array: None,
            rule,
            expected,
            actual: arrays.to_string(),
            message: advice,
        });
    }

    /// Checks that a name is valid for a layer, and unique.
    pub(super) fn check_name(&mut self, name: &str) {
        let length = name.chars().count();
        if !(1..=MAX_NAME_LENGTH).contains(&length) {
            let expected = format!("1 to {MAX_NAME_LENGTH} characters");
            let advice = format!("has a name of {length} characters; use {expected}.");
            self.push_error(name, ActivationRule::Name, &expected, length.to_string(), &advice);
        }
        if let Some(character) = name.chars().find(|character| character.is_control()) {
            let actual = format!("{character:?}");
            let advice = format!("has the control character {actual} in its name; remove it.");
            self.push_error(name, ActivationRule::Name, "no control character", actual, &advice);
        }
        if !self.names.insert(name.to_owned()) {
            self.report_duplicate(name);
        }
    }

    /// Reports a name that several arrays have.
    pub(super) fn report_duplicate(&mut self, name: &str) {
        let advice = "occurs more than once; give every layer a unique name.";
        self.push_error(name, ActivationRule::Unique, "1 array", "2 or more".to_owned(), advice);
    }

    /// Reports an entry of an archive that is not an array.
    pub(super) fn report_stray_file(&mut self, name: &str) {
        let advice = "is not a .npy file; leave it out of the archive.";
        self.push_error(
            name,
            ActivationRule::Readable,
            "a .npy file",
            "another file".to_owned(),
            advice,
        );
    }

    /// Reports a type that is not supported.
    pub(super) fn report_dtype(&mut self, name: &str, dtype: &str) {
        let dtype = shortened(dtype);
        let advice = format!("has type {dtype}, not {DTYPES}; save it as float32.");
        self.push_error(name, ActivationRule::Dtype, DTYPES, dtype, &advice);
    }

    /// Checks that an array has a row for every probe image, and that its rows are not empty.
    pub(super) fn check_shape(&mut self, name: &str, shape: &[usize]) {
        let probes = self.limits.probes;
        let actual = format!("{shape:?}");
        if !self.has_probes(shape) {
            let advice = format!(
                "has shape {actual}, but its first dimension must be the {probes} probe images; \
                 run all of them in order and join the batches."
            );
            self.push_error(
                name,
                ActivationRule::Probes,
                &format!("[{probes}, ...]"),
                actual.clone(),
                &advice,
            );
        }
        if shape.iter().skip(1).any(|&length| length == 0) {
            let advice = format!("has shape {actual}, which has no numbers for an image; leave this layer out.");
            self.push_error(
                name,
                ActivationRule::Features,
                "at least 1 number per image",
                actual,
                &advice,
            );
        }
    }

    /// Whether the first dimension of an array can be the probe images.
    pub(super) fn has_probes(&self, shape: &[usize]) -> bool {
        shape.first() == Some(&self.limits.probes)
    }

    /// Reports a file that holds weights.
    pub(super) fn report_weights(&mut self) {
        let probes = self.limits.probes;
        self.errors.push(ActivationError {
            array: None,
            rule: ActivationRule::Probes,
            expected: format!("one array of shape [{probes}, ...] per layer"),
            actual: "tensors named like weights".to_owned(),
            message: format!(
                "These look like weights, not activations; upload them as `weights`, together with the network's `blocks`. A file of activations has one array per layer, whose first \
                 dimension is the {probes} probe images."
            ),
        });
    }

    /// Checks whether an array, added to those before it, may be unpacked. Returns the size of its numbers in bytes.
    pub(super) fn check_size(&mut self, name: &str, layout: &ArrayLayout) -> Option<u64> {
        let limit = self.limits.layer_bytes;
        let bytes_in_memory = layout.count().and_then(|count| (count as u64).checked_mul(4));
        let (Some(bytes_in_memory), Some(bytes)) = (bytes_in_memory, layout.bytes()) else {
            self.report_too_large(name, "more numbers than fit into any memory", limit);
            return None;
        };
        if bytes_in_memory > limit {
            self.report_too_large(
                name,
                &format!("{} MiB in single precision", bytes_in_memory.div_ceil(1 << 20)),
                limit,
            );
            return None;
        }
        let before = self.unpacked_bytes;
        self.unpacked_bytes = before.saturating_add(bytes);
        // Reported once, at the array that crosses the limit.
        if before <= MAX_UNPACKED_BYTES && self.unpacked_bytes > MAX_UNPACKED_BYTES {
            let expected = format!("at most {} MiB in total", MAX_UNPACKED_BYTES >> 20);
            let actual = format!("{} MiB so far", self.unpacked_bytes.div_ceil(1 << 20));
            let advice = format!("brings the file to {actual}, but it may hold {expected}; save fewer layers.");
            self.push_error(name, ActivationRule::Limit, &expected, actual, &advice);
        }
        Some(bytes)
    }

    fn report_too_large(&mut self, name: &str, actual: &str, limit: u64) {
        let expected = format!("at most {} MiB", limit >> 20);
        let advice =
            format!("takes {actual}, but a layer may take {expected}; pool it over its positions, or leave it out.");
        self.push_error(name, ActivationRule::Limit, &expected, actual.to_owned(), &advice);
    }

    fn push_error(&mut self, name: &str, rule: ActivationRule, expected: &str, actual: String, advice: &str) {
        self.errors
            .push(ActivationError::of_array(name, rule, expected, actual, advice));
    }
}
