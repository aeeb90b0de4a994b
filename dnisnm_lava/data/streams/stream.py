"""A stream of frames: its name, what is known of it beforehand, and the checks that every frame passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from dnisnm_lava.data import inputs
from dnisnm_lava.errors import OutOfRange


@dataclass(frozen=True)
class Frames:
    """Frames of one shape and of finite values, read one at a time, anew at each iteration.

    name: who errors are about. read: starts to read, and may raise while it does. rate: frames a second, None
    where nothing tells. total: how many there are, None where that is known at the end alone. axes: of one
    frame: "hwc" (a picture), "chw" (channels first), or "" (an array that does not tell).

    Iterating raises OutOfRange for no frame at all, for a frame of another shape than the first, and for NaN
    or infinity in one; beside them what `read` raises.
    """

    name: str
    read: Callable[[], Iterator[Any]]
    rate: float | None = None
    total: int | None = None
    axes: str = ""

    def __iter__(self) -> Iterator[np.ndarray]:
        return _checked(self.read(), self.name)

    def part(self, *, first: int = 1, every: int = 1, limit: int | None = None) -> Frames:
        """Frames number `first` (counted from 1), first + every, ..., at most `limit` of them.

        OutOfRange for a number below 1, and for a first frame behind the last.
        """
        for name, number in (("first", first), ("every", every), ("limit", limit)):
            if number is not None and number < 1:
                raise OutOfRange(f"{name}: {number} given; frames are counted from 1, so give 1 or more")
        if self.total is not None and first > self.total:
            raise OutOfRange(f"{self.name}: frame {first} asked for, of {self.total}; ask for an earlier one")
        stop = None if limit is None else first - 1 + every * limit
        name = self.name if first == 1 else f"{self.name}, from frame {first} on"
        total = None if self.total is None else len(range(self.total)[first - 1 : stop : every])
        return replace(
            self,
            name=name,
            read=lambda: islice(self.read(), first - 1, stop, every),
            rate=None if self.rate is None else self.rate / every,
            total=total,
        )


def given(frames: Iterable[Any], name: str = "frames") -> Frames:
    """Frames of a user's own: an array (N, ...), a list, a generator, a camera; a `Frames` as it is."""
    return frames if isinstance(frames, Frames) else Frames(name, lambda: iter(frames))


def _checked(frames: Iterator[Any], who: str) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] | None = None
    for number, item in enumerate(frames, 1):
        frame = inputs.array(item, f"{who}: frame {number}")
        shape = frame.shape if shape is None else shape
        if frame.shape != shape:
            raise OutOfRange(
                f"{who}: frame {number} has shape {frame.shape}, and the first has {shape}; make them one"
            )
        if frame.dtype.kind == "f" and not np.isfinite(frame).all():
            bad = int(np.count_nonzero(~np.isfinite(frame)))
            raise OutOfRange(
                f"{who}: frame {number} holds {bad} values that are NaN or infinite; give finite ones"
            )
        yield frame
    if shape is None:
        raise OutOfRange(f"{who}: holds 0 frames; give at least 1")
