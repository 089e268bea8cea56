//! What to do with a file that is no ONNX file, but one of a kind that people often have.

use crate::file_kind::{self, recognised};

/// What a file is, and the way from it to an ONNX file; `None` for a file that is ONNX or unknown.
pub(super) fn described(bytes: &[u8]) -> Option<String> {
    let kind = recognised(bytes).filter(|kind| *kind != file_kind::ONNX)?;
    let way = match kind {
        file_kind::PYTORCH | file_kind::PICKLE => {
            "load the network in PyTorch and export it with torch.onnx.export, or give its state dict as `weights`, with its `blocks`"
        }
        file_kind::TORCHSCRIPT => {
            "load it with torch.jit.load and export it with torch.onnx.export(network, (images,), \"network.onnx\", dynamo=False)"
        }
        file_kind::EXPORTED_PROGRAM => {
            "load it with torch.export.load and export it with torch.onnx.export(program, (), \"network.onnx\")"
        }
        file_kind::ONNX_RUNTIME => "register the ONNX file that it was converted from",
        file_kind::SAFETENSORS => {
            "it has weights without a network: load both in PyTorch and export the network with torch.onnx.export, or \
             give the weights as `weights`, with their `blocks`"
        }
        file_kind::HDF5 | file_kind::KERAS => {
            "load the network in Keras and export it with model.export(path, format=\"onnx\")"
        }
        file_kind::TFLITE => "convert it with python -m tf2onnx.convert --tflite FILE --output network.onnx",
        file_kind::SAVED_MODEL => {
            "convert its folder with python -m tf2onnx.convert --saved-model FOLDER --output network.onnx"
        }
        file_kind::TENSORRT => "it runs on one kind of GPU only: register the ONNX file that it was built from",
        file_kind::OPENVINO => "register the ONNX file that it was converted from",
        file_kind::CORE_ML => "register the ONNX file of the network that it was converted from",
        _ => return Some(format!("the file is {kind}")),
    };
    Some(format!("the file is {kind}: {way}"))
}
