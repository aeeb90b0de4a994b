"""Curves of neurons in words, and as a small picture beside the function that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnisnm_lava.ir import SNM, Activation, Curve, Population, Smooth

WIDTH, HEIGHT, EDGE, POINTS = 220, 130, 8, 96  # of a picture, in pixels, and points of a line


def told(curve: Curve) -> str:
    """`silu, 7 pieces, off by at most 0.012, at 1.4, between -3.1 and 4.2`; `leaky_relu, 2 pieces, exact`."""
    pieces = curve.slopes.shape[1]
    shape = f"{curve.name}, {pieces:,} piece{'s' * (pieces > 1)}"
    if curve.is_exact:
        return f"{shape}, exact"
    where = "" if curve.worst is None else f", at {_worst(curve):.3g},"
    return (
        f"{shape}, off by at most {curve.error.max():.2g}{where} between {curve.low.min():.3g} and "
        f"{curve.high.max():.3g}"
    )


def _worst(curve: Curve) -> float:
    """Where it differs most from its function, of all channels."""
    assert curve.worst is not None
    return float(curve.worst.flat[int(curve.error.argmax()) if curve.worst.size > 1 else 0])


def name_of(p: Population) -> str:
    """The name of the function that a population has; nothing where it has none of its own."""
    if isinstance(p, Activation):
        return p.function.name
    return p.curve.name if isinstance(p, SNM) and p.curve is not None else ""


def facts(curve: Curve) -> Mapping[str, Any]:
    """For programs; in real units."""
    return {
        "name": curve.name,
        "pieces": int(curve.slopes.shape[1]),
        "tables": curve.rows,
        "error": float(curve.error.max()),
        "worst": None if curve.worst is None else _worst(curve),
        "low": float(curve.low.min()),
        "high": float(curve.high.max()),
    }


def svg(function: Smooth, curve: Curve) -> str:
    """The function, wide and pale, and the lines of the curve's first channel over it, in real units."""
    low, high = float(curve.low.flat[0]), float(curve.high.flat[0])
    x = np.linspace(low, max(high, low + 1e-6), POINTS)
    one = Curve(curve.name, curve.knots[:1], curve.slopes[:1], curve.offsets[:1])
    knots = curve.knots[0][(curve.knots[0] > low) & (curve.knots[0] < high)]
    corners = np.concatenate([[low], knots, [high]])
    drawn = [(x, function.at(x)), (corners, one.at(corners[:, None])[:, 0])]
    every = np.concatenate([y for _, y in drawn])
    least, span = float(every.min()), float(np.ptp(every)) or 1.0

    def path(points: tuple[np.ndarray, np.ndarray]) -> str:
        across = EDGE + (points[0] - low) / (x[-1] - low) * (WIDTH - 2 * EDGE)
        down = HEIGHT - EDGE - (points[1] - least) / span * (HEIGHT - 2 * EDGE)
        return "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))

    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f'<path class="function-of-ann" d="{path(drawn[0])}"/>'
        f'<path class="lines" d="{path(drawn[1])}"/></svg>'
    )
