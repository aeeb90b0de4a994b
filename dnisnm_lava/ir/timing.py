"""Time, in one place: how many steps a window has, when it begins in Lava, and how far apart samples are
(docs/design.md, 1.3).

T steps belong to an image; a population with a lead takes so many more. In every executor but Lava time is
logical: the t-th spike of a population is the t-th current of its readers. In Lava each synapse takes a step.
`procs.wiring` makes delays and offsets of what is said here; a window ends T + lead(p) steps after it begins.
`exporters/onnx/net.py` has starts without the 1: there, too, a synapse takes no step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.populations import Population, lead, sources


def checked_steps(steps: int) -> int:
    """`steps`; OutOfRange below 1."""
    if steps < 1:
        raise OutOfRange(f"steps: {steps} given; give 1 or more")
    return int(steps)


def most_ahead(populations: Iterable[Population]) -> int:
    """The largest lead. Where it is 0, a run is the beginning of every longer one, and only there."""
    return max(map(lead, populations), default=0)


def window_starts(populations: Iterable[Population]) -> dict[str, int]:
    """o(p) = 1 + max over sources (o(source) + lead(source)), in topological order: when, in Lava, the window
    of a population begins."""
    start: dict[str, int] = {}
    ahead: dict[str, int] = {}
    for p in populations:
        start[p.name] = max((1 + start[s] + ahead[s] for s in sources(p)), default=0)
        ahead[p.name] = lead(p)
    return start


def shortest_period(populations: Iterable[Population], steps: int) -> int:
    """Steps from one sample to the next, at which no two windows of a population overlap: T, and the largest
    lead."""
    return steps + most_ahead(populations)


def latency(populations: Iterable[Population], readout: str, steps: int) -> int:
    """Steps of Lava's time until a read-out has summed all T."""
    return window_starts(populations)[readout] + steps


def longest_way(populations: Iterable[Population]) -> int:
    """Steps behind the image's first, after which the last window has begun to send."""
    found = tuple(populations)
    start = window_starts(found)
    return max(start[p.name] + lead(p) for p in found)


def early_by(starts: Mapping[str, int], source: Population, reader: str) -> int:
    """Steps by which spikes of `source` would come before the window of `reader` begins: the delay of that
    path. starts: of `window_starts`."""
    return starts[reader] - 1 - starts[source.name] - lead(source)
