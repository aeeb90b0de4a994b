"""Which populations speak: counts of each, over frames, in columns whose number is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dnisnm_lava.ir import ReadOut, SpikingGraph
from dnisnm_lava.studies.streams.work import Work

COLUMNS = 200  # at most: a column stands for twice as many frames where there would be more

Counted = tuple[list[int], list[int]]  # of a frame: spikes and operations, by population


@dataclass
class Activity:
    """names: of the populations that send, the image first, in the graph's order; sizes: their neurons.
    width: frames of a column, of the last up to as many. sent, delivered: (columns, names) spikes (of the
    image, changes) and the synapses that they went to."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    width: int = 1
    frames: int = 0
    sent: list[list[int]] = field(default_factory=list)
    delivered: list[list[int]] = field(default_factory=list)

    def of(self, work: Work) -> Counted:
        """What a frame adds."""
        sent = {self.names[0]: work.inputs, **work.sent}
        return [sent.get(n, 0) for n in self.names], [work.delivered.get(n, 0) for n in self.names]

    def add(self, counted: Sequence[Sequence[int]]) -> None:
        """One more frame. ValueError where it has other populations."""
        if any(len(new) != len(self.names) for new in counted):
            raise ValueError("populations")
        if self.frames == self.width * COLUMNS:
            self.sent, self.delivered = _by_pairs(self.sent), _by_pairs(self.delivered)
            self.width *= 2
        is_new = self.frames % self.width == 0
        for table, new in zip((self.sent, self.delivered), counted, strict=True):
            if is_new:
                table.append([0] * len(self.names))
            table[-1] = _sum(table[-1], new)
        self.frames += 1

    def totals(self) -> dict[str, dict[str, int]]:
        """{population: {"neurons", "spikes", "operations"}}, of all frames."""
        sums = [[sum(column) for column in zip(*table, strict=True)] for table in (self.sent, self.delivered)]
        return {
            name: {"neurons": size, "spikes": spikes, "operations": operations}
            for name, size, spikes, operations in zip(self.names, self.sizes, *sums, strict=True)
        }


def begun(graph: SpikingGraph) -> Activity:
    """The activity of no frame yet."""
    senders = [p for p in graph if not isinstance(p, ReadOut)]
    return Activity(tuple(p.name for p in senders), tuple(int(np.prod(p.shape)) for p in senders))


def _by_pairs(table: Sequence[Sequence[int]]) -> list[list[int]]:
    return [_sum(*pair) for pair in zip(table[::2], table[1::2], strict=True)]


def _sum(a: Sequence[int], b: Sequence[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]
