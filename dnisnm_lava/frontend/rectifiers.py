"""ReLU in every spelling, and max-pools."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import tensors
from dnisnm_lava.frontend.call import Call, as_map, back, broadcast, padding_of, pair_of, pixels_of, shape_of
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.moves import constant, expanded
from dnisnm_lava.frontend.trace import name_of
from dnisnm_lava.ir.arithmetic import Window


def relu(call: Call) -> Expression:
    return call.build.rectify(call.expression(), call.node.name)


def clamp(call: Call) -> Expression:
    """aten.clamp, clamp_min, clamp_max, hardtanh, relu6: low + relu(x - low), at most high - low."""
    low, high = call.get(1, "min"), call.get(2, "max")
    if "relu6" in call.name:
        low, high = 0, 6
    elif "hardtanh" in call.name:
        low, high = call.get(1, "min_val", -1), call.get(2, "max_val", 1)
    elif "clamp_max" in call.name:
        low, high = None, call.get(1, "max")
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


def hard_sigmoid(call: Call) -> Expression:
    """aten.hardsigmoid: relu6(x + 3) / 6."""
    shifted = tensors.shifted(call.expression(), np.array(3.0))
    return tensors.multiplied(call.build.rectify(shifted, call.node.name, 6.0), np.array(1 / 6))


def threshold(call: Call) -> Expression:
    """aten.threshold(x, threshold, value): a clamp from below where both are the same."""
    low, value = call.get(1, "threshold"), call.get(2, "value")
    if low != value:
        raise Refusal(
            f"threshold(x, {low}, {value}) jumps; only with one number for both is it a clamp: use ReLU"
        )
    return _clamped(call, call.expression(), low, None)


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
    """ReLU and max-pool commute: where nothing but ReLUs reads the pool, it moves behind its ReLU."""
    if not call.build.is_nonnegative(e) and _only_rectified(call.node):
        e = call.build.rectify(e, call.node.name)
    return call.build.max_pool(e, window)


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


def at_least(call: Call) -> Expression:
    """aten.maximum(x, constant): the constant + ReLU of what x is above it."""
    return _beyond(call, 1.0)


def at_most(call: Call) -> Expression:
    """aten.minimum(x, constant)."""
    return _beyond(call, -1.0)


def _beyond(call: Call, sign: float) -> Expression:
    a, b = call.args[:2]
    if isinstance(a, Expression) and isinstance(b, Expression):
        raise Refusal(
            "a maximum or minimum of two tensors that depend on the input is not supported; use b + "
            "relu(a - b)"
        )
    e, bound = (a, b) if isinstance(a, Expression) else (b, a)
    shape = shape_of(call)
    return _bounded(call, broadcast(e, shape), constant(bound, shape), sign)


def _bounded(call: Call, e: Expression, limit: np.ndarray, sign: float) -> Expression:
    """limit + relu(e - limit), or with sign -1 limit - relu(limit - e)."""
    above = tensors.shifted(tensors.multiplied(e, np.array(sign)), -sign * limit)
    return tensors.shifted(
        tensors.multiplied(call.build.rectify(above, call.node.name), np.array(sign)), limit
    )


def leaky(call: Call) -> Expression:
    """aten.leaky_relu: a ReLU where its slope is 0."""
    if call.get(1, "negative_slope", 0.01) != 0:
        raise Refusal("it has no meaning in spikes; train with ReLU, or replace it by ReLU and fine-tune")
    return relu(call)


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Extra border at the far end that makes floor give torch's ceil-mode size."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = -(-reach // stride) + 1
    if (outputs - 1) * stride >= size + padding:  # a window may not begin in the far border
        outputs -= 1
    return max(0, (outputs - 1) * stride - reach)


def _only_rectified(node: Any) -> bool:
    users = [u for user in node.users for u in (user.users if name_of(user) == "getitem" else [user])]
    return bool(users) and all(name_of(user) in ("aten.relu", "aten.relu_", "aten.relu6") for user in users)
