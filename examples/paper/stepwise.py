"""A float network step after step, in torch: the paper's neurons, with SNM or as plain integrate-and-fire.

    v <- v + z + b;   s = theta if v >= theta;   v <- v - s                                   IF with soft
                      reset (RMP)
                      s = -theta if v <= -theta and m > 0;   m <- m + s / theta               with SNM (Eq.
                                                             21 to 23)

Memory does not grow with T, and a run of T steps tells of every shorter one. In float64 it is `batched.run`
of the same graph; float32 is several times as fast, and rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava import measures
from dnisnm_lava.backends.batched.device import exact_sums
from dnisnm_lava.backends.batched.linear import linear, max_pool
from dnisnm_lava.backends.batched.storage import tensor
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Input, MaxPool, ReadOut, SpikingGraph

Counts = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Trace:
    """After each of the steps that were asked for. logits: {t: (N, *shape)}. spikes: {t: {population: (up,
    down)}}, over all images and steps so far."""

    logits: Mapping[int, np.ndarray]
    spikes: Mapping[int, Counts]

    def accuracy(self, labels: np.ndarray, t: int) -> float:
        return measures.accuracy(self.logits[t], labels).value


def run(
    graph: SpikingGraph,
    images: np.ndarray,
    steps: Sequence[int],
    *,
    signed: bool = True,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    batch: int = 20,
    progress: Callable[[int, int], None] | None = None,
) -> Trace:
    """`images` (N, *input shape) for max(steps) steps. signed: with SNM; without it no neuron ever takes a
    spike back."""
    _check(graph, steps)
    parts: list[Trace] = []
    with torch.inference_mode(), exact_sums(device):
        for start in range(0, len(images), batch):
            some = torch.tensor(images[start : start + batch], dtype=dtype, device=device)
            parts.append(_Batch(graph, some, signed).run(steps))
            if progress:
                progress(min(start + batch, len(images)), len(images))
    return Trace(
        {t: np.concatenate([part.logits[t] for part in parts]) for t in steps},
        {
            t: {name: _sum(part.spikes[t][name] for part in parts) for name in parts[0].spikes[t]}
            for t in steps
        },
    )


def _sum(counts: object) -> tuple[int, int]:
    up, down = np.array(list(counts)).sum(axis=0)  # type: ignore[call-overload]
    return int(up), int(down)


def _check(graph: SpikingGraph, steps: Sequence[int]) -> None:
    if not steps or min(steps) < 1:
        raise OutOfRange(f"steps: {tuple(steps)} given; give one or more, each at least 1")
    for p in graph.of(SNM):
        if (
            graph.is_integer
            or p.two_sided
            or p.down != 1
            or p.levels != 1
            or p.lead
            or not np.array_equal(p.vth, p.payload)
        ):
            raise OutOfRange(
                f"{p.name}: more than the paper's neuron (levels, lead, lower threshold, relay or "
                f"integers); run it with backends.batched"
            )


@dataclass
class _Neurons:
    """The rectifiers' potentials v and memories m for some images; guard: theta, and infinity for the
    dead."""

    vth: Tensor
    guard: Tensor
    v: Tensor
    m: Tensor | None
    up: int = 0
    down: int = 0

    def fire(self) -> Tensor:
        fired = self.v >= self.guard
        self.up += int(torch.count_nonzero(fired))
        spikes = fired * self.vth
        if self.m is not None:
            back = (self.v <= -self.guard) & (self.m > 0)
            self.down += int(torch.count_nonzero(back))
            spikes -= back * self.vth
            self.m += fired
            self.m -= back.to(self.m.dtype)
        self.v -= spikes
        return spikes


@dataclass
class _Pool:
    """Running sums, and their windows' maxima."""

    total: Tensor
    best: Tensor
    up: int = 0
    down: int = 0

    def change(self, spikes: Tensor, p: MaxPool) -> Tensor:
        self.total = self.total + spikes
        best = max_pool(self.total, p.window)
        change, self.best = best - self.best, best
        self.up += int(torch.count_nonzero(change > 0))
        self.down += int(torch.count_nonzero(change < 0))
        return change


@dataclass
class _Batch:
    """Some images on their way through the steps."""

    graph: SpikingGraph
    x: Tensor
    signed: bool
    states: dict[str, _Neurons | _Pool | Tensor] = field(default_factory=dict)
    still: dict[str, Tensor] = field(
        default_factory=dict
    )  # what is the same in each step: bias, and the image's current
    maps: dict[str, list[tuple[str, Callable[[Tensor], Tensor]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for p in self.graph:
            if isinstance(p, MaxPool):
                total = self._full(self.graph[p.source].shape)
                self.states[p.name] = _Pool(total, self._full(p.shape))
            elif isinstance(p, SNM | ReadOut):
                self._prepare(p)

    def run(self, steps: Sequence[int]) -> Trace:
        logits: dict[int, np.ndarray] = {}
        spikes: dict[int, Counts] = {}
        for t in range(1, max(steps) + 1):
            self._step()
            if t in steps:
                out = self.states[self.graph.readout.name]
                assert isinstance(out, Tensor)
                logits[t] = out.cpu().numpy().copy()
                spikes[t] = {
                    name: (s.up, s.down) for name, s in self.states.items() if not isinstance(s, Tensor)
                }
        return Trace(logits, spikes)

    def _step(self) -> None:
        sent: dict[str, Tensor] = {}
        for p in self.graph:
            state = self.states.get(p.name)
            if isinstance(p, Input):
                sent[p.name] = self.x
            elif isinstance(state, _Pool):
                assert isinstance(p, MaxPool)
                sent[p.name] = state.change(sent[p.source], p)
            else:
                assert state is not None
                v = state if isinstance(state, Tensor) else state.v
                v += self.still[p.name]
                for source, project in self.maps[p.name]:
                    v += project(sent[source])
                if isinstance(state, _Neurons):
                    sent[p.name] = state.fire()

    def _prepare(self, p: SNM | ReadOut) -> None:
        ready = [(q.source, linear(q, self.x.dtype, str(self.x.device))) for q in p.projections]
        image = self.graph.input.name
        self.maps[p.name] = [pair for pair in ready if pair[0] != image]
        self.still[p.name] = self._tensor(p.bias) + sum(
            project(self.x) for source, project in ready if source == image
        )
        if isinstance(p, ReadOut):
            self.states[p.name] = self._full(p.shape)
            return
        vth, v = self._tensor(p.vth), self._full(p.shape) + self._tensor(p.v_init)
        guard = torch.where(vth == 0, torch.inf, vth)
        self.states[p.name] = _Neurons(vth, guard, v, torch.zeros_like(v) if self.signed else None)

    def _full(self, shape: tuple[int, ...]) -> Tensor:
        zeros = self.x.new_zeros(len(self.x), *shape)
        return zeros.contiguous(memory_format=torch.channels_last) if len(shape) == 3 else zeros

    def _tensor(self, a: np.ndarray) -> Tensor:
        made = tensor(a, self.x.dtype, str(self.x.device))
        return made[None].contiguous(memory_format=torch.channels_last) if a.ndim == 3 else made
