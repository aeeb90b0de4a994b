"""What an executor tells whoever watches a run: each population, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from dnisnm_lava.ir import Input, MaxPool, Population, ReadOut


class Observe(Protocol):
    """A function that is called after each step of each population, with the values of some images, n.

    population: of the graph that runs. step: 1 to T, of neurons that lead 1 to T + lead. v: potential after
    the step, in the population's `unit`; 0 of Input and MaxPool, which have none. m: the sum of k so far:
    the memory of an SNM. k: what was sent in the step, in levels of an SNM, each of which is worth `payload`;
    of Input and MaxPool the values themselves; 0 of a ReadOut, and while an SNM leads. Before it fired, the
    potential of an SNM was v + k * vth.

    v, m and k are arrays (n, *shape of the population): int64 in an integer graph, float64 in a float one.
    They may be kept, since no later step changes them; they are not to be written to, since the run may go on
    with them.

    Images come in their order, n at a time, and those images go through all steps of one population, then
    through the next in the graph's order: so each n begins with step 1 of the input. All calls come from the
    thread of the run. What the function raises ends the run.
    """

    def __call__(
        self, population: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray, /
    ) -> None: ...


def together(*observers: Observe) -> Observe:
    """One observer for several: each is told of one run."""

    def observe(p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        for each in observers:
            each(p, step, v, m, k)

    return observe


@dataclass
class First:
    """An observer that tells `observe` of the first `images` of a run, or of several, alone."""

    images: int
    observe: Observe
    begun: int = field(default=0, init=False)  # images before those that are told of now
    now: int = field(default=0, init=False)  # of those

    def __call__(self, p: Population, step: int, v: np.ndarray, m: np.ndarray, k: np.ndarray) -> None:
        if isinstance(p, Input) and step == 1:
            self.begun, self.now = self.begun + self.now, len(k)
        wanted = min(self.now, self.images - self.begun)
        if wanted > 0:
            self.observe(p, step, v[:wanted], m[:wanted], k[:wanted])


def tell(observe: Observe, p: Input | MaxPool | ReadOut, trace: np.ndarray) -> None:
    """All steps of a population without memory: `trace` (n, T, *shape) is what it sent, or a read-out's
    running sums, in integers or floats."""
    trace = trace.astype(np.float64 if trace.dtype.kind == "f" else np.int64, copy=False)
    nothing = np.broadcast_to(trace.dtype.type(0), trace[:, 0].shape)
    m = nothing
    for t in range(trace.shape[1]):
        if isinstance(p, ReadOut):
            observe(p, t + 1, trace[:, t], nothing, nothing)
        else:
            m = m + trace[:, t]
            observe(p, t + 1, nothing, m, trace[:, t])
