"""Small networks that SCV trains for scripts, and their equivalents in PyTorch."""

import gzip
import json
import subprocess
import urllib.request
from pathlib import Path

from support import REPOSITORY, Problem, graphql, run_scv

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
    """Trains a network in SCV on a data set that scripts/networks calls `source`. Returns the id of its version."""
    files = split_files(source)
    run_scv(scv, url, "dataset", "import", "idx", "--name", dataset,
                 *(argument for option, path in files.items() for argument in (f"--{option}", path)))
    blocks = folder / "blocks.json"
    blocks.write_text(json.dumps(BLOCKS))
    run_scv(scv, url, "train", "--model", dataset, "--dataset", dataset, "--blocks", blocks, "--epochs", epochs,
                 "--seed", 1)
    return latest_version(url, dataset)


def push_copy(scv, url, folder, version, model):
    """Uploads the network of a version as another version of a model. Returns the id of the new version."""
    query = """query($id: ID!) { version(id: $id) { dataset { name } downloads { safetensors } } }"""
    found = graphql(url, query, id=version)["version"]
    weights = folder / "weights.safetensors"
    urllib.request.urlretrieve(url + found["downloads"]["safetensors"], weights)
    run_scv(scv, url, "push", "--model", model, "--dataset", found["dataset"]["name"],
                 "--blocks", folder / "blocks.json", "--weights", weights)
    return latest_version(url, model)


def latest_version(url, model):
    """The id of a model's latest version."""
    query = 'query($name: String!) { model(name: $name) { version(alias: "latest") { id } } }'
    return graphql(url, query, name=model)["model"]["version"]["id"]


def split_files(source):
    """The four files of a data set, by the options of `scv dataset import idx`."""
    outcome = subprocess.run([REPOSITORY / "scripts/networks", source], stdout=subprocess.PIPE, text=True)
    if outcome.returncode != 0:
        raise Problem("cannot download the data: see the message above.")
    folder = Path(outcome.stdout.splitlines()[-1]) / source
    files = {}
    for option, pattern in (("train-images", "train-images*"), ("train-labels", "train-labels*"),
                            ("test-images", "t10k-images*"), ("test-labels", "t10k-labels*")):
        (files[option],) = folder.rglob(pattern)
    return files


def as_pytorch(url, version):
    """The PyTorch module of a version, from the source and the weights that SCV exports."""
    from safetensors.torch import load
    from torch import nn

    query = "query($id: ID!) { version(id: $id) { code downloads { safetensors } } }"
    found = graphql(url, query, id=version)["version"]
    # Unless it runs as a program, the source only defines the class.
    source = {"__name__": "network"}
    exec(found["code"], source)
    (network,) = [value for value in source.values()
                  if isinstance(value, type) and issubclass(value, nn.Sequential) and value is not nn.Sequential]
    network = network()
    with urllib.request.urlopen(url + found["downloads"]["safetensors"]) as response:
        network.load_state_dict(load(response.read()))
    return network.eval().requires_grad_(False)


def test_split(source):
    """The test images as bytes of shape `[images, 1, 28, 28]`, and their labels."""
    import torch

    files = split_files(source)
    arrays = []
    for path, header in ((files["test-images"], 16), (files["test-labels"], 8)):
        content = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
        arrays.append(torch.frombuffer(bytearray(content[header:]), dtype=torch.uint8))
    return arrays[0].view(-1, 1, 28, 28), arrays[1].long()
