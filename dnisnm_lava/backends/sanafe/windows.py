"""A network of binary spikes as SANA-FE's neurons, and when what of them is switched on.

Its neuron fires where v > theta, and theta is taken away: ours, where nothing is taken back, with v half a
unit higher. A synapse costs a step there too, so windows begin as they do in Lava (design, 1.3); what is
switched on and off between steps is the bias, which has the image in it, and the threshold. A path that
arrives early goes through neurons that fire one step after what they hear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dnisnm_lava.errors import BackendFailed, OutOfRange
from dnisnm_lava.ir import SNM, Input, Population, Projection, ReadOut, SpikingGraph, lead
from dnisnm_lava.ir.timing import early_by
from dnisnm_lava.ir.wiring import wired

HALF = 0.5  # of a unit: it fires where v > theta, and integers where v >= theta
NEVER = 1 << 30  # a threshold that no state of 24 bits reaches
WEIGHT = 1 << 24  # integers from here on are not all exact in float32, which SANA-FE may take them for
MOST_SYNAPSES = 4_000_000  # SANA-FE takes some 750 bytes for each

Edge = tuple[str, str, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """A graph, T, the steps from one image to the next, and images; start: when windows begin, as in Lava."""

    graph: SpikingGraph
    steps: int
    period: int
    images: int
    start: dict[str, int] = field(init=False)
    names: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", self.graph.window_starts())
        object.__setattr__(self, "names", {p.name: f"{i:06d}" for i, p in enumerate(self.graph)})

    def length(self, p: Population) -> int:
        return self.steps + lead(p)

    def neurons(self) -> list[SNM | ReadOut]:
        return [p for p in self.graph if isinstance(p, SNM | ReadOut)]

    def early(self, source: str, reader: str) -> int:
        """Steps that the spikes of `source` would arrive before the reader's window begins."""
        return early_by(self.start, self.graph[source], reader)

    def delays(self) -> dict[str, int]:
        """{source: the longest delay that one of its readers asks for}: one neuron more for each step."""
        found: dict[str, int] = {}
        for p in self.neurons():
            for q in p.projections:
                if not isinstance(self.graph[q.source], Input):
                    found[q.source] = max(found.get(q.source, 0), self.early(q.source, p.name))
        return found

    def group(self, source: str, delay: int) -> str:
        return self.names[source] + (f".{delay}" if delay else "")

    def groups(self) -> dict[str, tuple[int, bool]]:
        found = {self.names[p.name]: (int(np.prod(p.shape)), isinstance(p, ReadOut)) for p in self.neurons()}
        for source, longest in self.delays().items():
            for delay in range(1, longest + 1):
                found[self.group(source, delay)] = (int(np.prod(self.graph[source].shape)), False)
        return found

    def edges(self) -> list[Edge]:
        """All synapses but the image's; OutOfRange where they are too many, or too large."""
        found: list[Edge] = []
        for source, longest in self.delays().items():
            one = np.arange(int(np.prod(self.graph[source].shape)))
            for delay in range(1, longest + 1):
                pair = self.group(source, delay - 1), self.group(source, delay)
                found.append((*pair, one, one, np.ones_like(one)))
        for p in self.neurons():
            for q in p.projections:
                sender = self.graph[q.source]
                if isinstance(sender, SNM):
                    group = self.group(q.source, self.early(q.source, p.name))
                    found.append((group, self.names[p.name], *_synapses(p.name, q, sender)))
        count = sum(len(weight) for *_, weight in found)
        if count > MOST_SYNAPSES:
            raise OutOfRange(
                f"SANA-FE: {count:,} synapses, for which it takes some {count * 750 / 1e9:.1f} GB; give a "
                f"network of {MOST_SYNAPSES:,} or fewer, or replay its spikes instead"
            )
        return found

    def events(self, x: np.ndarray) -> dict[int, list[tuple[str, str, np.ndarray]]]:
        """What is set before which step. Ends of windows come before the beginnings of the next ones."""
        found: dict[int, list[tuple[str, str, np.ndarray]]] = {}

        def at(step: int, name: str, attribute: str, values: Any, count: int) -> None:
            every = np.broadcast_to(np.asarray(values), (count,))
            found.setdefault(step, []).append((name, attribute, every))

        for name, (count, _) in self.groups().items():
            delays = "." in name
            at(1, name, "reset_mode", "hard" if delays else "soft", count)
            at(1, name, "threshold", 0 if delays else NEVER, count)
        for image in range(self.images):
            for p in self.neurons():
                name, neurons = self.names[p.name], int(np.prod(p.shape))
                first = self.start[p.name] + image * self.period + 1
                v, vth = (0, None) if isinstance(p, ReadOut) else (p.v_init.reshape(-1), _threshold(p))
                at(first, name, "potential", v + HALF, neurons)
                at(first, name, "bias", self._constant(p, x[image : image + 1]), neurons)
                at(first + self.steps, name, "bias", 0, neurons)
                if vth is not None:
                    at(first + lead(p), name, "threshold", vth, neurons)
                    at(first + self.length(p), name, "threshold", NEVER, neurons)
        return {step: sorted(set_, key=lambda e: not _ends(e)) for step, set_ in found.items()}

    def _constant(self, p: SNM | ReadOut, image: np.ndarray) -> np.ndarray:
        """What every step of a window brings: the bias, and the image's current."""
        z = np.broadcast_to(p.bias.astype(np.int64), p.shape)
        for q in p.projections:
            if isinstance(self.graph[q.source], Input):
                z = z + q(image)[0]
        return z.reshape(-1)

    def _windows(self, p: Population, trace: np.ndarray) -> np.ndarray:
        """(chip's steps, neurons) -> (N, T, *shape): the T steps in which it sends."""
        first = [self.start[p.name] + lead(p) + image * self.period for image in range(self.images)]
        return np.stack([trace[at : at + self.steps] for at in first]).reshape(-1, self.steps, *p.shape)

    def spikes(self, p: SNM, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """(N, T, *shape) what it sends: its payload for each firing. BackendFailed for a firing outside of
        its windows, which would be lost here."""
        fired = arrays[f"spikes:{self.names[p.name]}"]
        sent = self._windows(p, fired)
        if sent.sum() != fired.sum():
            raise BackendFailed(
                f"SANA-FE: {p.name} fires {fired.sum() - sent.sum()} times outside of its windows; tell us"
            )
        return sent * p.payload.astype(np.int64)

    def sums(self, p: ReadOut, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """(N, T, *shape) potentials, int64."""
        return (self._windows(p, arrays[f"potential:{self.names[p.name]}"]) - HALF).astype(np.int64)


def _synapses(who: str, q: Projection, sender: SNM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sender's neurons, neurons, weights): what a spike of each is worth, its payload within."""
    each = wired(q, sender.shape).of(np.arange(int(np.prod(sender.shape))))
    weight = each.weight * sender.payload.reshape(-1).astype(np.int64)[each.source]
    largest = int(np.abs(weight).max(initial=0))
    if largest >= WEIGHT:
        raise OutOfRange(
            f"{who}: a spike of {q.source} is worth {largest}, and SANA-FE takes weights below {WEIGHT}; use "
            f"fewer weight_bits"
        )
    return each.source[weight != 0], each.target[weight != 0], weight[weight != 0]


def _threshold(p: SNM) -> np.ndarray:
    """The threshold of each neuron; a dead one never fires."""
    vth = p.vth.reshape(-1).astype(np.int64)
    return np.where(vth > 0, vth, NEVER)


def _ends(event: tuple[str, str, np.ndarray]) -> bool:
    """Does it switch off what a window had on?"""
    _, attribute, values = event
    return attribute == "reset_mode" or bool((values == (NEVER if attribute == "threshold" else 0)).all())
