"""torchvision's classifiers with sound weights, and what is measured on each: shared by the test and
tools/measure_coverage.py."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import torch
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.backends.results import Difference, Run, difference

# Pixels a side: 64, or the fewest above that the network takes.
SIZES = {
    "alexnet": 64,
    "vgg11": 64,
    "vgg16_bn": 64,
    "resnet18": 64,
    "resnet50": 64,
    "wide_resnet50_2": 64,
    "resnext50_32x4d": 64,
    "squeezenet1_0": 64,
    "squeezenet1_1": 64,
    "densenet121": 64,
    "googlenet": 64,
    "inception_v3": 75,
    "mobilenet_v2": 64,
    "shufflenet_v2_x1_0": 64,
    "mnasnet1_0": 64,
    "regnet_x_400mf": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v3_large": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "regnet_y_400mf": 64,
}
# Large ones of layers that another has (alexnet, resnet50): tools/measure_coverage.py measures them, the
# suite does not.
LIKE_OTHERS = (
    "vgg11",
    "vgg16_bn",
    "wide_resnet50_2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_y_400mf",
)
REFUSED = {"convnext_tiny": 64, "vit_b_16": 224}
STEPS = 2
CALIBRATION = 4


def sound(model: nn.Module, seed: int, size: int) -> nn.Module:
    """The model in eval mode with seeded weights through which activations neither vanish nor explode.

    Kaiming for weights, small biases, gamma in U(0.5, 1.5), beta in N(0, 0.2); the running statistics of each
    batch norm are those of two batches of seeded random images.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                fan_in = layer.weight[0].numel()
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
                if layer.bias is not None:
                    layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator) * 0.1)
        for norm in norms:
            norm.weight.copy_(torch.rand(norm.weight.shape, generator=generator) + 0.5)
            norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator) * 0.2)
            norm.momentum = None  # type: ignore[assignment]  # the average of all batches
            norm.reset_running_stats()
        model.eval()
        for norm in norms:
            norm.train()
        for _ in range(2 if norms else 0):
            model(torch.randn((8, 3, size, size), generator=generator))
    return model.eval()


def network(name: str, seed: int = 0) -> nn.Module:
    """torchvision's network with sound weights; auxiliary heads off."""
    from torchvision import models

    options: dict[str, Any] = (
        {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    )
    size = {**SIZES, **REFUSED}[name]
    return sound(models.get_model(name, weights=None, **options), seed, size)


def images(count: int, size: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)


def error_of(model: nn.Module, analog: dn.AnalogGraph, x: np.ndarray) -> float:
    """The largest |analog - model| by the largest |model|, both in float64."""
    with torch.no_grad():
        wanted = copy.deepcopy(model).double()(torch.from_numpy(x).double()).numpy()
    found = analog.ann(x).reshape(
        wanted.shape
    )  # a read-out may keep axes of length one that the model flattens
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def agreement_of(analog: dn.AnalogGraph, x: np.ndarray) -> Difference:
    """Every spike of the first image, in the integer reference and in the integer batched executor."""
    return compared(analog, x)[2]


def compared(analog: dn.AnalogGraph, x: np.ndarray) -> tuple[dn.SpikingGraph, Run, Difference]:
    """The integer network, the reference's run of the first image, and how much the batched executor differs
    from it."""
    integer = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=STEPS))
    one = reference.run(integer, x[:1], steps=STEPS)
    other = batched.run(integer, x[:1], steps=STEPS, record=True)
    return integer, one, difference("integer reference", one, "integer batched", other)


def sentence_without_paths(error: BaseException) -> str:
    """`/some/where/resnet.py:12` as `resnet.py:12`."""
    return re.sub(r"(?<![\w.])/[^\s:`]*/(?=[^\s/:`]+)", "", str(error))


def main() -> None:
    """All of them as ONNX files, run by onnxruntime: `python sim_tests/torchvision_models.py`."""
    import tempfile
    from pathlib import Path

    from onnx_runs import over_steps

    for name in SIZES:
        model, x = network(name), images(CALIBRATION, SIZES[name])
        integer, run, _ = compared(dn.from_torch(model, x[0]), x)
        with tempfile.TemporaryDirectory() as folder:
            found = over_steps(integer, x[:1], Path(folder), STEPS)
            size = (Path(folder) / "whole.onnx").stat().st_size
        different = int(np.count_nonzero(found[integer.readout.name] != run.logits))
        print(f"{name}: {different} of {run.logits.size:,} sums differ, {size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
