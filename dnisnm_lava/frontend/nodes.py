"""What a node of the traced graph holds: expressions among its arguments, its shapes, its kind."""

from __future__ import annotations

from typing import Any

from torch.fx.node import map_aggregate

from dnisnm_lava.frontend.expression import Expression
from dnisnm_lava.frontend.refusals import Opaque
from dnisnm_lava.frontend.table import Kind, is_kind, operation_of
from dnisnm_lava.frontend.trace import name_of


def has_opaque(value: Any) -> bool:
    return isinstance(value, Opaque) or (
        isinstance(value, list | tuple) and any(has_opaque(v) for v in value)
    )


def has_expression(value: Any) -> bool:
    return next(expressions_in(value), None) is not None


def expressions_in(value: Any) -> Any:
    if isinstance(value, Expression):
        yield value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from expressions_in(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from expressions_in(v)


def replaced(value: Any, feed: Any) -> Any:
    """The same arguments with a tensor of `feed` in place of each Expression."""
    return map_aggregate(value, lambda v: next(feed) if isinstance(v, Expression) else v)


def is_reshaping(node: Any) -> bool:
    known = operation_of(node)
    return known is not None and known.reshapes


def is_passing(node: Any) -> bool:
    """Does it hand on elements as they are?"""
    return is_kind(node, Kind.MOVE) or is_reshaping(node) or name_of(node) == "getitem"


def is_padding(node: Any) -> bool:
    """Its zeros are none of the function."""
    known = operation_of(node)
    return known is not None and known.value is not None


def axis_of(position: int, args: Any, kwargs: Any, rank: int) -> int:
    axis = args[position] if len(args) > position else kwargs.get("dim", 0)
    return axis % rank if isinstance(axis, int) else -1


def shapes_of(node: Any) -> list[tuple[int, ...] | None]:
    value = node.meta.get("val")
    return [
        None if v is None else tuple(v.shape[1:])
        for v in (value if isinstance(value, list | tuple) else [value])
    ]


def sizes_of(node: Any) -> list[int]:
    return [n for n in node.meta["val"].shape if n != 1]


def check_shape(node: Any, value: Any) -> None:
    """What was understood has the shape that torch says."""
    got = [
        v.shape if isinstance(v, Expression) else None
        for v in (value if isinstance(value, list | tuple) else [value])
    ]
    joined = isinstance(value, Expression) and value.merged and node.meta["val"].shape[0] == 1
    shapes = [tuple(node.meta["val"].shape[2:])] if joined else shapes_of(node)
    for mine, true in zip(got, shapes, strict=False):
        assert mine is None or true is None or mine[-len(true) :] == true, (
            f"{node.target}: understood as {mine}, is {true}"
        )
