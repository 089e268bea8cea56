//! ONNX files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_compute::onnx::file::{NamedFile, read};
use scv_compute::onnx::import::{ImportOptions, import};

fuzz_target!(|data: &[u8]| {
    let file = NamedFile {
        name: "network.onnx".to_owned(),
        bytes: data.to_vec().into(),
    };
    if let Ok(model) = read(vec![file]) {
        let options = ImportOptions {
            size: Some([8, 8]),
            ..ImportOptions::default()
        };
        let _ = import(&model, &options);
    }
});
