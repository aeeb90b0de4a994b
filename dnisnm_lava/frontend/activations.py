"""Functions other than ReLU: piecewise-linear ones, which neurons compute as they are, and smooth ones, which
they approximate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dnisnm_lava.frontend import tensors
from dnisnm_lava.frontend.call import Call
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.fusion import Fused
from dnisnm_lava.frontend.known_by_values import Scaled
from dnisnm_lava.frontend.moves import expanded
from dnisnm_lava.frontend.refusals import MERGED
from dnisnm_lava.frontend.table import Bounds, Kind, operation
from dnisnm_lava.ir import Curve, Smooth
from dnisnm_lava.ir.curves import above, jumping, through

P = Kind.POPULATION


def curved(call: Call, function: Curve | Smooth, e: Expression | None = None) -> Expression:
    """A population that sends `function` of e, by default of the call's input; rows of a curve are those of
    e's first axis."""
    e = call.expression() if e is None else e
    if (
        isinstance(function, Curve) and function.rows > 1 and len(e.shape) > 3
    ):  # as maps of a * b * ... channels
        each = int(np.prod(e.shape[1:-2]))
        repeated = partial(np.repeat, repeats=each, axis=0)
        function = Curve(
            function.name, repeated(function.knots), repeated(function.slopes), repeated(function.offsets)
        )
    return call.build.activate(e, call.node.name, function)


# ---------------------------------------------------------------- piecewise linear: exact


def _without_slope(get: Callable[..., Any]) -> Bounds | None:
    return (0, None) if get(1, "negative_slope", 0.01) == 0 else None


@operation("leaky_relu", kind=P, merges=True, bounds=_without_slope)
def leaky(call: Call) -> Expression:
    """aten.leaky_relu(x, negative_slope)."""
    return with_slope(call, call.expression(), np.array([float(call.get(1, "negative_slope", 0.01))]))


@operation("prelu", "_prelu_kernel", kind=P)
def prelu(call: Call) -> Expression:
    """aten.prelu(x, weight): a slope for all, or one for each channel."""
    weight = call.constant(1, "weight")
    assert weight is not None
    return with_slope(call, call.expression(), weight.reshape(-1))


@operation("rrelu", "rrelu_with_noise", kind=P)
def rrelu(call: Call) -> Expression:
    """aten.rrelu in eval mode: the mean of its two slopes."""
    place = 2 if "noise" in call.name else 1
    if call.get(place + 2, "training", False):
        raise Refusal("rrelu in training mode is random; use nn.RReLU, or pass training=self.training")
    slopes = call.get(place, "lower", 1 / 8), call.get(place + 1, "upper", 1 / 3)
    return with_slope(call, call.expression(), np.array([float(sum(slopes)) / 2]))


def with_slope(call: Call, e: Expression, slopes: np.ndarray) -> Expression:
    """x above 0, slope * x below; slopes: (1,) or one for each channel. A ReLU where all are 0, e where all
    are 1."""
    if not np.isfinite(slopes).all():
        raise Refusal("a slope of it is NaN or infinite; look at its weights")
    if (slopes == 1).all():
        return e
    if (slopes == 0).all():
        return call.build.rectify(e, call.node.name)
    if len(slopes) not in (1, e.shape[0]):
        raise Refusal(f"it has {len(slopes)} slopes for {e.shape[0]} channels; give 1 or one a channel")
    return curved(call, through("leaky_relu", [0.0], [slopes, 1.0]), e)


@operation("abs", kind=P, merges=True)
def absolute(call: Call) -> Expression:
    """aten.abs."""
    return curved(call, through("abs", [0.0], [-1.0, 1.0]))


@operation("softshrink", kind=P, merges=True)
def softshrink(call: Call) -> Expression:
    """aten.softshrink(x, lambd)."""
    edge = float(call.get(1, "lambd", 0.5))
    return curved(call, through("softshrink", [-edge, 0.0, edge], [1.0, 0.0, 0.0, 1.0]))


@operation("hardshrink", kind=P)
def hardshrink(call: Call) -> Expression:
    """aten.hardshrink(x, lambd): x, but 0 between -lambd and lambd: it jumps there."""
    edge = float(call.get(1, "lambd", 0.5))
    if edge < 0:
        return call.expression()
    return curved(call, jumping("hardshrink", [-edge, above(edge)], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]))


# ---------------------------------------------------------------- smooth: approximated


@operation("silu", kind=P, merges=True)
def silu(call: Call) -> Expression:
    """aten.silu."""
    return curved(call, Smooth("silu"))


@operation("hardswish", kind=P, merges=True)
def hardswish(call: Call) -> Expression:
    """aten.hardswish."""
    return curved(call, Smooth("hardswish"))


@operation("mish", kind=P, merges=True)
def mish(call: Call) -> Expression:
    """aten.mish."""
    return curved(call, Smooth("mish"))


@operation("gelu", kind=P, merges=True)
def gelu(call: Call) -> Expression:
    """aten.gelu(x, approximate)."""
    return curved(call, Smooth("gelu_tanh" if call.get(1, "approximate", "none") == "tanh" else "gelu"))


@operation("elu", kind=P, merges=True)
def elu(call: Call) -> Expression:
    """aten.elu(x, alpha, scale, input_scale)."""
    alpha, scale, inner = (
        float(call.get(i, key, 1.0)) for i, key in enumerate(("alpha", "scale", "input_scale"), 1)
    )
    return curved(call, Smooth("elu", (alpha, scale, inner)))


@operation("celu", kind=P, merges=True)
def celu(call: Call) -> Expression:
    """aten.celu(x, alpha)."""
    alpha = float(call.get(1, "alpha", 1.0))
    return curved(call, Smooth("elu", (alpha, 1.0, 1 / alpha)))


@operation("selu", kind=P, merges=True)
def selu(call: Call) -> Expression:
    """aten.selu: Klambauer et al., arXiv 1706.02515."""
    return curved(call, Smooth("elu", (1.6732632423543772, 1.0507009873554805, 1.0)))


def smooth(name: str, *parameters: float) -> Callable[[Call], Any]:
    """What a function is that may stand behind the last layer, too, where it is left out."""

    def inside(call: Call) -> Any:
        made = curved(call, Smooth(name, parameters))
        return (made, None) if "forward" in call.name else made

    return inside


def softplus(call: Call) -> Expression:
    """aten.softplus(x, beta, threshold)."""
    given = float(call.get(1, "beta", 1)), float(call.get(2, "threshold", 20))
    return curved(call, Smooth("softplus", given))


# ---------------------------------------------------------------- of several operations


def fused(call: Call, of: Fused) -> Expression:
    """The function of the call's input that several operations are together."""
    e, function = call.expression(), of.function
    if isinstance(function, Scaled):
        made = curved(call, function.function, tensors.multiplied(e, np.array(function.inner)))
        return tensors.multiplied(made, np.array(function.outer))
    return piecewise(call, e, function, of.axis)


def piecewise(call: Call, e: Expression, curve: Curve, axis: int = 0) -> Expression:
    """A curve of e, with a row for each place along `axis` of e, or one row; a line and a ReLU as what they
    are."""
    if curve.rows > 1 and e.merged:
        raise Refusal(MERGED)
    if not curve.knots.size:
        wide = (-1, *(1,) * (len(e.shape) - 1 - axis))
        line = tensors.multiplied(e, curve.slopes.reshape(wide))
        return tensors.shifted(line if curve.slopes.any() else _nothing(e), curve.offsets.reshape(wide))
    if _bends_at_0(curve) and not curve.slopes[:, 0].any():
        return call.build.rectify(e, call.node.name)
    if _bends_at_0(curve):
        curve = replace(curve, name="abs" if (curve.slopes[:, 0] == -1).all() else "leaky_relu")
    if curve.rows == 1 or axis == 0:
        return curved(call, curve, e)
    in_front = expanded(e, lambda x: x.movedim(axis + 1, 1))
    return expanded(curved(call, curve, in_front), lambda x: x.movedim(1, axis + 1))


def _bends_at_0(curve: Curve) -> bool:
    """Is it x itself above 0, and a multiple of x below?"""
    one_knot = curve.knots.shape[1] == 1 and not curve.knots.any() and not curve.offsets.any()
    return one_knot and bool((curve.slopes[:, 1] == 1).all())


def _nothing(e: Expression) -> Expression:
    return replace(e, terms=(), bias=tensors.no_bias(e.shape))
