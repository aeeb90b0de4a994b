"""A convolution and what stands behind it; that it converts to what it is."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from graphs import images, randomized
from runs import assert_same
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference


class Net(nn.Module):
    """A convolution of 8 channels and a ReLU, then `forward` with layers of its own."""

    def __init__(self, forward: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.body = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self, F.relu(self.first(x)))


def c(inputs: int, outputs: int, kernel: int = 1, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **options)  # type: ignore[arg-type]


def assert_converts(model: nn.Module, shape: tuple[int, ...]) -> dn.AnalogGraph:
    """The graph is the model in float64, both integer executors agree, and nothing is warned of."""
    x = images(6, shape, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analog = dn.from_torch(model, x[0])
    with torch.no_grad():
        y = copy.deepcopy(model).double()(torch.from_numpy(x).double())
    for output, expected in zip(analog.outputs(x).values(), y if isinstance(y, tuple) else (y,), strict=True):
        assert output.shape == tuple(expected.shape)
        # float64 on both sides, a few thousand terms: rounding 2**-53 each
        np.testing.assert_allclose(
            output, expected.numpy(), rtol=0, atol=1e-9 * max(1.0, float(expected.abs().max()))
        )
    graph = dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=4))
    assert_same(reference.run(graph, x[:2]), batched.run(graph, x[:2], record=True))
    return analog


def head(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


def net(forward: Callable[..., torch.Tensor], **layers: nn.Module) -> nn.Module:
    return randomized(Net(forward, **layers), 1)
