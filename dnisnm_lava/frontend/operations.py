"""What each ATen operation means. What is not listed here or in `moves` is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend.call import Call, Operation
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.layers import (
    add,
    addmm,
    batch_norm,
    conv_forward,
    conv_transpose,
    convolution,
    divide,
    linear,
    masked_fill,
    matmul,
    multiply,
    negative,
    subtract,
    subtract_from,
    where,
)
from dnisnm_lava.frontend.rectifiers import (
    adaptive_max,
    at_least,
    at_most,
    clamp,
    hard_sigmoid,
    leaky,
    max_pool,
    maximum_over,
    relu,
    threshold,
)
from dnisnm_lava.frontend.refusals import ATTENTION, RECURRENT
from dnisnm_lava.frontend.spatial import MODES, adaptive_average, average_pool, mean, sampled, total, upsample
from dnisnm_lava.frontend.trace import BATCH
from dnisnm_lava.ir.functions import ALONG_AN_AXIS


def same(call: Call) -> Any:
    return call.args[0]


def restrided(call: Call) -> Expression:
    """aten.as_strided, which torch writes behind the global average of a channels-last model: the same
    pixels."""
    e, size = call.expression(), tuple(call.get(1, "size"))
    if size != (BATCH, *e.shape) or any(n != 1 for n in e.shape[1:]):
        raise Refusal("as_strided reads memory, not a tensor's elements; use views, slices and permutations")
    return e


def to_dtype(call: Call) -> Any:
    dtypes = [a for a in (*call.args[1:], *call.kwargs.values()) if isinstance(a, torch.dtype)]
    if any(not d.is_floating_point for d in dtypes):
        raise Refusal("it rounds feature maps to integers; keep them floating")
    return call.args[0]


def last(call: Call) -> tuple[str, int]:
    """(function, axis without the batch) of what stands behind the last layer and is left out: it does not
    change the class."""
    name, shape = LAST[call.name], call.expression().shape
    if name == "softplus" and (call.get(1, "beta", 1), call.get(2, "threshold", 20)) != (1, 20):
        raise Refusal(
            "a softplus with another beta or threshold than 1 and 20 is not supported; apply it outside "
            "the model"
        )
    if name not in ALONG_AN_AXIS:
        return name, 0
    axis = call.get(1, "dim") % (len(shape) + 1)
    if axis == 0 or shape[axis - 1] == 1 or (axis > 1 and int(np.prod(shape)) > shape[axis - 1]):
        raise Refusal(
            f"a softmax over axis {axis} of {('N', *shape)} changes the class; apply it outside the model"
        )
    return name, axis - 1


def dropout(call: Call) -> Expression:
    if call.get(2, "train", call.get(2, "training", False)):
        raise Refusal("dropout in training mode is random; use nn.Dropout, or pass training=self.training")
    return call.expression()


OPERATIONS: dict[str, Operation] = {
    "aten.convolution": convolution,
    "aten.conv1d": conv_forward,
    "aten.conv2d": conv_forward,
    "aten.conv3d": conv_forward,
    "aten.conv_transpose1d": conv_transpose,
    "aten.conv_transpose2d": conv_transpose,
    "aten.conv_transpose3d": conv_transpose,
    "aten.linear": linear,
    "aten.addmm": addmm,
    "aten.mm": matmul,
    "aten.matmul": matmul,
    "aten._native_batch_norm_legit_no_training": batch_norm,
    "aten.batch_norm": batch_norm,
    "aten.add": add,
    "aten.add_": add,
    "aten.sub": subtract,
    "aten.sub_": subtract,
    "aten.rsub": subtract_from,
    "aten.mul": multiply,
    "aten.mul_": multiply,
    "aten.div": divide,
    "aten.div_": divide,
    "aten.neg": negative,
    "aten.where": where,
    "aten.masked_fill": masked_fill,
    "aten.avg_pool1d": average_pool,
    "aten.avg_pool2d": average_pool,
    "aten.adaptive_avg_pool1d": adaptive_average,
    "aten.adaptive_avg_pool2d": adaptive_average,
    "aten._adaptive_avg_pool2d": adaptive_average,
    "aten.mean": mean,
    "aten.sum": total,
    **{f"aten.{name}": upsample for name in MODES},
    "dnisnm_lava.sampled": sampled,
    "aten.relu": relu,
    "aten.relu_": relu,
    "aten.relu6": clamp,
    "aten.hardtanh": clamp,
    "aten.hardtanh_": clamp,
    "aten.clamp": clamp,
    "aten.clamp_": clamp,
    "aten.clamp_min": clamp,
    "aten.clamp_max": clamp,
    "aten.threshold": threshold,
    "aten.hardsigmoid": hard_sigmoid,
    "aten.hardsigmoid_": hard_sigmoid,
    "aten.maximum": at_least,
    "aten.minimum": at_most,
    "aten.leaky_relu": leaky,
    "aten.leaky_relu_": leaky,
    "aten.amax": maximum_over,
    "aten.max": maximum_over,
    "aten.max_pool1d": max_pool,
    "aten.max_pool2d": max_pool,
    "aten.max_pool2d_with_indices": max_pool,
    "aten.adaptive_max_pool1d": adaptive_max,
    "aten.adaptive_max_pool2d": adaptive_max,
    "aten.clone": same,
    "aten.alias": same,
    "aten.detach": same,
    "aten.contiguous": same,
    "aten.lift_fresh_copy": same,
    "aten.detach_": same,
    "aten.positive": same,
    "aten._to_copy": to_dtype,
    "aten.to": to_dtype,
    "aten.dropout": dropout,
    "aten.as_strided": restrided,
    "aten.feature_dropout": dropout,
}
LAST = {  # what may stand behind the last layer -> its name in `functions`
    "aten._softmax": "softmax",
    "aten.softmax": "softmax",
    "aten._log_softmax": "log_softmax",
    "aten.log_softmax": "log_softmax",
    "aten.sigmoid": "sigmoid",
    "aten.sigmoid_": "sigmoid",
    "aten.tanh": "tanh",
    "aten.tanh_": "tanh",
    "aten.log_sigmoid": "log_sigmoid",
    "aten.log_sigmoid_forward": "log_sigmoid",
    "aten.softplus": "softplus",
    "aten.exp": "exp",
}
_ACTIVATION = "it has no meaning in spikes; train with ReLU, or replace it by ReLU and fine-tune"
_STATISTICS = "it needs statistics of the image at hand; use batch norm, which is a constant in eval mode"
REMEDIES = {
    **dict.fromkeys(
        (
            "leaky_relu",
            "leaky_relu_",
            "prelu",
            "_prelu_kernel",
            "silu",
            "silu_",
            "gelu",
            "hardswish",
            "hardswish_",
            "elu",
            "elu_",
            "celu",
            "selu",
            "mish",
            "mish_",
            "softplus",
            "tanh",
            "exp",
            "rrelu",
            "rrelu_with_noise",
            "log_sigmoid",
            "log_sigmoid_forward",
            "hardshrink",
            "softshrink",
        ),
        _ACTIVATION,
    ),
    "sigmoid": f"a sigmoid in the body is a gate or an activation: {_ACTIVATION}",
    **dict.fromkeys(
        ("_softmax", "softmax", "_log_softmax", "log_softmax"),
        "a softmax in the body divides by a sum over the input; "
        "only one behind the last layer can be left out: use a network without attention",
    ),
    **dict.fromkeys(
        (
            "native_layer_norm",
            "layer_norm",
            "native_group_norm",
            "group_norm",
            "instance_norm",
            "_native_batch_norm_legit",
            "native_batch_norm",
            "linalg_vector_norm",
            "norm",
            "var",
            "var_mean",
            "std",
        ),
        _STATISTICS,
    ),
    **dict.fromkeys(
        (
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_attention_math",
            "bmm",
        ),
        ATTENTION,
    ),
    **dict.fromkeys(
        (
            "slice_scatter",
            "select_scatter",
            "copy",
            "copy_",
            "fill",
            "fill_",
            "scatter",
            "index_put",
            "index_put_",
            "masked_fill",
            "where",
        ),
        "it writes into part of a tensor, or chooses by a mask; put the parts together with torch.cat, "
        "or leave the mask out",
    ),
    "new_empty": "torch writes circular padding so, which is not supported; pad with zeros, by "
    "reflection or by replication",
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), RECURRENT),
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "eq", "ne", "sign", "argmax", "argmin", "topk", "sort"),
        "a comparison makes a mask or an index that depends on the input; use ReLU, or compare outside "
        "the model",
    ),
}


def remedy(name: str) -> str:
    """What to do about an operation that is not supported."""
    return REMEDIES.get(
        name.removeprefix("aten."),
        "it has no exact meaning as spiking populations; replace it by ReLU, conv, linear, batch norm, "
        "pooling, concatenation or addition",
    )
