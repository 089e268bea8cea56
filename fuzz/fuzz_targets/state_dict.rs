//! PyTorch state dicts: zip archives and pickles.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_compute::mapping::open;

fuzz_target!(|data: &[u8]| {
    let _ = open(data);
});
