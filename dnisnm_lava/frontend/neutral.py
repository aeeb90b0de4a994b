"""What changes no value, and functions behind the last layer, which change no class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import activations
from dnisnm_lava.frontend.call import Call
from dnisnm_lava.frontend.expression import Expression, Refusal
from dnisnm_lava.frontend.table import DROPOUT, Kind, Operation, operation, register
from dnisnm_lava.frontend.trace import BATCH

for _name in ("zeros", "ones", "full", "empty"):
    register(Operation(f"{_name}_like", Kind.SHAPE))
    register(Operation(f"new_{_name}", Kind.SHAPE))


@operation("clone", "alias", "detach", merges=True, reshapes=True)
@operation("contiguous", "lift_fresh_copy", "positive")
def same(call: Call) -> Any:
    return call.args[0]


@operation("as_strided")
def restrided(call: Call) -> Expression:
    """aten.as_strided, which torch writes behind the global average of a channels-last model: the same
    pixels."""
    e, size = call.expression(), tuple(call.get(1, "size"))
    if size != (BATCH, *e.shape) or any(n != 1 for n in e.shape[1:]):
        raise Refusal("as_strided reads memory, not a tensor's elements; use views, slices and permutations")
    return e


@operation("_to_copy", "to")
def to_dtype(call: Call) -> Any:
    dtypes = [a for a in (*call.args[1:], *call.kwargs.values()) if isinstance(a, torch.dtype)]
    if any(not d.is_floating_point for d in dtypes):
        raise Refusal("it rounds feature maps to integers; keep them floating")
    return call.args[0]


@operation("dropout", "feature_dropout")
def dropout(call: Call) -> Expression:
    if call.get(2, "train", call.get(2, "training", False)):
        raise Refusal(DROPOUT)
    return call.expression()


# ---------------------------------------------------------------- behind the last layer: (function, axis
# without the batch)


@operation("sigmoid", kind=Kind.LAST, function="sigmoid", inside=activations.smooth("sigmoid"))
@operation("tanh", kind=Kind.LAST, function="tanh", inside=activations.smooth("tanh"))
@operation("exp", kind=Kind.LAST, function="exp", inside=activations.smooth("exp"))
@operation(
    "log_sigmoid",
    "log_sigmoid_forward",
    kind=Kind.LAST,
    function="log_sigmoid",
    inside=activations.smooth("log_sigmoid"),
)
def elementwise(call: Call) -> tuple[str, int]:
    return call.operation.function, 0


@operation("softplus", kind=Kind.LAST, function="softplus", inside=activations.softplus)
def softplus(call: Call) -> tuple[str, int] | None:
    """With torch's own beta and threshold; another is a population, even behind the last layer."""
    return ("softplus", 0) if (call.get(1, "beta", 1), call.get(2, "threshold", 20)) == (1, 20) else None


@operation("softmax", kind=Kind.LAST, function="softmax")
@operation("_softmax", kind=Kind.LAST, function="softmax", shown="softmax")
@operation("log_softmax", kind=Kind.LAST, function="log_softmax")
@operation("_log_softmax", kind=Kind.LAST, function="log_softmax", shown="log_softmax")
def softmax(call: Call) -> tuple[str, int]:
    """Over the one axis whose elements are the classes."""
    shape = call.expression().shape
    axis = call.get(1, "dim") % (len(shape) + 1)
    if axis == 0 or shape[axis - 1] == 1 or (axis > 1 and int(np.prod(shape)) > shape[axis - 1]):
        raise Refusal(
            f"a softmax over axis {axis} of {('N', *shape)} changes the class; apply it outside the model"
        )
    return call.operation.function, axis - 1
