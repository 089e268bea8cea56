"""Writes tests/golden/pytorch: files of torch.save in all its formats, and what torch.load reads from them.

Run from the root of the repository, with PyTorch installed (made with 2.6.0, CPU is enough):

    python scripts/golden_pytorch.py

Nothing is random: number i of a tensor is sin(0.37 i + phase), and each tensor has its own phase.
For every readable file, expected.json has the tensors of its state dict in order: key, dtype, shape,
and the numbers as float32 (null for types that SCV does not compute with). The other files hold whole
models, calls that must never be made, or no single dict of tensors.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import tempfile
import zipfile

import torch

FOLDER = pathlib.Path("tests/golden/pytorch")
EXPECTED = {}


def numbers(shape, phase=0.0):
    count = int(torch.Size(shape).numel())
    return torch.sin(0.37 * torch.arange(count, dtype=torch.float64) + phase).float().reshape(shape)


def network():
    """Two convolutions with a batch normalisation between them, and a linear layer."""
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.Conv2d(2, 3, 3, bias=False),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 4))
    for phase, tensor in enumerate(layers.state_dict().values()):
        if tensor.is_floating_point():
            tensor.copy_(numbers(tensor.shape, phase))
    return layers


class Named(torch.nn.Module):
    """The same network with names, as people write it."""

    def __init__(self):
        super().__init__()
        layers = network()
        self.features = torch.nn.Sequential(*layers[:5])
        self.classifier = layers[6]

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Hostile:
    """An object whose pickle runs a command when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch /tmp/a-pickle-was-executed",)


def save(name, value, **options):
    torch.save(value, FOLDER / name, **options)


def expect(name, state):
    def entry(key, tensor):
        is_float = tensor.is_floating_point() and tensor.element_size() > 1
        values = tensor.float().flatten().tolist() if is_float else None
        return {"key": key, "element": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape),
                "numbers": values}

    EXPECTED[name] = [entry(key, tensor.detach()) for key, tensor in state.items()]


def both(name, value, find=lambda value: value):
    """Saves in both containers. `find` returns the state dict of the loaded value."""
    for container, options in [("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})]:
        file = f"{name}_{container}.pth"
        save(file, value, **options)
        expect(file, find(torch.load(FOLDER / file, weights_only=False)))


def rewritten(source, target, compression=zipfile.ZIP_STORED, change=lambda name, content: content):
    """Copies an archive, entry by entry."""
    with zipfile.ZipFile(FOLDER / source) as old, zipfile.ZipFile(FOLDER / target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), change(name, old.read(name)), compression)


def views():
    matrix, line = numbers((3, 4)), numbers((12,), 1.0)
    return collections.OrderedDict(
        transposed=matrix.t(), rows=matrix[1:], column=matrix[:, 2], every_second=line[1::2],
        permuted=numbers((2, 3, 2), 2.0).permute(2, 0, 1), channels_last=numbers((2, 3, 2, 2), 3.0).to(
            memory_format=torch.channels_last),
        expanded=numbers((2, 1), 4.0).expand(2, 3), scalar=torch.tensor(0.75), empty=torch.empty(0, 3), same=line)


def types():
    plain = numbers((2, 3))
    state = {name: (plain * 10).to(getattr(torch, name)) for name in (
        "float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool", "complex64",
        "complex128")}
    return state | {"parameter": torch.nn.Parameter(plain)}


def newer_types():
    marked = numbers((2,))
    marked.note = "an attribute"
    return {"uint16": torch.arange(3).to(torch.uint16), "float8": numbers((2,)).to(torch.float8_e4m3fn),
            "with_attribute": marked, "buffer": torch.nn.Buffer(numbers((2,)))}


def training_state():
    model = Named()
    optimizer = torch.optim.Adam(model.parameters())
    model(numbers((2, 1, 8, 8))).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    return {"epoch": 7, "best": torch.tensor(0.5), "state_dict": torch.nn.DataParallel(model).state_dict(),
            "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
            "args": argparse.Namespace(lr=0.1, layers=[1, 2], name="run"), "device": torch.device("cpu"),
            "size": torch.Size([1, 2]), "dtype": torch.float16, "seen": {"a", "b"}, "bytes": b"12"}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    both("plain", network().state_dict())
    both("named", Named().state_dict())
    both("views", views())
    both("types", types())
    both("training", training_state(), lambda value: {
        key.removeprefix("module."): tensor for key, tensor in value["state_dict"].items()})
    for protocol in (1, 3, 4, 5):
        for container, new in [("zip", True), ("legacy", False)]:
            file = f"protocol{protocol}_{container}.pth"
            state = {"weight": numbers((2, 3)), "bias": numbers((2,), 1.0)}
            save(file, state, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
            expect(file, state)
    save("newer_types.pth", newer_types())
    expect("newer_types.pth", torch.load(FOLDER / "newer_types.pth", weights_only=False))
    rewritten("views_zip.pth", "deflated.pth", zipfile.ZIP_DEFLATED)
    expect("deflated.pth", views())
    swap = lambda name, content: (
        b"big" if name.endswith("/byteorder") else torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(
            -1, 4).flip(1).numpy().tobytes() if "/data/" in name and content else content)
    rewritten("views_zip.pth", "big_endian.pth", change=swap)
    expect("big_endian.pth", torch.load(FOLDER / "big_endian.pth"))

    # Not in the legacy container, which contains the source text of the classes.
    save("whole_layers.pth", network())
    save("whole_class.pth", Named())
    for name, value in [("hostile", Hostile()), ("hostile_beside_tensors", {"model": network().state_dict(),
                                                                            "config": Hostile()})]:
        save(f"{name}_zip.pth", value)
        save(f"{name}_legacy.pth", value, _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), FOLDER / "script.pth")
    save("two_networks.pth", {"model": network().state_dict(), "net": network().state_dict()})
    save("no_tensors.pth", {"epoch": 3, "loss": 0.5})
    save("one_tensor.pth", numbers((3,)))
    with open(FOLDER / "expected.json", "w") as file:
        file.write('{"pytorch": "%s", "files": {\n' % torch.__version__.split("+")[0])
        file.write(",\n".join(f'"{name}": {json.dumps(tensors, separators=(",", ":"))}'
                              for name, tensors in EXPECTED.items()))
        file.write("\n}}\n")


main()
