"""Writes tests/golden/training.json: steps of PyTorch's optimizers, and a short training of a small network.

Run from the root of the repository, with PyTorch installed (any recent version, CPU is enough):

    python scripts/golden_training.py > tests/golden/training.json

Nothing is random: number i of a tensor is sin(0.37 i + phase) times a scale, rounded to float32. PyTorch
computes in float64.
"""

import json
import sys

import numpy
import torch
from torch import nn
import torch.nn.functional as F


def numbers(count, phase, scale=1.0):
    values = (numpy.sin(0.37 * numpy.arange(count) + phase) * scale).astype(numpy.float32)
    return torch.from_numpy(values.astype(numpy.float64))


def compact(tensor):
    return [float(f"{value:.8g}") for value in tensor.detach().flatten().tolist()]


def optimizers():
    made = [
        ({"kind": "SGD", "momentum": 0.0, "weight_decay": 0.0}, lambda p: torch.optim.SGD(p, lr=0.1)),
        ({"kind": "SGD", "momentum": 0.9, "weight_decay": 0.05},
         lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)),
        ({"kind": "ADAM", "weight_decay": 0.0}, lambda p: torch.optim.Adam(p, lr=0.1)),
        ({"kind": "ADAM", "weight_decay": 0.05}, lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.05)),
        ({"kind": "ADAMW", "weight_decay": 0.05}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.05)),
    ]
    for settings, make in made:
        parameter = nn.Parameter(numbers(5, 1.0))
        optimizer = make([parameter])
        for step in range(4):
            parameter.grad = numbers(5, 2.0 + step)
            optimizer.step()
        yield {"optimizer": settings, "after": compact(parameter)}


def cosine():
    parameter = nn.Parameter(numbers(1, 1.0))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


class Residual(nn.Module):
    """A sum of two branches between a stem and a head, with most kinds of layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(3, 2, 1),
            nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(4, momentum=None), nn.SiLU(),
            nn.AvgPool2d(2, 2), nn.ConvTranspose2d(4, 3, 2, stride=2), nn.LeakyReLU(0.1),
            nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Linear(6, 3),
        ])

    def forward(self, x):
        for index, layer in enumerate(self.layers):
            if index == 4:
                shortcut = x
            x = layer(x)
            if index == 6:
                x = x + shortcut
        return x


def network():
    model = Residual().double()
    with torch.no_grad():
        for position, tensor in enumerate(model.parameters()):
            tensor.copy_(numbers(tensor.numel(), float(position), 0.5).reshape(tensor.shape))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for step in range(5):
        x = numbers(4 * 2 * 8 * 8, 10.0 + step).reshape(4, 2, 8, 8)
        loss = F.cross_entropy(model(x), torch.tensor([0, 1, 2, 1]))
        losses.append(float(f"{loss.item():.8g}"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    logits = model(numbers(4 * 2 * 8 * 8, 20.0).reshape(4, 2, 8, 8))
    weights = [compact(tensor) for key, tensor in model.state_dict().items()
               if not key.endswith("num_batches_tracked")]
    return {"losses": losses, "weights": weights, "logits": compact(logits)}


json.dump({"pytorch": torch.__version__.split("+")[0], "optimizers": list(optimizers()), "cosine": cosine(),
           "network": network()}, sys.stdout, separators=(",", ":"))
sys.stdout.write("\n")
