"""How spikes are stored and laid out: bytes or floats, channels innermost in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.ir import Shape

EXACT_FLOAT32 = 1 << 24
EXACT_INT32 = 1 << 31
BYTE = 255


def tensor(a: np.ndarray, dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(a, dtype=dtype, device=device)


def channels_last(x: Tensor) -> Tensor:
    """A map (N, C, H, W) with its channels innermost in memory; anything else as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def laid_out(spikes: Tensor) -> Tensor:
    """(N, T, *shape) as compiled neurons leave them, their channels innermost in memory: whoever sums floats
    over them has the same last bit on every way."""
    return spikes.movedim(2, -1).contiguous().movedim(-1, 2)


@dataclass(frozen=True)
class Code:
    """How a population's spikes are stored: as value + offset, in `dtype`. Bytes without a sign hold +-offset
    around offset, or 0 to `top`; with one, +-top. units: (C, ...), of values that are stored as multiples of
    their channel's."""

    dtype: torch.dtype
    offset: int = 0
    top: int = 0
    units: np.ndarray | None = field(default=None, compare=False)

    def encode(self, spikes: Tensor) -> Tensor:
        if self.units is not None:
            spikes = spikes / tensor(self.units, torch.float64, str(spikes.device))
        return (spikes + self.offset).to(self.dtype) if self.offset else spikes.to(self.dtype)

    def decode(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        values = stored.to(dtype)
        if self.offset:
            values = values.sub_(self.offset)
        return values if self.units is None else values * tensor(self.units, dtype, str(stored.device))


def code_of(largest: int, signed: bool = False) -> Code:
    """The narrowest code of spikes up to +-largest; signed: of those without an offset."""
    if 2 * largest <= BYTE:
        return Code(torch.int8, 0, largest) if signed else Code(torch.uint8, largest, 2 * largest)
    return Code(torch.float32 if largest < EXACT_FLOAT32 else torch.float64)


def code_of_levels(payload: np.ndarray, levels: int, signed: bool = False) -> Code | None:
    """The code of spikes that are never negative, or have a sign, up to `levels` times the payload (C, ...):
    bytes of the value, or of the level where pixels share payloads; None where bytes hold neither."""
    largest, byte, dtype = int(payload.max(initial=0)) * levels, BYTE, torch.uint8
    if signed:
        byte, dtype = BYTE // 2, torch.int8
    if largest <= byte:
        return Code(dtype, 0, largest)
    units = payload.reshape(len(payload), -1)[:, :1]
    if levels > byte or (payload.reshape(len(payload), -1) != units).any():
        return None
    return Code(dtype, 0, levels, np.maximum(units, 1).reshape(-1, *(1,) * (payload.ndim - 1)))


def innermost(a: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H, W, C), as currents lie in memory."""
    return np.moveaxis(a, 0, -1)


def flat(x: Tensor) -> np.ndarray:
    """(N, T, C, H, W) -> (N, T, H * W * C), as it lies in memory."""
    return x.movedim(2, -1).reshape(*x.shape[:2], -1).numpy()


def unflat(x: np.ndarray, shape: Shape) -> Tensor:
    """Back: (N, T, H * W * C) -> (N, T, C, H, W)."""
    channels, *pixels = shape
    return torch.from_numpy(x).reshape(*x.shape[:2], *pixels, channels).movedim(-1, 2)
