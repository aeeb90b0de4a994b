"""Neurons and gates step by step, in torch: floats, CUDA without Triton, and every run that is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched import curves
from dnisnm_lava.backends.batched.planning import Plan
from dnisnm_lava.backends.batched.storage import Code, laid_out, tensor
from dnisnm_lava.backends.observing import Observe
from dnisnm_lava.ir import SNM, Gate
from dnisnm_lava.ir.dynamics import band_of, lower_threshold

COMPARED = 2  # levels of integers up to which comparing with each threshold costs no more than a division


@dataclass
class Tally:
    """The counts of a population: how often it sent up, how often down, how many potentials were clipped."""

    up: int = 0
    down: int = 0
    saturated: int = 0

    def add(self, up: int = 0, down: int = 0, saturated: int = 0) -> None:
        self.up, self.down, self.saturated = self.up + up, self.down + down, self.saturated + saturated


def stepped(
    p: SNM, plan: Plan, current: Tensor, steps: int, tally: Tally, observe: Observe | None = None
) -> Tensor:
    """One step of the neurons after the other, in torch."""
    integer = p.vth.dtype.kind == "i"
    device = str(current.device)
    vth, payload, v_init, bias = (
        tensor(a, plan.dtype, device) for a in (p.vth, p.payload, p.v_init, plan.bias)
    )
    v = v_init.expand(len(current), *p.shape).clone()
    m, k = torch.zeros_like(v), torch.zeros_like(v)
    watched = None if observe is None else _Watched.of(p, observe, len(v))
    spikes: list[Tensor] = []
    guard = torch.where(vth == 0, torch.inf, vth)  # a dead neuron's threshold is never reached
    divides = p.two_sided or (integer and p.levels > COMPARED)  # of floats, another tie may be broken
    sides = _both_sides if divides else _one_side
    lower = torch.where(vth == 0, torch.inf, tensor(lower_threshold(p.vth, p.down), plan.dtype, device))
    dead = band_of(p.vth, p.band)
    band = None if dead is None else tensor(dead, plan.dtype, device)
    for t in range(steps + p.lead):
        if t < steps:
            v += current[:, min(t, current.shape[1] - 1)] + bias
            if integer:
                tally.add(saturated=saturate(v, plan.limit))
        if t >= p.lead:
            if p.curve is not None:
                value = curves.at(p.curve, v.double(), min(t + 1, steps))
                k = curves.toward(p, value, m.double()).to(v.dtype)
            else:
                rise, fall = sides(v, guard, p.levels)
                if p.down < 1:
                    fall = (fall + _further(v, guard, lower)).clamp_(max=p.levels)
                if band is not None:
                    rise, fall = rise * (v >= vth + band), fall * (v <= -band)
                fall = fall if p.two_sided else torch.minimum(fall, m)
                if p.most:
                    rise, fall = torch.minimum(rise, p.most - m), torch.minimum(fall, p.most + m)
                k = rise - fall
                v -= k * vth
            m += k
            tally.add(int(torch.count_nonzero(k > 0)), int(torch.count_nonzero(k < 0)))
            spikes.append(plan.code.encode(k * payload))
        if watched is not None:
            watched.tell(t + 1, v, k)
    return laid_out(torch.stack(spikes, dim=1))


@dataclass
class _Watched:
    """Neurons that are observed. m: their levels so far (n, *shape), in the dtype that is told: float32,
    which the neurons may take, holds no sum beyond 2**24."""

    p: SNM | Gate
    observe: Observe
    m: np.ndarray

    @classmethod
    def of(cls, p: SNM | Gate, observe: Observe, images: int) -> _Watched:
        """At the beginning of a window."""
        kind = np.int64 if p.vth.dtype.kind == "i" else np.float64
        return cls(p, observe, np.zeros((images, *p.shape), kind))

    def tell(self, step: int, v: Tensor, k: Tensor) -> None:
        v_now, sent = (a.cpu().numpy().astype(self.m.dtype) for a in (v, k))  # copies: v goes on in place
        self.m = self.m + sent
        self.observe(self.p, step, v_now, self.m, sent)


def _one_side(v: Tensor, vth: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Levels up and down: how many of vth, 2 vth, ... levels * vth are reached."""
    rise, fall = (v >= vth).to(v.dtype), (v <= -vth).to(v.dtype)
    for level in range(2, levels + 1):
        rise += v >= level * vth
        fall += v <= -level * vth
    return rise, fall


def _both_sides(v: Tensor, vth: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """The same for many levels. Exact: torch's floor division goes through fmod, as NumPy's does."""
    whole = torch.div(v.abs(), vth, rounding_mode="floor").clamp_(max=levels)
    return whole * (v > 0), whole * (v < 0)


def _further(v: Tensor, vth: Tensor, lower: Tensor) -> Tensor:
    """Is one level down more than there are whole thresholds in -v? Exact: fmod is."""
    rest = torch.fmod(v, vth)
    return (rest < 0) & (rest <= -lower)


def saturate(v: Tensor, limit: int) -> int:
    """Clip to the state in place; how many neurons were outside."""
    outside = int(torch.count_nonzero(v.abs() > limit))
    if outside:
        v.clamp_(-limit, limit)
    return outside


def gated(
    p: Gate,
    code: Code,
    plan: Mapping[str, Plan],
    sent: Mapping[str, Tensor],
    steps: int,
    tally: Tally,
    observe: Observe | None,
) -> Tensor:
    """What a gate sends, from the running sums of its sources, which float64 holds."""
    a, b = (
        plan[name].code.decode(sent[name], torch.float64).expand(-1, steps, *sent[name].shape[2:]).cumsum(1)
        for name in (p.source, p.gate)
    )
    k = curves.gated(p, a, b)
    tally.add(int(torch.count_nonzero(k > 0)), int(torch.count_nonzero(k < 0)))
    if observe is not None:
        watched = _Watched.of(p, observe, len(k))
        for t, levels in enumerate(k.unbind(1)):
            watched.tell(t + 1, torch.zeros_like(levels), levels)
    return laid_out(code.encode(k * tensor(p.payload, torch.float64, str(k.device))))
