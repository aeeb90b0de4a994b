"""How far the 24-bit state of an integer network goes: potentials and memories, from recorded spikes."""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.device import exact_sums
from dnisnm_lava.backends.batched.linear import linear
from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import SNM, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import encode_images


def reached(graph: SpikingGraph, images: np.ndarray, run: Run, device: str) -> dict[str, tuple[int, int]]:
    """{population that integrates: (largest |v|, largest m)} that any neuron reached on these images, from a
    `run` of them that recorded every spike. float64 holds every integer."""
    codes, _ = encode_images(graph, images)
    sent = {graph.input.name: codes[:, None], **run.spikes}
    found: dict[str, tuple[int, int]] = {}
    with torch.inference_mode(), exact_sums(device):
        for p in graph:
            if isinstance(p, ReadOut):
                potentials = run.logits if p.name == graph.readout.name else run.further[p.name]
                found[p.name] = (int(np.abs(potentials).max()), 0)
            elif isinstance(p, SNM):
                current = reduce(torch.add, (_current(q, sent[q.source], device) for q in p.projections))
                found[p.name] = _largest(p, current, sent[p.name])
    return found


def _current(q: Projection, spikes: np.ndarray, device: str) -> Tensor:
    """(n, T, *target shape), or (n, 1, *target shape) of the image."""
    x = torch.tensor(spikes, dtype=torch.float64, device=device)
    z = linear(q, torch.float64, device)(x.flatten(0, 1))
    return z.reshape(*spikes.shape[:2], *z.shape[1:])


def _largest(p: SNM, current: Tensor, spikes: np.ndarray) -> tuple[int, int]:
    """The largest of potentials as they are before a spike, and of memories."""
    v_init, vth, payload, bias = (
        torch.tensor(a, dtype=torch.float64, device=current.device)
        for a in (p.v_init, p.vth, p.payload, p.bias)
    )
    v = v_init.expand(len(current), *p.shape).clone()
    m = torch.zeros_like(v)
    steps = spikes.shape[1]
    largest_v = largest_m = 0.0
    for t in range(steps + p.lead):
        if t < steps:
            v += current[:, min(t, current.shape[1] - 1)] + bias
            v.clamp_(-STATE.limit, STATE.limit)
            largest_v = max(largest_v, float(v.abs().max()))
        if t >= p.lead:
            k = torch.tensor(spikes[:, t - p.lead], device=current.device) / payload.clamp(min=1)
            v, m = v - k * vth, m + k
            largest_m = max(largest_m, float(m.abs().max()))
    return int(largest_v), int(largest_m)
