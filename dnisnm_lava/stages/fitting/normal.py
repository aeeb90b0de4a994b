"""Closed forms of normal numbers: rectified, the larger of two, and what rounding and clipping them costs.
All arrays are float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from numpy.polynomial.hermite import hermgauss
from torch import Tensor

NODES = 64  # of a quadrature
REACHES = 400
Moments = tuple[Tensor, Tensor]  # mean and variance, of one shape


def tail(h: Tensor) -> Tensor:
    """P(x > h) of a standard normal number."""
    return torch.special.erfc(h / 2**0.5) / 2


def density(h: Tensor) -> Tensor:
    """The density of a standard normal number, at h."""
    return torch.exp(-h.square() / 2) / (2 * torch.pi) ** 0.5


def clipped(mean: Tensor, variance: Tensor, ceiling: Tensor | None = None) -> Moments:
    """Mean and variance of min(max(z, 0), ceiling), z normal with this mean and variance: those of max(z, 0),
    less what is above."""
    deviation, floor = variance.clamp(min=0).sqrt(), torch.zeros((), dtype=torch.float64)
    first, second = _above(mean, deviation, floor)
    if ceiling is not None:
        over, over_squared = _above(mean, deviation, ceiling)
        first, second = (
            first - over,
            second - over_squared - 2 * ceiling * over,
        )  # z^2 - c^2 = (z - c)^2 + 2 c (z - c)
    return first, (second - first.square()).clamp(min=0)


def _above(mean: Tensor, deviation: Tensor, limit: Tensor) -> Moments:
    """E[max(z - limit, 0)] and E[max(z - limit, 0)^2]; of what does not vary, its own."""
    sigma = torch.where(deviation > 0, deviation, 1.0)
    d = mean - limit
    h = -d / sigma
    share, peak = tail(h), density(h)
    first, second = d * share + sigma * peak, (d.square() + sigma.square()) * share + d * sigma * peak
    fixed = d.clamp(min=0)
    return (
        torch.where(deviation > 0, first, fixed).clamp(min=0),
        torch.where(deviation > 0, second, fixed.square()).clamp(min=0),
    )


def of_function(f: Callable[[Tensor], Tensor], mean: Tensor, variance: Tensor) -> Moments:
    """Mean and variance of f(z), z normal with this mean and variance: by Gauss-Hermite quadrature."""
    deviation, nodes = (2 * variance.clamp(min=0)).sqrt(), hermgauss(NODES)  # type: ignore[no-untyped-call]
    first, second = torch.zeros_like(mean), torch.zeros_like(mean)
    for node, weight in zip(*nodes, strict=True):
        value = f(mean + deviation * float(node))
        share = float(weight) / math.sqrt(math.pi)
        first, second = first + share * value, second + share * value.square()
    return first, (second - first.square()).clamp(min=0)


def larger(a: Moments, b: Moments) -> Moments:
    """Mean and variance of the larger of two independent normal numbers (Clark, "The greatest of a finite set
    of random variables", Operations Research 9(2), 1961)."""
    (m, v), (n, w) = a, b
    theta = (v + w).sqrt()
    spread = torch.where(theta > 0, theta, 1.0)
    alpha = (m - n) / spread
    first_is, second_is, peak = tail(-alpha), tail(alpha), density(alpha)
    mean = m * first_is + n * second_is + spread * peak
    square = (m.square() + v) * first_is + (n.square() + w) * second_is + (m + n) * spread * peak
    mean, square = (
        torch.where(theta > 0, x, y)
        for x, y in ((mean, torch.maximum(m, n)), (square, torch.maximum(m, n).square()))
    )
    return mean, (square - mean.square()).clamp(min=0)


def cheapest(mean: Tensor, spread: Tensor, levels: int) -> Tensor:
    """The one of many C, (G,), at which (C / levels)^2 / 12 P(0 < z < C) + E[max(z - C, 0)^2] is least, z
    normal with this mean and this standard deviation, (G,): rounding to that many levels up to C, and
    clipping there."""
    reaches = mean.clamp(min=0)[:, None] + spread[:, None] * torch.linspace(
        0.02, 8, REACHES, dtype=torch.float64
    )
    sigma = torch.where(spread > 0, spread, 1.0)[:, None]
    h, h0 = (reaches - mean[:, None]) / sigma, -mean[:, None] / sigma
    above = tail(h)
    cost_of_clipping = sigma.square() * ((1 + h.square()) * above - h * density(h))
    rounded = (reaches / levels).square() / 12 * (tail(h0) - above)
    return torch.gather(reaches, 1, (cost_of_clipping + rounded).argmin(1, keepdim=True))[:, 0]
