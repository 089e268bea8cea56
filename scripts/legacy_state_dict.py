"""Reads state dicts that PyTorch saved before version 1.6, without PyTorch and without executing the pickle."""

from collections import OrderedDict
import pickle

import numpy

NUMBER_TYPES = {"FloatStorage": numpy.dtype("<f4"), "DoubleStorage": numpy.dtype("<f8"), "LongStorage": numpy.dtype("<i8")}
MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


class Storage:
    """An array of numbers, which are at the end of the file."""

    def __init__(self, number_type):
        self.number_type = number_type
        self.numbers = None


class Tensor:
    """A view of a storage, for use after its numbers have been read."""

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self):
        size = self.storage.number_type.itemsize
        view = numpy.lib.stride_tricks.as_strided(
            self.storage.numbers[self.offset:], self.shape, [stride * size for stride in self.strides], writeable=False)
        return view.copy()


class Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, strides, *_: Tensor(storage, offset, shape, strides),
            **{("torch", kind): number_type for kind, number_type in NUMBER_TYPES.items()},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"the file uses {module}.{name}, which no state dict needs")
        return known[module, name]

    def persistent_load(self, identity):
        _, number_type, key, _, _, _ = identity
        return self.storages.setdefault(key, Storage(number_type))


def read(path):
    """The arrays of a state dict, by name."""
    with open(path, "rb") as file:
        if Unpickler(file).load() != MAGIC or Unpickler(file).load() != VERSION:
            raise pickle.UnpicklingError(f"{path} is not a state dict of a PyTorch before 1.6")
        # The machine that saved it. All of today's are alike.
        Unpickler(file).load()
        unpickler = Unpickler(file)
        tensors = unpickler.load()
        for key in Unpickler(file).load():
            storage = unpickler.storages[key]
            count = int.from_bytes(file.read(8), "little")
            storage.numbers = numpy.frombuffer(file.read(count * storage.number_type.itemsize), storage.number_type)
    return {name: tensor.array() for name, tensor in tensors.items()}
