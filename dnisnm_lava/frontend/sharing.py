"""A linear tensor that several read: composed into each of them, or a population of its own, whichever costs
less."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnisnm_lava.frontend.expression import Expression, Term
from dnisnm_lava.frontend.fusion import Fusion
from dnisnm_lava.frontend.lowering import COMPOSE_LIMIT, relay_cost
from dnisnm_lava.frontend.table import Kind, is_kind, operation_of, weight_of

Readers = frozenset[Any]


def relaying_pays(node: Any, e: Expression, known: dict[Any, Readers], fusion: Fusion) -> bool:
    """Would composing e, the value of `node`, into all its readers cost more than COMPOSE_LIMIT times as
    much? known: readers of nodes that were asked for before."""
    if len(node.users) < 2 or not (e.is_composite or len(e.terms) > 1):
        return False
    costs = [_reading(e, reader) for reader in readers_of(node, known, fusion)]
    composed, alone = (sum(c[i] for c in costs) for i in range(2))
    return composed > COMPOSE_LIMIT * (relay_cost(e) + alone)


def readers_of(node: Any, known: dict[Any, Readers], fusion: Fusion) -> Readers:
    """The matrices, convolutions and populations that read a tensor, through what costs nothing. Several
    operations that are one function are one population."""
    if node not in known:
        found: set[Any] = set()
        for user in (fusion.part_of.get(n, n) for n in node.users):
            if user.op == "output" or _is_read_whole(user, fusion):
                found.add(user)
            else:
                found |= readers_of(user, known, fusion)
        known[node] = frozenset(found)
    return known[node]


def _is_read_whole(user: Any, fusion: Fusion) -> bool:
    """Is it a matrix, a convolution or a population?"""
    made = user in fusion.ends or fusion.multiplies(user) or is_kind(user, Kind.POPULATION)
    return made or weight_of(user) is not None


def _reading(e: Expression, reader: Any) -> tuple[float, float]:
    """Multiplications of one reader of e: composed with what e is, and of e as a population."""
    known = None if reader.op == "output" else operation_of(reader)
    if known is None or known.weight is None:
        return float(relay_cost(e)), float(np.prod(e.shape))
    weight, out = reader.args[known.weight].meta["val"].shape, reader.meta["val"].shape
    if known.turned:
        weight = weight[::-1]
    positions = float(np.prod(out[2:] if len(weight) > 2 else out[1:-1]))
    read = (
        min(1.0, e.shape[0] / max(1, weight[1])) if len(weight) > 2 else 1.0
    )  # e may be one part of what it reads
    alone = float(np.prod(weight)) * positions * read
    return sum(_composed(t, weight, positions, alone) for t in e.terms), alone


def _composed(term: Term, weight: tuple[int, ...], positions: float, alone: float) -> float:
    if term.linear is None:
        return alone * term.layout.share
    if len(weight) == 2:
        return weight[0] * float(np.prod(term.read)) * positions
    kernel = np.prod(weight[2:]) * (np.prod(term.linear.weight.shape[2:]) if term.linear.is_conv else 1)
    return float(weight[0] * len(term.channels) * kernel * positions)
