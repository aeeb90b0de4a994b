"""The dials of a stream, as its network has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dnisnm_lava.ir import SNM, SpikingGraph


@dataclass(frozen=True)
class Dials:
    """The dials of a stream: steps T of a frame; hysteresis h; resolution: least and largest R of a rectifier
    or a curve; at_once: least and largest of what it may send in a step; refresh: frames from one new
    beginning to the next, 0: never."""

    steps: int
    hysteresis: float
    resolution: tuple[int, int]
    at_once: tuple[int, int]
    refresh: int = 0


def dials(graph: SpikingGraph, refresh: int = 0) -> Dials:
    """The dials of a stream's network."""
    neurons = [p for p in graph.of(SNM) if not p.two_sided or p.curve is not None] or list(graph.of(SNM))
    return Dials(
        graph.steps,
        max((2 * p.band for p in neurons), default=0.0),
        _span(p.most for p in neurons),
        _span(p.levels for p in neurons),
        refresh,
    )


def _span(numbers: Iterable[int]) -> tuple[int, int]:
    found = list(numbers)
    return min(found, default=0), max(found, default=0)
