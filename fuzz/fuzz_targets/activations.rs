//! Activations as safetensors and `.npz` files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_compute::activations::{ActivationLimits, check};

fuzz_target!(|data: &[u8]| {
    let limits = ActivationLimits {
        probes: 4,
        layer_bytes: 1 << 20,
    };
    let _ = check(data, limits);
});
