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
from dnisnm_lava.ir import Activation, Curve, Population, Rectifier


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
