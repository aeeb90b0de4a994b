"""Neurons that send a curve of their running sum, in torch and compiled; and activations, in torch.

Integers travel as float64, which holds every product of a 24-bit sum and a 16-bit slope: what is a power of
two divides exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from dnisnm_lava.backends.batched.storage import tensor
from dnisnm_lava.ir import SNM, Activation, Curve, Gate, Population, Rectifier
from dnisnm_lava.ir.dynamics import band_of, gain_after


def _elu(x: Tensor, alpha: float, scale: float, inner: float) -> Tensor:
    return scale * (x.clamp(min=0) + alpha * torch.expm1(inner * x.clamp(max=0)))


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "hardswish": functional.hardswish,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": functional.softplus,
    "elu": _elu,
    "mish": functional.mish,
    "softsign": functional.softsign,
    "log_sigmoid": functional.logsigmoid,
    "exp": torch.exp,
}


def activated(p: Population, z: Tensor) -> Tensor:
    """What an analog population makes of its pre-activations (N, *shape)."""
    if isinstance(p, Activation):
        own = p.function
        return at(own, z) if isinstance(own, Curve) else FUNCTIONS[own.name](z, *own.parameters)
    return z.clamp(0, p.ceiling) if isinstance(p, Rectifier) else z


def at(curve: Curve, x: Tensor, steps: int = 1) -> Tensor:
    """steps * f(x / steps) of running sums x (N, C, ...), as `Curve.at`, in x's dtype."""
    wide = (-1, *(1,) * (x.ndim - 2))
    knots, slopes, offsets = (
        tensor(a, x.dtype, str(x.device)) for a in (curve.knots, curve.slopes, curve.offsets)
    )
    slope, offset = slopes[:, 0].reshape(wide), offsets[:, 0].reshape(wide)
    for i in range(knots.shape[1]):
        beyond = x >= steps * knots[:, i].reshape(wide)
        slope = torch.where(beyond, slopes[:, i + 1].reshape(wide), slope)
        offset = torch.where(beyond, offsets[:, i + 1].reshape(wide), offset)
    return x * slope + steps * offset


def nearest_level(value: Tensor, theta: Tensor) -> Tensor:
    """The whole number of thresholds nearest to `value`, halves up; 0 where theta is: what neurons with a
    curve, relays and gates say of what they heard (design 1.1, 1.9), and rectifiers with v_init = theta / 2,
    before it is clipped."""
    return torch.floor(value / torch.where(theta > 0, theta, torch.inf) + 0.5)


def toward(p: SNM | Gate, value: Tensor, m: Tensor) -> Tensor:
    """The levels that are sent now (`dynamics.toward`); all in float64, which holds integers: what a
    threshold divides is exact, since it is a power of two."""
    vth = tensor(p.vth, torch.float64, str(value.device))
    worth = torch.where(vth > 0, vth, 1.0)
    goal = nearest_level(value, vth)
    goal = goal if p.two_sided else goal.clamp(min=0)
    goal = goal.clamp(-p.most, p.most) if p.most else goal
    k = torch.where(vth > 0, (goal - m).clamp(-p.levels, p.levels), 0.0)
    dead = band_of(p.vth, p.band)
    if dead is not None:
        apart, band = 2 * (value - m * worth), 2 * tensor(dead, torch.float64, str(value.device))
        k = torch.where((apart >= worth + band) | (apart < -worth - band), k, 0.0)
    return k


def gated(p: Gate, a: Tensor, b: Tensor) -> Tensor:
    """The levels (N, T, *shape), in float64, that a gate sends in a window in which its sources' running sums
    are a and b, (N, T, *shape) each, or what broadcasts to it."""
    m, sent = torch.zeros((), dtype=torch.float64, device=a.device), []
    wide = (-1, *(1,) * (len(p.shape) - 1))
    for t, (left, right) in enumerate(zip(a.double().unbind(1), b.double().unbind(1), strict=True)):
        gain = tensor(gain_after(p.gain, t + 1), torch.float64, str(a.device)).reshape(wide)
        k = toward(p, left * right * gain, m)
        m = m + k
        sent.append(k)
    return torch.stack(sent, dim=1)
