"""Writes the outputs of every layer of a PyTorch model for the probe images, one array per layer, for SCV.

    pixels = probe_pixels(images, image_indices, content_hash, mean, std)
    activations = record(model, inputs(pixels, mean, std))
    save("resnet.npz", activations)

docs/activations.md says where the arguments come from and what the file may contain.
"""

import hashlib
import json
import warnings

import numpy
import torch


def probe_pixels(images, image_indices, content_hash, mean, std):
    """Selects the probe images, uint8 `[n, channels, rows, columns]`, from all images of their split.

    Fails if any pixel differs from the server's images.
    """
    pixels = numpy.ascontiguousarray(numpy.asarray(images)[image_indices], dtype=numpy.uint8)
    digest = hashlib.sha256(b"scv probe set 1\n")
    digest.update(numpy.array(pixels.shape, "<u4").tobytes())
    digest.update(numpy.array([*mean, *std], "<f4").tobytes())
    digest.update(pixels.tobytes())
    if digest.hexdigest() != content_hash:
        raise ValueError("these are not the images of the probe set: check the split, the order and the layout")
    return pixels


def inputs(pixels, mean, std):
    """Converts pixels as the server does for its own networks: scaled to 0..1, then normalised per channel."""
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (mean, std))
    return (torch.from_numpy(pixels).float() / 255 - mean) / std


def record(model, images, batch_size=64, skip=()):
    """Runs the model and returns one array per leaf module, in the order of execution.

    A module that is called again gives another array, `relu#2`. Of torch.nn.MultiheadAttention, whose own modules are
    never called, the attended values are recorded. Operations outside of modules, such as a sum or
    torch.nn.functional.relu, are not recorded, and a warning names modules that were never called.
    """
    batches, calls = {}, {}
    attention = torch.nn.MultiheadAttention

    def hook(name):
        def keep(module, arguments, output):
            calls[name] = calls.get(name, 0) + 1
            layer = name if calls[name] == 1 else f"{name}#{calls[name]}"
            if isinstance(module, attention):
                # Its weights come second. Images are the second dimension unless it says otherwise.
                output = output[0] if module.batch_first else output[0].transpose(0, 1)
            if not torch.is_tensor(output) or output.shape[:1] != batch.shape[:1]:
                raise ValueError(f"the output of {name} does not have one row for each of {len(batch)} images; skip it")
            # Copied, because a later layer may overwrite it in place.
            batches.setdefault(layer, []).append(output.detach().to("cpu", torch.float32, copy=True).numpy())
        return keep

    inside = {child for module in model.modules() if isinstance(module, attention) for child in module.children()}
    leaves = [(name, module) for name, module in model.named_modules()
              if name not in skip and module not in inside
              and (isinstance(module, attention) or not list(module.children()))]
    handles = [module.register_forward_hook(hook(name or "model")) for name, module in leaves]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    training = {module: module.training for module in model.modules()}
    # The fast path of transformers calls none of their modules.
    has_fast_path = torch.backends.mha.get_fastpath_enabled()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            for batch in images.split(batch_size):
                calls.clear()
                model(batch.to(device))
    finally:
        torch.backends.mha.set_fastpath_enabled(has_fast_path)
        for handle in handles:
            handle.remove()
        for module, was_training in training.items():
            module.training = was_training
    missing = [name for name, _ in leaves if name not in batches]
    if missing:
        warnings.warn(f"not recorded, because the model never calls them as modules: {', '.join(missing)}", stacklevel=2)
    return {name: numpy.ascontiguousarray(numpy.concatenate(parts)) for name, parts in batches.items()}


def save(path, activations):
    """Writes a `.safetensors` file, which needs that package, or else a `.npz` file."""
    if str(path).endswith(".safetensors"):
        from safetensors.numpy import save_file

        # The package sorts the arrays, so their order is stored in the metadata.
        save_file(activations, path, metadata={"layers": json.dumps(list(activations))})
    else:
        numpy.savez(path, **activations)
