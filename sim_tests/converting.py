"""A small network, converted and not yet fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from graphs import ResidualPoolNet, randomized

import dnisnm_lava as dn
from dnisnm_lava.ir import AnalogGraph, SpikingGraph


def converted(
    model: torch.nn.Module | None = None, shape: tuple[int, ...] = (2, 6, 6), **options: Any
) -> tuple[AnalogGraph, SpikingGraph, np.ndarray]:
    x = np.random.default_rng(3).normal(size=(40, *shape)).astype(np.float32)
    analog = dn.from_torch(randomized(model or ResidualPoolNet(), 1), x[0])
    return analog, dn.convert(analog, dn.calibrate(analog, [x]), **{"steps": 4, **options}), x
