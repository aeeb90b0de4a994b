"""What each ATen operation means. What is not listed here is refused by name.

Operations that only move elements run themselves, on indices in place of values (`moves`); resampling runs itself
on unit vectors, which gives its matrices (`_matrix`). So neither is written down twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import lowering
from dnisnm_lava.frontend.expression import Expression, Refusal, compact, owned, per_channel
from dnisnm_lava.frontend.layout import BLOCKS
from dnisnm_lava.frontend.lowering import Builder
from dnisnm_lava.frontend.moves import constant, expanded
from dnisnm_lava.ir import Projection
from dnisnm_lava.synapses import Pair, Window


class Call:
    """One operation of the traced graph. args, kwargs: Expressions, tensors and numbers; shape: of its result."""

    def __init__(self, node: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], build: Builder, label: str) -> None:
        self.node, self.name, self.args, self.kwargs, self.build, self.label = node, name, args, kwargs, build, label

    def get(self, position: int, key: str, default: Any = None) -> Any:
        """An argument by position or by keyword."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(key, default)

    def expression(self, position: int = 0) -> Expression:
        value = self.args[position]
        if not isinstance(value, Expression):
            raise Refusal("it takes a constant where a feature map is expected")
        return value

    def weights(self, position: int, key: str) -> np.ndarray | None:
        """A constant tensor as float64."""
        value = self.get(position, key)
        if value is None:
            return None
        if not isinstance(value, torch.Tensor):
            raise Refusal("its weights depend on the input")
        return doubles(value)


Operation = Callable[[Call], Any]


def doubles(tensor: torch.Tensor) -> np.ndarray:
    """A constant tensor in float64, as an array of its own that nobody writes to."""
    return owned(tensor.detach().cpu().to(torch.float64, copy=True).numpy())


def as_map(e: Expression) -> Expression:
    """(C, L) as (C, 1, L); maps as they are."""
    if len(e.shape) == 2:
        return lowering.view(e, (e.shape[0], 1, e.shape[1]))
    if len(e.shape) != 3:
        raise Refusal(f"it needs maps (C, H, W) and gets {e.shape}; keep maps as maps until the linear layer")
    return e


def _back(result: Expression, like: Expression) -> Expression:
    """A map (C, 1, L) as (C, L) where `like` was one."""
    return lowering.view(result, (result.shape[0], result.shape[2])) if len(like.shape) == 2 else result


def _pair(values: Any, rank: int = 2) -> Pair:
    """One number, one per axis, or for sequences the one of their axis beside a 1."""
    values = [values] if isinstance(values, int) else list(values)
    return (1 if rank == 1 else int(values[0]), int(values[-1]))


def _padding(values: Any, rank: int) -> Pair:
    return (0, _pair(values)[1]) if rank == 1 else _pair(values)


# ---------------------------------------------------------------- convolutions and matrices


def _kernel(call: Call) -> tuple[np.ndarray, int]:
    """The weight as (O, I, ky, kx), and over how many axes it goes."""
    weight = call.weights(1, "weight")
    assert weight is not None
    rank = weight.ndim - 2
    if rank not in (1, 2):
        raise Refusal(f"a convolution over {rank} axes is not supported; use conv1d or conv2d")
    return (weight[:, :, None] if rank == 1 else weight), rank


def convolution(call: Call) -> Expression:
    """aten.convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    stride, padding, dilation = (call.get(i, k, d) for i, k, d in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1)))
    transposed, extra, groups = call.get(6, "transposed", False), call.get(7, "output_padding", 0), call.get(8, "groups", 1)
    return (_transposed if transposed else _convolved)(call, stride, padding, dilation, groups, extra)


def conv_forward(call: Call) -> Expression:
    """aten.conv1d, conv2d(x, weight, bias, stride, padding, dilation, groups)."""
    return _convolved(call, call.get(3, "stride", 1), call.get(4, "padding", 0), call.get(5, "dilation", 1), call.get(6, "groups", 1))


def conv_transpose(call: Call) -> Expression:
    """aten.conv_transpose1d, 2d(x, weight, bias, stride, padding, output_padding, groups, dilation)."""
    stride, padding, extra = call.get(3, "stride", 1), call.get(4, "padding", 0), call.get(5, "output_padding", 0)
    return _transposed(call, stride, padding, call.get(7, "dilation", 1), call.get(6, "groups", 1), extra)


def _convolved(call: Call, stride: Any, padding: Any, dilation: Any, groups: int, _: Any = 0) -> Expression:
    weight, rank = _kernel(call)
    d = _pair(dilation, rank)
    if isinstance(padding, str):
        whole = [d[i] * (weight.shape[2 + i] - 1) if padding == "same" else 0 for i in range(2)]
        borders = tuple((n // 2, n - n // 2) for n in whole)  # torch puts the odd one behind
    else:
        borders = tuple((n, n) for n in _padding(padding, rank))
    e = call.expression()
    linear = Projection("", weight, _pair(stride, rank), (borders[0], borders[1]), d, groups)
    return _back(call.build.conv(as_map(e), linear, call.weights(2, "bias"), call.label), e)


def _transposed(call: Call, stride: Any, padding: Any, dilation: Any, groups: int, extra: Any) -> Expression:
    """The convolution with the mirrored kernel of the map with zeros between its pixels."""
    weight, rank = _kernel(call)
    s, d, p, more = _pair(stride, rank), _pair(dilation, rank), _padding(padding, rank), _padding(extra, rank)
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    mirrored = weight.reshape(groups, inputs, outputs, *weight.shape[2:]).swapaxes(1, 2)[..., ::-1, ::-1]
    linear = Projection("", mirrored.reshape(groups * outputs, inputs, *weight.shape[2:]), dilation=d, groups=groups)
    e = call.expression()
    spread = as_map(e)
    matrices = []
    for i in range(2):
        reach, n = d[i] * (weight.shape[2 + i] - 1), spread.shape[1 + i]
        size = (n - 1) * s[i] + 1 + 2 * (reach - p[i]) + more[i]
        rows = np.arange(n) * s[i] + reach - p[i]
        inside = (rows >= 0) & (rows < size)
        matrix = np.zeros((size, n))
        matrix[rows[inside], np.arange(n)[inside]] = 1
        matrices.append(None if matrix.shape == (n, n) and bool((matrix == np.eye(n)).all()) else matrix)
    return _back(call.build.conv(call.build.resample(spread, *matrices), linear, call.weights(2, "bias"), call.label), e)


def linear(call: Call) -> Expression:
    """aten.linear(x, weight, bias)."""
    weight = call.weights(1, "weight")
    assert weight is not None
    return _linear(call, call.expression(), weight, call.weights(2, "bias"))


def addmm(call: Call) -> Expression:
    """aten.addmm(bias, x, weight.T); beta, alpha."""
    weight, bias = call.weights(2, "mat2"), call.weights(0, "self")
    assert weight is not None
    assert bias is not None
    if (call.kwargs.get("alpha", 1), call.kwargs.get("beta", 1)) != (1, 1):
        raise Refusal("a scaled addmm is not supported; scale its weights")
    return _linear(call, call.expression(1), weight.T, bias)


def matmul(call: Call) -> Expression:
    """aten.mm, matmul(x, weight.T)."""
    weight = call.weights(1, "other")
    assert weight is not None
    if weight.ndim != 2:
        raise Refusal(f"a product with a constant of shape {weight.shape} is not supported; use nn.Linear")
    return _linear(call, call.expression(), np.ascontiguousarray(weight.T), None)


def _linear(call: Call, e: Expression, weight: np.ndarray, bias: np.ndarray | None) -> Expression:
    """weight (O, F) over the last axis: a matrix for vectors, a 1x1 convolution where there are more axes."""
    if len(e.shape) == 1:
        return call.build.matrix(e, weight, bias, call.label)
    *others, features = e.shape
    columns = expanded(e, lambda x: x.movedim(-1, 1))
    pixels = lowering.view(columns, (features, *(others if len(others) == 2 else _pixels(e, int(np.prod(others))))))
    product = call.build.conv(pixels, Projection("", weight[:, :, None, None]), bias, call.label)
    return replace(expanded(lowering.view(product, (len(weight), *others)), lambda x: x.movedim(1, -1)), merged=e.merged)


# ---------------------------------------------------------------- affine maps


def batch_norm(call: Call) -> Any:
    """aten.batch_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn), or
    aten._native_batch_norm_legit_no_training(x, weight, bias, mean, var, momentum, eps)."""
    native = "no_training" in call.name
    if not native and call.get(5, "training", False):
        raise Refusal("batch norm in training mode needs batch statistics; call eval() before")
    mean, variance = call.weights(3, "running_mean"), call.weights(4, "running_var")
    if mean is None or variance is None:
        raise Refusal("batch norm without running statistics needs the batch; track_running_stats=True is needed")
    epsilon = call.get(6, "eps") if native else call.get(7, "eps")
    if (variance + epsilon <= 0).any():
        raise Refusal("its running variance is negative; load sound weights")
    gamma, beta = call.weights(1, "weight"), call.weights(2, "bias")
    factor = (1.0 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    shift = (0.0 if beta is None else beta) - mean * factor
    e = call.expression()
    rank = len(e.shape)
    normed = lowering.shifted(lowering.multiplied(e, per_channel(factor, rank)), per_channel(shift, rank))
    if not (e.is_composite and len(e.terms) == 1):  # behind a convolution, the name is the convolution's
        normed = replace(normed, label=call.label)
    return (normed, None, None) if native else normed


def add(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], 1, call.kwargs.get("alpha", 1))


def subtract(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], 1, -call.kwargs.get("alpha", 1))


def subtract_from(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], -call.kwargs.get("alpha", 1), 1)


def _sum(call: Call, a: Any, b: Any, factor_a: float, factor_b: float) -> Expression:
    """factor_a * a + factor_b * b, where either may be a constant."""
    shape = _shape(call)
    parts = [
        lowering.multiplied(_broadcast(v, shape), np.array(f)) if isinstance(v, Expression) else f * constant(v, shape)
        for v, f in ((a, factor_a), (b, factor_b))
    ]
    expressions = [p for p in parts if isinstance(p, Expression)]
    total = lowering.summed(expressions)
    for part in parts:
        if not isinstance(part, Expression):
            total = lowering.shifted(total, part)
    return total


def _shape(call: Call) -> tuple[int, ...]:
    return tuple(int(n) for n in call.node.meta["val"].shape[1:])


def _broadcast(e: Expression, shape: tuple[int, ...]) -> Expression:
    if e.shape == shape:
        return e
    if len(e.shape) != len(shape):
        raise Refusal(f"it combines {e.shape} and {shape}; give both the same number of axes")
    return expanded(e, lambda x: x.expand(x.shape[0], *shape))


def multiply(call: Call) -> Expression:
    return _product(call, call.args[0], call.args[1])


def divide(call: Call) -> Expression:
    if isinstance(call.args[1], Expression) or call.kwargs.get("rounding_mode") is not None:
        raise Refusal("a quotient whose divisor depends on the input has no meaning in spikes; divide by a constant")
    return _product(call, call.args[0], 1 / (doubles(call.args[1]) if isinstance(call.args[1], torch.Tensor) else np.float64(call.args[1])))


def _product(call: Call, a: Any, b: Any) -> Expression:
    if isinstance(a, Expression) and isinstance(b, Expression):
        raise Refusal(
            "a product of two tensors that depend on the input (a gate, a squeeze-and-excitation) has no meaning in spikes; "
            "use a network without gates"
        )
    e, factor = (a, b) if isinstance(a, Expression) else (b, a)
    shape = _shape(call)
    return lowering.multiplied(_broadcast(e, shape), constant(factor, shape))


def negative(call: Call) -> Expression:
    return lowering.multiplied(call.expression(), np.array(-1.0))


# ---------------------------------------------------------------- rows and columns


def _matrix(n: int, resample: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
    """(n', n) matrix of a linear map along the rows of (1, n, n, 1) maps, each a unit vector."""
    return resample(torch.eye(n, dtype=torch.float64)[None, :, :, None])[0, :, :, 0].T.numpy()


def _resampled(call: Call, rows: Callable[[torch.Tensor], torch.Tensor], cols: Callable[[torch.Tensor], torch.Tensor]) -> Expression:
    e = call.expression()
    m = as_map(e)
    matrices = [_matrix(n, f) for n, f in ((m.shape[1], rows), (m.shape[2], cols))]
    a, b = (None if np.array_equal(x, np.eye(len(x))) else x for x in matrices)
    return _back(call.build.resample(m, a, b), e)


def average_pool(call: Call) -> Expression:
    """aten.avg_pool1d, 2d(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""
    rank = len(call.expression().shape) - 1
    kernel = _pair(call.get(1, "kernel_size"), rank)
    stride = _pair(call.get(2, "stride") or call.get(1, "kernel_size"), rank)
    padding, divisor = _padding(call.get(3, "padding", 0), rank), call.get(6, "divisor_override")
    ceil, counted = call.get(4, "ceil_mode", False), call.get(5, "count_include_pad", True)

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        override = None if divisor is None else 1
        return lambda x: torch.nn.functional.avg_pool2d(x, (kernel[i], 1), (stride[i], 1), (padding[i], 0), ceil, counted, override)

    pooled = _resampled(call, along(0), along(1))
    return pooled if divisor is None else lowering.multiplied(pooled, np.array(1 / divisor))


def adaptive_average(call: Call) -> Expression:
    """aten.adaptive_avg_pool1d, 2d(x, size)."""
    rank = len(call.expression().shape) - 1
    m = as_map(call.expression())
    wanted = call.get(1, "output_size")
    size = [n if w is None else w for n, w in zip(m.shape[1:], [1, *wanted] if rank == 1 else list(wanted), strict=True)]

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda x: torch.nn.functional.adaptive_avg_pool2d(x, (size[i], 1))

    return _resampled(call, along(0), along(1))


MODES = {
    "upsample_nearest1d": "nearest", "upsample_nearest2d": "nearest", "_upsample_nearest_exact1d": "nearest-exact",
    "_upsample_nearest_exact2d": "nearest-exact", "upsample_linear1d": "bilinear", "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
}  # fmt: skip


def upsample(call: Call) -> Expression:
    """aten.upsample_*: nearest, linear, cubic, one axis after the other."""
    mode = MODES[call.name.removeprefix("aten.")]
    size = (1, *_shape(call)[1:])[-2:]
    align = bool(call.get(2, "align_corners", False)) if "linear" in mode or "cubic" in mode else None
    factors = _factors(call)

    def along(i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        factor = factors[i - 2] if len(factors) >= 2 - i else None
        if factor is not None and not align and int(factor * as_map(call.expression()).shape[1 + i]) == size[i]:
            return lambda x: torch.nn.functional.interpolate(x, scale_factor=(float(factor), 1.0), mode=mode, align_corners=align)
        return lambda x: torch.nn.functional.interpolate(x, size=(size[i], 1), mode=mode, align_corners=align)

    return _resampled(call, along(0), along(1))


def _factors(call: Call) -> list[float]:
    """Scale factors that the model gave, which torch prefers to the ratio of sizes."""
    values = [*call.args[1:], *call.kwargs.values()]
    lists = [v for v in values if isinstance(v, list | tuple) and v and all(isinstance(f, float) for f in v)]
    return list(lists[0]) if lists else [float(v) for v in values if isinstance(v, float)]


def mean(call: Call) -> Expression:
    return _reduced(call, average=True)


def total(call: Call) -> Expression:
    return _reduced(call, average=False)


def _reduced(call: Call, average: bool) -> Expression:
    """aten.mean, sum(x, axes, keepdim): pixels by resampling, channels by a 1x1 convolution."""
    e = call.expression()
    axes, keep = call.get(1, "dim"), call.get(2, "keepdim", False)
    axes = sorted(a % (len(e.shape) + 1) for a in (range(len(e.shape) + 1) if axes is None else [axes] if isinstance(axes, int) else axes))
    if 0 in axes:
        raise Refusal("it mixes the images of a batch; reduce over the axes of one image alone")
    shape = list(e.shape)
    for axis in axes:
        n = shape[axis - 1]
        e = _reduced_axis(call, e, axis - 1, 1 / n if average else 1.0)
        shape[axis - 1] = 1
    return e if keep else lowering.view(e, tuple(n for i, n in enumerate(e.shape) if i + 1 not in axes))


def _reduced_axis(call: Call, e: Expression, axis: int, factor: float) -> Expression:
    """The sum over one axis, which stays with length 1, times `factor`."""
    n, shape = e.shape[axis], e.shape
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    if len(shape) == 1:
        return call.build.matrix(e, np.full((1, n), factor), None, e.label)
    if axis == 0 and len(shape) <= 3:
        m = as_map(e)
        return lowering.view(call.build.conv(m, Projection("", np.full((1, n, 1, 1), factor)), None, e.label), kept)
    if len(shape) == 3:
        rows, cols = (np.full((1, n), factor) if axis == i else None for i in (1, 2))
        return call.build.resample(e, rows, cols)
    if axis == len(shape) - 1:
        m = lowering.view(e, (int(np.prod(shape[:-1])), *_pixels(e, n)))
        return lowering.view(call.build.resample(m, np.ones((1, m.shape[1])), np.full((1, m.shape[2]), factor)), kept)
    if n > BLOCKS:
        raise Refusal(f"a mean or sum over axis {axis + 1} of {('N', *shape)} is not supported; reduce maps (N, C, H, W)")
    slices = [expanded(e, lambda x, i=i: x.narrow(axis + 1, i, 1)) for i in range(n)]  # type: ignore[misc]
    return lowering.multiplied(lowering.summed(slices), np.array(factor))


def _pixels(e: Expression, n: int) -> Pair:
    """(H, W) of the maps behind e whose pixels stand in one axis of length n; (1, n) for anything else."""
    sizes = (t.natural[1:] for t in e.terms if len(t.natural) == 3)
    return next(((s[0], s[1]) for s in sizes if s[0] * s[1] == n), (1, n))


# ---------------------------------------------------------------- rectifiers and max-pools


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
        mirrored = lowering.shifted(lowering.multiplied(e, np.array(-1.0)), np.array(float(high)))
        return lowering.shifted(lowering.multiplied(build.rectify(mirrored, name), np.array(-1.0)), np.array(float(high)))
    inner = build.rectify(lowering.shifted(e, np.array(-float(low))), name, np.inf if high is None else high - low)
    return lowering.shifted(inner, np.array(float(low)))


def threshold(call: Call) -> Expression:
    """aten.threshold(x, threshold, value): a ReLU where both are 0."""
    if call.get(1, "threshold") != 0 or call.get(2, "value") != 0:
        raise Refusal("only threshold(x, 0, 0) is a ReLU; use ReLU")
    return relu(call)


def max_pool(call: Call) -> Any:
    """aten.max_pool1d, 2d(x, kernel, stride, padding, dilation, ceil_mode), with or without indices."""
    e = call.expression()
    rank, m = len(e.shape) - 1, as_map(e)
    kernel, dilation = _pair(call.get(1, "kernel_size"), rank), _pair(call.get(4, "dilation", 1), rank)
    stride = _pair(call.get(2, "stride") or call.get(1, "kernel_size"), rank)
    padding, ceil = _padding(call.get(3, "padding", 0), rank), call.get(5, "ceil_mode", False)
    extra = [_ceil_extra(m.shape[i + 1], kernel[i], stride[i], padding[i], dilation[i]) if ceil else 0 for i in range(2)]
    window = Window(kernel, stride, ((padding[0], padding[0] + extra[0]), (padding[1], padding[1] + extra[1])), dilation)
    pooled = _back(_pooled(call, m, window), e)
    return (pooled, None) if "with_indices" in call.name else pooled


def _pooled(call: Call, e: Expression, window: Window) -> Expression:
    """ReLU and max-pool commute: where nothing but ReLUs reads the pool, it moves behind its ReLU."""
    if not call.build.is_nonnegative(e) and _only_rectified(call.node):
        e = call.build.rectify(e, call.node.name)
    return call.build.max_pool(e, window)


def adaptive_max(call: Call) -> Any:
    """aten.adaptive_max_pool1d, 2d(x, size): windows of uneven length are filled up with their own last pixel."""
    e = call.expression()
    m = as_map(e)
    wanted = list(call.get(1, "output_size"))
    size = [n if w is None else w for n, w in zip(m.shape[1:], [1, *wanted] if len(e.shape) == 2 else wanted, strict=True)]
    places, kernel = [], []
    for n, outputs in zip(m.shape[1:], size, strict=True):
        windows = [range(i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs)]
        longest = max(map(len, windows))
        places.append(torch.tensor([w[min(j, len(w) - 1)] for w in windows for j in range(longest)]))
        kernel.append(longest)
    if [len(p) for p in places] != list(m.shape[1:]):
        m = expanded(m, lambda x: x[:, :, places[0]][:, :, :, places[1]])
    pooled = _back(_pooled(call, m, Window((kernel[0], kernel[1]), (kernel[0], kernel[1]))), e)
    return pooled, None


def _ceil_extra(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Extra border at the far end that makes floor give torch's ceil-mode size."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    outputs = -(-reach // stride) + 1
    if (outputs - 1) * stride >= size + padding:  # a window may not begin in the far border
        outputs -= 1
    return max(0, (outputs - 1) * stride - reach)


def _only_rectified(node: Any) -> bool:
    users = [u for user in node.users for u in (user.users if "getitem" in str(user.target) else [user])]
    return bool(users) and all(_is_relu(user) for user in users)


def _is_relu(node: Any) -> bool:
    name = str(getattr(node.target, "_overloadpacket", node.target))
    return name in ("aten.relu", "aten.relu_", "aten.relu6")


# ---------------------------------------------------------------- nothing at all


def same(call: Call) -> Any:
    return call.args[0]


def to_dtype(call: Call) -> Any:
    dtypes = [a for a in (*call.args[1:], *call.kwargs.values()) if isinstance(a, torch.dtype)]
    if any(not d.is_floating_point for d in dtypes):
        raise Refusal("it rounds feature maps to integers; keep them floating")
    return call.args[0]


def dropout(call: Call) -> Expression:
    if call.get(2, "train", call.get(2, "training", False)):
        raise Refusal("dropout in training mode is random; use nn.Dropout, or pass training=self.training")
    return call.expression()


def last(call: Call) -> Expression:
    """softmax, log_softmax, sigmoid behind the last linear layer: they do not change the class."""
    e, axis = call.expression(), call.get(1, "dim")
    if "softmax" in call.name and axis % (len(e.shape) + 1) != 1:
        raise Refusal(f"a softmax over axis {axis} of {('N', *e.shape)} changes the class; apply it outside the model")
    return e


OPERATIONS: dict[str, Operation] = {
    "aten.convolution": convolution, "aten.conv1d": conv_forward, "aten.conv2d": conv_forward, "aten.conv3d": conv_forward,
    "aten.conv_transpose1d": conv_transpose, "aten.conv_transpose2d": conv_transpose, "aten.conv_transpose3d": conv_transpose,
    "aten.linear": linear, "aten.addmm": addmm, "aten.mm": matmul, "aten.matmul": matmul,
    "aten._native_batch_norm_legit_no_training": batch_norm, "aten.batch_norm": batch_norm,
    "aten.add": add, "aten.add_": add, "aten.sub": subtract, "aten.sub_": subtract, "aten.rsub": subtract_from,
    "aten.mul": multiply, "aten.mul_": multiply, "aten.div": divide, "aten.div_": divide, "aten.neg": negative,
    "aten.avg_pool1d": average_pool, "aten.avg_pool2d": average_pool,
    "aten.adaptive_avg_pool1d": adaptive_average, "aten.adaptive_avg_pool2d": adaptive_average,
    "aten._adaptive_avg_pool2d": adaptive_average,
    "aten.mean": mean, "aten.sum": total,
    **{f"aten.{name}": upsample for name in MODES},
    "aten.relu": relu, "aten.relu_": relu, "aten.relu6": clamp, "aten.hardtanh": clamp, "aten.hardtanh_": clamp,
    "aten.clamp": clamp, "aten.clamp_": clamp, "aten.clamp_min": clamp, "aten.clamp_max": clamp, "aten.threshold": threshold,
    "aten.max_pool1d": max_pool, "aten.max_pool2d": max_pool, "aten.max_pool2d_with_indices": max_pool,
    "aten.adaptive_max_pool1d": adaptive_max, "aten.adaptive_max_pool2d": adaptive_max,
    "aten.clone": same, "aten.alias": same, "aten.detach": same, "aten.contiguous": same, "aten.lift_fresh_copy": same,
    "aten.detach_": same, "aten.positive": same, "aten._to_copy": to_dtype, "aten.to": to_dtype, "aten.dropout": dropout,
    "aten.feature_dropout": dropout,
}  # fmt: skip
LAST: dict[str, Operation] = {
    "aten._softmax": last, "aten.softmax": last, "aten._log_softmax": last, "aten.log_softmax": last, "aten.sigmoid": last,
}  # fmt: skip
_ACTIVATION = "it has no meaning in spikes; train with ReLU, or replace it by ReLU and fine-tune"
_STATISTICS = "it needs statistics of the image at hand; use batch norm, which is a constant in eval mode"
REMEDIES = {
    **dict.fromkeys((
        "leaky_relu", "leaky_relu_", "prelu", "_prelu_kernel", "silu", "silu_", "gelu", "hardswish", "hardswish_", "elu", "elu_", "celu",
        "selu", "mish", "mish_", "softplus", "tanh", "hardsigmoid", "rrelu", "rrelu_with_noise", "log_sigmoid", "log_sigmoid_forward",
        "hardshrink", "softshrink",
    ), _ACTIVATION),
    "sigmoid": f"a sigmoid in the body is a gate or an activation: {_ACTIVATION}",
    **dict.fromkeys(("_softmax", "softmax", "_log_softmax", "log_softmax"), "a softmax in the body divides by a sum over the input; "
                    "only one behind the last layer can be left out: use a network without attention"),
    **dict.fromkeys(("native_layer_norm", "layer_norm", "native_group_norm", "group_norm", "instance_norm", "_native_batch_norm_legit",
                     "native_batch_norm", "linalg_vector_norm", "norm", "var", "var_mean", "std"), _STATISTICS),
    **dict.fromkeys(("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                     "_scaled_dot_product_efficient_attention", "_scaled_dot_product_attention_math", "bmm"),
                    "attention multiplies tensors that depend on the input; use a convolutional network"),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), "a recurrent layer has no feed-forward meaning; use convolutions over time"),
}  # fmt: skip


def remedy(name: str) -> str:
    """What to do about an operation that is not supported."""
    return REMEDIES.get(
        name.removeprefix("aten."),
        "it has no exact meaning as spiking populations; replace it by ReLU, conv, linear, batch norm, pooling, concatenation or addition",
    )


__all__ = ["LAST", "OPERATIONS", "Call", "compact", "remedy"]
