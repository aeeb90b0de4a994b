"""Running extrema of the ANN over calibration images; memory does not grow with their number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import AnalogGraph
from dnisnm_lava.ir.images import turns
from dnisnm_lava.measures.answers import Answers, answers, summed
from dnisnm_lava.system.ranks import ALONE, Group

GRANULARITIES = ("neuron", "channel", "layer")
Executor = Callable[[AnalogGraph, np.ndarray], Iterator[tuple[str, np.ndarray]]]


@dataclass(frozen=True)
class Statistics:
    """What the calibration images showed, per neuron.

    high, low: {population: (*shape)} largest and smallest pre-activation of each neuron, in the floats of who
    computes them. input_magnitude: (C,) largest |pixel| per channel.  images: how many were seen. answers:
    what the ANN said of them; None where some came without a class of the output's. seconds: that the ANN
    took for an image, in its fastest batch. moments: {population: (mean, variance)} of each neuron's
    pre-activation, (*shape) each, where no image was shown (`calibrate_without_images`); else None.
    """

    high: dict[str, np.ndarray]
    low: dict[str, np.ndarray]
    input_magnitude: np.ndarray
    images: int
    answers: Answers | None = None
    seconds: float = 0.0
    moments: dict[str, tuple[np.ndarray, np.ndarray]] | None = None

    def magnitude(self, name: str) -> np.ndarray:
        """Largest |pre-activation|, (*shape), float64."""
        return np.maximum(np.abs(self.high[name]), np.abs(self.low[name]), dtype=np.float64)

    def maxima(self, name: str, granularity: str = "neuron") -> np.ndarray:
        """Largest ReLU output, (*shape), shared within each `neuron`, `channel` or `layer`
        (DNI, section 4.1). 0 for a neuron that was never active: it is dead."""
        return shared_maxima(np.maximum(self.high[name], 0, dtype=np.float64), granularity)


def shared_maxima(values: np.ndarray, granularity: str) -> np.ndarray:
    """The largest of `values` (*shape) within each neuron, channel or layer, (*shape)."""
    if checked_granularity(granularity) == "neuron":
        return values
    axes = tuple(range(values.ndim))[0 if granularity == "layer" else 1 :]
    return np.broadcast_to(values.max(axis=axes, keepdims=True), values.shape)


def checked_granularity(granularity: str) -> str:
    """`granularity`; OutOfRange for what is none."""
    if granularity not in GRANULARITIES:
        raise OutOfRange(f"granularity: {granularity!r} given; choose neuron, channel or layer")
    return granularity


def calibrate(
    analog: AnalogGraph, batches: Images, *, device: Device = "cpu", group: Group = ALONE
) -> Statistics:
    """`statistics` with torch as the executor, on `device`."""
    from dnisnm_lava.backends import ann

    return statistics(analog, batches, lambda graph, x: ann.preactivations(graph, x, device), group)


def statistics(analog: AnalogGraph, batches: Images, executor: Executor, group: Group = ALONE) -> Statistics:
    """Statistics of `analog` over `batches` of images (N, *input shape), as inputs.batches understands them.

    `executor(analog, x)` yields (name, pre-activations (N, *shape)) for each Rectifier, Relay and ReadOut.
    group: of the processes that take the batches in turn, each given all of them; what one alone would find
    is what each finds. OutOfRange for no image at all, another shape, NaN or infinity, in the images or where
    they lead to.
    """
    seen = _Seen(np.zeros(analog.input.shape[0]))
    for number, (x, labels) in turns(analog, batches, group.rank, group.size):
        _look(seen, analog, number, x, labels, executor)
    found = reduce(_joined, group.gather(seen))
    if found.count == 0:
        raise OutOfRange("calibration: 0 images given; give at least 1, better some hundreds")
    for name, most in found.high.items():
        bad = most.size - int(np.count_nonzero(np.isfinite(most) & np.isfinite(found.low[name])))
        if bad:
            raise OutOfRange(
                f"{name}: {bad} of {most.size} neurons overflow on the calibration images; scale these, "
                f"or the weights, down"
            )
    said, maps = ([part for _, part in sorted(parts.items())] for parts in (found.said, found.maps))
    told = _answers(said) if said else summed(maps)
    return Statistics(found.high, found.low, found.magnitude, found.count, told, found.seconds)


@dataclass
class _Seen:
    """What some batches showed; what the ANN said, by the numbers of the batches: classes, or counts of
    maps."""

    magnitude: np.ndarray
    high: dict[str, np.ndarray] = field(default_factory=dict)
    low: dict[str, np.ndarray] = field(default_factory=dict)
    count: int = 0
    said: dict[int, tuple[np.ndarray, np.ndarray | None]] = field(default_factory=dict)
    maps: dict[int, Answers | None] = field(default_factory=dict)
    seconds: float = math.inf


def _look(
    seen: _Seen,
    analog: AnalogGraph,
    number: int,
    x: np.ndarray,
    labels: np.ndarray | None,
    executor: Executor,
) -> None:
    """The batch of this number, taken into what was seen."""
    shown = analog.input.arranged(x)
    seen.magnitude = np.maximum(seen.magnitude, np.abs(shown).max(axis=(0, *range(2, shown.ndim))))
    start = time.perf_counter()
    for name, z in executor(analog, x):
        most, least = z.max(axis=0), z.min(axis=0)
        seen.high[name] = np.maximum(seen.high.get(name, most), most)
        seen.low[name] = np.minimum(seen.low.get(name, least), least)
        if name == analog.readout.name:
            output = z.reshape(len(z), *(analog.readout.view or analog.readout.shape))
            if output.size == len(z) * output.shape[1]:
                own = labels if labels is not None and len(labels) == len(z) else None
                seen.said[number] = output.reshape(len(z), -1), own
            else:
                seen.maps[number] = answers(output, labels)  # by batches: all maps would take memory
    seen.count += len(x)
    seen.seconds = min(seen.seconds, (time.perf_counter() - start) / len(x))


def _joined(a: _Seen, b: _Seen) -> _Seen:
    return _Seen(
        np.maximum(a.magnitude, b.magnitude),
        {name: np.maximum(a.high.get(name, most), most) for name, most in (a.high | b.high).items()},
        {name: np.minimum(a.low.get(name, least), least) for name, least in (a.low | b.low).items()},
        a.count + b.count,
        a.said | b.said,
        a.maps | b.maps,
        min(a.seconds, b.seconds),
    )


def _answers(said: list[tuple[np.ndarray, np.ndarray | None]]) -> Answers | None:
    """The answers to all images at once: the labels of one batch may look like others than they are. None
    where some have none."""
    scores, labels = [s for s, _ in said], [y for _, y in said if y is not None]
    if len(labels) < len(scores) or len({y.shape[1:] for y in labels}) != 1:
        return None
    return answers(np.concatenate(scores), np.concatenate(labels))
