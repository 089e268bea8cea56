//! Files in the format of MNIST.

/// A file of one byte per number, with its dimensions in the header.
fn file(dimensions: &[u32], content: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
    bytes.extend(content);
    bytes
}

/// Greyscale images of a side length, all different.
pub fn images(count: u32, side: u32) -> Vec<u8> {
    // The low bits of a linear congruential generator repeat soon; its high bits are random enough.
    let mut state = count;
    let noise = std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    file(&[count, side, side], noise.take((count * side * side) as usize))
}

/// Labels that cycle through a number of classes, starting at a first label.
pub fn labels(count: u32, classes: u32, first: u8) -> Vec<u8> {
    file(&[count], (0..count).map(|index| (index % classes) as u8 + first))
}
