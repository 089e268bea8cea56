//! Reads the files of an upload into one network that holds all of its weights.

use std::io::{Cursor, Read as _};
use std::path::{Component, Path};

use bytes::Bytes;
use prost::Message as _;

use super::proto::{GraphProto, ModelProto, TensorProto};
use super::scan;
use crate::error::OnnxError;
use crate::file_kind;

/// Oldest supported operator set.
pub const OLDEST_OPSET: i64 = 7;

/// Newest supported operator set.
pub const NEWEST_OPSET: i64 = 28;

/// The maximum unpacked size of a zip in bytes: that of the largest possible upload.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// The maximum unpacked size of a zip, as a multiple of its packed size. Trained weights hardly shrink; the names of a
/// graph shrink by a factor of about ten.
const MAX_RATIO: u64 = 100;

/// The unpacked size that is allowed to every zip, however small, in bytes.
const MIN_UNPACKED_LIMIT: u64 = 1 << 20;

/// The `data_location` of a tensor whose bytes are in another file.
const EXTERNAL: i32 = 1;

/// A file of an upload.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// Its name, with or without a path.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Reads a network from the files of an upload: an ONNX file with the files that hold its weights, or one zip of them.
/// The returned network holds all weights itself.
///
/// # Errors
/// No ONNX file or several, damage, missing weights, or unsupported features.
pub fn read(files: Vec<NamedFile>) -> Result<ModelProto, OnnxError> {
    let files = match files.as_slice() {
        [only] if only.bytes.starts_with(b"PK") => unzip(&only.bytes)?,
        _ => files,
    };
    let (networks, data): (Vec<_>, Vec<_>) = match files.len() {
        1 => (files, Vec::new()),
        _ => files
            .into_iter()
            .partition(|file| file.name.to_lowercase().ends_with(".onnx")),
    };
    let [network] = networks.as_slice() else {
        return Err(OnnxError::Unreadable(format!(
            "expected one file that ends in .onnx, got {}",
            networks.len()
        )));
    };
    let mut model = decode(&network.bytes)?;
    let Some(graph) = &mut model.graph else {
        return Err(OnnxError::Unreadable(
            "it holds no graph; is it an ONNX file?".to_owned(),
        ));
    };
    load_external_data(graph, &data)?;
    Ok(model)
}

/// Reads a file that holds all of its weights itself.
///
/// # Errors
/// As [`read`].
pub fn decode(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    if scan::count_parts(bytes, scan::Message::Model) > scan::MAX_PARTS {
        return Err(OnnxError::Unreadable(format!(
            "it has more than {} nodes, tensors and names: simplify the file",
            scan::MAX_PARTS
        )));
    }
    let unreadable = |reason: String| {
        let other = file_kind::recognised(bytes).filter(|kind| *kind != file_kind::ONNX);
        OnnxError::Unreadable(other.map_or(reason, |kind| format!("the file is {kind}")))
    };
    let model = ModelProto::decode(bytes)
        .map_err(|error| unreadable(format!("{error}; it is truncated, or is not an ONNX file")))?;
    let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty());
    let Some(graph) = graph else {
        return Err(unreadable("it holds no graph; is it an ONNX file?".to_owned()));
    };
    if !model.functions.is_empty() {
        return Err(OnnxError::Feature("local functions"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(OnnxError::Feature("sparse weights"));
    }
    match opset(&model) {
        found if found < OLDEST_OPSET => Err(OnnxError::TooOld {
            found,
            oldest: OLDEST_OPSET,
        }),
        found if found > NEWEST_OPSET => Err(OnnxError::TooNew {
            found,
            newest: NEWEST_OPSET,
        }),
        _ => Ok(model),
    }
}

/// The version of ONNX's own operators that a file uses.
pub(super) fn opset(model: &ModelProto) -> i64 {
    let own = model.opset_import.iter().find(|set| is_onnx_domain(&set.domain));
    own.map_or(1, |set| set.version)
}

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_onnx_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn unzip(bytes: &[u8]) -> Result<Vec<NamedFile>, OnnxError> {
    let unreadable = |error: &dyn std::fmt::Display| OnnxError::Unreadable(format!("the zip is damaged: {error}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    let mut files = Vec::new();
    let limit = MAX_UNPACKED_BYTES.min(MIN_UNPACKED_LIMIT.max(MAX_RATIO * bytes.len() as u64));
    let mut left = limit;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        if !entry.is_file() {
            continue;
        }
        let name = entry.name().map_err(|error| unreadable(&error))?.into_owned();
        if escapes_folder(&name) {
            return Err(OnnxError::Unreadable(format!(
                "the zip holds {name:?}, a path outside of it: zip the network's own folder"
            )));
        }
        if file_name(&name).starts_with('.') {
            // Desktops leave such files in their archives.
            continue;
        }
        let mut content = Vec::new();
        let read = entry
            .by_ref()
            .take(left + 1)
            .read_to_end(&mut content)
            .map_err(|error| unreadable(&error))?;
        left = left.checked_sub(read as u64).ok_or_else(|| {
            OnnxError::Unreadable(format!(
                "the zip unpacks to more than {limit} bytes; the limits are {MAX_RATIO} times its size and \
                     {MAX_UNPACKED_BYTES} bytes: upload the files themselves"
            ))
        })?;
        files.push(NamedFile {
            name,
            bytes: content.into(),
        });
    }
    Ok(files)
}

/// Copies the weights that are stored in other files into the graph.
fn load_external_data(graph: &mut GraphProto, data: &[NamedFile]) -> Result<(), OnnxError> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let in_nodes = attributes.filter_map(|attribute| attribute.t.as_mut());
    // Tensors may share bytes, but a small network must not cause many copies of a large file.
    let mut bytes_left = 2 * data.iter().map(|file| file.bytes.len()).sum::<usize>();
    let external = graph
        .initializer
        .iter_mut()
        .chain(in_nodes)
        .filter(|tensor| tensor.data_location == EXTERNAL);
    for tensor in external {
        let bytes = external_bytes(tensor, data)?;
        bytes_left = bytes_left.checked_sub(bytes.len()).ok_or_else(|| {
            OnnxError::Unreadable("its tensors refer to more bytes than its data files hold".to_owned())
        })?;
        tensor.raw_data = bytes.to_vec();
        tensor.data_location = 0;
        tensor.external_data.clear();
    }
    Ok(())
}

fn external_bytes<'a>(tensor: &TensorProto, data: &'a [NamedFile]) -> Result<&'a [u8], OnnxError> {
    let field = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let location = field("location").unwrap_or_default();
    if escapes_folder(location) {
        return Err(OnnxError::Unreadable(format!(
            "tensor {:?} is stored in {location:?}, a path outside the network's folder: export the network again",
            tensor.name
        )));
    }
    let file = data.iter().find(|file| file_name(&file.name) == file_name(location));
    let Some(file) = file else {
        let location = location.to_owned();
        return Err(OnnxError::MissingData { location });
    };
    let number = |key: &str| field(key).and_then(|text| text.parse::<usize>().ok());
    let start = number("offset").unwrap_or(0);
    let end = number("length").map_or(Some(file.bytes.len()), |length| start.checked_add(length));
    end.and_then(|end| file.bytes.get(start..end)).ok_or_else(|| {
        OnnxError::Unreadable(format!(
            "tensor {:?} reaches beyond the end of {location:?}, which has {} bytes",
            tensor.name,
            file.bytes.len()
        ))
    })
}

/// Whether a path may point outside the folder that it starts from.
fn escapes_folder(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let inside = |part: Component<'_>| matches!(part, Component::CurDir | Component::Normal(_));
    !Path::new(&path).components().all(inside) || path.split('/').next().is_some_and(|first| first.ends_with(':'))
}

fn file_name(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The bytes of an ONNX file.
pub fn write(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
