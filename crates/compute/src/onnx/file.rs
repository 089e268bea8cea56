//! From uploaded bytes to one file that holds everything.

use std::io::{Cursor, Read as _};
use std::path::{Component, Path};

use bytes::Bytes;
use prost::Message as _;

use super::error::OnnxError;
use super::proto::{GraphProto, ModelProto, TensorProto};
use super::{NEWEST_OPSET, OLDEST_OPSET, scan};

/// Most bytes that the parts of a zip may unfold to: those of the largest upload there can be.
const MAX_UNFOLDED: u64 = 4 << 30;

/// How many times its own size a zip may unfold to. Trained weights shrink by little; a graph's names by some ten times.
const MAX_RATIO: u64 = 100;

/// What any zip may unfold to.
const SMALL: u64 = 1 << 20;

/// Where a tensor says that its bytes lie in another file.
const OUTSIDE: i32 = 1;

/// A file of an upload.
#[derive(Debug, Clone)]
pub struct NamedFile {
    /// Its name, with or without folders.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Reads a network from the files of an upload: an ONNX file with those that hold its weights, or one zip of them.
/// The answer holds all weights itself.
///
/// # Errors
/// No ONNX file or several, damage, missing weights, features that are not known.
pub fn read(files: Vec<NamedFile>) -> Result<ModelProto, OnnxError> {
    let files = match files.as_slice() {
        [only] if only.bytes.starts_with(b"PK") => unfold(&only.bytes)?,
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
            "{} files that end in .onnx came, not one",
            networks.len()
        )));
    };
    let mut model = decode(&network.bytes)?;
    let Some(graph) = &mut model.graph else {
        return Err(OnnxError::Unreadable(
            "it holds no graph; is it an ONNX file?".to_owned(),
        ));
    };
    gather(graph, &data)?;
    Ok(model)
}

/// Reads a file that holds everything itself.
///
/// # Errors
/// As [`read`].
pub fn decode(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    if scan::parts(bytes, scan::Message::Model) > scan::MAX_PARTS {
        return Err(OnnxError::Unreadable(format!(
            "it has more than {} nodes, tensors and names: simplify the file",
            scan::MAX_PARTS
        )));
    }
    let model = ModelProto::decode(bytes)
        .map_err(|error| OnnxError::Unreadable(format!("{error}; it was cut short, or is no ONNX file")))?;
    let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty());
    let Some(graph) = graph else {
        return Err(OnnxError::Unreadable(
            "it holds no graph; is it an ONNX file?".to_owned(),
        ));
    };
    if !model.functions.is_empty() {
        return Err(OnnxError::Feature("functions of its own"));
    }
    if !graph.sparse_initializer.is_empty() {
        return Err(OnnxError::Feature("sparse weights"));
    }
    match opset(&model) {
        found if found < OLDEST_OPSET => Err(OnnxError::TooOld { found }),
        found if found > NEWEST_OPSET => Err(OnnxError::Unreadable(format!(
            "it is written in operator set {found}, which is newer than {NEWEST_OPSET}, the newest that is known"
        ))),
        _ => Ok(model),
    }
}

/// The version of ONNX's own operators that a file is written in.
pub(super) fn opset(model: &ModelProto) -> i64 {
    let own = model.opset_import.iter().find(|set| is_own(&set.domain));
    own.map_or(1, |set| set.version)
}

/// Whether operators of a domain are ONNX's own.
pub(super) fn is_own(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

fn unfold(bytes: &[u8]) -> Result<Vec<NamedFile>, OnnxError> {
    let unreadable = |error: &dyn std::fmt::Display| OnnxError::Unreadable(format!("the zip is damaged: {error}"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    let mut files = Vec::new();
    let most = MAX_UNFOLDED.min(SMALL.max(MAX_RATIO * bytes.len() as u64));
    let mut left = most;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| unreadable(&error))?;
        if !entry.is_file() {
            continue;
        }
        let name = entry.name().map_err(|error| unreadable(&error))?.into_owned();
        if leads_out(&name) {
            return Err(OnnxError::Unreadable(format!(
                "the zip holds {name:?}, a path that leads out of it: pack the network's own folder"
            )));
        }
        if last_part(&name).starts_with('.') {
            // What desktops leave in their archives.
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
                "the zip unfolds to more than {most} bytes; at most {MAX_RATIO} times its size and {MAX_UNFOLDED} \
                     bytes are read: upload the files themselves"
            ))
        })?;
        files.push(NamedFile {
            name,
            bytes: content.into(),
        });
    }
    Ok(files)
}

/// Brings in the weights that lie in other files.
fn gather(graph: &mut GraphProto, data: &[NamedFile]) -> Result<(), OnnxError> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let inside = attributes.filter_map(|attribute| attribute.t.as_mut());
    // Tensors may share bytes, but a small file must not make many copies of a large one.
    let mut room = 2 * data.iter().map(|file| file.bytes.len()).sum::<usize>();
    let outside = graph
        .initializer
        .iter_mut()
        .chain(inside)
        .filter(|tensor| tensor.data_location == OUTSIDE);
    for tensor in outside {
        let bytes = bytes_of(tensor, data)?;
        room = room.checked_sub(bytes.len()).ok_or_else(|| {
            OnnxError::Unreadable("its tensors name more bytes than the files beside it hold".to_owned())
        })?;
        tensor.raw_data = bytes.to_vec();
        tensor.data_location = 0;
        tensor.external_data.clear();
    }
    Ok(())
}

fn bytes_of<'a>(tensor: &TensorProto, data: &'a [NamedFile]) -> Result<&'a [u8], OnnxError> {
    let field = |key: &str| {
        tensor
            .external_data
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let location = field("location").unwrap_or_default();
    if leads_out(location) {
        return Err(OnnxError::Unreadable(format!(
            "tensor {:?} lies in {location:?}, a path that leads out of the network's folder: export the network anew",
            tensor.name
        )));
    }
    let file = data.iter().find(|file| last_part(&file.name) == last_part(location));
    let Some(file) = file else {
        let location = location.to_owned();
        return Err(OnnxError::MissingData { location });
    };
    let number = |key: &str| field(key).and_then(|text| text.parse::<usize>().ok());
    let start = number("offset").unwrap_or(0);
    let end = number("length").map_or(Some(file.bytes.len()), |length| start.checked_add(length));
    end.and_then(|end| file.bytes.get(start..end)).ok_or_else(|| {
        OnnxError::Unreadable(format!(
            "tensor {:?} lies beyond the end of {location:?}, which has {} bytes",
            tensor.name,
            file.bytes.len()
        ))
    })
}

/// Whether a path may name something outside the folder it starts from.
fn leads_out(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let inside = |part: Component<'_>| matches!(part, Component::CurDir | Component::Normal(_));
    !Path::new(&path).components().all(inside) || path.split('/').next().is_some_and(|first| first.ends_with(':'))
}

fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The bytes of a file.
pub fn write(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
