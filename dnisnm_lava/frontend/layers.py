"""Convolutions, matrices, batch norm, sums, and products with constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import activations, tensors
from dnisnm_lava.frontend.call import (
    Call,
    as_map,
    back,
    broadcast,
    doubles,
    padding_of,
    pair_of,
    pixels_of,
    shape_of,
)
from dnisnm_lava.frontend.expression import Expression, Refusal, selection
from dnisnm_lava.frontend.layout import NOTHING
from dnisnm_lava.frontend.moves import constant, expanded
from dnisnm_lava.frontend.refusals import MERGED
from dnisnm_lava.frontend.table import operation
from dnisnm_lava.ir import Projection, Smooth
from dnisnm_lava.ir.channels import per_channel


def _kernel(call: Call) -> tuple[np.ndarray, int]:
    """The weight as (O, I, ky, kx), and over how many axes it goes."""
    weight = call.kernel(1, "weight")
    rank = weight.ndim - 2
    if rank not in (1, 2):
        raise Refusal(f"a convolution over {rank} axes is not supported; use conv1d or conv2d")
    return (weight[:, :, None] if rank == 1 else weight), rank


@operation("convolution", weight=1)
def convolution(call: Call) -> Expression:
    """aten.convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    stride, padding, dilation = (
        call.get(i, k, d) for i, k, d in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))
    )
    transposed, extra, groups = (
        call.get(6, "transposed", False),
        call.get(7, "output_padding", 0),
        call.get(8, "groups", 1),
    )
    return (_transposed if transposed else _convolved)(call, stride, padding, dilation, groups, extra)


@operation("conv1d", "conv2d", weight=1)
@operation("conv3d")  # refused, with what to take instead
def conv_forward(call: Call) -> Expression:
    """aten.conv1d, conv2d(x, weight, bias, stride, padding, dilation, groups)."""
    return _convolved(
        call,
        call.get(3, "stride", 1),
        call.get(4, "padding", 0),
        call.get(5, "dilation", 1),
        call.get(6, "groups", 1),
    )


@operation("conv_transpose1d", "conv_transpose2d", weight=1)
@operation("conv_transpose3d")
def conv_transpose(call: Call) -> Expression:
    """aten.conv_transpose1d, 2d(x, weight, bias, stride, padding, output_padding, groups, dilation)."""
    stride, padding, extra = (
        call.get(3, "stride", 1),
        call.get(4, "padding", 0),
        call.get(5, "output_padding", 0),
    )
    return _transposed(call, stride, padding, call.get(7, "dilation", 1), call.get(6, "groups", 1), extra)


def _convolved(call: Call, stride: Any, padding: Any, dilation: Any, groups: int, _: Any = 0) -> Expression:
    weight, rank = _kernel(call)
    d = pair_of(dilation, rank)
    if isinstance(padding, str):
        whole = [d[i] * (weight.shape[2 + i] - 1) if padding == "same" else 0 for i in range(2)]
        borders = tuple((n // 2, n - n // 2) for n in whole)  # torch puts the odd one behind
    else:
        borders = tuple((n, n) for n in padding_of(padding, rank))
    e = call.expression()
    linear = Projection("", weight, pair_of(stride, rank), (borders[0], borders[1]), d, groups)
    return back(call.build.conv(as_map(e), linear, call.constant(2, "bias"), call.label), e)


def _transposed(call: Call, stride: Any, padding: Any, dilation: Any, groups: int, extra: Any) -> Expression:
    """The convolution with the mirrored kernel of the map with zeros between its pixels."""
    weight, rank = _kernel(call)
    s, d, p, more = (
        pair_of(stride, rank),
        pair_of(dilation, rank),
        padding_of(padding, rank),
        padding_of(extra, rank),
    )
    inputs, outputs = weight.shape[0] // groups, weight.shape[1]
    mirrored = weight.reshape(groups, inputs, outputs, *weight.shape[2:]).swapaxes(1, 2)[..., ::-1, ::-1]
    linear = Projection(
        "", mirrored.reshape(groups * outputs, inputs, *weight.shape[2:]), dilation=d, groups=groups
    )
    e = call.expression()
    spread = as_map(e)
    matrices = []
    for i in range(2):
        reach, n = d[i] * (weight.shape[2 + i] - 1), spread.shape[1 + i]
        size = (n - 1) * s[i] + 1 + 2 * (reach - p[i]) + more[i]
        places = np.full(size, NOTHING)
        rows = np.arange(n) * s[i] + reach - p[i]
        inside = (rows >= 0) & (rows < size)
        places[rows[inside]] = np.flatnonzero(inside)
        matrices.append(selection(places, n))
    return back(
        call.build.conv(call.build.resample(spread, *matrices), linear, call.constant(2, "bias"), call.label),
        e,
    )


@operation("linear", weight=1)
def linear(call: Call) -> Expression:
    """aten.linear(x, weight, bias)."""
    return _linear(call, call.expression(), call.kernel(1, "weight"), call.constant(2, "bias"))


@operation("addmm", weight=2, turned=True, merges=True, shown="linear")
def addmm(call: Call) -> Expression:
    """aten.addmm(bias, x, weight.T); beta, alpha."""
    weight, bias = call.kernel(2, "mat2"), call.constant(0, "self")
    if (call.kwargs.get("alpha", 1), call.kwargs.get("beta", 1)) != (1, 1):
        raise Refusal("a scaled addmm is not supported; scale its weights")
    return _linear(call, call.expression(1), weight.T, bias)


@operation("mm", weight=1, turned=True, merges=True)
@operation("matmul", weight=1, turned=True)
def matmul(call: Call) -> Expression:
    """aten.mm, matmul(x, weight.T)."""
    weight = call.kernel(1, "other")
    if weight.ndim != 2:
        raise Refusal(f"a product with a constant of shape {weight.shape} is not supported; use nn.Linear")
    return _linear(call, call.expression(), np.ascontiguousarray(weight.T), None)


@operation("bmm", weight=1, turned=True, merges=True)
def batched(call: Call) -> Expression:
    """aten.bmm(x, y), where one is a matrix for all images: as einsum and matmul write it."""
    x, y = call.args[:2]
    if isinstance(x, Expression) and isinstance(y, Expression):
        raise Refusal(
            "a matrix product of two tensors that depend on the input, as in attention, is not supported; "
            "multiply them element by element"
        )
    behind = isinstance(x, Expression)
    e, weight = (x, _of_all(y)) if behind else (y, _of_all(x))
    if e.merged and len(e.shape) != 2:
        raise Refusal(MERGED)
    if behind:
        return _linear(call, e, np.ascontiguousarray(weight.T), None)
    return _turned(_linear(call, _turned(e), weight, None))


def _turned(e: Expression) -> Expression:
    return expanded(e, lambda x: x.transpose(-1, -2))


def _of_all(value: torch.Tensor) -> np.ndarray:
    """The one matrix of a constant (N, rows, columns)."""
    weights = doubles(value)
    if (weights != weights[:1]).any():
        raise Refusal("it multiplies each image, or each channel, with a matrix of its own; use convolutions")
    return weights[0]


def _linear(call: Call, e: Expression, weight: np.ndarray, bias: np.ndarray | None) -> Expression:
    """weight (O, F) over the last axis: a matrix for vectors, a 1x1 convolution where there are more axes."""
    if len(e.shape) == 1:
        return call.build.matrix(e, weight, bias, call.label)
    *others, features = e.shape
    columns = expanded(e, lambda x: x.movedim(-1, 1))
    pixels = tensors.view(
        columns, (features, *(others if len(others) == 2 else pixels_of(e, int(np.prod(others)))))
    )
    product = call.build.conv(pixels, Projection("", weight[:, :, None, None]), bias, call.label)
    return replace(
        expanded(tensors.view(product, (len(weight), *others)), lambda x: x.movedim(1, -1)), merged=e.merged
    )


# ---------------------------------------------------------------- affine maps


@operation("batch_norm")
@operation("_native_batch_norm_legit_no_training", shown="batch_norm")
def batch_norm(call: Call) -> Any:
    """aten.batch_norm(x, weight, bias, mean, var, training, momentum, eps, cudnn), or
    aten._native_batch_norm_legit_no_training(x, weight, bias, mean, var, momentum, eps)."""
    native = "no_training" in call.name
    if not native and call.get(5, "training", False):
        raise Refusal("batch norm in training mode needs batch statistics; call eval() before")
    mean, variance = call.constant(3, "running_mean"), call.constant(4, "running_var")
    if mean is None or variance is None:
        raise Refusal(
            "batch norm without running statistics needs the batch; track_running_stats=True is needed"
        )
    epsilon = call.get(6, "eps") if native else call.get(7, "eps")
    if (variance + epsilon <= 0).any():
        raise Refusal("its running variance is negative; load sound weights")
    gamma, beta = call.constant(1, "weight"), call.constant(2, "bias")
    factor = (1.0 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    beta = np.zeros_like(mean) if beta is None else beta
    e = call.expression()
    normed = tensors.shifted(
        tensors.multiplied(e, per_channel(factor, e.shape)), per_channel(beta - mean * factor, e.shape)
    )
    normed = normed.with_moments(
        (True,) * len(normed.terms), per_channel(beta, e.shape), per_channel(factor**2 * variance, e.shape)
    )
    if not (e.is_composite and len(e.terms) == 1):  # behind a convolution, the name is the convolution's
        normed = replace(normed, label=call.label)
    return (normed, None, None) if native else normed


@operation("add")
def add(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], 1, call.kwargs.get("alpha", 1))


@operation("sub")
def subtract(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], 1, -call.kwargs.get("alpha", 1))


@operation("rsub")
def subtract_from(call: Call) -> Expression:
    return _sum(call, call.args[0], call.args[1], -call.kwargs.get("alpha", 1), 1)


def _sum(call: Call, a: Any, b: Any, factor_a: float, factor_b: float) -> Expression:
    """factor_a * a + factor_b * b, where either may be a constant."""
    return weighted(call, (a, np.array(factor_a)), (b, np.array(factor_b)))


def weighted(call: Call, *shares: tuple[Any, np.ndarray]) -> Expression:
    """The sum of share * value, where a value may be an expression or a constant, and one is an
    expression."""
    shape = shape_of(call)
    total = tensors.summed(
        [tensors.multiplied(broadcast(v, shape), share) for v, share in shares if isinstance(v, Expression)]
    )
    for value, share in shares:
        total = (
            total if isinstance(value, Expression) else tensors.shifted(total, share * constant(value, shape))
        )
    return total


@operation("mul")
def multiply(call: Call) -> Expression:
    return _product(call, call.args[0], call.args[1])


@operation("div")
def divide(call: Call) -> Expression:
    if isinstance(call.args[1], Expression) or call.kwargs.get("rounding_mode") is not None:
        raise Refusal(
            "a quotient whose divisor depends on the input has no meaning in spikes; divide by a constant"
        )
    with np.errstate(divide="ignore"):  # the product refuses what is not finite
        inverse = 1 / (
            doubles(call.args[1]) if isinstance(call.args[1], torch.Tensor) else np.float64(call.args[1])
        )
    return _product(call, call.args[0], inverse)


def _product(call: Call, a: Any, b: Any) -> Expression:
    if isinstance(a, Expression) and isinstance(b, Expression):
        return _gated(call, a, b)
    e, factor = (a, b) if isinstance(a, Expression) else (b, a)
    shape = shape_of(call)
    return tensors.multiplied(broadcast(e, shape), constant(factor, shape))


def _gated(call: Call, a: Expression, b: Expression) -> Expression:
    """A product of two tensors that depend on the input: a gate. Constants that are added to populations are
    multiplied out: (p + c) (q + d) = p q + p d + c q + c d."""
    shape = shape_of(call)
    if a.shape != shape:
        a, b = b, a
    if a.shape != shape or len(b.shape) != len(shape):
        a, b = broadcast(a, shape), broadcast(b, shape)
    p, c = _apart(a)
    q, d = (p, c) if b is a else _apart(b)
    parts = [call.build.multiply(p, q, call.node.name)] if p.terms and q.terms else []
    if d.any():
        parts.append(tensors.multiplied(p, d))
    if c.any():
        parts.append(tensors.multiplied(broadcast(b, shape), c))
    return tensors.summed(parts)


@operation("pow")
def power(call: Call) -> Expression:
    """aten.pow(x, 2): x times itself."""
    e, exponent = call.expression(), call.get(1, "exponent")
    if isinstance(exponent, torch.Tensor) and exponent.numel() == 1:
        exponent = exponent.item()
    if isinstance(exponent, int | float) and exponent in (1, 2):
        return e if exponent == 1 else _gated(call, e, e)
    raise Refusal("a power other than a square is not supported; use products, or ReLU")


@operation("glu")
def gated_half(call: Call) -> Expression:
    """aten.glu(x, axis): the first half times the sigmoid of the second."""
    e, axis = call.expression(), call.get(1, "dim", -1)
    first, second = (expanded(e, lambda x, i=i: x.chunk(2, axis)[i]) for i in range(2))  # type: ignore[misc]
    return _gated(call, first, activations.curved(call, Smooth("sigmoid"), second))


def _apart(e: Expression) -> tuple[Expression, np.ndarray]:
    """(e without its bias, its bias); a linear map keeps its own, since a relay of it has one."""
    nothing = tensors.no_bias(e.shape)
    return (e, nothing) if e.is_composite else (replace(e, bias=nothing), e.bias)


@operation("where")
def where(call: Call) -> Expression:
    """aten.where(mask, a, b), where the mask is a constant: a where it is true, b elsewhere."""
    return _masked(call, call.args[0], call.args[1], call.args[2])


@operation("masked_fill")
def masked_fill(call: Call) -> Expression:
    """aten.masked_fill(x, mask, value), where the mask is a constant."""
    return _masked(call, call.args[1], call.args[2], call.args[0])


def _masked(call: Call, mask: Any, chosen: Any, other: Any) -> Expression:
    if not isinstance(mask, torch.Tensor):
        raise Refusal("it chooses by a mask of another tensor; compare what is chosen, or leave the mask out")
    kept = constant(mask, shape_of(call))
    return weighted(call, (chosen, kept), (other, 1 - kept))


@operation("neg")
def negative(call: Call) -> Expression:
    return tensors.multiplied(call.expression(), np.array(-1.0))
