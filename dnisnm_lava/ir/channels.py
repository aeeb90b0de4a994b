"""What holds for a channel: its maxima, its values beside its neurons, the unit that its spikes count in."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.ir.projections import Projection
from dnisnm_lava.ir.values import Shape


def channel_max(a: np.ndarray) -> np.ndarray:
    """(C, ...) -> (C,) maxima."""
    return a.reshape(a.shape[0], -1).max(axis=1)


def channel_min(a: np.ndarray) -> np.ndarray:
    """(C, ...) -> (C,) minima."""
    return a.reshape(a.shape[0], -1).min(axis=1)


def per_channel(a: np.ndarray, shape: Shape) -> np.ndarray:
    """(C,) -> an array that broadcasts along the first axis of `shape`."""
    return a.reshape(-1, *(1,) * (len(shape) - 1))


def scale_inputs(projection: Projection, scale: np.ndarray, source_shape: Shape) -> np.ndarray:
    """The projection's weight when its source counts in units of `scale`, (C,) or (*source shape)."""
    weight = projection.weight
    if projection.source_channels is not None:
        scale = scale[projection.source_channels]
    if projection.is_conv:
        outputs, inputs = weight.shape[:2]
        by_group = scale.reshape(projection.groups, inputs)  # (groups, I / groups)
        rows = np.repeat(by_group, outputs // projection.groups, axis=0)  # (O, I / groups)
        return weight * rows[:, :, None, None]
    pooled = projection.read_shape(source_shape)
    full = scale if scale.ndim == len(pooled) else per_channel(scale, pooled)
    return weight * np.broadcast_to(full, pooled).reshape(1, -1)
