//! The rules that hold for arrays of either format.

use std::collections::HashSet;

use super::error::{ActivationError, ActivationRule, shown};
use super::numbers::Layout;
use super::{ActivationLimits, MAX_LAYERS, MAX_NAME_LENGTH, MAX_UNPACKED_BYTES};

/// What an array must be saved as.
const DTYPES: &str = "floating point numbers or integers of 8 to 64 bits";

/// Collects the faults of all arrays.
#[derive(Debug)]
pub(super) struct Judge {
    limits: ActivationLimits,
    names: HashSet<String>,
    unpacked: u64,
    pub(super) errors: Vec<ActivationError>,
}

impl Judge {
    pub(super) fn new(limits: ActivationLimits) -> Self {
        Self {
            limits,
            names: HashSet::new(),
            unpacked: 0,
            errors: Vec::new(),
        }
    }

    /// None at all, or too many.
    pub(super) fn count(&mut self, arrays: usize) {
        let (rule, expected, advice) = match arrays {
            0 => (
                ActivationRule::NotEmpty,
                "at least 1 array".to_owned(),
                "The file holds no array; save one for each layer.".to_owned(),
            ),
            1..=MAX_LAYERS => return,
            _ => (
                ActivationRule::Limit,
                format!("at most {MAX_LAYERS} arrays"),
                format!("The file holds {arrays} arrays, the most is {MAX_LAYERS}; save fewer layers."),
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

    /// Whether it can be the name of a layer, and of no other.
    pub(super) fn name(&mut self, name: &str) {
        let length = name.chars().count();
        if !(1..=MAX_NAME_LENGTH).contains(&length) {
            let expected = format!("1 to {MAX_NAME_LENGTH} characters");
            let advice = format!("has a name of {length} characters; name it with {expected}.");
            self.fault(name, ActivationRule::Name, &expected, length.to_string(), &advice);
        }
        if let Some(character) = name.chars().find(|character| character.is_control()) {
            let actual = format!("{character:?}");
            let advice = format!("has the control character {actual} in its name; leave it out.");
            self.fault(name, ActivationRule::Name, "no control character", actual, &advice);
        }
        if !self.names.insert(name.to_owned()) {
            self.repeated(name);
        }
    }

    /// A name that several arrays have.
    pub(super) fn repeated(&mut self, name: &str) {
        let advice = "is there more than once; give every layer a name of its own.";
        self.fault(name, ActivationRule::Unique, "1 array", "2 or more".to_owned(), advice);
    }

    /// An entry of an archive that is no array.
    pub(super) fn stray_file(&mut self, name: &str) {
        let advice = "is no .npy file; leave it out of the archive.";
        self.fault(
            name,
            ActivationRule::Readable,
            "a .npy file",
            "another file".to_owned(),
            advice,
        );
    }

    /// A type that is not understood.
    pub(super) fn dtype(&mut self, name: &str, dtype: &str) {
        let dtype = shown(dtype);
        let advice = format!("has type {dtype}, not {DTYPES}; save it as float32.");
        self.fault(name, ActivationRule::Dtype, DTYPES, dtype, &advice);
    }

    /// Whether there is a row for every probe image, and something in it.
    pub(super) fn shape(&mut self, name: &str, shape: &[usize]) {
        let probes = self.limits.probes;
        let actual = format!("{shape:?}");
        if shape.first() != Some(&probes) {
            let advice = format!(
                "has shape {actual}, but its first dimension must be the {probes} probe images; \
                 run all of them in order and join the batches."
            );
            self.fault(
                name,
                ActivationRule::Probes,
                &format!("[{probes}, ...]"),
                actual.clone(),
                &advice,
            );
        }
        if shape.iter().skip(1).any(|&length| length == 0) {
            let advice = format!("has shape {actual}, which leaves no number for an image; leave this layer out.");
            self.fault(
                name,
                ActivationRule::Features,
                "at least 1 number an image",
                actual,
                &advice,
            );
        }
    }

    /// Whether an array, and with it all so far, may be unpacked. Returns the bytes of its numbers.
    pub(super) fn size(&mut self, name: &str, layout: &Layout) -> Option<u64> {
        let most = self.limits.layer_bytes;
        let held = layout.count().and_then(|count| (count as u64).checked_mul(4));
        let bytes = layout.bytes();
        let (Some(held), Some(bytes)) = (held, bytes) else {
            self.too_large(name, "more numbers than any memory holds", most);
            return None;
        };
        if held > most {
            self.too_large(
                name,
                &format!("{} MiB in single precision", held.div_ceil(1 << 20)),
                most,
            );
            return None;
        }
        let before = self.unpacked;
        self.unpacked = before.saturating_add(bytes);
        // Said once, at the array that crosses the line.
        if before <= MAX_UNPACKED_BYTES && self.unpacked > MAX_UNPACKED_BYTES {
            let expected = format!("at most {} MiB in all", MAX_UNPACKED_BYTES >> 20);
            let actual = format!("{} MiB up to here", self.unpacked.div_ceil(1 << 20));
            let advice = format!("makes it {actual}, and a file may have {expected}; save fewer layers.");
            self.fault(name, ActivationRule::Limit, &expected, actual, &advice);
        }
        Some(bytes)
    }

    fn too_large(&mut self, name: &str, actual: &str, most: u64) {
        let expected = format!("at most {} MiB", most >> 20);
        let advice =
            format!("takes {actual}, and a layer may take {expected}; pool it over its positions, or leave it out.");
        self.fault(name, ActivationRule::Limit, &expected, actual.to_owned(), &advice);
    }

    fn fault(&mut self, name: &str, rule: ActivationRule, expected: &str, actual: String, advice: &str) {
        self.errors
            .push(ActivationError::of_array(name, rule, expected, actual, advice));
    }
}
