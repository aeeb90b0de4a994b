"""What populations send in a step, on average, one thing more wrong at a time: the seven rates of
`values`, on some images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import curves
from dnisnm_lava.backends.batched.device import exact_sums
from dnisnm_lava.backends.batched.linear import linear, max_pool
from dnisnm_lava.backends.observing import Observe, together
from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import (
    SNM,
    Activation,
    Gate,
    Input,
    MaxPool,
    Population,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    SpikingGraph,
)
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.dynamics import lower_threshold
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.explain.headroom import Reached

Rates = tuple[Tensor, ...]  # r0, r1, rF, r2 to r5, each (n, *shape), float64, in real units


@dataclass(frozen=True)
class Runs:
    """Both spiking networks on the same images, (n, *input shape), with every spike. reached: {population
    that integrates: (largest |v|, largest m)} of the integer network, as `headroom` tells."""

    images: np.ndarray
    spiking: Run
    integer: Run
    reached: Mapping[str, tuple[int, int]]
    device: str

    @property
    def steps(self) -> int:
        return self.integer.steps

    def tensor(self, a: np.ndarray) -> Tensor:
        return torch.tensor(a, dtype=torch.float64, device=self.device)


def run(nets: Networks, images: np.ndarray, steps: int, device: str, observe: Observe | None = None) -> Runs:
    """The runs of both networks on some images. observe: is told of the integer network's run, too."""
    spiking = batched.run(nets.spiking, images, steps=steps, record=True, device=device, synapses="float64")
    reached = Reached(steps)
    watch = reached if observe is None else together(reached, observe)
    integer = batched.run(nets.integer, images, steps=steps, record=True, device=device, observe=watch)
    return Runs(images, spiking, integer, reached.largest, device)


def rates(nets: Networks, runs: Runs) -> Iterator[tuple[str, Rates]]:
    """(name, rates) of every population but the image, in the order of the graph."""
    worth = worths(nets.integer)
    ann = {nets.analog.input.name: runs.tensor(nets.analog.input.arranged(runs.images))}
    heard = dict(ann)
    freed = nets.analog.last_readers()
    with torch.inference_mode(), exact_sums(runs.device):
        for p in nets.analog.populations[1:]:
            r4 = _sent(nets.spiking, p.name, runs.spiking, runs)
            r5 = _sent(nets.integer, p.name, runs.integer, runs) * runs.tensor(
                per_channel(worth[p.name], p.shape)
            )
            if isinstance(p, MaxPool):
                a = max_pool(ann[p.source], p.window)
                found: Rates = (a, a, a, a, r4, r4, r5)
            elif isinstance(p, Product):
                found = (*_expected_product(p, nets.spiking[p.name], ann, heard, runs), r4, r5)
            elif isinstance(p, ReadOut):
                z = _total(p, ann, runs)
                found = z, z, z, z, r4, r4, r5
            else:
                assert isinstance(p, Rectifier | Relay | Activation)
                found = (*_expected(p, nets.spiking[p.name], ann, heard, runs), r4, r5)
            yield p.name, found
            ann[p.name], heard[p.name] = found[0], r4
            for name in freed[p.name]:
                del ann[name], heard[name]


def _expected(
    own: Rectifier | Relay | Activation,
    p: Population,
    ann: Mapping[str, Tensor],
    heard: Mapping[str, Tensor],
    runs: Runs,
) -> Rates:
    """r0, r1, rF, r2 and r3. own, p: the population in the ANN and in the float SNN, whose weights and bias
    `fit` may have moved."""
    assert isinstance(p, SNM)
    z = _total(own, ann, runs)
    a, most = curves.activated(own, z), runs.tensor(p.levels * p.vth)
    least = -most if p.two_sided else torch.zeros_like(most)
    clipped = a.clamp(least, most)
    lines = clipped if p.curve is None else curves.at(p.curve, z).clamp(least, most)
    heard_in_mean = staircase(p, _total(p, heard, runs), runs.steps)
    return a, clipped, lines, staircase(p, z, runs.steps), heard_in_mean


def _expected_product(
    own: Product, p: Population, ann: Mapping[str, Tensor], heard: Mapping[str, Tensor], runs: Runs
) -> Rates:
    """The same of a product, of which a gate says the nearest level."""
    assert isinstance(p, Gate)
    a, b = ann[own.source] * ann[own.gate], heard[own.source] * heard[own.gate]
    most, theta = runs.tensor(p.levels * p.vth), runs.tensor(p.vth)
    least = -most if p.two_sided else torch.zeros_like(most)
    clipped = a.clamp(least, most)
    told = [
        (curves.nearest_level(runs.steps * x, theta) * theta / runs.steps).clamp(least, most) for x in (a, b)
    ]
    return a, clipped, clipped, *told


def staircase(p: SNM, x: Tensor, steps: int) -> Tensor:
    """S(x): what neurons of the float SNN send in a step, on average, when x, (n, *shape), arrives in every
    step, bias in it."""
    each = (p.vth, p.v_init, lower_threshold(p.vth, p.down))
    vth, v_init, lower = (torch.tensor(a, dtype=x.dtype, device=x.device) for a in each)
    v, guard = v_init + steps * x, torch.where(vth > 0, vth, torch.inf)
    whole = (v / guard).floor()
    if p.curve is not None:
        whole = curves.nearest_level(curves.at(p.curve, v, steps), vth)
    elif p.two_sided:
        back = (-v / guard).floor()
        rest = -v - back * vth
        further = (rest > 0) & (rest >= lower) & (p.down < 1)  # as in dynamics.fire
        whole = torch.where(v > 0, whole, -(back + further))
    payload = torch.tensor(p.payload, dtype=x.dtype, device=x.device)
    return whole.clamp(-steps * p.levels if p.two_sided else 0, steps * p.levels) * payload / steps


def _total(
    p: Rectifier | Relay | Activation | SNM | ReadOut, sources: Mapping[str, Tensor], runs: Runs
) -> Tensor:
    """(n, *shape): what arrives in a step when the sources send this, bias in it."""
    parts = (linear(q, torch.float64, runs.device)(sources[q.source]) for q in p.projections)
    return reduce(torch.add, parts) + runs.tensor(p.bias)


def _sent(graph: SpikingGraph, name: str, run: Run, runs: Runs) -> Tensor:
    """(n, *shape): what was sent in a step, on average, in the graph's units; of a read-out, its potential by
    T."""
    p = graph[name]
    if isinstance(p, ReadOut):
        potentials = run.logits if name == graph.readout.name else run.further[name]
        return runs.tensor(potentials[:, -1].reshape(-1, *p.shape)) / runs.steps
    return runs.tensor(run.spikes[name].sum(axis=1)) / runs.steps


def worths(integer: SpikingGraph) -> dict[str, np.ndarray]:
    """{population: (C,) real units of one step of what an integer graph sends; of a read-out, of its
    potential}."""
    worth: dict[str, np.ndarray] = {}
    for p in integer:
        if isinstance(p, MaxPool):
            worth[p.name] = worth[p.source]
        elif isinstance(p, SNM | Gate):
            worth[p.name] = p.spike_unit
        else:
            assert isinstance(p, Input | ReadOut)
            own = p.scale if isinstance(p, Input) else p.unit
            assert own is not None
            worth[p.name] = own
    return worth
