"""What an integer network does on the first of some images, of one watched run for all who ask: the
operations of each T (`costs.counts`), and what a chip's time is told from (`loihi2.runtime`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dnisnm_lava.backends import watched
from dnisnm_lava.backends.observing import First, Observe, together
from dnisnm_lava.evaluation.comparison import readable
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.integers import check_state
from dnisnm_lava.studies.costs import energy
from dnisnm_lava.studies.costs.counts import Counter, Counts, count_each
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.loihi2.rates import Rates
from dnisnm_lava.studies.loihi2.runtime import Runtime, Sending, bounds, runtimes
from dnisnm_lava.system.progress import Progress


@dataclass(frozen=True)
class Observed:
    """costs, runtimes: {T: of the first images of a run}."""

    costs: Mapping[int, Costs]
    runtimes: Mapping[int, Runtime]


class Watch:
    """Watches a run of an integer graph over the last of `steps`, ascending. counted, timed: the first so
    many images tell the operations, and the time. Where a population leads, no run is the beginning of a
    longer one, and the others have their own."""

    def __init__(self, graph: SpikingGraph, steps: Sequence[int], counted: int, timed: int) -> None:
        check_state(graph, "the count of operations")
        self.graph, self.steps, self.counted, self.timed = graph, tuple(steps), counted, timed
        self.ends = readable(graph, self.steps)
        self.counter, self.sending = Counter(graph, self.ends), Sending()
        self.observe: Observe = together(First(counted, self.counter), First(timed, self.sending))

    def found(self, x: np.ndarray, given: Rates | None = None, progress: Progress | None = None) -> Observed:
        """The costs and runtimes of images x (N, *input shape), of which the first were watched already, as
        many as there were: the others are simulated now. given: as in `runtime`."""
        wanted = min(len(x), max(self.counted, self.timed))
        rest = x[self.watched : wanted]
        if len(rest):
            watched.run(self.graph, rest, steps=self.ends[-1], observe=self.observe, progress=progress)
        counts: dict[int, Counts] = self.counter.counts()
        times = bounds(self.graph, self.sending.sent(), self.ends, given)
        others = self.steps[: len(self.steps) - len(self.ends)]
        counts |= count_each(self.graph, x[: self.counted], others)
        times |= runtimes(self.graph, x[: self.timed], others, given=given)
        return Observed(
            {t: energy.costs(self.graph, counts[t]) for t in self.steps}, {t: times[t] for t in self.steps}
        )

    @property
    def watched(self) -> int:
        """Images that were."""
        return max(self.counter.images, self.sending.images)
