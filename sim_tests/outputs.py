"""Networks of one logit, of maps, and of two outputs."""

from __future__ import annotations

import torch
from torch import nn


class Bright(nn.Module):
    """One logit: whether the picture is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.l = nn.Conv2d(1, 1, 1), nn.Linear(1, 1)
        with torch.no_grad():
            for tensor, value in (
                (self.c.weight, 1.0),
                (self.c.bias, 0.0),
                (self.l.weight, 20.0),
                (self.l.bias, -10.0),
            ):
                tensor.fill_(value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.l(self.c(x).relu().mean((2, 3)))


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.n(x)


class Both(nn.Module):
    """Two outputs: three values, and two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.boxes, self.scores = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.body(x))
        return self.boxes(x), self.scores(x)
