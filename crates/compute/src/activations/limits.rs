//! The limits of a file of activations.

/// The maximum number of layers in one file.
pub const MAX_LAYERS: usize = 2_000;

/// The maximum length of a layer's name, in characters.
pub const MAX_NAME_LENGTH: usize = 256;

/// The maximum size of all arrays of a file together once they are unpacked, in bytes: 64 GiB.
pub const MAX_UNPACKED_BYTES: u64 = 64 << 30;

/// What a file of activations is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivationLimits {
    /// The number of images in the probe set.
    pub probes: usize,
    /// The maximum size of one layer in single precision, in bytes.
    pub layer_bytes: u64,
}
