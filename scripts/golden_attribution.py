"""Writes tests/golden/attribution.json: attributions of a small network by Captum.

Run from the root of the repository, with torch and captum installed (written with torch 2.6.0 and captum 0.8.0):

    python scripts/golden_attribution.py

The network and the image are drawn with a fixed seed. SmoothGrad adds random noise, so the file contains the mean of many
gradients, which another draw approximates.
"""

import json
import pathlib

import captum
import torch
from captum.attr import IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency

FILE = pathlib.Path("tests/golden/attribution.json")
CLASS = 3
SAMPLES = 4_000
NOISE = 0.15


def main():
    torch.manual_seed(11)
    blocks = [
        {"kind": "Conv2d", "parameters": {"out_channels": 4, "kernel_size": 3, "padding": 1}},
        {"kind": "ReLU"},
        {"kind": "MaxPool2d", "parameters": {"kernel_size": 3, "stride": 2}},
        {"kind": "Conv2d", "parameters": {"out_channels": 5, "kernel_size": 3}},
        {"kind": "GELU"},
        {"kind": "Flatten"},
        {"kind": "Linear", "parameters": {"out_features": 6}},
    ]
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2), torch.nn.Conv2d(4, 5, 3),
        torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(30, 6)).double().eval()
    pixels = torch.randint(0, 256, (1, 2, 11, 9))
    mean, std = torch.tensor([0.4, 0.6]).view(1, 2, 1, 1).double(), torch.tensor([0.3, 0.2]).view(1, 2, 1, 1).double()
    image = (pixels.double() / 255 - mean) / std
    score = network(image)[0, CLASS].item()
    gradient = Saliency(network).attribute(image, target=CLASS, abs=False)
    integrated, delta = IntegratedGradients(network).attribute(
        image, torch.zeros_like(image), target=CLASS, n_steps=50, method="gausslegendre", return_convergence_delta=True)
    cam = LayerGradCam(network, network[3]).attribute(image, target=CLASS, relu_attributions=True)
    deviation = NOISE * (image.max() - image.min()).item()
    smooth = NoiseTunnel(Saliency(network)).attribute(
        image, nt_type="smoothgrad", nt_samples=SAMPLES, nt_samples_batch_size=100, stdevs=deviation, target=CLASS, abs=False)
    flat = lambda tensor: [round(number, 9) for number in tensor.detach().flatten().tolist()]
    FILE.write_text(json.dumps({
        "torch": torch.__version__, "captum": captum.__version__, "blocks": blocks, "class": CLASS,
        "weights": {name: {"shape": list(value.shape), "values": flat(value)} for name, value in network.state_dict().items()},
        "pixels": pixels.flatten().tolist(), "mean": [0.4, 0.6], "std": [0.3, 0.2], "score": score,
        "input_gradient": flat(gradient), "integrated_gradients": flat(integrated), "convergence_delta": delta.item(),
        "grad_cam": flat(cam), "smooth_grad": flat(smooth), "noise": NOISE,
    }) + "\n")


if __name__ == "__main__":
    main()
