//! What calling a Python name produces: plain data instead of objects.

use super::global::Global;
use super::value::{Id, Storage, Value, Values, View};
use crate::pytorch::element::ElementType;

/// The maximum number of dimensions of a tensor, which is also PyTorch's limit.
const MAX_RANK: usize = 64;

/// The result of calling a name.
///
/// # Errors
/// Why the call is not possible.
pub(super) fn call(global: Global, arguments: &[Id], values: &mut Values<'_>) -> Result<Id, &'static str> {
    match (global, arguments) {
        (Global::Other, _) => Ok(values.add(Value::Other)),
        (Global::Dict, []) => Ok(values.add(Value::Dict(Vec::new()))),
        (Global::Dict, &[source]) => dict(source, values),
        (Global::DefaultDict, _) => Ok(values.add(Value::Dict(Vec::new()))),
        (Global::Sequence, []) => Ok(values.add(Value::List(Vec::new()))),
        (Global::Sequence, &[source]) => match values.sequence(source) {
            Some(_) => Ok(source),
            None => Ok(values.add(Value::Other)),
        },
        (Global::RebuildParameter | Global::Tensor, &[tensor, ..]) => match values.get(tensor) {
            Value::Tensor(_) | Value::Object(_) | Value::Other => Ok(tensor),
            _ => Err("a parameter is built from a value that is not a tensor"),
        },
        (Global::RebuildTensor | Global::RebuildTypedTensor, _) => tensor(global, arguments, values),
        (Global::RebuildFromType, &[function, _, inner, ..]) => {
            let Value::Global(function @ (Global::RebuildTensor | Global::RebuildTypedTensor)) = *values.get(function)
            else {
                return Ok(values.add(Value::Other));
            };
            let inner = values
                .arguments(inner)
                .ok_or("the arguments of a tensor are not a tuple")?;
            tensor(function, &inner, values)
        }
        _ => Err("a name is called that cannot be called, or with the wrong number of arguments"),
    }
}

fn tensor(function: Global, arguments: &[Id], values: &mut Values<'_>) -> Result<Id, &'static str> {
    let &[storage, offset, shape, strides, ..] = arguments else {
        return Err("a tensor needs a storage, an offset, a shape and strides");
    };
    let storage = match values.get(storage) {
        Value::Storage(storage) => *storage,
        // Its numbers are stored in a way that is unknown here.
        Value::Other | Value::Object(_) => return Ok(values.add(Value::Other)),
        _ => return Err("the storage of a tensor is not a storage"),
    };
    let element = match (function, arguments.get(6)) {
        (Global::RebuildTypedTensor, Some(&dtype)) => match *values.get(dtype) {
            Value::Global(Global::Dtype(element)) => element,
            _ => return Err("the dtype of a tensor is unknown"),
        },
        (Global::RebuildTypedTensor, None) => return Err("a tensor has no dtype"),
        _ => storage.element.unwrap_or(ElementType::Uint8),
    };
    let view = View {
        storage,
        element,
        offset: values.count(offset).ok_or("the offset of a tensor is not a count")?,
        shape: counts(shape, values).ok_or("the shape of a tensor is not a tuple of counts")?,
        strides: counts(strides, values).ok_or("the strides of a tensor are not a tuple of counts")?,
    };
    if view.shape.len() != view.strides.len() {
        return Err("a tensor has more dimensions than strides, or fewer");
    }
    Ok(values.add(Value::Tensor(Box::new(view))))
}

/// What a persistent id refers to.
pub(super) enum Persistent {
    Storage(Storage),
    /// A storage of a class that has no meaning here.
    UnknownStorage,
    /// A class of modules, which old files write with its source.
    Class(Id),
}

/// What a persistent id refers to: `("storage", class, key, location, count, part)`, or `("module", class, …)`.
pub(super) fn persistent(id: Id, values: &Values<'_>) -> Option<Persistent> {
    let (&kind, rest) = values.sequence(id)?.split_first()?;
    if values.text(kind) == Some("module") {
        return rest.first().map(|&class| Persistent::Class(class));
    }
    let &[class, key, _, count, ref part @ ..] = rest else {
        return None;
    };
    let element = match values.get(class) {
        Value::Global(Global::Storage(element)) => *element,
        Value::Unknown { .. } | Value::Other => return Some(Persistent::UnknownStorage),
        _ => return None,
    };
    values.text(key)?;
    let (first, count) = match part.first().and_then(|&part| values.sequence(part)) {
        Some(&[_, first, count]) if element.is_some() => (values.count(first)?, values.count(count)?),
        Some(_) => return None,
        None => (0, values.count(count)?),
    };
    Some(Persistent::Storage(Storage {
        element,
        key,
        first,
        count,
    }))
}

/// A dict from another dict, or from a sequence of pairs, as Python 2 wrote it.
fn dict(source: Id, values: &mut Values<'_>) -> Result<Id, &'static str> {
    let items = match values.get(source) {
        Value::Dict(_) => return Ok(source),
        Value::List(items) | Value::Tuple(items) => items,
        Value::Object(_) | Value::Other => return Ok(values.add(Value::Other)),
        _ => return Err("a dict is built from a value that is neither a dict nor a list of pairs"),
    };
    let pair = |&item: &Id| match values.sequence(item) {
        Some(&[key, value]) => Some((key, value)),
        _ => None,
    };
    let pairs: Option<Vec<_>> = items.iter().map(pair).collect();
    Ok(values.add_copy(pairs.ok_or("a dict is built from a list that does not consist of pairs")?))
}

fn counts(id: Id, values: &Values<'_>) -> Option<Vec<u64>> {
    let items = values.sequence(id)?;
    if items.len() > MAX_RANK {
        return None;
    }
    items.iter().map(|&item| values.count(item)).collect()
}
