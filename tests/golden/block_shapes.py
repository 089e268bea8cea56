"""Asks PyTorch what single layers do to image shapes: writes block_shapes.json beside this file.

Needs torch (made with 1.12.1) and nothing else: python tests/golden/block_shapes.py
Each case holds a block, the image shape, and what PyTorch says: the output shape with the shapes
of the state dict in order, or null where PyTorch refuses the parameters or the input.
"""

import itertools
import json
import pathlib
import random
import warnings

import torch

warnings.simplefilter("ignore")
random.seed(7)


def build(kind, parameters, shape):
    parameters = dict(parameters)
    if kind in ("Conv2d", "ConvTranspose2d"):
        parameters.setdefault("in_channels", shape[0])
    if kind == "BatchNorm2d":
        parameters.setdefault("num_features", shape[0])
    for name, value in parameters.items():
        if isinstance(value, list):
            parameters[name] = tuple(value)
    return getattr(torch.nn, kind)(**parameters)


def answer(kind, parameters, shape):
    try:
        module = build(kind, parameters, shape).eval()
        output = list(module(torch.zeros(2, *shape)).shape)[1:]
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError):
        return None
    if 0 in output:
        return None
    state = [
        [name, list(tensor.shape)]
        for name, tensor in module.state_dict().items()
        if name != "num_batches_tracked"
    ]
    return {"output_shape": output, "state_dict": state}


cases = {}


def case(kind, shape, **parameters):
    key = json.dumps([kind, parameters, shape])
    if key not in cases:
        cases[key] = {
            "kind": kind,
            "parameters": parameters,
            "input": shape,
            "torch": answer(kind, parameters, shape),
        }


def sample(count, **choices):
    grid = [dict(zip(choices, values)) for values in itertools.product(*choices.values())]
    return random.sample(grid, min(count, len(grid)))


def split(choice):
    return {name: value for name, value in choice.items() if value != "default"}


for choice in sample(
    90,
    shape=[[4, 9, 12], [6, 7, 7], [3, 5, 4]],
    out_channels=[6, 8],
    kernel_size=[1, 3, [2, 5], 6],
    stride=["default", 2, [1, 3]],
    padding=["default", 1, [2, 0], "valid"],
    dilation=["default", 2],
    groups=["default", 2, 3],
    bias=["default", False],
):
    case("Conv2d", choice.pop("shape"), **split(choice))
for choice in sample(
    15,
    shape=[[4, 9, 12], [3, 5, 4]],
    out_channels=[6],
    kernel_size=[1, 3, [5, 3]],
    stride=["default", 2],
    padding=["same"],
    dilation=["default", 2],
):
    case("Conv2d", choice.pop("shape"), **split(choice))
for choice in sample(
    90,
    shape=[[4, 5, 6], [6, 1, 3]],
    out_channels=[6, 8],
    kernel_size=[1, 3, [2, 4]],
    stride=["default", 2, [3, 2]],
    padding=["default", 1, [2, 0]],
    output_padding=["default", 1, [0, 2]],
    dilation=["default", 2],
    groups=["default", 2, 4],
    bias=["default", False],
):
    case("ConvTranspose2d", choice.pop("shape"), **split(choice))
for choice in sample(
    110,
    shape=[[2, 9, 12], [2, 7, 5], [2, 2, 3]],
    kernel_size=[1, 2, 3, [2, 4]],
    stride=["default", 1, 2, [3, 5]],
    padding=["default", 1, [0, 2]],
    dilation=["default", 2, [1, 3]],
    ceil_mode=["default", True],
):
    case("MaxPool2d", choice.pop("shape"), **split(choice))
for choice in sample(
    80,
    shape=[[2, 9, 12], [2, 7, 5], [2, 2, 3]],
    kernel_size=[1, 2, 3, [2, 4]],
    stride=["default", 1, 2, [3, 5]],
    padding=["default", 1, [0, 2]],
    ceil_mode=["default", True],
    count_include_pad=["default", False],
    divisor_override=["default", 3],
):
    case("AvgPool2d", choice.pop("shape"), **split(choice))
for size in [1, 3, 7, [2, 5], [None, 4], [3, None], [None, None], None]:
    case("AdaptiveAvgPool2d", [2, 6, 5], output_size=size)
for padding in [0, 1, 3, 4, [1, 2, 3, 0], [3, 0, 0, 0], [4, 0, 0, 0], [0, 0, 4, 4], [0, 0, 5, 0]]:
    case("ReflectionPad2d", [2, 5, 4], padding=padding)
for padding in [0, 1, 9, [1, 2, 3, 0], [0, 7, 0, 0]]:
    case("ReplicationPad2d", [2, 5, 4], padding=padding)
for padding in [0, 2, -1, -2, -3, [1, -2, 3, 0], [-4, 0, 0, 0], [-3, 0, 0, 0], [0, 0, -2, -2], [0, 0, -6, 9]]:
    case("ZeroPad2d", [2, 5, 4], padding=padding)
    case("ConstantPad2d", [2, 5, 4], padding=padding, value=1.5)
for parameters in [{}, {"affine": False}, {"momentum": None, "eps": 0.001}, {"num_features": 6}, {"num_features": 5}]:
    case("BatchNorm2d", [6, 3, 2], **parameters)
for start, end in itertools.product([1, 2, 3, 4, -1, -2, -3], [1, 2, 3, -1, -2, -5]):
    if end != -5 or start == 4:  # PyTorch would take -4 for the batch; one impossible pair is enough
        case("Flatten", [2, 3, 4], start_dim=start, end_dim=end)
case("Flatten", [2, 3, 4])
for dim in [1, 2, 3, 4, -1, -2, -3, -5]:
    case("Softmax", [2, 3, 4], dim=dim)
for kind in ["ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardtanh", "ReLU6", "Softplus", "Dropout"]:
    case(kind, [2, 3, 4])
for kind in ["ReLU", "LeakyReLU", "ELU", "SiLU", "Hardtanh", "ReLU6", "Dropout"]:
    case(kind, [2, 3, 4], inplace=True)
case("GELU", [2, 3, 4], approximate="tanh")
case("Hardtanh", [2, 3, 4], min_val=-2.0, max_val=0.5)
case("Hardtanh", [2, 3, 4], min_val=1.0, max_val=1.0)
case("Softplus", [2, 3, 4], beta=2, threshold=10)
case("Dropout", [2, 3, 4], p=1.5)

lines = ",\n".join(json.dumps(case) for case in cases.values())
path = pathlib.Path(__file__).with_name("block_shapes.json")
path.write_text("[\n" + lines + "\n]\n")
refused = sum(case["torch"] is None for case in cases.values())
print(f"{len(cases)} cases, {refused} of them refused")
