"""One operation of the traced graph with its arguments, and how torch writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dnisnm_lava.frontend import tensors
from dnisnm_lava.frontend.expression import Expression, Refusal, owned
from dnisnm_lava.frontend.lowering import Builder
from dnisnm_lava.frontend.moves import expanded
from dnisnm_lava.frontend.table import Operation, named
from dnisnm_lava.ir.arithmetic import Pair


class Call:
    """One operation of the traced graph. args, kwargs: Expressions, tensors and numbers; shape: of its
    result."""

    def __init__(
        self, node: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], build: Builder, label: str
    ) -> None:
        self.node, self.name, self.args, self.kwargs, self.build, self.label = (
            node,
            name,
            args,
            kwargs,
            build,
            label,
        )

    @property
    def operation(self) -> Operation:
        found = named(self.name)
        assert found is not None
        return found

    def get(self, position: int, key: str, default: Any = None) -> Any:
        """An argument by position or by keyword."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(key, default)

    def expression(self, position: int = 0) -> Expression:
        value = self.args[position]
        if not isinstance(value, Expression):
            raise Refusal("it takes a constant where a feature map is expected")
        return value

    def constant(self, position: int, key: str) -> np.ndarray | None:
        """A bias, a statistic: a constant tensor in float64, or None."""
        value = self.get(position, key)
        return None if value is None else doubles(_constant(value))

    def kernel(self, position: int, key: str) -> np.ndarray:
        """The weights of a layer as the model holds them, with no copy: a projection takes them to
        float64."""
        tensor = _constant(self.get(position, key)).detach().cpu()
        exact = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
        return owned(exact.numpy())


def _constant(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise Refusal("its weights depend on the input")
    return value


def doubles(tensor: torch.Tensor) -> np.ndarray:
    """A constant tensor in float64, as an array of its own that nobody writes to."""
    return owned(tensor.detach().cpu().to(torch.float64, copy=True).numpy())


def as_map(e: Expression) -> Expression:
    """(C, L) as (C, 1, L); maps as they are."""
    if len(e.shape) == 2:
        return tensors.view(e, (e.shape[0], 1, e.shape[1]))
    if len(e.shape) != 3:
        raise Refusal(f"it needs maps (C, H, W) and gets {e.shape}; keep maps as maps until the linear layer")
    return e


def back(result: Expression, like: Expression) -> Expression:
    """A map (C, 1, L) as (C, L) where `like` was one."""
    return tensors.view(result, (result.shape[0], result.shape[2])) if len(like.shape) == 2 else result


def pair_of(values: Any, rank: int = 2) -> Pair:
    """One number, one per axis, or for sequences the one of their axis beside a 1."""
    values = [values] if isinstance(values, int) else list(values)
    return (1 if rank == 1 else int(values[0]), int(values[-1]))


def padding_of(values: Any, rank: int) -> Pair:
    return (0, pair_of(values)[1]) if rank == 1 else pair_of(values)


def shape_of(call: Call) -> tuple[int, ...]:
    return tuple(int(n) for n in call.node.meta["val"].shape[1:])


def broadcast(e: Expression, shape: tuple[int, ...]) -> Expression:
    if e.shape == shape:
        return e
    if len(e.shape) != len(shape):
        raise Refusal(f"it combines {e.shape} and {shape}; give both the same number of axes")
    return expanded(e, lambda x: x.expand(x.shape[0], *shape))


def pixels_of(e: Expression, n: int) -> Pair:
    """(H, W) of the maps behind e whose pixels stand in one axis of length n; (1, n) for anything else."""
    sizes = (t.natural[1:] for t in e.terms if len(t.natural) == 3)
    return next(((s[0], s[1]) for s in sizes if s[0] * s[1] == n), (1, n))
