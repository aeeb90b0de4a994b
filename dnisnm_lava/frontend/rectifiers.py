"""ReLU in every spelling, and max-pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import activations, tensors
from dnisnm_lava.frontend.call import Call, as_map, back, broadcast, padding_of, pair_of, pixels_of, shape_of
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.moves import constant, expanded
from dnisnm_lava.frontend.table import Bounds, Kind, operation, operation_of
from dnisnm_lava.frontend.trace import name_of
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.curves import above, jumping

P = Kind.POPULATION


@operation("relu", kind=P, merges=True, bounds=lambda get: (0, None))
def relu(call: Call) -> Expression:
    return call.build.rectify(call.expression(), call.node.name)


@operation("relu6", kind=P, merges=True, bounds=lambda get: (0, 6))
@operation("hardtanh", kind=P, merges=True, bounds=lambda get: (get(1, "min_val", -1), get(2, "max_val", 1)))
@operation("clamp", kind=P, merges=True, bounds=lambda get: (get(1, "min"), get(2, "max")))
@operation("clamp_min", kind=P, merges=True, bounds=lambda get: (get(1, "min"), None))
@operation("clamp_max", kind=P, merges=True, bounds=lambda get: (None, get(1, "max")))
def clamp(call: Call) -> Expression:
    """low + relu(x - low), at most high - low."""
    assert call.operation.bounds is not None
    low, high = call.operation.bounds(call.get) or (None, None)
    if isinstance(low, torch.Tensor | Expression) or isinstance(high, torch.Tensor | Expression):
        raise Refusal("a clamp to a tensor is not supported; give numbers")
    return _clamped(call, call.expression(), low, high)


def _clamped(call: Call, e: Expression, low: float | None, high: float | None) -> Expression:
    build, name = call.build, call.node.name
    if low is not None and high is not None and not low < high:
        raise Refusal(f"a clamp to {low} ... {high} is a constant; give a range")
    if low is None:
        assert high is not None
        return _bounded(call, e, np.array(float(high)), -1.0)
    inner = build.rectify(
        tensors.shifted(e, np.array(-float(low))), name, np.inf if high is None else high - low
    )
    return tensors.shifted(inner, np.array(float(low)))


@operation("hardsigmoid", kind=P)
def hard_sigmoid(call: Call) -> Expression:
    """aten.hardsigmoid: relu6(x + 3) / 6."""
    shifted = tensors.shifted(call.expression(), np.array(3.0))
    return tensors.multiplied(call.build.rectify(shifted, call.node.name, 6.0), np.array(1 / 6))


def _from_threshold(get: Callable[..., Any]) -> Bounds | None:
    low, value = get(1, "threshold"), get(2, "value")
    return (low, None) if low == value else None


@operation("threshold", kind=P, bounds=_from_threshold)
def threshold(call: Call) -> Expression:
    """aten.threshold(x, threshold, value): a clamp from below where both are the same; else it jumps."""
    low, value = float(call.get(1, "threshold")), float(call.get(2, "value"))
    if low == value:
        return _clamped(call, call.expression(), low, None)
    if not np.isfinite([low, value]).all():
        raise Refusal(f"a threshold of {low} with the value {value} is not finite; give numbers")
    return activations.curved(call, jumping("threshold", [above(low)], [0.0, 1.0], [value, 0.0]))


@operation("max_pool1d", "max_pool2d", kind=P)
@operation("max_pool2d_with_indices", kind=P, shown="max_pool2d")
def max_pool(call: Call) -> Any:
    """aten.max_pool1d, 2d(x, kernel, stride, padding, dilation, ceil_mode), with or without indices."""
    e = call.expression()
    rank, m = len(e.shape) - 1, as_map(e)
    kernel, dilation = pair_of(call.get(1, "kernel_size"), rank), pair_of(call.get(4, "dilation", 1), rank)
    stride = pair_of(call.get(2, "stride") or call.get(1, "kernel_size"), rank)
    padding, ceil = padding_of(call.get(3, "padding", 0), rank), call.get(5, "ceil_mode", False)
    extra = [
        _ceil_extra(m.shape[i + 1], kernel[i], stride[i], padding[i], dilation[i]) if ceil else 0
        for i in range(2)
    ]
    window = Window(
        kernel, stride, ((padding[0], padding[0] + extra[0]), (padding[1], padding[1] + extra[1])), dilation
    )
    pooled = back(_pooled(call, m, window), e)
    return (pooled, None) if "with_indices" in call.name else pooled


def _pooled(call: Call, e: Expression, window: Window) -> Expression:
    """A clip to 0 ... c and a max-pool commute: where nothing but such clips reads the pool, it moves behind
    them."""
    clips = _clips(call.node)
    if clips and not call.build.is_nonnegative(e):
        e = call.build.rectify(e, call.node.name, max(clips))
    return call.build.max_pool(e, window)


@operation("adaptive_max_pool1d", "adaptive_max_pool2d", kind=P)
def adaptive_max(call: Call) -> Any:
    """aten.adaptive_max_pool1d, 2d(x, size): windows of uneven length are filled up with their own last
    pixel."""
    e = call.expression()
    m = as_map(e)
    wanted = list(call.get(1, "output_size"))
    size = [
        n if w is None else w
        for n, w in zip(m.shape[1:], [1, *wanted] if len(e.shape) == 2 else wanted, strict=True)
    ]
    places, kernel = [], []
    for n, outputs in zip(m.shape[1:], size, strict=True):
        windows = [range(i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs)]
        longest = max(map(len, windows))
        places.append(torch.tensor([w[min(j, len(w) - 1)] for w in windows for j in range(longest)]))
        kernel.append(longest)
    if [len(p) for p in places] != list(m.shape[1:]):
        m = expanded(m, lambda x: x[:, :, places[0]][:, :, :, places[1]])
    pooled = back(_pooled(call, m, Window((kernel[0], kernel[1]), (kernel[0], kernel[1]))), e)
    return pooled, None


@operation("amax", "max", kind=P)
def maximum_over(call: Call) -> Any:
    """aten.amax(x, axes, keepdim) and max(x, axis, keepdim): a max-pool over all pixels."""
    e = call.expression()
    axes, keep = call.get(1, "dim", ()), call.get(2, "keepdim", False)
    axes = {a % (len(e.shape) + 1) for a in ([axes] if isinstance(axes, int) else axes)}
    if len(e.shape) == 2 and axes == {2}:
        m = tensors.view(e, (e.shape[0], *pixels_of(e, e.shape[1])))
    elif len(e.shape) == 3 and axes and axes <= {2, 3}:
        m = e
    else:
        raise Refusal(
            f"a maximum over axes {sorted(axes)} of {len(e.shape) + 1} is not supported; only over the "
            f"pixels of maps"
        )
    kernel = (
        m.shape[1] if 2 in axes or len(e.shape) == 2 else 1,
        m.shape[2] if 3 in axes or len(e.shape) == 2 else 1,
    )
    best = _pooled(call, m, Window(kernel, kernel))
    shape = tuple(1 if i + 1 in axes else n for i, n in enumerate(e.shape))
    best = tensors.view(best, shape if keep else tuple(n for i, n in enumerate(shape) if i + 1 not in axes))
    return best if "amax" in call.name else (best, None)


@operation("maximum", kind=P)
def at_least(call: Call) -> Expression:
    """aten.maximum(x, constant): the constant + ReLU of what x is above it."""
    return _beyond(call, 1.0)


@operation("minimum", kind=P)
def at_most(call: Call) -> Expression:
    """aten.minimum(x, constant)."""
    return _beyond(call, -1.0)


def _beyond(call: Call, sign: float) -> Expression:
    a, b = call.args[:2]
    shape = shape_of(call)
    if isinstance(a, Expression) and isinstance(b, Expression):
        return _of_two(call, broadcast(a, shape), broadcast(b, shape), sign)
    e, bound = (a, b) if isinstance(a, Expression) else (b, a)
    return _bounded(call, broadcast(e, shape), constant(bound, shape), sign)


def _of_two(call: Call, a: Expression, b: Expression, sign: float) -> Expression:
    """b + relu(a - b), or with sign -1 b - relu(b - a)."""
    apart = tensors.summed([tensors.multiplied(a, np.array(sign)), tensors.multiplied(b, np.array(-sign))])
    above_b = call.build.rectify(apart, call.node.name)
    return tensors.summed([b, tensors.multiplied(above_b, np.array(sign))])


def _bounded(call: Call, e: Expression, limit: np.ndarray, sign: float) -> Expression:
    """limit + relu(e - limit), or with sign -1 limit - relu(limit - e)."""
    above = tensors.shifted(tensors.multiplied(e, np.array(sign)), -sign * limit)
    return tensors.shifted(
        tensors.multiplied(call.build.rectify(above, call.node.name), np.array(sign)), limit
    )


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Extra border at the far end that makes floor give torch's ceil-mode size."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = -(-reach // stride) + 1
    if (outputs - 1) * stride >= size + padding:  # a window may not begin in the far border
        outputs -= 1
    return max(0, (outputs - 1) * stride - reach)


def _clips(node: Any) -> list[float]:
    """The ceilings of the node's readers, infinity for ReLU, where all of them clip from 0 on; else
    nothing."""
    users = [u for user in node.users for u in (user.users if name_of(user) == "getitem" else [user])]
    found = [_bounds(user) for user in users]
    ceilings = [np.inf if b[1] is None else b[1] for b in found if b is not None and _is_from_0(b)]
    return [float(c) for c in ceilings] if len(ceilings) == len(users) else []


def _bounds(node: Any) -> Bounds | None:
    known = operation_of(node)

    def get(position: int, key: str, default: Any = None) -> Any:
        return node.args[position] if len(node.args) > position else node.kwargs.get(key, default)

    return None if known is None or known.bounds is None else known.bounds(get)


def _is_from_0(bounds: Bounds) -> bool:
    low, high = bounds
    return (
        isinstance(low, int | float)
        and low == 0
        and (high is None or (isinstance(high, int | float) and high > 0))
    )
