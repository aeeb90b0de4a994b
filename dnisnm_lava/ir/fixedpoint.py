"""Two's complement integers, and the one place that rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dnisnm_lava.errors import OutOfRange

STATE_BITS = 24  # lava.proc.lif.models.PyLifModelBitAcc: u and v are 24-bit
WEIGHT_BITS = 8  # lava.utils.weightutils: weights are 8-bit, one of them the sign
MESSAGE_BITS = 24  # lava.magma.core.model.spike_type: the widest GRADED payload

_STORAGE: tuple[tuple[int, type[np.signedinteger]], ...] = ((8, np.int8), (16, np.int16), (32, np.int32))


def nearest(values: npt.ArrayLike, limit: int) -> np.ndarray:
    """The nearest integers (ties to even) in 64 bits, none beyond +-limit."""
    return np.clip(np.rint(np.asarray(values, np.float64)), -limit, limit).astype(np.int64)


@dataclass(frozen=True)
class FixedPointFormat:
    """Symmetric signed integers of `bits` bits: -limit ... limit, with limit = 2**(bits - 1) - 1.

    The most negative two's complement code is left out, as Lava's saturating state leaves it out.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise OutOfRange(f"fixed-point format: {self.bits} bits asked for; choose 2 to 32")

    @property
    def limit(self) -> int:
        return int((1 << (self.bits - 1)) - 1)

    @property
    def dtype(self) -> type[np.signedinteger]:
        return next(dtype for bits, dtype in _STORAGE if self.bits <= bits)

    def rounded(self, values: npt.ArrayLike) -> tuple[np.ndarray, int]:
        """Nearest integers (ties to even), clipped to the format, and how many were clipped."""
        nearest = np.rint(np.asarray(values, dtype=np.float64))
        clipped = int(np.count_nonzero(np.abs(nearest) > self.limit))
        return np.clip(nearest, -self.limit, self.limit).astype(self.dtype), clipped

    def rounded_within(self, values: npt.ArrayLike, who: str) -> np.ndarray:
        """Nearest integers; OutOfRange, in the name of `who`, where one does not fit."""
        codes, clipped = self.rounded(values)
        if clipped:
            worst = float(np.max(np.abs(np.asarray(values, dtype=np.float64))))
            raise OutOfRange(
                f"{who}: {clipped} value(s) up to {worst:.6g} exceed {self.limit} ({self.bits} bits); "
                "use fewer weight_bits or payload_bits, or fewer steps"
            )
        return codes


STATE = FixedPointFormat(STATE_BITS)
