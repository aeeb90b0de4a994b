"""A recording of an event camera: chunks of events, in the order of their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnisnm_lava.errors import BadFile

EVENTS = 1 << 17  # words of a file that are read at once
REPAIR = "copy it anew, or export it again"


class Events(NamedTuple):
    """Arrays (N,). t: microseconds, int64; x, y: pixels from the left and the top, int64; on: bool, True
    where it got brighter."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    on: np.ndarray


@dataclass(frozen=True)
class Recording:
    """name: who errors are about. shape: the sensor's (H, W), None where the file does not tell. read: starts
    to read, chunk by chunk."""

    name: str
    shape: tuple[int, int] | None
    read: Callable[[], Iterator[Events]]

    def checked(self, shape: tuple[int, int]) -> Iterator[Events]:
        """The chunks that hold events. BadFile for times that run backwards, and events outside `shape`."""
        number, before = 0, None
        for chunk in self.read():
            if not len(chunk.t):
                continue
            self._refuse_backwards(chunk, number, before)
            self._refuse_outside(chunk, number, shape)
            yield chunk
            number, before = number + len(chunk.t), int(chunk.t[-1])

    def _refuse_backwards(self, chunk: Events, number: int, before: int | None) -> None:
        first = chunk.t[:1] if before is None else [before]
        steps = np.diff(chunk.t, prepend=first)
        if (steps < 0).any():
            at = int(np.argmax(steps < 0))
            raise BadFile(
                f"{self.name}: times run backwards at event {number + at + 1}, by {-steps[at]} microseconds; "
                f"sort the events by time"
            )

    def _refuse_outside(self, chunk: Events, number: int, shape: tuple[int, int]) -> None:
        height, width = shape
        outside = (chunk.x < 0) | (chunk.y < 0) | (chunk.x >= width) | (chunk.y >= height)
        if outside.any():
            at = int(np.argmax(outside))
            raise BadFile(
                f"{self.name}: event {number + at + 1} is at x = {chunk.x[at]}, y = {chunk.y[at]}, outside "
                f"the sensor of {width}x{height}; give shape=(H, W) of the sensor"
            )


def words(path: Path, start: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """What lies in `path` from byte `start` on. BadFile where it ends within a word."""
    left = (path.stat().st_size - start) % dtype.itemsize
    if left:
        raise BadFile(f"{path}: truncated: its last event has {left} of {dtype.itemsize} bytes; {REPAIR}")
    with open(path, "rb") as file:
        file.seek(start)
        while data := file.read(EVENTS * dtype.itemsize):
            yield np.frombuffer(data, dtype)


def filled(values: np.ndarray, known: np.ndarray, before: int) -> np.ndarray:
    """Each value, or the last known one before it; `before` in front of the first."""
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[last], before)


class Clock:
    """A counter of so many bits that starts anew at its end: counts on. A step back of more than half of its
    range is such an end; a smaller one stays a step back."""

    def __init__(self, bits: int) -> None:
        self.range, self.turns, self.last = 1 << bits, 0, 0

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if not len(values):
            return values.astype(np.int64)
        steps = np.diff(values.astype(np.int64), prepend=self.last)
        turns = self.turns + np.cumsum(steps < -self.range // 2)
        self.turns, self.last = int(turns[-1]), int(values[-1])
        return values + turns * self.range
