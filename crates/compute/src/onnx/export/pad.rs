//! Padding and cropping of images.

use super::writer::{BlockWriter, Operation};
use scv_domain::graph::PadMode;

/// Pads the last two dimensions of a value: left, right, top, bottom.
pub(super) fn pad(writer: &mut BlockWriter<'_>, input: &str, mode: PadMode, padding: [i64; 4]) -> Operation {
    let [left, right, top, bottom] = padding;
    // First the padding before each dimension, then the padding after each.
    let pads = writer.write_integers("pads", &[8], &[0, 0, top, left, 0, 0, bottom, right]);
    match mode {
        PadMode::Constant(value) => {
            let value = writer.write_number("value", value);
            Operation::new("Pad", &[input, &pads, &value]).text("mode", "constant")
        }
        PadMode::Reflection => Operation::new("Pad", &[input, &pads]).text("mode", "reflect"),
        PadMode::Replication => Operation::new("Pad", &[input, &pads]).text("mode", "edge"),
    }
}

/// Padding as left, right, top and bottom, from rows and columns before and after.
pub(super) fn around(before: [usize; 2], after: [usize; 2]) -> [i64; 4] {
    [before[1], after[1], before[0], after[0]].map(|places| places as i64)
}
