"""Writes tests/golden/activations/: small files as numpy and safetensors write them, valid and invalid.

Run from the root of the repository, with numpy, ml_dtypes and safetensors installed (any recent version):

    python scripts/golden_activations.py

Nothing is random: number i of an array is (37 i mod 64) - 32, a quarter of that for floating point
types, and 32 more for unsigned types. Every type holds these numbers exactly. There are 4 images.
"""

import io
import json
import pathlib
import warnings
import zipfile

import ml_dtypes
import numpy
from safetensors.numpy import save_file

FOLDER = pathlib.Path("tests/golden/activations")
SHAPE = (4, 2, 3)
TYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def numbers(dtype, shape=SHAPE):
    dtype = numpy.dtype(dtype)
    values = numpy.arange(numpy.prod(shape)) * 37 % 64 - 32
    values = {"f": values / 4, "i": values, "u": values + 32}[dtype.kind]
    return values.reshape(shape).astype(dtype)


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def archive(name, entries):
    # A fixed date, so that the file is always the same.
    with zipfile.ZipFile(FOLDER / name, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for entry, content in entries:
            file.writestr(zipfile.ZipInfo(entry), content)


def valid():
    arrays = {dtype: numbers(dtype) for dtype in TYPES}
    for dtype in ["float16", "float32", "float64", "int16", "uint32", "int64"]:
        arrays[f"{dtype}_big"] = numbers(numpy.dtype(dtype).newbyteorder(">"))
    arrays["float32_columns"] = numpy.asfortranarray(numbers("float32"))
    arrays["float64_big_columns"] = numpy.asfortranarray(numbers(">f8"))
    arrays["uint8_columns"] = numpy.asfortranarray(numbers("uint8", (4, 5, 3, 2)))
    arrays["float32_single"] = numbers("float32", (4,))
    numpy.savez(FOLDER / "stored.npz", **arrays)
    numpy.savez_compressed(FOLDER / "deflated.npz", **arrays)
    versions = [(f"float32_version_{major}.npy", npy(numbers("float32"), (major, 0))) for major in (1, 2, 3)]
    archive("versions.npz", versions)
    # safetensors sorts by type and name.
    mixed = {f"{dtype}_layer": numbers(dtype) for dtype in reversed(TYPES)}
    mixed["bfloat16_layer"] = numbers("float32").astype(ml_dtypes.bfloat16)
    save_file(mixed, FOLDER / "sorted.safetensors")
    save_file(mixed, FOLDER / "ordered.safetensors", {"layers": json.dumps(list(mixed))})


def invalid():
    good = numbers("float32")
    record = numpy.zeros(4, [("a[1]", "<f4"), ("b", "<i2", (2,))])
    header = npy(good)
    archive("invalid.npz", [
        ("five_images.npy", npy(numbers("float32", (5, 3)))),
        ("no_dimension.npy", npy(numpy.float32(1))),
        ("no_features.npy", npy(numbers("float32", (4, 0, 2)))),
        ("twice.npy", npy(good)),
        ("twice.npy", npy(good)),
        ("truth.npy", npy(good > 0)),
        ("complex.npy", npy(good.astype("complex64"))),
        ("record.npy", npy(record)),
        ("text.npy", npy(numpy.array(["a", "b", "c"]))),
        ("n" * 257 + ".npy", npy(good)),
        ("tab\there.npy", npy(good)),
        (".npy", npy(good)),
        ("notes.txt", b"a reminder"),
        ("nothing.npy", b""),
        ("picture.npy", b"\x89PNG\r\n\x1a\n and so on"),
        ("cut_header.npy", header[:40]),
        ("cut_numbers.npy", header[:-4]),
        ("too_many_numbers.npy", header + b"more"),
        ("version.npy", header[:6] + b"\x09\x01" + header[8:]),
        ("long_header.npy", header[:6] + b"\x02\x00" + b"\xff\xff\xff\x7f" + header[12:]),
        ("no_shape.npy", header.replace(b"'shape'", b"'shapE'")),
        ("no_bracket.npy", header.replace(b"(4, 2, 3)", b"(4, 2, 3 ")),
        ("endless.npy", header.replace(b"(4, 2, 3), }            ", b"(4, 99999999999999999999)")),
        ("enormous.npy", header.replace(b"(4, 2, 3), }    ", b"(4, 99999999999)}")),
        ("sound.npy", npy(good)),
    ])
    save_file({
        "five_images": numbers("float32", (5, 3)),
        "no_features": numbers("float32", (4, 0)),
        "no_dimension": numpy.array(1, "float32"),
        "truth": numpy.zeros((4, 2), bool),
        "five\nfaulty": numpy.zeros((5, 0), bool),
        "sound": good,
    }, FOLDER / "invalid.safetensors", {"layers": json.dumps(["sound", "sound"])})


FOLDER.mkdir(parents=True, exist_ok=True)
valid()
invalid()
