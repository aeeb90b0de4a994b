"""From the network of an image to that of a stream: the same integers, whose state is kept from frame to
frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Population, SpikingGraph, checked_steps

LARGEST_HYSTERESIS = 2.0  # of which the lower threshold is a whole one


def streaming(
    graph: SpikingGraph, *, steps: int = 1, hysteresis: float = 0.0, levels: int | None = None
) -> SpikingGraph:
    """The network of a stream of frames, each of `steps` steps; float or integer, from one of images.

    A population's resolution is R = steps * its levels, what it says of one frame: m holds R levels at most
    (of a relay, and of what a curve or a gate has below 0, R either way). levels: how many all but a relay
    may send at once (default: all of a change; a relay always may). hysteresis: h, 0 to 2: nothing is sent
    before v is h / 2 thresholds beyond [0, theta), or the value of a curve or a gate h / 2 levels beyond half
    a level from m, then all whole levels are, so a change of less than h / 2 levels never is. With h = 0 and
    `levels` None, spikes sum, after each frame, to those of the frame alone (design 1.8). OutOfRange for a
    graph that carries its state already, and for dials out of range."""
    if graph.carry:
        raise OutOfRange("streaming: the network is that of a stream already; give the one of images")
    check_dials(steps, hysteresis, levels)
    done = tuple(_carrying(p, steps, hysteresis, levels) for p in graph)
    return replace(graph, populations=done, steps=steps, carry=True)


def check_dials(steps: int, hysteresis: float, levels: int | None) -> None:
    """OutOfRange for a dial out of range."""
    checked_steps(steps)
    if not 0 <= hysteresis <= LARGEST_HYSTERESIS:
        raise OutOfRange(f"hysteresis: {hysteresis} given; give 0 to {LARGEST_HYSTERESIS:g}, in levels")
    if levels is not None and levels < 1:
        raise OutOfRange(f"levels: {levels} given; give 1 or more, what may be sent at once")


def _carrying(p: Population, steps: int, hysteresis: float, levels: int | None) -> Population:
    if not isinstance(p, SNM | Gate):
        return p
    most = steps * p.levels
    change = 2 * most if p.two_sided else most
    is_relay = isinstance(p, SNM) and p.two_sided and p.curve is None
    at_once = change if levels is None or is_relay else min(levels, change)
    dials: dict[str, Any] = {"most": most, "levels": at_once, "band": hysteresis / 2}
    return replace(p, **dials) if isinstance(p, Gate) else replace(p, **dials, down=0.0)
