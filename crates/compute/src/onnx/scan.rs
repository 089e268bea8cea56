//! Counts the parts of a file before any of them is decoded.
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
    /// A message without nested messages, or a field that is not a message.
    Leaf,
}

impl Message {
    /// What a field of this message contains; the numbers are those of `onnx.proto`.
    fn field(self, number: u64) -> Message {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::ValueInfo,
            (Self::Node, 5) => Self::Attribute,
            (Self::ValueInfo, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
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
                    Message::Leaf => {}
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
