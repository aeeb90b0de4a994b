"""A convolution and what stands behind it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


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
