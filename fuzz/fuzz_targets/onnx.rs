//! ONNX files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_compute::onnx::file::{NamedFile, read};
use scv_compute::onnx::import::{ImportOptions, import};
use scv_memory::MemoryBudget;

fuzz_target!(|data: &[u8]| {
    let file = NamedFile {
        name: "network.onnx".to_owned(),
        bytes: data.to_vec().into(),
    };
    // As on a small server.
    let [memory, _] = MemoryBudget::shared(256 << 20);
    let held = memory.empty();
    if let Ok(model) = read(vec![file], &held) {
        let options = ImportOptions {
            size: Some([8, 8]),
            memory,
            ..ImportOptions::default()
        };
        let _ = import(&model, &options);
    }
});
