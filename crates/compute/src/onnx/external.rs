//! Weights that an ONNX file keeps in other files.

use std::collections::HashSet;
use std::path::{Component, Path};

use bytes::Bytes;

use super::proto::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
use crate::error::OnnxError;
use scv_memory::Reservation;

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

/// Copies the weights that are stored in other files into a network. `folder` is where its own file stands among these.
///
/// # Errors
/// A file that is missing, or does not hold a tensor as the network says; or there is not so much memory.
pub(super) fn load(
    model: &mut ModelProto,
    folder: &str,
    data: &[NamedFile],
    memory: &Reservation,
) -> Result<(), OnnxError> {
    let locations = locations(model)?;
    // Tensors may share bytes, but a small network must not cause many copies of a large file.
    let mut bytes_left = 2 * data.iter().map(|file| file.bytes.len()).sum::<usize>();
    for_each_tensor(model, &mut |tensor| {
        let file = data_file(location(tensor), folder, data, &locations)?;
        let bytes = bytes_of(tensor, file)?;
        bytes_left = bytes_left.checked_sub(bytes.len()).ok_or_else(|| {
            OnnxError::Unreadable("its tensors refer to more bytes than its data files hold".to_owned())
        })?;
        memory.grow(bytes.len() as u64)?;
        tensor.raw_data = bytes.to_vec();
        tensor.data_location = 0;
        tensor.external_data.clear();
        Ok(())
    })
}

/// The files that a network keeps weights in, each a path from the network's folder.
///
/// # Errors
/// A path that leads out of the folder.
pub(super) fn locations(model: &mut ModelProto) -> Result<Vec<String>, OnnxError> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    for_each_tensor(model, &mut |tensor| {
        let location = location(tensor);
        if escapes_folder(location) {
            return Err(OnnxError::Unreadable(format!(
                "tensor {:?} is stored in {location:?}, a path outside the network's folder: export the network again",
                tensor.name
            )));
        }
        if known.insert(normal(location)) {
            found.push(location.to_owned());
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether a path may point outside the folder that it starts from.
pub(super) fn escapes_folder(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let inside = |part: Component<'_>| matches!(part, Component::CurDir | Component::Normal(_));
    !Path::new(&path).components().all(inside) || path.split('/').next().is_some_and(|first| first.ends_with(':'))
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The folder of a path, with the slash at its end; empty if it has none.
pub(super) fn folder(path: &str) -> &str {
    &path[..path.len() - base_name(path).len()]
}

type Visitor<'v> = dyn FnMut(&mut TensorProto) -> Result<(), OnnxError> + 'v;

/// Visits every tensor that is stored in another file.
fn for_each_tensor(model: &mut ModelProto, visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    if let Some(graph) = &mut model.graph {
        in_graph(graph, visit)?;
    }
    for function in &mut model.functions {
        in_nodes(&mut function.node, visit)?;
        in_attributes(&mut function.attribute_proto, visit)?;
    }
    Ok(())
}

fn in_graph(graph: &mut GraphProto, visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    for tensor in &mut graph.initializer {
        in_tensor(tensor, visit)?;
    }
    for tensor in &mut graph.sparse_initializer {
        in_sparse(tensor, visit)?;
    }
    in_nodes(&mut graph.node, visit)
}

fn in_nodes(nodes: &mut [NodeProto], visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    nodes
        .iter_mut()
        .try_for_each(|node| in_attributes(&mut node.attribute, visit))
}

fn in_attributes(attributes: &mut [AttributeProto], visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    for attribute in attributes {
        if let Some(tensor) = &mut attribute.t {
            in_tensor(tensor, visit)?;
        }
        if let Some(tensor) = &mut attribute.sparse_tensor {
            in_sparse(tensor, visit)?;
        }
        if let Some(graph) = &mut attribute.g {
            in_graph(graph, visit)?;
        }
    }
    Ok(())
}

fn in_sparse(tensor: &mut SparseTensorProto, visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    let mut parts = tensor.values.iter_mut().chain(&mut tensor.indices);
    parts.try_for_each(|tensor| in_tensor(tensor, visit))
}

fn in_tensor(tensor: &mut TensorProto, visit: &mut Visitor<'_>) -> Result<(), OnnxError> {
    if tensor.data_location == EXTERNAL {
        visit(tensor)
    } else {
        Ok(())
    }
}

fn location(tensor: &TensorProto) -> &str {
    field(tensor, "location").unwrap_or_default()
}

fn field<'t>(tensor: &'t TensorProto, key: &str) -> Option<&'t str> {
    let mut entries = tensor.external_data.iter();
    entries.find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

/// The file at a location. Whole paths count; a file that came without its path is found by its name, if only one location and
/// one file have this name.
fn data_file<'a>(
    location: &str,
    folder: &str,
    data: &'a [NamedFile],
    locations: &[String],
) -> Result<&'a NamedFile, OnnxError> {
    let paths = [normal(&format!("{folder}{location}")), normal(location)];
    for path in paths {
        let mut found = data.iter().filter(|file| normal(&file.name) == path);
        match (found.next(), found.next()) {
            (Some(file), None) => return Ok(file),
            (Some(_), Some(_)) => {
                return Err(OnnxError::Unreadable(format!(
                    "two of its data files are named {path:?}"
                )));
            }
            _ => {}
        }
    }
    let is_only = locations
        .iter()
        .filter(|other| base_name(other) == base_name(location))
        .count()
        == 1;
    let mut found = data
        .iter()
        .filter(|file| is_only && base_name(&file.name) == base_name(location));
    match (found.next(), found.next()) {
        (Some(file), None) => Ok(file),
        _ => Err(OnnxError::MissingData {
            location: location.to_owned(),
        }),
    }
}

/// A path as it is compared.
fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

/// The bytes of a tensor.
fn bytes_of<'a>(tensor: &TensorProto, file: &'a NamedFile) -> Result<&'a [u8], OnnxError> {
    let refused = |what: String| Err(OnnxError::Unreadable(format!("tensor {:?} {what}", tensor.name)));
    let mut numbers = [None; 2];
    for (number, key) in numbers.iter_mut().zip(["offset", "length"]) {
        let Some(text) = field(tensor, key) else { continue };
        match text.parse::<usize>() {
            Ok(parsed) => *number = Some(parsed),
            Err(_) => {
                return refused(format!(
                    "is stored in {:?} with the {key} {text:?}, which is not a number of bytes: export the network again",
                    location(tensor)
                ));
            }
        }
    }
    let [offset, length] = numbers;
    let (start, needed) = (offset.unwrap_or(0), byte_length(tensor));
    if let (Some(length), Some(needed)) = (length, needed)
        && length != needed
    {
        return refused(format!(
            "of shape {:?} takes {needed} bytes, but {length} are stored: export the network again",
            tensor.dims
        ));
    }
    let end = match length.or(needed) {
        Some(length) => start.checked_add(length),
        None => Some(file.bytes.len()),
    };
    match end.and_then(|end| file.bytes.get(start..end)) {
        Some(bytes) => Ok(bytes),
        None => refused(format!(
            "reaches beyond the end of {:?}, which has {} bytes: is it the file that belongs to the network?",
            location(tensor),
            file.bytes.len()
        )),
    }
}

/// The number of bytes that a tensor takes; `None` for an element type or a shape that SCV does not support.
fn byte_length(tensor: &TensorProto) -> Option<usize> {
    let bits = match DataType::try_from(tensor.data_type).ok()? {
        DataType::Uint4 | DataType::Int4 => 4,
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 8,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 64,
        _ => return None,
    };
    let mut count = 1_usize;
    for &dim in &tensor.dims {
        count = count.checked_mul(usize::try_from(dim).ok()?)?;
    }
    Some(count.checked_mul(bits)?.div_ceil(8))
}
