#!/usr/bin/env python3
"""Exports networks as other tools write them, to test the importer.

    scripts/export_kinds.py [--to DIR] [NAME...]

Each becomes NAME.onnx, with NAME.onnx.data if its weights are in a second file, and NAME.npz with four images (`input`). All
have seeded random weights:

- quantised-pairs, quantised-wide, quantised-operators, quantised-dynamic: the four forms that the quantiser of ONNX Runtime writes
- transformers: a vision transformer of Hugging Face, with all dimensions of its input open
- two-files: the exporter of PyTorch that later became its default (`dynamo`), with the weights in a second file
- keras: a network with the channels last, by the exporter of Keras
- detector: YOLOv8 of Ultralytics, for a single image

They are written to DIR, by default `kinds` in the cache directory. The last line on standard output is the directory. Existing
files are kept. The first run creates a Python environment with PyTorch in the cache directory, which is chosen as in
scripts/setup.
"""

import argparse
import os
from pathlib import Path

from export_families import CLASSES, activate_all_parts, noise, write
from support import (PYTORCH, PYTORCH_MEGABYTES, Problem, cache_folder, continue_in_environment, exclusive_lock, run,
                     say, scratch_in)

SIZE = 64


def quantised_pairs(path):
    from onnxruntime.quantization import QuantFormat, QuantType

    return quantised(path, quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QInt8)


def quantised_wide(path):
    from onnxruntime.quantization import QuantFormat, QuantType

    return quantised(path, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt16)


def quantised_operators(path):
    from onnxruntime.quantization import QuantFormat, QuantType

    return quantised(path, quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8)


def quantised(path, **settings):
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self, images):
            self.images = iter(images)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"input": image[None]}

    images = prepared(path)
    quantize_static(prepared_path(path), path, Images(images), **settings)
    return images


def quantised_dynamic(path):
    from onnxruntime.quantization import quantize_dynamic

    images = prepared(path)
    quantize_dynamic(prepared_path(path), path, per_channel=True)
    return images


def prepared_path(path):
    return path.with_suffix(".prepared.onnx")


def prepared(path):
    """Writes a residual network without batch norms, and returns images for it."""
    import torch
    import torchvision
    from onnxruntime.quantization.shape_inference import quant_pre_process

    torch.manual_seed(1)
    model = torchvision.models.resnet18(num_classes=CLASSES)
    activate_all_parts(model, SIZE)
    images = noise(4, SIZE)
    exact = path.with_suffix(".exact.onnx")
    write(model, images, exact, {"input": {0: "batch"}, "output": {0: "batch"}})
    quant_pre_process(exact, prepared_path(path), skip_symbolic_shape=True)
    return images.numpy()


def transformers(path):
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(1)
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    model = ViTForImageClassification(ViTConfig(image_size=SIZE, patch_size=16, num_labels=CLASSES, **sizes)).eval()
    images = noise(4, SIZE)
    every = {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}
    torch.onnx.export(model, (images,), path, opset_version=17, dynamo=False, input_names=["pixel_values"],
                      output_names=["logits"], dynamic_axes={"pixel_values": every, "logits": {0: "batch_size"}})
    return images.numpy()


def two_files(path):
    import torch
    import torchvision

    torch.manual_seed(1)
    model = torchvision.models.mobilenet_v3_small(num_classes=CLASSES)
    activate_all_parts(model, SIZE)
    images = noise(4, SIZE)
    program = torch.onnx.export(model, (images,), dynamo=True, verbose=False, input_names=["input"], output_names=["output"],
                                dynamic_shapes=({0: torch.export.Dim("batch")},))
    functions = program.model.functions.values()
    for node in [*program.model.graph, *(node for function in functions for node in function)]:
        for name, attribute in node.attributes.items():
            # This version of PyTorch writes booleans where the format has integers, which newer packages refuse.
            if isinstance(getattr(attribute, "value", None), bool):
                node.attributes[name] = type(attribute)(attribute.name, attribute.type, int(attribute.value))
    program.save(path, external_data=True)
    return images.numpy()


def keras(path):
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import numpy
    from keras import layers

    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((32, 32, 3)), layers.Conv2D(16, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.MaxPooling2D(), layers.SeparableConv2D(24, 3, strides=2, padding="same"), layers.ReLU(6.0),
        layers.GlobalAveragePooling2D(), layers.Dense(CLASSES),
    ])
    images = numpy.random.default_rng(1).standard_normal((4, 32, 32, 3)).astype("float32")
    model(images)
    model.export(path, format="onnx", verbose=False)
    return images


def detector(path):
    os.environ |= {"YOLO_CONFIG_DIR": str(path.parent), "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
    import torch
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(1)
    model = DetectionModel("yolov8n.yaml", nc=CLASSES, verbose=False).eval()
    model.model[-1].export, model.model[-1].format = True, "onnx"
    images = noise(4, SIZE)
    write(model, images[:1], path, None)
    return images.numpy()


KINDS = {
    make.__name__.replace("_", "-"): make
    for make in (quantised_pairs, quantised_wide, quantised_operators, quantised_dynamic, transformers, two_files, keras, detector)
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--to", type=Path, metavar="DIR", help="directory for the files")
    arguments.add_argument("names", nargs="*", metavar="NAME", help="kinds to export [default: all]")
    arguments = arguments.parse_args()
    unknown = [name for name in arguments.names if name not in KINDS]
    if unknown:
        raise Problem(f"unknown kind {', '.join(unknown)}: choose from {', '.join(KINDS)}.")
    folder = (arguments.to or cache_folder() / "kinds").absolute()
    # The arrays come last: if they exist, so do the other files.
    missing = [name for name in arguments.names or KINDS if not (folder / f"{name}.npz").is_file()]
    if missing:
        continue_in_environment("pytorch", PYTORCH, PYTORCH_MEGABYTES)
        with exclusive_lock(folder):
            for name in missing:
                export(folder, name)
    print(folder)


def export(folder, name):
    import warnings

    import numpy

    # The exporters warn about conditions on shapes, and about their own future.
    warnings.simplefilter("ignore")
    with scratch_in(folder) as scratch:
        path = scratch / f"{name}.onnx"
        images = KINDS[name](path)
        numpy.savez(path.with_suffix(".npz"), input=images)
        for suffix in (".onnx.data", ".onnx", ".npz"):
            made = path.with_suffix(suffix)
            if made.is_file():
                os.replace(made, folder / made.name)
    say(f"{name} is exported")


if __name__ == "__main__":
    run(main)
