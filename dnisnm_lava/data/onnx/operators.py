"""The torch module of each ONNX operation, in every form that opset 7 and later give it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from dnisnm_lava.data.onnx import windows
from dnisnm_lava.data.onnx.moving import MOVES
from dnisnm_lava.data.onnx.node import Node, Operator, Refusal, filled
from dnisnm_lava.data.onnx.resizing import resize

Translator = Callable[[Node], torch.nn.Module | None]  # None: the output is the first input
TRAINING = "it is in training mode; export the model in eval mode (model.eval())"
SELU = (1.67326319217681884765625, 1.05070102214813232421875)  # float32's, as onnx writes them
SLOPES = "its slopes are not one number, or one a channel; replace it by ReLU and fine-tune"


def same(node: Node) -> None:
    return None


def dropout(node: Node) -> None:
    if node.has(2) and bool(np.any(node.constant(2, "training_mode"))):
        raise Refusal(TRAINING)


def cast(node: Node) -> None:
    from onnx import TensorProto

    if node.attributes["to"] not in (
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.BFLOAT16,
    ):
        raise Refusal(
            "it rounds what depends on the image to integers or truth values; keep it floating, or cut "
            "the graph in front of it"
        )


def gemm(node: Node) -> torch.nn.Module:
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if node.attributes.get("transA", 0):
        raise Refusal("transA multiplies the transposed batch, which mixes images; export it without")
    if 1 not in node.constants or 0 in node.constants or (node.has(2) and 2 not in node.constants):
        raise Refusal(
            "it multiplies or adds two tensors that depend on the image; use convolutions and linear layers"
        )
    matrix = node.constants[1] if node.attributes.get("transB", 0) else node.constants[1].T
    bias = _row(node.constants[2], len(matrix)) if node.has(2) else None
    if alpha == 1 and (beta == 1 or bias is None):
        return _linear(matrix, bias)
    constants = {1: matrix} if bias is None else {1: matrix, 2: bias}
    return Operator(partial(_scaled_linear, alpha=alpha, beta=beta), constants)


def _row(bias: np.ndarray, width: int) -> np.ndarray:
    """C of a Gemm as one number an output, the same for each image."""
    if bias.ndim == 2 and bias.shape[0] > 1:
        if (bias != bias[:1]).any():
            raise Refusal("its bias differs from image to image; give one row")
        bias = bias[:1]
    return np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (width,)))


def _scaled_linear(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, *, alpha: float, beta: float
) -> torch.Tensor:
    product = F.linear(x, weight) * alpha
    return product if bias is None else product + bias * beta


def _linear(matrix: np.ndarray, bias: np.ndarray | None = None) -> torch.nn.Module:
    return filled(
        torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias is not None), weight=matrix, bias=bias
    )


def matmul(node: Node) -> torch.nn.Module:
    if 1 in node.constants and node.constants[1].ndim == 2:
        return _linear(node.constants[1].T)
    return Operator(torch.matmul, node.constants)


def batch_norm(node: Node) -> torch.nn.Module:
    if node.attributes.get("training_mode", 0) or len([name for name in node.outputs if name]) > 1:
        raise Refusal(TRAINING)
    if node.attributes.get("spatial", 1) != 1:
        raise Refusal("spatial = 0 has statistics of each pixel; export it anew, with opset 9 or higher")
    weight, bias, mean, variance = (node.constant(i, "statistics") for i in range(1, 5))
    kinds: dict[int, Any] = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}
    layer = kinds.get(max(node.rank, 1), torch.nn.BatchNorm2d)(
        len(weight), node.attributes.get("epsilon", 1e-5)
    )
    return filled(layer, weight=weight, bias=bias, running_mean=mean, running_var=variance)


def elementwise(function: Callable[..., torch.Tensor]) -> Translator:
    return lambda node: Operator(function, {i: node.of_one_image(i) for i in node.constants})


def many(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], divided: bool = False) -> Translator:
    """The translator of `function` on any number of tensors, one after the other."""

    def translate(node: Node) -> torch.nn.Module | None:
        if len(node.inputs) == 1:
            return None
        of = len(node.inputs) if divided else 1
        return Operator(
            partial(_all_of, function=function, of=of), {i: node.of_one_image(i) for i in node.constants}
        )

    return translate


def _all_of(*tensors: torch.Tensor, function: Callable[..., torch.Tensor], of: int) -> torch.Tensor:
    total = reduce(function, tensors)
    return total if of == 1 else total / of


def clip(node: Node) -> torch.nn.Module | None:
    low, high = node.numbers("min", 1), node.numbers("max", 2)
    bounds = (None if low is None else float(low[0]), None if high is None else float(high[0]))
    if bounds == (None, None):
        return None
    if bounds == (0.0, None):
        return torch.nn.ReLU()
    return (
        torch.nn.ReLU6()
        if bounds == (0.0, 6.0)
        else Operator(partial(torch.clamp, min=bounds[0], max=bounds[1]))
    )


def prelu(node: Node) -> torch.nn.Module:
    slope = node.constant(1, "slopes")
    channels = node.shape()[1]
    if slope.size not in (1, channels) or (
        slope.size > 1 and slope.shape[max(0, slope.ndim - node.rank - 1)] != channels
    ):
        raise Refusal(SLOPES)
    return filled(torch.nn.PReLU(slope.size), weight=slope.reshape(-1))


def softmax(function: Callable[..., torch.Tensor]) -> Translator:
    """Over one axis; before opset 13 over all from `axis` on."""

    def translate(node: Node) -> torch.nn.Module:
        new, rank = node.version >= 13, len(node.shapes[0])
        axis = node.attributes.get("axis", -1 if new else 1) % max(rank, 1)
        if new or axis == rank - 1:
            return Operator(partial(function, dim=axis))
        return Operator(partial(_over_the_rest, function=function, axis=axis))

    return translate


def _over_the_rest(x: torch.Tensor, function: Callable[..., torch.Tensor], axis: int) -> torch.Tensor:
    return function(x.flatten(axis), dim=axis).reshape(x.shape)


def reduction(function: Callable[..., torch.Tensor]) -> Translator:
    def translate(node: Node) -> torch.nn.Module | None:
        axes, rank = node.numbers("axes", 1), len(node.shapes[0])
        if not axes and node.attributes.get("noop_with_empty_axes", 0):
            return None
        axes = sorted(a % max(rank, 1) for a in axes) if axes else list(range(rank))
        return Operator(partial(function, dim=axes, keepdim=bool(node.attributes.get("keepdims", 1))))

    return translate


def global_maximum(node: Node) -> torch.nn.Module:
    return Operator(partial(torch.amax, dim=list(range(2, len(node.shapes[0]))), keepdim=True))


def hard_sigmoid(node: Node) -> torch.nn.Module:
    alpha, beta = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return Operator(partial(_hard_sigmoid, alpha=alpha, beta=beta))


def _hard_sigmoid(x: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    return torch.clamp(x * alpha + beta, 0.0, 1.0)


def selu(node: Node) -> torch.nn.Module:
    alpha, gamma = node.attributes.get("alpha", SELU[0]), node.attributes.get("gamma", SELU[1])
    return Operator(partial(_selu, alpha=alpha, gamma=gamma))


def _selu(x: torch.Tensor, alpha: float, gamma: float) -> torch.Tensor:
    return F.elu(x, alpha) * gamma


def shrink(node: Node) -> torch.nn.Module:
    edge, bias = node.attributes.get("lambd", 0.5), node.attributes.get("bias", 0.0)
    return Operator(partial(_shrunk, edge=edge, bias=bias))


def _shrunk(x: torch.Tensor, edge: float, bias: float) -> torch.Tensor:
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, x * 0.0))


def plain(function: Callable[..., Any]) -> Translator:
    return lambda node: Operator(function)


def gelu(node: Node) -> torch.nn.Module:
    kind = node.attributes.get("approximate", b"none")
    return Operator(partial(F.gelu, approximate=kind.decode() if isinstance(kind, bytes) else kind))


FUNCTIONS: dict[str, Any] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": F.hardswish,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
}
OPERATORS: dict[str, Translator] = {
    "Identity": same,
    "Dropout": dropout,
    "Cast": cast,
    "CastLike": same,
    "Conv": windows.conv,
    "ConvTranspose": windows.conv_transpose,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_norm,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.average_pool,
    "GlobalAveragePool": windows.global_average,
    "GlobalMaxPool": global_maximum,
    "Resize": resize,
    "Upsample": resize,
    "Add": elementwise(torch.add),
    "Sub": elementwise(torch.sub),
    "Mul": elementwise(torch.mul),
    "Div": elementwise(torch.div),
    "Pow": elementwise(torch.pow),
    "Where": elementwise(torch.where),
    "Greater": elementwise(torch.gt),
    "GreaterOrEqual": elementwise(torch.ge),
    "Less": elementwise(torch.lt),
    "LessOrEqual": elementwise(torch.le),
    "And": elementwise(torch.logical_and),
    "Or": elementwise(torch.logical_or),
    "Not": plain(torch.logical_not),
    "Sum": many(operator.add),
    "Mean": many(operator.add, divided=True),
    "Max": many(torch.maximum),
    "Min": many(torch.minimum),
    "ReduceMean": reduction(torch.mean),
    "ReduceSum": reduction(torch.sum),
    "ReduceMax": reduction(torch.amax),
    "ReduceMin": reduction(torch.amin),
    "Relu": lambda node: torch.nn.ReLU(),
    "Clip": clip,
    "PRelu": prelu,
    "LeakyRelu": lambda node: torch.nn.LeakyReLU(node.attributes.get("alpha", 0.01)),
    "Elu": lambda node: torch.nn.ELU(node.attributes.get("alpha", 1.0)),
    "Celu": lambda node: torch.nn.CELU(node.attributes.get("alpha", 1.0)),
    "Selu": selu,
    "ThresholdedRelu": lambda node: torch.nn.Threshold(node.attributes.get("alpha", 1.0), 0.0),
    "Shrink": shrink,
    "Sigmoid": lambda node: torch.nn.Sigmoid(),
    "Tanh": lambda node: torch.nn.Tanh(),
    "HardSigmoid": hard_sigmoid,
    "Gelu": gelu,
    "Softmax": softmax(torch.softmax),
    "LogSoftmax": softmax(torch.log_softmax),
    **{kind: plain(f) for kind, f in FUNCTIONS.items()},
    **MOVES,
}
