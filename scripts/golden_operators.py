"""Writes tests/golden/operators.json: outputs and gradients of every operator in PyTorch.

Run from the root of the repository, with PyTorch installed (any recent version, CPU is enough):

    python scripts/golden_operators.py > tests/golden/operators.json

Nothing is random: number i of a tensor is sin(0.37 i + phase), rounded to float32. Each role has its
own phase, and the tests compute the same numbers. PyTorch computes in float64. The gradients are those
of sum(output * direction), where direction is such a tensor too.
"""

import json
import sys

import numpy
import torch
import torch.nn.functional as F

PHASES = {"input": 0.0, "weight": 1.0, "bias": 2.0, "running_mean": 3.0, "running_var": 4.0, "direction": 5.0}


def numbers(role, shape, scale=1.0, levels=None):
    count = int(numpy.prod(shape))
    values = numpy.sin(0.37 * numpy.arange(count) + PHASES[role])
    if levels:
        values = numpy.floor(values * levels + 0.5) / levels
    if role == "running_var":
        values = values + 1.5
    values = (values * scale).astype(numpy.float32).astype(numpy.float64)
    return torch.from_numpy(values).reshape(shape)


def compact(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


CASES = []


def case(name, operator, function, shape, parameters=None, scale=1.0, levels=None, training=False):
    x = numbers("input", shape, scale, levels).requires_grad_()
    tensors = {role: numbers(role, dims) for role, dims in (parameters or {}).items()}
    for role in ("weight", "bias"):
        if role in tensors:
            tensors[role].requires_grad_()
    y = function(x, tensors)
    (y * numbers("direction", y.shape)).sum().backward()
    gradients = {"input": compact(x.grad)}
    gradients |= {role: compact(t.grad) for role, t in tensors.items() if t.requires_grad}
    CASES.append({
        "name": name,
        "operator": operator,
        "input_shape": list(shape),
        "scale": scale,
        "levels": levels,
        "training": training,
        "parameters": {role: list(dims) for role, dims in (parameters or {}).items()},
        "output_shape": list(y.shape),
        "output": compact(y),
        "gradients": gradients,
    })


def conv(name, shape, weight, bias=False, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    parameters = {"weight": weight} | ({"bias": [weight[0]]} if bias else {})
    operator = {"type": "Conv2d", "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    case(name, operator,
         lambda x, t: F.conv2d(x, t["weight"], t.get("bias"), stride, padding, dilation, groups), shape, parameters)


def conv_transpose(name, shape, weight, bias=False, stride=(1, 1), padding=(0, 0), output_padding=(0, 0),
                   dilation=(1, 1), groups=1):
    parameters = {"weight": weight} | ({"bias": [weight[1] * groups]} if bias else {})
    operator = {"type": "ConvTranspose2d", "stride": stride, "padding": padding, "output_padding": output_padding,
                "dilation": dilation, "groups": groups}
    case(name, operator,
         lambda x, t: F.conv_transpose2d(x, t["weight"], t.get("bias"), stride, padding, output_padding, groups,
                                         dilation), shape, parameters)


def max_pool(name, shape, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, levels=None):
    operator = {"type": "MaxPool2d", "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    case(name, operator, lambda x, t: F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode), shape,
         levels=levels)


def avg_pool(name, shape, kernel, stride, padding=(0, 0), ceil_mode=False, count_include_pad=True,
             divisor_override=None):
    operator = {"type": "AvgPool2d", "kernel": kernel, "stride": stride, "padding": padding,
                "count_include_pad": count_include_pad, "divisor_override": divisor_override}
    case(name, operator,
         lambda x, t: F.avg_pool2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override), shape)


def pad(name, shape, mode, padding, value=0.0):
    operator = {"type": "Pad2d", "mode": mode, "value": value, "padding": padding}
    torch_mode = {"constant": "constant", "reflection": "reflect", "replication": "replicate"}[mode]
    extra = {"value": value} if mode == "constant" else {}
    case(name, operator, lambda x, t: F.pad(x, padding, torch_mode, **extra), shape)


def batch_norm(name, shape, affine=True, eps=1e-5, momentum=0.1, training=False):
    channels = [shape[1]]
    parameters = ({"weight": channels, "bias": channels} if affine else {})
    parameters |= {"running_mean": channels, "running_var": channels}
    # Without momentum, PyTorch averages over all batches, so the first one counts in full.
    share = 1.0 if momentum is None else momentum
    case(name, {"type": "BatchNorm2d", "eps": eps, "momentum": momentum},
         lambda x, t: F.batch_norm(x, t["running_mean"], t["running_var"], t.get("weight"), t.get("bias"), training,
                                   share, eps), shape, parameters, training=training)


def activation(name, function, scale=4.0, **settings):
    case(name, {"type": name, **settings}, lambda x, t: function(x), (2, 3, 2, 3), scale=scale)


conv("conv", (2, 3, 5, 6), (4, 3, 3, 3), bias=True)
conv("conv with steps and padding that differ by axis", (2, 3, 7, 5), (4, 3, 3, 2), True, (2, 1), (1, 2))
conv("conv with a step that leaves places unread", (1, 2, 8, 9), (3, 2, 3, 3), stride=(3, 2))
conv("conv with dilation", (2, 2, 9, 8), (3, 2, 3, 2), True, dilation=(2, 3), padding=(1, 0))
conv("conv in groups", (2, 4, 5, 5), (6, 2, 3, 3), True, padding=(1, 1), groups=2)
conv("conv in groups with a step", (3, 6, 6, 6), (3, 2, 2, 2), stride=(2, 2), groups=3)
conv("depthwise conv", (2, 3, 6, 5), (3, 1, 3, 3), True, padding=(1, 1), groups=3)
conv("depthwise conv with a multiplier and a step", (2, 3, 7, 6), (6, 1, 3, 2), True, (2, 3), (1, 1), (1, 2), 3)
conv("pointwise conv", (2, 5, 4, 3), (4, 5, 1, 1), True)
conv("pointwise conv with a step", (2, 3, 5, 5), (4, 3, 1, 1), stride=(2, 2))
conv("conv padded beyond its kernel", (1, 2, 3, 3), (2, 2, 2, 2), padding=(3, 2))
conv("conv of a single channel", (3, 1, 6, 6), (2, 1, 3, 3), True, padding=(1, 1))
conv("conv of one position", (9, 3, 2, 2), (5, 3, 2, 2), True)
conv("conv of a large image", (1, 2, 18, 17), (2, 2, 3, 3), True, padding=(1, 1))
conv_transpose("transposed conv", (2, 3, 4, 3), (3, 2, 3, 3), True)
conv_transpose("transposed conv that doubles", (2, 3, 3, 4), (3, 2, 3, 3), True, (2, 2), (1, 1), (1, 1))
conv_transpose("transposed conv with settings that differ by axis", (2, 4, 3, 4), (4, 3, 2, 3), True, (2, 3), (1, 0),
               (1, 2), (1, 2), 2)
conv_transpose("transposed conv with gaps", (1, 2, 3, 3), (2, 2, 2, 1), stride=(3, 2))
conv_transpose("transposed depthwise conv", (2, 3, 4, 4), (3, 1, 3, 3), True, (2, 2), (1, 1), groups=3)
conv_transpose("transposed conv with output padding beyond its step", (1, 2, 3, 3), (2, 3, 2, 2), stride=(1, 1),
               output_padding=(1, 2), dilation=(2, 3))
max_pool("max pool", (2, 2, 6, 4), (2, 2), (2, 2))
max_pool("max pool with overlap and padding", (2, 2, 7, 6), (3, 3), (2, 2), (1, 1))
max_pool("max pool with settings that differ by axis", (1, 3, 8, 7), (3, 2), (1, 2), (1, 0), (2, 3))
max_pool("max pool that overhangs", (2, 2, 6, 5), (3, 2), (2, 3), (1, 1), ceil_mode=True)
max_pool("max pool with ties", (2, 2, 7, 7), (3, 3), (2, 1), (1, 1), levels=2)
avg_pool("average pool", (2, 2, 6, 4), (2, 2), (2, 2))
avg_pool("average pool that counts padding", (2, 2, 7, 6), (3, 3), (2, 2), (1, 1))
avg_pool("average pool that ignores padding", (2, 2, 7, 6), (3, 2), (2, 1), (1, 1), count_include_pad=False)
avg_pool("average pool that overhangs and counts padding", (2, 2, 6, 5), (3, 2), (2, 3), (1, 1), True)
avg_pool("average pool that overhangs and ignores padding", (2, 2, 6, 5), (3, 2), (2, 3), (1, 1), True, False)
avg_pool("average pool with a divisor", (1, 2, 5, 5), (3, 3), (2, 2), (1, 1), divisor_override=4)
for size in [(1, 1), (3, 2), (5, 7), (8, 4)]:
    case(f"adaptive average pool to {size[0]}x{size[1]}", {"type": "AdaptiveAvgPool2d"},
         lambda x, t, size=size: F.adaptive_avg_pool2d(x, size), (2, 2, 5, 6))
pad("pad by a constant", (2, 2, 3, 4), "constant", (1, 2, 3, 0), 0.75)
pad("pad that crops", (2, 2, 5, 4), "constant", (-1, 2, 1, -2), -0.5)
pad("pad by reflection", (2, 2, 4, 5), "reflection", (3, 1, 2, 3))
pad("pad by replication", (2, 2, 3, 2), "replication", (1, 4, 3, 2))
batch_norm("batch norm at inference", (2, 3, 3, 2))
batch_norm("batch norm at inference without weights", (2, 3, 3, 2), affine=False, eps=1e-2)
batch_norm("batch norm in training", (3, 4, 3, 2), training=True)
batch_norm("batch norm in training without weights", (3, 4, 3, 2), affine=False, momentum=0.3, training=True)
batch_norm("batch norm in training without momentum", (4, 3, 1, 1), momentum=None, training=True)
case("linear", {"type": "Linear"}, lambda x, t: F.linear(x, t["weight"], t["bias"]), (3, 5),
     {"weight": (4, 5), "bias": (4,)})
case("linear without a bias on rows", {"type": "Linear"}, lambda x, t: F.linear(x, t["weight"]), (2, 3, 4),
     {"weight": (5, 4)})
for dim in range(3):
    case(f"softmax over dimension {dim}", {"type": "Softmax", "dim": dim},
         lambda x, t, dim=dim: F.softmax(x, dim + 1), (2, 3, 2, 4), scale=5.0)
case("softmax of a vector", {"type": "Softmax", "dim": 0}, lambda x, t: F.softmax(x, 1), (3, 5), scale=60.0)
activation("Relu", F.relu)
activation("LeakyRelu", lambda x: F.leaky_relu(x, 0.2), negative_slope=0.2)
activation("LeakyRelu", lambda x: F.leaky_relu(x, -0.3), negative_slope=-0.3)
activation("Elu", lambda x: F.elu(x, 1.7), alpha=1.7)
activation("Elu", lambda x: F.elu(x, 1.0), scale=200.0, alpha=1.0)
activation("Gelu", F.gelu, tanh=False)
activation("Gelu", lambda x: F.gelu(x, approximate="tanh"), tanh=True)
activation("Silu", F.silu)
activation("Silu", F.silu, scale=200.0)
activation("Sigmoid", F.sigmoid)
activation("Sigmoid", F.sigmoid, scale=200.0)
activation("Tanh", torch.tanh)
activation("Hardtanh", lambda x: F.hardtanh(x, 0.0, 3.0), min=0.0, max=3.0)
activation("Hardtanh", lambda x: F.hardtanh(x, -0.5, 2.5), min=-0.5, max=2.5)
activation("Softplus", lambda x: F.softplus(x, 1.0, 20.0), beta=1.0, threshold=20.0)
activation("Softplus", lambda x: F.softplus(x, 2.5, 4.0), beta=2.5, threshold=4.0)
activation("Softplus", lambda x: F.softplus(x, 1.0, 20.0), scale=200.0, beta=1.0, threshold=20.0)

sys.stdout.write('{"pytorch": "%s", "cases": [\n' % torch.__version__.split("+")[0])
sys.stdout.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in CASES))
sys.stdout.write("\n]}\n")
