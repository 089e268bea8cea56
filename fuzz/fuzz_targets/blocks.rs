//! Networks as JSON blocks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_domain::block::{parse, report};
use scv_domain::image::ImageShape;

fuzz_target!(|data: &[u8]| {
    let shape = ImageShape {
        channels: 3,
        height: 32,
        width: 32,
    };
    if let Ok(blocks) = parse(data) {
        let _ = report(&blocks, shape, 10);
    }
});
