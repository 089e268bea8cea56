//! The names of Python that a state dict may mention, and the plain data each stands for here.

use super::value::{Storage, Value, Values, View};
use super::{Id, MAX_RANK};
use crate::pytorch::element::ElementType;
use crate::pytorch::error::PytorchError;

/// A name with a meaning of ours. Nothing of Python is called; anything that is not here is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    /// `collections.OrderedDict` and `Counter`: a dict.
    Dict,
    /// `set` and `frozenset` of Python 2 and 3, `torch.Size`: the sequence they are made of.
    Sequence,
    /// A class of storages.
    Storage(Option<ElementType>),
    /// A dtype, which is itself a value.
    Dtype(ElementType),
    /// `torch.Tensor`, `torch.nn.Parameter`: a tensor.
    Tensor,
    /// `torch._utils._rebuild_tensor`, `_rebuild_tensor_v2`: storage, offset, shape, strides.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v3`: the same and the dtype.
    RebuildTypedTensor,
    /// `torch._utils._rebuild_parameter`: the tensor that it is.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a function for a tensor and its arguments.
    RebuildFromType,
    /// What training states keep beside the tensors, and SCV drops: a device, settings, and what older
    /// protocols write bytes with.
    Other,
}

impl Global {
    /// The meaning of a name, if it has one.
    pub(super) fn named(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Self::Dict,
            ("builtins" | "__builtin__", "set" | "frozenset") | ("torch", "Size") => Self::Sequence,
            ("torch" | "torch.storage", "UntypedStorage") => Self::Storage(None),
            ("torch" | "torch.cuda", class) if ElementType::of_storage(class).is_some() => {
                Self::Storage(ElementType::of_storage(class))
            }
            ("torch", name) if ElementType::of_dtype(name).is_some() => Self::Dtype(ElementType::of_dtype(name)?),
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch", "device") | ("argparse", "Namespace") | ("_codecs", "encode") => Self::Other,
            _ => return None,
        })
    }

    /// What the call of a name makes; `Err` says why nothing.
    pub(super) fn call<'a>(self, arguments: &[Id], values: &mut Values<'a>) -> Result<Id, &'static str> {
        match (self, arguments) {
            (Self::Other, _) => Ok(values.add(Value::Other)),
            (Self::Dict, []) => Ok(values.add(Value::Dict(Vec::new()))),
            (Self::Dict, &[source]) => dict(source, values),
            (Self::Sequence, []) => Ok(values.add(Value::List(Vec::new()))),
            (Self::Sequence, &[source]) => match values.sequence(source) {
                Some(_) => Ok(source),
                None => Err("a set or size is made of what is no sequence"),
            },
            (Self::RebuildParameter | Self::Tensor, &[tensor, ..]) => match values.get(tensor) {
                Value::Tensor(_) => Ok(tensor),
                _ => Err("a parameter is made of what is no tensor"),
            },
            (Self::RebuildTensor | Self::RebuildTypedTensor, _) => self.tensor(arguments, values),
            (Self::RebuildFromType, &[function, _, inner, ..]) => {
                let Value::Global(function @ (Self::RebuildTensor | Self::RebuildTypedTensor)) = *values.get(function)
                else {
                    return Err("a tensor of another class is rebuilt in an unknown way");
                };
                let inner = values
                    .arguments(inner)
                    .ok_or("the arguments of a tensor are no tuple")?;
                function.tensor(&inner, values)
            }
            _ => Err("a name is called that cannot be, or with the wrong number of arguments"),
        }
    }

    fn tensor(self, arguments: &[Id], values: &mut Values<'_>) -> Result<Id, &'static str> {
        let &[storage, offset, shape, strides, ..] = arguments else {
            return Err("a tensor needs a storage, an offset, a shape and strides");
        };
        let Value::Storage(storage) = *values.get(storage) else {
            return Err("the storage of a tensor is none");
        };
        let element = match (self, arguments.get(6)) {
            (Self::RebuildTypedTensor, Some(&dtype)) => match *values.get(dtype) {
                Value::Global(Self::Dtype(element)) => element,
                _ => return Err("the dtype of a tensor is none that is known"),
            },
            (Self::RebuildTypedTensor, None) => return Err("a tensor without its dtype"),
            _ => storage.element.unwrap_or(ElementType::Uint8),
        };
        let view = View {
            storage,
            element,
            offset: values.count(offset).ok_or("the offset of a tensor is no count")?,
            shape: counts(shape, values).ok_or("the shape of a tensor is no tuple of counts")?,
            strides: counts(strides, values).ok_or("the strides of a tensor are no tuple of counts")?,
        };
        if view.shape.len() != view.strides.len() {
            return Err("a tensor has more dimensions than strides, or fewer");
        }
        Ok(values.add(Value::Tensor(Box::new(view))))
    }
}

/// The storage that a persistent id names: `("storage", class, key, location, count, part)`.
pub(super) fn storage(id: Id, values: &Values<'_>) -> Option<Storage> {
    let &[_, class, key, _, count, ref part @ ..] = values.sequence(id)? else {
        return None;
    };
    let Value::Global(Global::Storage(element)) = *values.get(class) else {
        return None;
    };
    values.text(key)?;
    let (first, count) = match part.first().and_then(|&part| values.sequence(part)) {
        Some(&[_, first, count]) if element.is_some() => (values.count(first)?, values.count(count)?),
        Some(_) => return None,
        None => (0, values.count(count)?),
    };
    Some(Storage {
        element,
        key,
        first,
        count,
    })
}

/// A dict from another, or from a sequence of pairs as Python 2 wrote it.
fn dict(source: Id, values: &mut Values<'_>) -> Result<Id, &'static str> {
    let items = match values.get(source) {
        Value::Dict(_) => return Ok(source),
        Value::List(items) | Value::Tuple(items) => items,
        _ => return Err("a dict is made of what is neither a dict nor pairs"),
    };
    let pair = |&item: &Id| match values.sequence(item) {
        Some(&[key, value]) => Some((key, value)),
        _ => None,
    };
    let pairs: Option<Vec<_>> = items.iter().map(pair).collect();
    Ok(values.add_copy(pairs.ok_or("a dict is made of what is no pairs")?))
}

fn counts(id: Id, values: &Values<'_>) -> Option<Vec<u64>> {
    let items = values.sequence(id)?;
    if items.len() > MAX_RANK {
        return None;
    }
    items.iter().map(|&item| values.count(item)).collect()
}

/// The error of a name that is not in the list.
pub(super) fn refused(name: &str, offset: usize) -> PytorchError {
    let is_layer = ["torch.nn.", "torchvision.models."]
        .iter()
        .any(|module| name.starts_with(module));
    let name = shortened(name);
    match is_layer {
        true => PytorchError::WholeModel { name, offset },
        false => PytorchError::Global { name, offset },
    }
}

/// As much of a name from a file as fits a message.
fn shortened(name: &str) -> String {
    const SHOWN: usize = 120;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
