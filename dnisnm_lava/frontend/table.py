"""What is known of each ATen operation: one table, filled where the meaning stands (layers, rectifiers,
activations, spatial, neutral, moves, writes).

An operation in place is the one without the underscore behind its name. What is not in the table is refused
by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dnisnm_lava.frontend.refusals import ATTENTION, RECURRENT
from dnisnm_lava.frontend.trace import name_of

Bounds = tuple[Any, Any]  # low and high, None where there is none
Meaning = Callable[[Any], Any]  # of a Call


class Kind(Enum):
    MOVE = "moves elements alone: it runs itself on indices"
    LINEAR = "a linear map of what it reads"
    POPULATION = "makes a population"
    LAST = "a function behind the last layer, which is left out; refused anywhere else"
    SHAPE = "reads the shape alone"


@dataclass(frozen=True)
class Operation:
    """What is known of one operation, whatever its arguments.

    name: ATen's, without `aten.`; of the package's own operations in full. meaning: what a Call of it is,
    as Expressions; of Kind.LAST the function and its axis; None where the operation runs itself (MOVE,
    SHAPE). weight: which argument is the weight of its matrix, and turned: whether that is (inputs,
    outputs). bounds: what a Call of it clips to, None where it is no clip. merges: does it work on images
    that a view joined with the batch? reshapes: does it leave elements in their order, whatever the axes,
    and views: does it say nothing but a shape? axis: which argument is the one axis that it moves along.
    value: which argument is the value of a pad. function: of Kind.LAST, in `ir.functions`; inside: what
    it means in front of other layers, None where it is refused there. shown: as torch.nn.functional names
    it, where ATen's name says less.
    """

    name: str
    kind: Kind
    meaning: Meaning | None = None
    weight: int | None = None
    turned: bool = False
    bounds: Callable[[Any], Bounds | None] | None = None
    merges: bool = False
    reshapes: bool = False
    views: bool = False
    axis: int | None = None
    value: int | None = None
    function: str = ""
    inside: Meaning | None = None
    shown: str = ""


TABLE: dict[str, Operation] = {}


def register(operation: Operation) -> None:
    assert operation.name not in TABLE, f"{operation.name} is listed twice"
    TABLE[operation.name] = operation


def operation(*names: str, kind: Kind = Kind.LINEAR, **facts: Any) -> Callable[[Meaning], Meaning]:
    """A decorator: the function is what operations of these names mean. facts: fields of Operation."""

    def listed(meaning: Meaning) -> Meaning:
        for name in names:
            register(Operation(name, kind, meaning, **facts))
        return meaning

    return listed


def named(name: str) -> Operation | None:
    """The operation of a name as torch spells it, in place or not, with `aten.` or without."""
    return TABLE.get(_plain(name))


def operation_of(node: Any) -> Operation | None:
    return named(name_of(node))


def is_kind(node: Any, *kinds: Kind) -> bool:
    found = operation_of(node)
    return found is not None and found.kind in kinds


def weight_of(node: Any) -> int | None:
    """Which argument of the node is the weight of a matrix or convolution."""
    found = operation_of(node)
    return None if found is None else found.weight


def _plain(name: str) -> str:
    return name.removeprefix("aten.").removesuffix("_")


DROPOUT = "dropout in training mode is random; use nn.Dropout, or pass training=self.training"
_STATISTICS = "it needs statistics of the image at hand; use batch norm, which is a constant in eval mode"
REMEDIES = {
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
        ),
        ATTENTION,
    ),
    **dict.fromkeys(
        ("scatter", "scatter_add", "masked_scatter"),
        "it writes into part of a tensor, or chooses by a mask of another tensor; put the parts together "
        "with torch.cat, or leave the mask out",
    ),
    "native_dropout": DROPOUT,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), RECURRENT),
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "eq", "ne", "sign", "argmax", "argmin", "topk", "sort"),
        "a comparison makes a mask or an index that depends on the input; compare what is chosen with a "
        "constant (torch.where(x > 0, x, a * x)), or compare outside the model",
    ),
}


def remedy(name: str) -> str:
    """What to do about an operation that is not supported."""
    return REMEDIES.get(
        _plain(name),
        "it has no meaning as spiking populations; replace it by ReLU or another activation, conv, linear, "
        "batch norm, pooling, concatenation, addition or a product",
    )
