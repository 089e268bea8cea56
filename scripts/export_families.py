#!/usr/bin/env python3
"""Exports one network of each common family as ONNX files, with outputs of PyTorch, to test the importer.

    scripts/export_families.py [--to DIR] [NAME...]

The networks are those of torchvision and timm, at modest sizes, with seeded random weights and batch-norm
statistics of noise. Each becomes three files: NAME.onnx, of opset 17, with any batch size; NAME-batch1.onnx with a
fixed batch of one image; and NAME.npz with four images (`input`) and PyTorch's output for them (`output`). They are
written to DIR, by default `families` in the cache directory. The last line on standard output is the directory.
Existing files are kept.

The first run creates a Python environment with PyTorch in the cache directory, which is chosen as in scripts/setup.
"""

import argparse
import os
from pathlib import Path

from support import (PYTORCH, PYTORCH_MEGABYTES, Problem, cache_folder, continue_in_environment, exclusive_lock, run,
                     say, scratch_in)

# The largest difference between ONNX Runtime and PyTorch, relative to the norm of the output.
TOLERANCE = 1e-4

CLASSES = 10


def resnet18(models):
    return models.resnet18(num_classes=CLASSES), 64


def vgg11(models):
    from torch import nn

    model = models.vgg11(num_classes=CLASSES)
    # For such small images, only 2x2 positions are left, not 7x7. And the two original layers of 4,096 would make a
    # file of half a gigabyte.
    model.avgpool = nn.AdaptiveAvgPool2d(2)
    model.classifier = nn.Sequential(
        nn.Linear(512 * 2 * 2, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 64), nn.ReLU(True), nn.Dropout(),
        nn.Linear(64, CLASSES),
    )
    return model, 64


def densenet121(models):
    return models.densenet121(num_classes=CLASSES), 64


def mobilenet_v2(models):
    return models.mobilenet_v2(num_classes=CLASSES), 64


def mobilenet_v3_small(models):
    return models.mobilenet_v3_small(num_classes=CLASSES), 64


def efficientnet_b0(models):
    return models.efficientnet_b0(num_classes=CLASSES), 64


def squeezenet1_1(models):
    return models.squeezenet1_1(num_classes=CLASSES), 64


def shufflenet_v2_x0_5(models):
    return models.shufflenet_v2_x0_5(num_classes=CLASSES), 64


def convnext(models):
    from torchvision.models.convnext import CNBlockConfig

    # ConvNeXt-tiny with a third of its width and two thirds of its depth.
    blocks = [CNBlockConfig(32, 64, 2), CNBlockConfig(64, 128, 2), CNBlockConfig(128, 256, 6), CNBlockConfig(256, None, 2)]
    return models.ConvNeXt(blocks, num_classes=CLASSES), 64


def inception_v3(models):
    return models.inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False), 96


def regnet_y_400mf(models):
    return models.regnet_y_400mf(num_classes=CLASSES), 64


def vision_transformer(models):
    # The shape of ViT-B/32 with a few narrow layers: nine patches and the class token.
    return models.VisionTransformer(96, 32, num_layers=3, num_heads=4, hidden_dim=128, mlp_dim=512, num_classes=CLASSES), 96


def timm_vit_tiny(models):
    import timm

    return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=4, num_classes=CLASSES), 64


FAMILIES = {
    make.__name__: make
    for make in (resnet18, vgg11, densenet121, mobilenet_v2, mobilenet_v3_small, efficientnet_b0, squeezenet1_1,
                 shufflenet_v2_x0_5, convnext, inception_v3, regnet_y_400mf, vision_transformer, timm_vit_tiny)
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--to", type=Path, metavar="DIR", help="directory for the files")
    arguments.add_argument("names", nargs="*", metavar="NAME", help="families to export [default: all]")
    arguments = arguments.parse_args()
    unknown = [name for name in arguments.names if name not in FAMILIES]
    if unknown:
        raise Problem(f"unknown family {', '.join(unknown)}: choose from {', '.join(FAMILIES)}.")
    folder = (arguments.to or cache_folder() / "families").absolute()
    missing = [name for name in arguments.names or FAMILIES if not is_exported(folder, name)]
    if missing:
        continue_in_environment("pytorch", PYTORCH, PYTORCH_MEGABYTES)
        with exclusive_lock(folder):
            for name in missing:
                export(folder, name)
    print(folder)


def files_of(name):
    # The arrays come last: if they exist, so do the other files.
    return [f"{name}.onnx", f"{name}-batch1.onnx", f"{name}.npz"]


def is_exported(folder, name):
    return all((folder / file).is_file() for file in files_of(name))


def export(folder, name):
    import numpy
    import torch
    import torchvision

    torch.manual_seed(1)
    model, size = FAMILIES[name](torchvision.models)
    activate_all_parts(model, size)
    images = noise(4, size)
    with torch.no_grad():
        output = model(images).numpy()
    with scratch_in(folder) as scratch:
        any_batch, one_image, arrays = (scratch / file for file in files_of(name))
        write(model, images, any_batch, {"input": {0: "batch"}, "output": {0: "batch"}})
        write(model, images[:1], one_image, None)
        numpy.savez(arrays, input=images.numpy(), output=output)
        error = max(difference(any_batch, images, output), difference(one_image, images[:1], output[:1]))
        if not error < TOLERANCE:
            raise Problem(f"ONNX Runtime and PyTorch differ for {name} by {error:.1e} of the norm of the output.")
        for path in (any_batch, one_image, arrays):
            os.replace(path, folder / path.name)
    megabytes = sum((folder / file).stat().st_size for file in files_of(name)) / 1e6
    say(f"{name}: {megabytes:.0f} MB, ONNX Runtime within {error:.1e} of PyTorch")


def activate_all_parts(model, size):
    """Gives every part of a new model an effect, as training would."""
    import torch
    from torch import nn

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            # Zero biases, unit gains, a zero head and layer scales of 1e-6 have no effect, or almost none.
            if parameter.numel() > 1 and parameter.min() == parameter.max():
                level = 1.0 if parameter.min() != 0 else 0.0
                parameter.copy_(level + 0.2 * torch.randn_like(parameter))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            # Without momentum, the statistics are the plain mean over all passes.
            norm.momentum = None
        model.train()
        for _ in range(3 if norms else 0):
            model(noise(16, size))
        model.eval()
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
            # Between images, the units of a trained network differ more than those with random weights. Batch norms
            # with the statistics of random weights would amplify the rounding errors, layer after layer.
            norm.running_var.add_(0.3 * norm.running_mean.square())


def noise(count, size):
    """Images that differ at all scales.

    For plain noise, the deep layers see only the average, which is always the same; batch norms then amplify the
    rounding errors.
    """
    import torch
    from torch.nn.functional import interpolate

    scales = (1, 4, 16, size)
    return sum(interpolate(torch.randn(count, 3, scale, scale), size, mode="bilinear") for scale in scales) / 2


def write(model, images, path, dynamic_axes):
    import warnings

    import torch

    # Exports the attention of timm and torchvision as written in their source.
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        # The tracer warns about every condition on a shape, but all our images have the same shape.
        warnings.simplefilter("ignore")
        torch.onnx.export(model, images, path, opset_version=17, dynamo=False, input_names=["input"],
                          output_names=["output"], dynamic_axes=dynamic_axes)


def difference(path, images, output):
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": images.numpy()})[0]
    return float(numpy.linalg.norm(found - output) / numpy.linalg.norm(output))


if __name__ == "__main__":
    run(main)
