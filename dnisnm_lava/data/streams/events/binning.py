"""Events as frames of counts, a window of time or a number of events each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dnisnm_lava.data.streams.events.files import recording
from dnisnm_lava.data.streams.events.recording import Events, Recording
from dnisnm_lava.data.streams.stream import Frames
from dnisnm_lava.errors import BadFile, OutOfRange

SECOND = 1_000_000  # microseconds


def events(
    path: str | Path,
    *,
    microseconds: int | None = None,
    count: int | None = None,
    shape: tuple[int, int] | None = None,
    channels: int = 1,
) -> Frames:
    """Frames of counts, int32 (channels, H, W), of a file of events: .aedat4, .aedat (3.1, 4), .raw (EVT 2.0,
    3.0), .dat, .bin (N-MNIST), .npy, .npz, .h5 or .hdf5 with x, y, t and p.

    A frame holds `microseconds` from the first event on, those without events among them, or `count` events;
    the last one holds what is left. channels 1: brighter as +1 and darker as -1, summed; 2: how many got
    darker, and how many brighter. shape: the sensor's (H, W), needed where the file does not tell, and told
    instead of the file where it is given.

    OutOfRange for neither or both of microseconds and count, numbers below 1, and no shape. BackendMissing
    for AEDAT 4 without its package. BadFile for another kind of file; while it is read also for a truncated
    one, times that run backwards, events outside the sensor, and no events.
    """
    if (microseconds is None) == (count is None):
        told = "neither" if count is None else "both"
        raise OutOfRange(
            f"events: {told} of microseconds and count given; give how much a frame holds by one"
        )
    for name, number in (("microseconds", microseconds), ("count", count)):
        if number is not None and number < 1:
            raise OutOfRange(f"{name}: {number} given; give 1 or more")
    if channels not in (1, 2):
        raise OutOfRange(f"channels: {channels} given; give 1 (signed counts) or 2 (darker, brighter)")
    found = recording(Path(path))
    size = _size(found, shape)
    rate = None if microseconds is None else SECOND / microseconds
    return Frames(
        found.name, lambda: _frames(found, size, channels, _numbers(microseconds, count)), rate, axes="chw"
    )


def _size(found: Recording, shape: tuple[int, int] | None) -> tuple[int, int]:
    size = found.shape if shape is None else shape
    if size is None:
        raise OutOfRange(f"{found.name}: does not tell the sensor's size; give shape=(H, W), in pixels")
    if len(size) != 2 or min(size) < 1:
        raise OutOfRange(f"shape: {size} given; give (height, width) of the sensor, each 1 or more")
    return size


Numbers = Callable[[Events], np.ndarray]  # for each event of the next chunk, the number of its frame


def _numbers(microseconds: int | None, count: int | None) -> Numbers:
    return _by_time(microseconds) if microseconds is not None else _by_count(count or 1)


def _by_time(microseconds: int) -> Numbers:
    start: list[int] = []

    def numbers(chunk: Events) -> np.ndarray:
        if not start:
            start.append(int(chunk.t[0]))
        return (chunk.t - start[0]) // microseconds

    return numbers


def _by_count(count: int) -> Numbers:
    before = 0

    def numbers(chunk: Events) -> np.ndarray:
        nonlocal before
        before += len(chunk.t)
        return np.arange(before - len(chunk.t), before) // count

    return numbers


def _frames(
    found: Recording, shape: tuple[int, int], channels: int, numbers: Numbers
) -> Iterator[np.ndarray]:
    frame, current, any_events = _empty(shape, channels), 0, False
    for chunk in found.checked(shape):
        any_events = True
        number = numbers(chunk)
        for part in np.split(np.arange(len(number)), np.flatnonzero(np.diff(number)) + 1):
            while current < number[part[0]]:
                yield frame
                frame, current = _empty(shape, channels), current + 1
            _add(frame, Events(*(values[part] for values in chunk)))
    if not any_events:
        raise BadFile(f"{found.name}: holds 0 events; give at least 1")
    yield frame


def _empty(shape: tuple[int, int], channels: int) -> np.ndarray:
    return np.zeros((channels, *shape), np.int32)


def _add(frame: np.ndarray, part: Events) -> None:
    pixels = frame[0].size
    place = part.y * frame.shape[2] + part.x
    darker, brighter = (np.bincount(place[on], minlength=pixels) for on in (~part.on, part.on))
    counts = (brighter - darker,) if len(frame) == 1 else (darker, brighter)
    frame += np.reshape(counts, frame.shape).astype(np.int32)
