"""Whole expressions: views, products with constants, sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from dnisnm_lava.frontend import expression as ex
from dnisnm_lava.frontend.expression import Expression, Refusal, compact
from dnisnm_lava.frontend.layout import Layout
from dnisnm_lava.ir import Shape


def no_bias(shape: Shape) -> np.ndarray:
    return np.zeros((1,) * len(shape))


def as_map_shape(shape: Shape) -> Shape:
    """(a, 1, b) for two axes, (a * b * ..., y, x) for more than three."""
    if len(shape) == 2:
        return (shape[0], 1, shape[1])
    return shape if len(shape) == 3 else (int(np.prod(shape[:-2])), *shape[-2:])


def view(e: Expression, shape: Shape) -> Expression:
    """The same elements in the same order, as another shape."""
    if shape == e.shape:
        return e
    if int(np.prod(shape)) != int(np.prod(e.shape)):
        raise Refusal(f"it views {e.shape} as {shape} and mixes images; keep the batch axis apart")
    bias = compact(e.full_bias().reshape(shape)) if e.bias.any() else no_bias(shape)
    terms = tuple(
        replace(
            t,
            layout=Layout.of(t.layout.natural, t.layout.flat().reshape(shape)),
            gain=None if t.gain is None else compact(np.broadcast_to(t.gain, e.shape).reshape(shape)),
        )
        for t in e.terms
    )
    return replace(e, terms=terms, bias=bias, shape=shape)


def _check_finite(constant: np.ndarray, does: str) -> None:
    if not np.isfinite(constant).all():
        raise Refusal(f"it {does} a constant that is NaN or infinite; look for a division by zero")


def multiplied(e: Expression, factor: np.ndarray) -> Expression:
    """factor, which broadcasts to e's shape, times e."""
    _check_finite(factor, "multiplies")
    factor = np.asarray(factor, np.float64).reshape(
        (1,) * (len(e.shape) - np.ndim(factor)) + np.shape(factor)
    )
    bias = e.bias * factor if e.bias.any() else e.bias
    terms = []
    for t in e.terms:
        per_channel = all(n == 1 for n in factor.shape[1:])
        if t.gain is None and t.layout.is_identity and per_channel:
            terms.append(ex.scaled(t, np.broadcast_to(factor.reshape(-1), (t.natural[0],))))
        elif t.gain is None and factor.size == 1:
            terms.append(ex.scaled(t, np.full(t.natural[0], factor.reshape(-1)[0])))
        else:
            terms.append(replace(t, gain=factor if t.gain is None else t.gain * factor))
    product, told = replace(e, terms=tuple(terms), bias=bias), e.normed
    return (
        product
        if told is None
        else product.with_moments(told.covered, told.mean * factor, told.variance * factor**2)
    )


def shifted(e: Expression, shift: np.ndarray) -> Expression:
    """e plus a constant that broadcasts to its shape."""
    _check_finite(shift, "adds")
    shift = np.asarray(shift, np.float64).reshape((1,) * (len(e.shape) - np.ndim(shift)) + np.shape(shift))
    moved, told = replace(e, bias=compact(e.bias + shift)), e.normed
    return moved if told is None else moved.with_moments(told.covered, told.mean + shift, told.variance)


def padded(e: Expression, value: float, inside: np.ndarray) -> Expression:
    """e plus `value` wherever `inside` is 0: on the border that a pad made."""
    return replace(e, bias=compact(e.bias + value * (inside == 0)))


def summed(expressions: Iterable[Expression]) -> Expression:
    """The sum of expressions of one shape."""
    parts = list(expressions)
    label = next((p.label for p in parts if p.is_composite), parts[-1].label)
    bias = sum((p.bias for p in parts[1:]), start=parts[0].bias)
    nodes = frozenset().union(*(p.nodes for p in parts))
    total = Expression(tuple(t for p in parts for t in p.terms), bias, parts[0].shape, label, nodes)
    told = [p.normed for p in parts]
    if not any(told):
        return total
    covered = tuple(
        c for p, n in zip(parts, told, strict=True) for c in (n.covered if n else (False,) * len(p.terms))
    )
    mean = sum(
        (n.mean if n else p.bias for p, n in zip(parts, told, strict=True)), start=no_bias(total.shape)
    )
    variance = sum((n.variance for n in told if n), start=no_bias(total.shape))  # as if they were independent
    return total.with_moments(covered, mean, variance)


def remembered(e: Any, node: str) -> Any:
    """e, with one more operation that led to it."""
    if isinstance(e, Expression):
        return replace(e, nodes=e.nodes | {node})
    return tuple(remembered(part, node) for part in e) if isinstance(e, tuple) else e
