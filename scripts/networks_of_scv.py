"""Small networks that SCV trains for scripts, and what PyTorch needs to do the same as they."""

import gzip
import json
import subprocess
import urllib.request
from pathlib import Path

from support import REPOSITORY, Problem, ask, command_line

BLOCKS = [
    {"kind": "Conv2d", "parameters": {"out_channels": 16, "kernel_size": 3, "padding": 1}},
    {"kind": "BatchNorm2d"},
    {"kind": "ReLU"},
    {"kind": "MaxPool2d", "parameters": {"kernel_size": 2}},
    {"kind": "Conv2d", "parameters": {"out_channels": 32, "kernel_size": 3, "padding": 1}},
    {"kind": "BatchNorm2d"},
    {"kind": "ReLU"},
    {"kind": "MaxPool2d", "parameters": {"kernel_size": 2}},
    {"kind": "Flatten"},
    {"kind": "Linear", "parameters": {"out_features": 10}},
]


def trained(scv, url, folder, dataset, source, epochs):
    """Has SCV train a network on a data set that scripts/networks knows by `source`; the id of its version."""
    files = split_files(source)
    command_line(scv, url, "import", "idx", "--name", dataset,
                 *(argument for option, path in files.items() for argument in (f"--{option}", path)))
    blocks = folder / "blocks.json"
    blocks.write_text(json.dumps(BLOCKS))
    command_line(scv, url, "train", "--model", dataset, "--dataset", dataset, "--blocks", blocks, "--epochs", epochs,
                 "--seed", 1)
    return latest_version(url, dataset)


def pushed_again(scv, url, folder, version, model):
    """The network of a version as another version of a model; its id."""
    query = """query($id: ID!) { version(id: $id) { dataset { name } downloads { safetensors } } }"""
    found = ask(url, query, id=version)["version"]
    weights = folder / "weights.safetensors"
    urllib.request.urlretrieve(url + found["downloads"]["safetensors"], weights)
    command_line(scv, url, "push", "--model", model, "--dataset", found["dataset"]["name"],
                 "--blocks", folder / "blocks.json", "--weights", weights)
    return latest_version(url, model)


def latest_version(url, model):
    """The id of a model's latest version."""
    query = 'query($name: String!) { model(name: $name) { version(alias: "latest") { id } } }'
    return ask(url, query, name=model)["model"]["version"]["id"]


def split_files(source):
    """The four files of a data set, by the options of `scv import idx`."""
    fetched = subprocess.run([REPOSITORY / "scripts/networks", source], stdout=subprocess.PIPE, text=True)
    if fetched.returncode != 0:
        raise Problem("the data could not be fetched; the message is above.")
    folder = Path(fetched.stdout.splitlines()[-1]) / source
    files = {}
    for option, pattern in (("train-images", "train-images*"), ("train-labels", "train-labels*"),
                            ("test-images", "t10k-images*"), ("test-labels", "t10k-labels*")):
        (files[option],) = folder.rglob(pattern)
    return files


def as_pytorch(url, version):
    """A network of SCV's as PyTorch's module: from the source and the weights that SCV gives out."""
    from safetensors.torch import load
    from torch import nn

    query = "query($id: ID!) { version(id: $id) { code downloads { safetensors } } }"
    found = ask(url, query, id=version)["version"]
    # Not run as a program, the source only defines.
    source = {"__name__": "network"}
    exec(found["code"], source)
    (network,) = [value for value in source.values()
                  if isinstance(value, type) and issubclass(value, nn.Sequential) and value is not nn.Sequential]
    network = network()
    with urllib.request.urlopen(url + found["downloads"]["safetensors"]) as response:
        network.load_state_dict(load(response.read()))
    return network.eval().requires_grad_(False)


def test_split(source):
    """The test images, `[images, 1, 28, 28]` of bytes, and their labels."""
    import torch

    files = split_files(source)
    arrays = []
    for path, header in ((files["test-images"], 16), (files["test-labels"], 8)):
        content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
        arrays.append(torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8))
    return arrays[0].view(-1, 1, 28, 28), arrays[1].long()
