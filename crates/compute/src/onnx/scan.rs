//! Looks through the parts of a file before any of them is decoded: counts them, and makes names readable.
//!
//! An empty message takes two bytes in a file and some two hundred in memory. A file of a few hundred megabytes of
//! nothing else would fill the machine's memory, so files with more parts than any network has are refused.

/// The maximum number of parts of a file: messages, names and packed lists.
pub(super) const MAX_PARTS: usize = 1 << 20;

/// The maximum nesting depth of messages; it is also the decoder's limit.
const MAX_DEPTH: usize = 100;

/// The messages of a file that contain other messages.
#[derive(Clone, Copy)]
pub(super) enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
    Function,
    Sparse,
    /// A key with its value, or an operator set.
    Entry,
    /// A name or another text.
    Text,
    /// A field that is neither a message nor a text.
    Leaf,
}

impl Message {
    /// What a field of this message contains; the numbers are those of `onnx.proto`.
    fn field(self, number: u64) -> Message {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 15) | (Self::Attribute, 22) => Self::Sparse,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Shape, 1) => Self::Dimension,
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Function, 9) => Self::Entry,
            (Self::Model, 2 | 3)
            | (Self::Graph, 2)
            | (Self::Node, 1..=4 | 7 | 8)
            | (Self::Attribute, 1 | 21)
            | (Self::Tensor, 8)
            | (Self::ValueInfo, 1)
            | (Self::Dimension, 2)
            | (Self::Function, 1 | 4..=6 | 10 | 13)
            | (Self::Entry, 1 | 2) => Self::Text,
            _ => Self::Leaf,
        }
    }
}

/// Counts the parts of a message, up to the first invalid byte, which the decoder will report. Counting stops as soon
/// as there are more than [`MAX_PARTS`].
pub(super) fn count_parts(bytes: &[u8], message: Message) -> usize {
    let mut count = 0;
    add_parts(bytes, message, 0, &mut count);
    count
}

fn add_parts(mut bytes: &[u8], message: Message, depth: usize, count: &mut usize) -> Option<()> {
    while !bytes.is_empty() && *count <= MAX_PARTS {
        let key = varint(&mut bytes)?;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => bytes = bytes.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (part, rest) = bytes.split_at_checked(length)?;
                *count += 1;
                bytes = rest;
                match message.field(key >> 3) {
                    Message::Leaf | Message::Text => {}
                    inner if depth < MAX_DEPTH => add_parts(part, inner, depth + 1, count)?,
                    _ => return None,
                }
            }
            5 => bytes = bytes.get(4..)?,
            _ => return None,
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The same file with names that are UTF-8: any other byte of such a name becomes an escape, such as `\xe9`, so that different
/// names stay different. `None` if it ends within a message.
pub(super) fn with_readable_names(bytes: &[u8]) -> Option<Vec<u8>> {
    readable(bytes, Message::Model, 0)
}

fn readable(mut bytes: &[u8], message: Message, depth: usize) -> Option<Vec<u8>> {
    let mut written = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let before = bytes;
        let key = varint(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (part, rest) = bytes.split_at_checked(length)?;
        let changed = match message.field(key >> 3) {
            _ if key & 7 != 2 => None,
            Message::Text => escaped(part),
            Message::Leaf => None,
            inner if depth < MAX_DEPTH => Some(readable(part, inner, depth + 1)?),
            _ => return None,
        };
        bytes = rest;
        match changed {
            None => written.extend(&before[..before.len() - rest.len()]),
            Some(changed) => {
                write_varint(key, &mut written);
                write_varint(changed.len() as u64, &mut written);
                written.extend(changed);
            }
        }
    }
    Some(written)
}

/// A text that is not UTF-8, with escapes in place of its invalid bytes, and of backslashes.
fn escaped(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).err()?;
    let mut written = String::new();
    for chunk in text.utf8_chunks() {
        written.push_str(&chunk.valid().replace('\\', r"\\"));
        written.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    Some(written.into_bytes())
}

fn write_varint(mut number: u64, written: &mut Vec<u8>) {
    while number >= 0x80 {
        written.push(number as u8 | 0x80);
        number >>= 7;
    }
    written.push(number as u8);
}
