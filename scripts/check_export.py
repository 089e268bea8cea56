"""Checks that ONNX Runtime and PyTorch compute the same as SCV from an exported network.

Run from the root of the repository, with onnx, onnxruntime, safetensors and torch installed (CPU is
enough; with black, the formatting of the sources is checked too):

    cargo run --example export_conformance -- target/exports
    python scripts/check_export.py target/exports

Every directory with a model.onnx is a network. The script prints a table of the largest difference
from SCV's scores, relative to the largest score. The exit code is 1 if one is above the tolerance.
"""

import argparse
import importlib.util
import pathlib
import py_compile
import subprocess
import sys

import numpy
import onnx
import onnxruntime
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file as load_tensors
from torch import nn

TOLERANCE = 1e-4


def difference(actual, expected):
    if actual.shape != expected.shape or not numpy.isfinite(actual).all():
        return float("inf")
    largest = max(float(numpy.abs(expected).max()), 1e-30)
    return float(numpy.abs(actual - expected).max()) / largest


def onnx_difference(folder, expected):
    """The difference of the scores, and of the probabilities if the file has them, in a batch and for one image."""
    path = folder / "model.onnx"
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    wanted = [expected[{"logits": "logits", "probabilities": "output"}[name]] for name in names]
    images = expected["images"]
    batch = session.run(names, {"images": images})
    single = session.run(names, {"images": images[:1]})
    return max(
        [difference(actual, output) for actual, output in zip(batch, wanted)]
        + [difference(actual, output[:1]) for actual, output in zip(single, wanted)]
    )


def torch_difference(folder, expected):
    """The difference of the output of the generated class, whose keys must be exactly those of the weights."""
    path = folder / "model.py"
    py_compile.compile(path, doraise=True)
    spec = importlib.util.spec_from_file_location("model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    [network] = [
        member
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, nn.Sequential)
    ]
    model = network()
    weights = load_tensors(folder / "weights.safetensors")
    keys = [key for key in model.state_dict() if not key.endswith("num_batches_tracked")]
    if sorted(keys) != sorted(weights):
        raise ValueError(f"{folder}: the keys are {keys}, not {sorted(weights)}")
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        output = model(torch.from_numpy(expected["images"]))
    return difference(output.numpy(), expected["output"])


def is_formatted(folders):
    if importlib.util.find_spec("black") is None:
        print("black is not installed: the formatting of the sources is not checked")
        return True
    files = [folder / "model.py" for folder in folders]
    return subprocess.run([sys.executable, "-m", "black", "--check", "--quiet", *files]).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    root = parser.parse_args().folder
    folders = sorted(path.parent for path in root.rglob("model.onnx"))
    if not folders:
        sys.exit(f"{root} contains no networks")

    width = max(len(str(folder.relative_to(root))) for folder in folders)
    print(f"{'network':{width}}  ONNX Runtime  PyTorch")
    failures = 0
    for folder in folders:
        expected = load_arrays(folder / "expected.safetensors")
        differences = []
        for check in (onnx_difference, torch_difference):
            try:
                differences.append(check(folder, expected))
            except Exception as error:
                print(f"{folder}: {error}", file=sys.stderr)
                differences.append(float("inf"))
        bad = max(differences) > TOLERANCE
        failures += bad
        name = str(folder.relative_to(root))
        print(f"{name:{width}}  {differences[0]:12.1e}  {differences[1]:7.1e}{'  BAD' if bad else ''}")
    formatted = is_formatted(folders)
    print(f"{len(folders)} networks, {failures} bad; sources {'are' if formatted else 'are NOT'} formatted")
    sys.exit(failures > 0 or not formatted)


if __name__ == "__main__":
    main()
