"""What a simulation gives, whichever executor ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dnisnm_lava import measures
from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Labels
from dnisnm_lava.ir.functions import applied
from dnisnm_lava.measures import classes


@dataclass(frozen=True)
class Run:
    """The result of N images over T steps.

    logits: (N, T, *shape of the model's output) running sums of the first read-out, in its unit. spikes:
    {population: (N, T, *shape)} values sent, for the populations that were recorded. spike_counts:
    {population: (up, down)} over all images and steps, in spikes (not levels). saturations: {population:
    neurons clipped to the 24-bit state}. clipped_inputs: image values outside the input's 8 bits. further:
    {read-out: running sums} of all but the first. units: {read-out: worth of one step of its sums}, the first
    one's first: () or of the shape of its output. functions: {read-out: (function, axis)} that the model
    applies to its last layer (`functions`).
    """

    logits: np.ndarray
    spikes: Mapping[str, np.ndarray] = field(default_factory=dict)
    spike_counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    saturations: Mapping[str, int] = field(default_factory=dict)
    clipped_inputs: int = 0
    further: Mapping[str, np.ndarray] = field(default_factory=dict)
    units: Mapping[str, np.ndarray] = field(default_factory=dict)
    functions: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return int(self.logits.shape[1])

    def predictions(self, t: int) -> np.ndarray:
        """(N, ...) class after t steps, 1 <= t <= steps; the first of equals. (N,) for a map of one pixel. Of
        one channel: 1 where it is above 0, else 0."""
        if not 1 <= t <= self.steps:
            raise IndexError(f"step {t} asked for; the run has steps 1 to {self.steps}")
        return classes(self.scores[:, t - 1])

    @property
    def scores(self) -> np.ndarray:
        """(N, T, *shape of the model's output) what the class is the argmax of: `logits`; times its units
        where a read-out of an old file has several."""
        return self.scores_of(None)

    def scores_of(self, readout: str | None) -> np.ndarray:
        """The same of a read-out by its name; None: of the first."""
        name, sums = self._sums(readout)
        unit = self.units.get(name, np.float64(1))
        return sums if unit.ndim == 0 else sums * unit

    def values(self, t: int, readout: str | None = None) -> np.ndarray:
        """(N, *shape of the model's output), or (N, 1) of one number an image, what the network says of the
        model's output after t steps, 1 <= t <= steps: running sum * unit / t, and the model's last function
        of it, float64. Classes and thresholds are those of `scores`, before that function. readout: the name
        of another than the first."""
        name, _ = self._sums(readout)
        return applied(*self.functions.get(name, ("", 0)), self.rates(t, readout))

    def rates(self, t: int, readout: str | None = None) -> np.ndarray:
        """The same before the model's last function."""
        if not 1 <= t <= self.steps:
            raise IndexError(f"step {t} asked for; the run has steps 1 to {self.steps}")
        name, sums = self._sums(readout)
        if name not in self.units:
            raise KeyError(f"read-out {readout!r}: the run has no units; take it from an executor")
        return sums[:, t - 1] * self.units[name] / t

    def _sums(self, readout: str | None) -> tuple[str, np.ndarray]:
        first = next(iter(self.units), "")
        if readout not in (None, first, *self.further):
            raise KeyError(f"read-out {readout!r} asked for; the run has {', '.join((first, *self.further))}")
        name = first if readout is None else readout
        return name, self.further.get(name, self.logits)

    def sums(self, t: int) -> dict[str, np.ndarray]:
        """{read-out: (N, *shape of its output)} running sums after t steps, the first one's first."""
        return {name: self._sums(name)[1][:, t - 1] for name in self.units}

    def accuracy(self, labels: Labels, t: int) -> float:
        """Share of `labels` that the first read-out meets after t steps: class indices (N,), or (N, ...) of
        each pixel, or 0 and 1 of one channel. OutOfRange for labels that do not fit its shape or its classes,
        and for targets, which are met more or less."""
        self.predictions(t)  # is there such a step?
        return measures.accuracy(self.scores[:, t - 1], inputs.labels(labels, len(self.logits))).value


def count_spikes(spikes: np.ndarray) -> tuple[int, int]:
    """(up, down): positive and negative spikes."""
    return int(np.count_nonzero(spikes > 0)), int(np.count_nonzero(spikes < 0))


@dataclass(frozen=True)
class Difference:
    """Two runs side by side: spikes (and read-out potentials) compared, and how many differ."""

    a: str
    b: str
    images: int
    steps: int
    populations: int
    spikes_compared: int
    different: int
    first: str = ""  # population, image, step and neuron of the first difference
    unequal_images: int = 0  # in which something differs


def difference(a_name: str, a: Run, b_name: str, b: Run) -> Difference:
    """Every spike of every population that both recorded, and every read-out potential."""
    names = [n for n in a.spikes if n in b.spikes]
    pairs = [(n, a.spikes[n], b.spikes[n]) for n in names] + [("read-out", a.logits, b.logits)]
    pairs += [(n, a.further[n], b.further[n]) for n in a.further]
    compared = different = 0
    first, spoilt = "", np.zeros(len(a.logits), bool)
    for name, x, y in pairs:
        if x.shape != y.shape:
            raise ValueError(
                f"{name}: {a_name} has shape {x.shape}, {b_name} {y.shape}; run both on the same images "
                f"and steps"
            )
        unequal = x != y
        compared += unequal.size
        if unequal.any():
            different += int(np.count_nonzero(unequal))
            spoilt |= unequal.reshape(len(unequal), -1).any(axis=1)
            image, step, *neuron = np.argwhere(unequal)[0]
            first = first or f"{name}, image {image}, step {step + 1}, neuron {tuple(int(i) for i in neuron)}"
    return Difference(
        a_name, b_name, len(a.logits), a.steps, len(pairs), compared, different, first, int(spoilt.sum())
    )
