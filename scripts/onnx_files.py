"""Helpers of the other scripts for ONNX files. Import it only in an environment with ONNX Runtime."""

import onnx
import onnxruntime


def image_input(model):
    """The only input of a network that is not a weight."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return next(value for value in model.graph.input if value.name not in constants)


def dimensions(model):
    """The number of images and their shape; None for dimensions that the file does not define."""
    shape = image_input(model).type.tensor_type.shape
    return [entry.dim_value if entry.HasField("dim_value") and entry.dim_value > 0 else None for entry in shape.dim]


def takes_any_batch(model):
    return dimensions(model)[0] is None


def opset(model):
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def outputs(model):
    return [value.name for value in model.graph.output]


def scv_options(model, path, shape, output):
    """The options that `scv` needs in addition to the file.

    These are other files with its weights, the size of images if the file does not define it, and an output if it has several.
    """
    places = {
        entry.value
        for tensor in onnx.load(path, load_external_data=False).graph.initializer
        for entry in tensor.external_data if entry.key == "location"
    }
    options = [argument for place in sorted(places) for argument in ("--data", path.parent / place)]
    if None in dimensions(model)[2:]:
        options += ["--height", str(shape[2]), "--width", str(shape[3])]
    return options + (["--output-name", output] if len(outputs(model)) > 1 else [])


def is_quantised(model):
    return any("Quantize" in node.op_type or "QLinear" in node.op_type for node in model.graph.node)


def session(model, names, options):
    """The network in ONNX Runtime, which returns these values in addition to its outputs."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    present = outputs(model)
    changed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    # No hints about possible optimisations.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(changed.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Reference:
    """Outputs of ONNX Runtime: for the whole batch if the file accepts it, and image by image."""

    def __init__(self, model, names, batch):
        self.names, self.batch, self.input = names, batch, image_input(model).name
        options = onnxruntime.SessionOptions()
        # Runs each node as written in the file.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = session(model, names, options)
        self.at_once = self.values(batch) if takes_any_batch(model) else {}
        self.singly = None

    def values(self, batch):
        return dict(zip(self.names, self.session.run(self.names, {self.input: batch})))

    def image_by_image(self, name):
        if self.singly is None:
            self.singly = [self.values(image[None]) for image in self.batch]
        return [values[name] for values in self.singly]


class FromLayersBefore:
    """Outputs of ONNX Runtime for each layer, image by image, from the outputs that SCV has for the layers before it."""

    at_once = {}

    def __init__(self, model, names, batch, taps):
        self.batch, self.input, self.taps = batch, image_input(model).name, taps
        self.whole = Reference(model, names, batch)
        self.shapes = {name: values[0] for name, values in ((name, self.whole.image_by_image(name)) for name in names)}
        self.computed = {name: f"{name} computed" for name in names}
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for node in changed.graph.node:
            node.output[:] = [self.computed.get(name, name) for name in node.output]
        del changed.graph.output[:]
        for name, value in self.shapes.items():
            kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            changed.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, None))
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = session(changed, self.computed.values(), options)
        self.singly = [self.values(index) for index in range(len(batch))]

    def values(self, index):
        given = {name: self.taps[name][index].reshape(value.shape).astype(value.dtype) for name, value in self.shapes.items()}
        found = self.session.run(list(self.computed.values()), {self.input: self.batch[index][None], **given})
        return dict(zip(self.shapes, found))

    def image_by_image(self, name):
        return [values[name] for values in self.singly]
