//! Reads the files of an upload into one network that holds all of its weights.

use prost::Message as _;

use super::archive::unzip;
pub use super::external::NamedFile;
use super::external::{self, folder};
use super::foreign;
use super::proto::{ModelProto, OperatorSetIdProto, TensorProto};
use super::scan;
use crate::error::OnnxError;
use scv_memory::{MemoryBudget, Reservation};

/// Oldest supported operator set.
pub const OLDEST_OPSET: i64 = 7;

/// Newest supported operator set.
pub const NEWEST_OPSET: i64 = 28;

/// Bytes of the largest message of a file without what it holds.
const PART_BYTES: usize = size_of::<TensorProto>();

/// The maximum number of files of a zip that an error lists.
const MAX_LISTED: usize = 5;

/// Reads a network from the files of an upload: an ONNX file with the files that hold its weights, or one zip of them.
/// The returned network holds all weights itself. Its memory is taken from `memory`.
///
/// # Errors
/// No ONNX file or several, damage, missing weights, or unsupported features; or there is not so much memory.
pub fn read(files: Vec<NamedFile>, memory: &Reservation) -> Result<ModelProto, OnnxError> {
    let (network, data) = network_and_data(files, memory)?;
    let mut model = decode(&network.bytes, memory)?;
    external::load(&mut model, folder(&network.name), &data, memory)?;
    Ok(model)
}

/// The files that the network in an ONNX file keeps weights in, each a path from its folder.
///
/// # Errors
/// A file that cannot be read, or a path that leads out of the folder.
pub fn data_files(bytes: &[u8]) -> Result<Vec<String>, OnnxError> {
    external::locations(&mut decode(bytes, &MemoryBudget::default().empty())?)
}

/// What a file is that is no ONNX file, and the way from it to one; `None` for a file that may be ONNX.
pub fn foreign_kind(bytes: &[u8]) -> Option<String> {
    foreign::described(bytes)
}

/// The file of the network, and those of its weights. Of several uploaded files, the network is the first.
fn network_and_data(mut files: Vec<NamedFile>, memory: &Reservation) -> Result<(NamedFile, Vec<NamedFile>), OnnxError> {
    let missing = |what: &str| OnnxError::Unreadable(format!("{what}; expected one file that ends in .onnx"));
    if files.is_empty() {
        return Err(missing("there is no file"));
    }
    let first = files.remove(0);
    if !(first.bytes.starts_with(b"PK") && files.is_empty()) {
        return Ok((first, files));
    }
    let (mut networks, data): (Vec<_>, Vec<_>) = unpacked(&first.bytes, memory)?
        .into_iter()
        .partition(|file| file.name.to_lowercase().ends_with(".onnx"));
    match (networks.pop(), networks.is_empty()) {
        (Some(network), true) => Ok((network, data)),
        (None, _) => Err(missing(&format!("the zip holds {}", listed(&data)))),
        (Some(last), false) => {
            networks.push(last);
            Err(missing(&format!(
                "the zip holds {} networks, {}",
                networks.len(),
                listed(&networks)
            )))
        }
    }
}

/// The files of a zip, unless it is one that another program wrote for something else.
fn unpacked(bytes: &[u8], memory: &Reservation) -> Result<Vec<NamedFile>, OnnxError> {
    match foreign::described(bytes) {
        Some(kind) if !kind.contains("a zip archive") => Err(OnnxError::Unreadable(kind)),
        _ => unzip(bytes, memory),
    }
}

/// The names of some files, for an error.
fn listed(files: &[NamedFile]) -> String {
    let names: Vec<_> = files
        .iter()
        .take(MAX_LISTED)
        .map(|file| format!("{:?}", file.name))
        .collect();
    match files.len() {
        0 => "no file".to_owned(),
        count if count <= MAX_LISTED => names.join(", "),
        count => format!("{} and {} more", names.join(", "), count - MAX_LISTED),
    }
}

/// Reads a file that holds all of its weights itself.
///
/// # Errors
/// As [`read`].
pub fn decode(bytes: &[u8], memory: &Reservation) -> Result<ModelProto, OnnxError> {
    let parts = scan::count_parts(bytes, scan::Message::Model);
    if parts > scan::MAX_PARTS {
        return Err(OnnxError::Unreadable(format!(
            "it has more than {} nodes, tensors and names: simplify the file",
            scan::MAX_PARTS
        )));
    }
    memory.grow((bytes.len() + parts * PART_BYTES) as u64)?;
    let unreadable = |reason: String| OnnxError::Unreadable(foreign::described(bytes).unwrap_or(reason));
    let model = match ModelProto::decode(bytes) {
        Ok(model) => Ok(model),
        // Some exporters write names as they come from the system.
        Err(error) => match scan::with_readable_names(bytes) {
            Some(readable) => ModelProto::decode(readable.as_slice()).map_err(|_| error),
            None => Err(error),
        },
    };
    let model = model.map_err(|error| unreadable(format!("{error}; it is truncated, or is not an ONNX file")))?;
    if model.graph.as_ref().is_none_or(|graph| graph.node.is_empty()) {
        return Err(unreadable("it holds no graph; is it an ONNX file?".to_owned()));
    }
    supported(opset(&model))?;
    Ok(model)
}

/// The version of an operator set, if it is supported.
///
/// # Errors
/// It is too old or too new.
pub(super) fn supported(opset: i64) -> Result<i64, OnnxError> {
    match opset {
        found if found < OLDEST_OPSET => Err(OnnxError::TooOld {
            found,
            oldest: OLDEST_OPSET,
        }),
        found if found > NEWEST_OPSET => Err(OnnxError::TooNew {
            found,
            newest: NEWEST_OPSET,
        }),
        found => Ok(found),
    }
}

/// The version of ONNX's own operators that a file uses.
pub(super) fn opset(model: &ModelProto) -> i64 {
    version_of_onnx(&model.opset_import).unwrap_or(1)
}

/// The version of ONNX's own operators among those that are imported.
pub(super) fn version_of_onnx(imported: &[OperatorSetIdProto]) -> Option<i64> {
    let own = imported.iter().find(|set| is_onnx_domain(&set.domain));
    own.map(|set| set.version)
}

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_onnx_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The size of the file of a network in bytes.
pub fn encoded_bytes(model: &ModelProto) -> u64 {
    model.encoded_len() as u64
}

/// The bytes of an ONNX file.
pub fn write(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
