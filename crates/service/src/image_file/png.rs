//! Checks that a PNG file contains all of its chunks.

/// Bytes before the first chunk.
const SIGNATURE_BYTES: usize = 8;

/// Bytes of a chunk besides its content: length, name and checksum.
const FRAME_BYTES: usize = 12;

/// Whether a PNG file has the chunk that ends it. What follows that chunk does not count.
pub(super) fn is_whole(file: &[u8]) -> bool {
    let mut rest = file.get(SIGNATURE_BYTES..).unwrap_or_default();
    while let [a, b, c, d, name @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        if rest.len() < length + FRAME_BYTES {
            return false;
        }
        if name.starts_with(b"IEND") {
            return true;
        }
        rest = &rest[length + FRAME_BYTES..];
    }
    false
}
