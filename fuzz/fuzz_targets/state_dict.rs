//! PyTorch state dicts: zip archives and pickles.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_compute::pytorch::read_state_dict;

fuzz_target!(|data: &[u8]| {
    let _ = read_state_dict(data);
});
