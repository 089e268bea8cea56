#!/usr/bin/env python3
"""Exports one network of each common family as ONNX files, with what PyTorch answers, to test the importer with.

    scripts/export_families.py [--to FOLDER] [NAME...]

The networks are torchvision's and timm's own, at modest sizes, with seeded random weights and batch-norm
statistics taken from noise. Each becomes three files of opset 17: NAME.onnx with a batch of any size,
NAME-batch1.onnx with a fixed batch of one image, and NAME.npz with four images (`input`) and PyTorch's answer to
them (`output`). The folder is `families` in the cache folder unless --to names another; it is the last line
on standard output. What is there already is kept.

The first run makes a Python environment with PyTorch in the cache folder, chosen as in scripts/setup.
"""

import argparse
import os
from pathlib import Path

from support import PYTORCH, PYTORCH_MEGABYTES, Problem, cache_folder, continue_in_environment, only_one_at_a_time, run, say, scratch_in

# Below this share of the answer's size, ONNX Runtime and PyTorch count as agreeing on a file.
AGREEMENT = 1e-4

CLASSES = 10


def resnet18(models):
    return models.resnet18(num_classes=CLASSES), 64


def vgg11(models):
    from torch import nn

    model = models.vgg11(num_classes=CLASSES)
    # Seven by seven positions cannot be made of the two by two that such small images leave, and the original's
    # two layers of 4,096 would make a file of half a gigabyte.
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
    arguments.add_argument("--to", type=Path, metavar="FOLDER", help="where the files go")
    arguments.add_argument("names", nargs="*", metavar="NAME", help="the families, all if none is named")
    arguments = arguments.parse_args()
    unknown = [name for name in arguments.names if name not in FAMILIES]
    if unknown:
        raise Problem(f"there is no family called {', '.join(unknown)}; choose from {', '.join(FAMILIES)}.")
    folder = (arguments.to or cache_folder() / "families").absolute()
    missing = [name for name in arguments.names or FAMILIES if not is_there(folder, name)]
    if missing:
        continue_in_environment("pytorch", PYTORCH, PYTORCH_MEGABYTES)
        with only_one_at_a_time(folder):
            for name in missing:
                export(folder, name)
    print(folder)


def files_of(name):
    # The answers come last: where they are, the rest is.
    return [f"{name}.onnx", f"{name}-batch1.onnx", f"{name}.npz"]


def is_there(folder, name):
    return all((folder / file).is_file() for file in files_of(name))


def export(folder, name):
    import numpy
    import torch
    import torchvision

    torch.manual_seed(1)
    model, size = FAMILIES[name](torchvision.models)
    make_lively(model, size)
    images = noise(4, size)
    with torch.no_grad():
        answer = model(images).numpy()
    with scratch_in(folder) as scratch:
        any_batch, one_image, answers = (scratch / file for file in files_of(name))
        write(model, images, any_batch, {"input": {0: "batch"}, "output": {0: "batch"}})
        write(model, images[:1], one_image, None)
        numpy.savez(answers, input=images.numpy(), output=answer)
        error = max(disagreement(any_batch, images, answer), disagreement(one_image, images[:1], answer[:1]))
        if not error < AGREEMENT:
            raise Problem(f"ONNX Runtime answers {name} differently from PyTorch, by {error:.1e} of the answer's size.")
        for path in (any_batch, one_image, answers):
            os.replace(path, folder / path.name)
    megabytes = sum((folder / file).stat().st_size for file in files_of(name)) / 1e6
    say(f"{name}: {megabytes:.0f} MB, ONNX Runtime within {error:.1e} of PyTorch")


def make_lively(model, size):
    """Gives every part of a fresh model something to do, as training would."""
    import torch
    from torch import nn

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            # Zero biases, unit gains, a head of zeros, layer scales of a millionth: without effect, or nearly so.
            if parameter.numel() > 1 and parameter.min() == parameter.max():
                level = 1.0 if parameter.min() != 0 else 0.0
                parameter.copy_(level + 0.2 * torch.randn_like(parameter))
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            # Without a momentum the statistics are the plain mean over all passes.
            norm.momentum = None
        model.train()
        for _ in range(3 if norms else 0):
            model(noise(16, size))
        model.eval()
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
            # A trained network's units differ more between images than those of random weights, which a norm that
            # expects no more would magnify together with the rounding errors, layer after layer.
            norm.running_var.add_(0.3 * norm.running_mean.square())


def noise(count, size):
    """Images that differ in the large as well as in the small.

    Of plain noise the deep layers see only the average, which is always the same; batch norms then blow up the
    rounding errors.
    """
    import torch
    from torch.nn.functional import interpolate

    scales = (1, 4, 16, size)
    return sum(interpolate(torch.randn(count, 3, scale, scale), size, mode="bilinear") for scale in scales) / 2


def write(model, images, path, dynamic_axes):
    import warnings

    import torch

    # So that timm's and torchvision's attention is exported as it stands in their source.
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        # The tracer warns of every condition that depends on a shape, which is the same for all our images.
        warnings.simplefilter("ignore")
        torch.onnx.export(model, images, path, opset_version=17, dynamo=False, input_names=["input"],
                          output_names=["output"], dynamic_axes=dynamic_axes)


def disagreement(path, images, answer):
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": images.numpy()})[0]
    return float(numpy.linalg.norm(found - answer) / numpy.linalg.norm(answer))


if __name__ == "__main__":
    run(main)
