//! The Python names that mean something in a state dict, and the data that each represents here.

use crate::pytorch::element::ElementType;

/// A Python name that SCV understands. Nothing in Python is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    /// `collections.OrderedDict` and `Counter`: a dict.
    Dict,
    /// `collections.defaultdict`, which is made from a function for its defaults: a dict.
    DefaultDict,
    /// `set` and `frozenset` of Python 2 and 3, `torch.Size`: the sequence they are built from.
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
    /// `torch._utils._rebuild_parameter`: its tensor.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`: a function for a tensor and its arguments.
    RebuildFromType,
    /// What training states hold besides tensors, and SCV drops: a device, settings, and what older protocols use to
    /// write bytes.
    Other,
}

impl Global {
    /// The meaning of a name, if it has one.
    pub(super) fn named(module: &str, name: &str) -> Option<Global> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Self::Dict,
            ("collections", "defaultdict") => Self::DefaultDict,
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
}
