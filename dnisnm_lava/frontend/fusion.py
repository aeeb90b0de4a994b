"""Operations that together are one function of one tensor: found in the traced graph before it is walked.

`torch.where(x > 0, x, a * x)`, `x * torch.sigmoid(x)`, what torch.export makes of Softshrink: each begins at
one tensor, its base, and ends at one operation, which alone has no meaning as populations. Where all between
is element by element, the end is a population that sends a function of the base: a piecewise-linear one by
the algebra of lines, or a smooth one that is known by its values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.fx.node import map_aggregate

from dnisnm_lava.frontend import known_by_values
from dnisnm_lava.frontend.expression import Refusal, compact
from dnisnm_lava.frontend.known_by_values import Scaled
from dnisnm_lava.frontend.moves import constant
from dnisnm_lava.frontend.pieces import ONE, ZERO, NoLines, Pieces
from dnisnm_lava.frontend.table import Kind, is_kind
from dnisnm_lava.frontend.trace import short_name
from dnisnm_lava.ir import Curve

MOST = 64  # operations of one function
TWO = ("mul", "div", "maximum", "minimum")  # ends, where both of the first two arguments depend on the image
MASKED = {"where": 0, "masked_fill": 1}  # ends, where this argument does


@dataclass(frozen=True)
class Fused:
    """A function of `base`, of which `inside` are the operations before its end. function: of scale * base, a
    Curve of the base itself. axis: of the base, without its batch, along which a curve has its rows."""

    base: Any
    inside: frozenset[Any]
    function: Curve | Scaled
    axis: int = 0


class Fusion:
    """ends: {operation: the function that it ends}. part_of: {operation that nothing else needs: its end}."""

    def __init__(self, nodes: list[Any], values: dict[Any, Any]) -> None:
        """values: of placeholders, tensors of weights and buffers; none for the image."""
        self.place = {node: i for i, node in enumerate(nodes)}
        self.constants = dict(values)
        self.of_image: set[Any] = set()
        self.ends: dict[Any, Fused] = {}
        self.part_of: dict[Any, Any] = {}
        for node in nodes:
            if node.op == "placeholder" and node not in values:
                self.of_image.add(node)
            elif node.op == "call_function" and not is_kind(node, Kind.SHAPE) and self._read(node):
                self.of_image.add(node)
                found = self._ended(node)
                if found is not None:
                    self.ends[node] = found
        holders = {node: end for end, fused in self.ends.items() for node in fused.inside}
        for node in sorted(holders, key=self.place.__getitem__, reverse=True):
            if all(self._spares(user, node) for user in node.users):
                self.part_of[node] = holders[node]
        self.ends = {end: fused for end, fused in self.ends.items() if end not in self.part_of}

    def _spares(self, user: Any, node: Any) -> bool:
        """Is the user a part of a function that the node is inside of, too?"""
        own = self.ends.get(user) or self.ends.get(self.part_of.get(user))
        return own is not None and node in own.inside

    def _read(self, node: Any) -> list[Any]:
        """What it reads that depends on the image."""
        return [n for n in node.all_input_nodes if n in self.of_image]

    def _ended(self, node: Any) -> Fused | None:
        if not self._is_end(node):
            return None
        found = self._between(node)
        if found is None:
            return None
        base, inside = found
        chain = [*sorted(inside, key=self.place.__getitem__), node]
        given = _Given(base, self)
        for computed in (_piecewise, _smooth):
            try:
                function = computed(chain, given)
            except (NoLines, Refusal):
                continue
            if function is not None:
                return Fused(base, frozenset(inside), function, given.axis or 0)
        return None

    def _is_end(self, node: Any) -> bool:
        name, args = short_name(node).removesuffix("_"), node.args
        if name in TWO:
            return all(a in self.of_image for a in args[:2])
        return name in MASKED and args[MASKED[name]] in self.of_image

    def multiplies(self, node: Any) -> bool:
        """Is it a product of two tensors that depend on the image, a population?"""
        name, args = short_name(node).removesuffix("_"), node.args
        return name == "mul" and all(a in self.of_image for a in args[:2])

    def _between(self, end: Any) -> tuple[Any, set[Any]] | None:
        """The nearest tensor that all which the end reads is a function of, element by element, and the
        operations between."""
        open_, inside = set(self._read(end)), set[Any]()
        while len(open_) > 1 and len(inside) < MOST:
            last = max(open_, key=self.place.__getitem__)
            if short_name(last).removesuffix("_") not in ELEMENTWISE:
                return None
            open_.remove(last)
            inside.add(last)
            open_.update(self._read(last))
        if len(open_) > 1:
            return None
        (base,) = open_
        of = base.meta["val"]
        same = isinstance(of, torch.Tensor) and of.is_floating_point() and of.ndim > 1
        if not same or any(n.meta["val"].shape != of.shape for n in (*inside, end)):
            return None
        return base, inside

    def constant(self, node: Any) -> Any:
        """The value of what does not depend on the image, in float64. Refusal where it has none."""
        if node not in self.constants:
            args, kwargs = map_aggregate((node.args, dict(node.kwargs)), self._filled)
            try:
                with torch.no_grad():
                    self.constants[node] = node.target(*args, **kwargs)
            except Exception as error:
                raise Refusal("it has no value") from error
        return self.constants[node]

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, torch.fx.Node):
            return value
        if value in self.of_image:
            return torch.zeros(value.meta["val"].shape)
        found = self.constant(value)
        return found.double() if isinstance(found, torch.Tensor) and found.is_floating_point() else found


class _Given:
    """What the operations of one function read beside its base: constants, which are one number, or one for
    each place along `axis`."""

    def __init__(self, base: Any, fusion: Fusion) -> None:
        self.base, self.fusion = base, fusion
        self.shape = tuple(base.meta["val"].shape[1:])
        self.axis: int | None = None

    def array(self, value: Any) -> np.ndarray:
        """A value as an array of the base's rank without its batch, longer than 1 along one axis at most."""
        known = self.fusion.constant(value) if isinstance(value, torch.fx.Node) else value
        a = compact(constant(known, self.shape))
        long = [i for i, n in enumerate(a.shape) if n > 1]
        if long and (len(long) > 1 or self.axis not in (None, long[0])):
            raise NoLines
        self.axis = long[0] if long else self.axis
        return a


# ---------------------------------------------------------------- by the algebra of lines


def _piecewise(chain: list[Any], given: _Given) -> Curve:
    values: dict[Any, Pieces] = {given.base: Pieces.identity()}

    def filled(value: Any) -> Any:
        if value in values:
            return values[value]
        if isinstance(value, torch.fx.Node | int | float) and not isinstance(value, bool):
            return Pieces.constant(given.array(value))
        return value

    for node in chain:
        meaning = LINES.get(short_name(node).removesuffix("_"))
        if meaning is None:
            raise NoLines
        args = [filled(a) if _is_key(a) else a for a in node.args]
        kwargs = {key: filled(a) if _is_key(a) else a for key, a in node.kwargs.items()}
        try:
            values[node] = meaning(*args, **kwargs)
        except (TypeError, AttributeError) as error:  # arguments that it has no lines for
            raise NoLines from error
    return values[chain[-1]].curve(_named(chain))


def _is_key(value: Any) -> bool:
    return isinstance(value, torch.fx.Node | int | float)


def _named(chain: list[Any]) -> str:
    """The layer that torch took apart, `softshrink`, or the operation at the end."""
    stack = list((chain[-1].meta.get("nn_module_stack") or {}).values())
    kind = str(getattr(stack[-1][1], "__name__", stack[-1][1])).rsplit(".", 1)[-1] if stack else ""
    whole = kind.lower() in ("softshrink", "hardshrink")
    return kind.lower() if whole else short_name(chain[-1]).removesuffix("_")


def _plus(a: Pieces, b: Pieces, alpha: Pieces = ONE) -> Pieces:
    return a + b * alpha


def _minus(a: Pieces, b: Pieces, alpha: Pieces = ONE) -> Pieces:
    return a - b * alpha


def _clamped(x: Pieces, min: Pieces | None = None, max: Pieces | None = None) -> Pieces:
    x = x if min is None else x.largest(min)
    return x if max is None else x.smallest(max)


def _hardtanh(x: Pieces, min_val: Pieces = ZERO - ONE, max_val: Pieces = ONE) -> Pieces:
    return _clamped(x, min_val, max_val)


def _copied(x: Pieces, dtype: torch.dtype | None = None, **_: Any) -> Pieces:
    if dtype is not None and not dtype.is_floating_point:
        raise NoLines
    return x


def _negated(mask: Pieces) -> Pieces:
    return ONE - mask


HUNDREDTH, THREE, SIX = (Pieces.constant(np.array(n)) for n in (0.01, 3.0, 6.0))


def _leaky(x: Pieces, negative_slope: Pieces = HUNDREDTH) -> Pieces:
    return x.exceeds(ZERO).where(x, negative_slope * x)


LINES: dict[str, Callable[..., Pieces]] = {
    "gt": Pieces.exceeds,
    "ge": Pieces.reaches,
    "lt": lambda a, b: b.exceeds(a),
    "le": lambda a, b: b.reaches(a),
    "logical_not": _negated,
    "logical_and": Pieces.__mul__,
    "logical_or": Pieces.largest,
    "where": Pieces.where,
    "masked_fill": lambda x, mask, value: mask.where(value, x),
    "abs": lambda x: x.largest(ZERO - x),
    "sign": lambda x: x.exceeds(ZERO) - ZERO.exceeds(x),
    "neg": lambda x: ZERO - x,
    "add": _plus,
    "sub": _minus,
    "rsub": lambda a, b, alpha=ONE: b - a * alpha,
    "mul": Pieces.__mul__,
    "div": lambda a, b: a * b.inverse(),
    "maximum": Pieces.largest,
    "minimum": Pieces.smallest,
    "relu": lambda x: x.largest(ZERO),
    "relu6": lambda x: _clamped(x, ZERO, SIX),
    "hardtanh": _hardtanh,
    "clamp": _clamped,
    "clamp_min": _clamped,
    "clamp_max": lambda x, max: _clamped(x, None, max),
    "hardsigmoid": lambda x: _clamped(x + THREE, ZERO, SIX) * SIX.inverse(),
    "leaky_relu": _leaky,
    "threshold": lambda x, at, value: x.exceeds(at).where(x, value),
    "_to_copy": _copied,
    "clone": lambda x, **_: x,
    "alias": lambda x: x,
    "detach": lambda x: x,
    "contiguous": lambda x, **_: x,
}
BOOLEAN = {"bitwise_not": "logical_not", "bitwise_and": "logical_and", "bitwise_or": "logical_or"}
LINES.update({name: LINES[logical] for name, logical in BOOLEAN.items()})
SMOOTH = (
    *("sigmoid", "tanh", "exp", "expm1", "log1p", "erf", "pow", "softplus", "reciprocal"),
    *("silu", "gelu", "mish", "hardswish", "elu"),
)
ELEMENTWISE = frozenset((*LINES, *SMOOTH))


# ---------------------------------------------------------------- by values


def _smooth(chain: list[Any], given: _Given) -> Scaled | None:
    return known_by_values.known(partial(_values, chain, given))


def _values(chain: list[Any], given: _Given, x: np.ndarray) -> np.ndarray:
    """The function at x (n,). NoLines where it differs along an axis."""
    wide = (-1, *(1,) * len(given.shape))
    values: dict[Any, Any] = {given.base: torch.from_numpy(x).reshape(wide)}

    def filled(value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return torch.float64 if value.is_floating_point else value
        if not isinstance(value, torch.fx.Node):
            return value
        return values[value] if value in values else torch.from_numpy(given.array(value))[None]

    for node in chain:
        args, kwargs = map_aggregate((node.args, dict(node.kwargs)), filled)
        values[node] = node.target(*args, **kwargs)
    found = values[chain[-1]].numpy()
    if found.size != len(x):
        raise NoLines
    return np.asarray(found.reshape(-1), np.float64)
