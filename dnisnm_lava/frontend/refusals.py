"""What is refused, and how the walk goes on behind it: with a tensor of the same shape of which nothing is
known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from dnisnm_lava.frontend.expression import Expression
from dnisnm_lava.frontend.tensors import as_map_shape, view
from dnisnm_lava.frontend.trace import BATCH, layer_of, line_of, module_path

RECURRENT = (
    "a recurrent layer feeds its output back into its next step, which has no feed-forward "
    "meaning; use convolutions over time"
)
ATTENTION = (
    "attention weighs by a softmax, which divides by a sum over the input; use a convolutional network"
)
MERGED = "it works on images that a view joined with the batch; keep the batch axis first and apart"
WHOLE = {  # layers that torch takes apart into operations, of which none tells what they were
    **dict.fromkeys(("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"), RECURRENT),
    "MultiheadAttention": ATTENTION,
}
MARK = "?"  # in front of the name of a tensor that a refused operation makes


class Opaque:
    """A tensor behind a refused operation that is no feature map: of integers, of booleans, or without the
    batch axis in front."""


@dataclass(frozen=True)
class Refused:
    """operation: as ATen names it, or the layer's class. layer: as `layer_of` tells it. reason: why, then `;
    ` and what now."""

    operation: str
    line: str
    layer: str
    reason: str

    @property
    def packet(self) -> str:
        """The operation without its overload: `aten.silu` of `aten.silu.default`."""
        return ".".join(self.operation.split(".")[:2])

    def __str__(self) -> str:
        return (
            f"{self.operation} at {self.line}{'' if self.line.startswith('layer ') else self.layer}: "
            f"{self.reason}"
        )


def refused(node: Any, operation: Any, reason: str) -> Refused:
    return Refused(str(operation), line_of(node), layer_of(node), reason)


def sentence(found: list[Refused]) -> str:
    """The first refusal, and how many follow it."""
    others = len(found) - 1
    more = (
        ""
        if not others
        else f" (and {others} more refused operation{'s' * (others > 1)}: `dnisnm inspect` shows all)"
    )
    return f"{found[0]}{more}"


def whole_layer(node: Any) -> tuple[str, str] | None:
    """(path, class) of the layer of WHOLE that the operation is a part of."""
    for path, kind in (node.meta.get("nn_module_stack") or {}).values():
        name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__name__}"
        short = name.rsplit(".", 1)[-1]
        if name.startswith("torch.nn") and short in WHOLE:
            return module_path(str(path)), short
    return None


def unknown(node: Any) -> Any:
    """What the walk goes on with behind `node`: feature maps of its shapes, or Opaque."""
    return _unknown(node.meta.get("val"), f"{MARK}{node.name}")


def _unknown(value: Any, name: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_unknown(v, name) for v in value)
    if (
        not isinstance(value, torch.Tensor)
        or value.ndim == 0
        or value.shape[0] != BATCH
        or not value.is_floating_point()
    ):
        return Opaque()
    shape = tuple(int(n) for n in value.shape[1:])
    return view(Expression.of(name, shape if len(shape) == 1 else as_map_shape(shape)), shape)


def is_unknown(expressions: Iterable[Expression]) -> bool:
    """Does one of them depend on what a refused operation makes?"""
    return any(t.source.startswith(MARK) for e in expressions for t in e.terms)
