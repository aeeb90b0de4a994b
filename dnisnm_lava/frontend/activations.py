"""Functions other than ReLU: piecewise-linear ones, which neurons compute as they are, and smooth ones, which
they approximate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import tensors
from dnisnm_lava.frontend.call import Call
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.table import Bounds, Kind, operation
from dnisnm_lava.frontend.trace import name_of
from dnisnm_lava.ir import Curve, Smooth
from dnisnm_lava.ir.curves import jumping, through

P = Kind.POPULATION


def curved(call: Call, function: Curve | Smooth, e: Expression | None = None) -> Expression:
    """A population that sends `function` of e, by default of the call's input."""
    return call.build.activate(call.expression() if e is None else e, call.node.name, function)


# ---------------------------------------------------------------- piecewise linear: exact


def _without_slope(get: Callable[..., Any]) -> Bounds | None:
    return (0, None) if get(1, "negative_slope", 0.01) == 0 else None


@operation("leaky_relu", kind=P, bounds=_without_slope)
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


@operation("abs", kind=P)
def absolute(call: Call) -> Expression:
    """aten.abs."""
    return curved(call, through("abs", [0.0], [-1.0, 1.0]))


@operation("softshrink", kind=P)
def softshrink(call: Call) -> Expression:
    """aten.softshrink(x, lambd)."""
    edge = float(call.get(1, "lambd", 0.5))
    return curved(call, through("softshrink", [-edge, 0.0, edge], [1.0, 0.0, 0.0, 1.0]))


@operation("hardshrink", kind=P)
def hardshrink(call: Call) -> Expression:
    """aten.hardshrink(x, lambd): x, but 0 between -lambd and lambd: it jumps there."""
    edge = float(call.get(1, "lambd", 0.5))
    return curved(call, jumping("hardshrink", [-edge, edge], [1.0, 0.0, 1.0], [0.0, 0.0, 0.0]))


# ---------------------------------------------------------------- smooth: approximated


@operation("silu", kind=P)
def silu(call: Call) -> Expression:
    """aten.silu."""
    return curved(call, Smooth("silu"))


@operation("hardswish", kind=P)
def hardswish(call: Call) -> Expression:
    """aten.hardswish."""
    return curved(call, Smooth("hardswish"))


@operation("mish", kind=P)
def mish(call: Call) -> Expression:
    """aten.mish."""
    return curved(call, Smooth("mish"))


@operation("gelu", kind=P)
def gelu(call: Call) -> Expression:
    """aten.gelu(x, approximate)."""
    return curved(call, Smooth("gelu_tanh" if call.get(1, "approximate", "none") == "tanh" else "gelu"))


@operation("elu", kind=P)
def elu(call: Call) -> Expression:
    """aten.elu(x, alpha, scale, input_scale)."""
    alpha, scale, inner = (
        float(call.get(i, key, 1.0)) for i, key in enumerate(("alpha", "scale", "input_scale"), 1)
    )
    return curved(call, Smooth("elu", (alpha, scale, inner)))


@operation("celu", kind=P)
def celu(call: Call) -> Expression:
    """aten.celu(x, alpha)."""
    alpha = float(call.get(1, "alpha", 1.0))
    return curved(call, Smooth("elu", (alpha, 1.0, 1 / alpha)))


@operation("selu", kind=P)
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


def product(call: Call) -> Expression | None:
    """A product of x and a gate of x that is a function of its own: x sigmoid(x) is SiLU, x hardsigmoid(x)
    and x relu6(x + 3) (/ 6) Hardswish, x tanh(softplus(x)) Mish. None for anything else."""
    a, b = call.node.args[:2]
    for x, gate in ((a, b), (b, a)):
        for pattern in PATTERNS:
            made = pattern(call, x, gate)
            if made is not None:
                return made
    return None


def _sigmoid_of(call: Call, x: Any, gate: Any) -> Expression | None:
    """x sigmoid(beta x) = silu(beta x) / beta."""
    if not _is(gate, "sigmoid"):
        return None
    inner, beta = gate.args[0], 1.0
    if inner is not x and _is(inner, "mul") and x in inner.args[:2]:
        other = inner.args[1] if inner.args[0] is x else inner.args[0]
        if not isinstance(other, int | float) or other == 0:
            return None
        inner, beta = x, float(other)
    if inner is not x:
        return None
    e = tensors.multiplied(_value(call, x), np.array(beta))
    return tensors.multiplied(curved(call, Smooth("silu"), e), np.array(1 / beta))


def _hard_sigmoid_of(call: Call, x: Any, gate: Any) -> Expression | None:
    if _is(gate, "hardsigmoid") and gate.args[0] is x:
        return curved(call, Smooth("hardswish"), _value(call, x))
    scale = 1.0
    if _is(gate, "div") and isinstance(gate.args[1], int | float):
        gate, scale = gate.args[0], 6.0 / gate.args[1]
    elif not isinstance(gate, torch.fx.Node):
        return None
    else:
        scale = 6.0
    clip = _is(gate, "relu6") or (_is(gate, "hardtanh", "clamp") and tuple(gate.args[1:3]) == (0, 6))
    shifted = gate.args[0] if clip else None
    if shifted is None or not (_is(shifted, "add") and shifted.args[0] is x and shifted.args[1] == 3):
        return None
    made = curved(call, Smooth("hardswish"), _value(call, x))
    return tensors.multiplied(made, np.array(scale))


def _tanh_of_softplus(call: Call, x: Any, gate: Any) -> Expression | None:
    if _is(gate, "tanh") and _is(gate.args[0], "softplus") and gate.args[0].args == (x,):
        return curved(call, Smooth("mish"), _value(call, x))
    return None


PATTERNS = (_sigmoid_of, _hard_sigmoid_of, _tanh_of_softplus)


def _is(node: Any, *names: str) -> bool:
    return isinstance(node, torch.fx.Node) and name_of(node).removeprefix("aten.").removesuffix("_") in names


def _value(call: Call, x: Any) -> Expression:
    value = call.args[call.node.args.index(x)]
    assert isinstance(value, Expression)
    return value
