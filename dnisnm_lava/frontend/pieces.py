"""Piecewise-linear functions of one number, and their algebra: what comparisons, masks, absolute values and
sums of one tensor make of it, as lines between knots."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dnisnm_lava.ir import Curve
from dnisnm_lava.ir.curves import above


class NoLines(Exception):
    """What was asked for is no piecewise-linear function of the number."""


class Start(NamedTuple):
    """x >= knot, or x > knot where it is open."""

    knot: float
    is_open: bool = False


class Line(NamedTuple):
    """slope * x + offset, from its start on, up to the start of the next one."""

    start: Start
    slope: float
    offset: float

    def at(self, x: float) -> float:
        return self.slope * x + self.offset


FIRST, END = Start(-np.inf), Start(np.inf)
Row = tuple[Line, ...]  # the first starts at FIRST
Rule = Callable[[Start, Start, Line, Line], Sequence[Line]]  # start, end, two lines: those in their place


@dataclass(frozen=True)
class Pieces:
    """A function in each of some rows: one for all channels, or one for each. A truth value is 0 or 1."""

    rows: tuple[Row, ...]

    @staticmethod
    def identity() -> Pieces:
        return Pieces(((Line(FIRST, 1.0, 0.0),),))

    @staticmethod
    def constant(values: np.ndarray) -> Pieces:
        """values: one, or one for each row."""
        if not np.isfinite(values).all():
            raise NoLines
        return Pieces(tuple((Line(FIRST, 0.0, float(v)),) for v in values.reshape(-1)))

    def _with(self, other: Pieces, rule: Rule) -> Pieces:
        n = max(len(self.rows), len(other.rows))
        if any(len(p.rows) not in (1, n) for p in (self, other)):
            raise NoLines
        a, b = (p.rows * (n // len(p.rows)) for p in (self, other))
        return Pieces(tuple(_simple(_merged(x, y, rule)) for x, y in zip(a, b, strict=True)))

    def __add__(self, other: Pieces) -> Pieces:
        return self._with(other, lambda s, _, a, b: [Line(s, a.slope + b.slope, a.offset + b.offset)])

    def __sub__(self, other: Pieces) -> Pieces:
        return self._with(other, lambda s, _, a, b: [Line(s, a.slope - b.slope, a.offset - b.offset)])

    def __mul__(self, other: Pieces) -> Pieces:
        return self._with(other, _product)

    def inverse(self) -> Pieces:
        """1 / self, where that is a constant on each piece."""
        if any(line.slope or not line.offset for row in self.rows for line in row):
            raise NoLines
        return Pieces(tuple(tuple(Line(s, 0.0, 1 / o) for s, _, o in row) for row in self.rows))

    def exceeds(self, other: Pieces) -> Pieces:
        """Where self > other."""
        return self._with(other, lambda s, end, a, b: _positive(s, end, _difference(s, a, b)))

    def reaches(self, other: Pieces) -> Pieces:
        """Where self >= other."""
        return ONE - other.exceeds(self)

    def where(self, yes: Pieces, no: Pieces) -> Pieces:
        """yes where self, a truth value, is 1."""
        return self * yes + (ONE - self) * no

    def largest(self, other: Pieces) -> Pieces:
        return self.exceeds(other).where(self, other)

    def smallest(self, other: Pieces) -> Pieces:
        return self.exceeds(other).where(other, self)

    def curve(self, name: str) -> Curve:
        """All rows with as many knots: the last one is repeated where a row has fewer."""
        rows = [_closed(row) for row in self.rows]
        lines = [[(above(x) if is_open else x, *line) for (x, is_open), *line in row] for row in rows]
        most = max(map(len, lines))
        values = np.array([[*row, *[_again(row[-1])] * (most - len(row))] for row in lines]) + 0.0
        return Curve(name, values[:, 1:, 0], values[:, :, 1], values[:, :, 2])


def _again(line: tuple[float, ...]) -> tuple[float, ...]:
    """The same line from its own knot on, or from 0 where it has none."""
    return (max(line[0], 0.0) if np.isinf(line[0]) else line[0], *line[1:])


def _merged(a: Row, b: Row, rule: Rule) -> Row:
    """What the rule makes of a and b on each piece on which both are lines."""
    starts = sorted({line.start for line in (*a, *b)})
    found: list[Line] = []
    for start, end in itertools.pairwise((*starts, END)):
        own = (next(line for line in reversed(row) if line.start <= start) for row in (a, b))
        found.extend(rule(start, end, *own))
    return tuple(found)


def _difference(start: Start, a: Line, b: Line) -> Line:
    return Line(start, a.slope - b.slope, a.offset - b.offset)


def _product(start: Start, _: Start, a: Line, b: Line) -> list[Line]:
    if a.slope and b.slope:
        raise NoLines
    return [Line(start, a.slope * b.offset + b.slope * a.offset, a.offset * b.offset)]


def _positive(start: Start, end: Start, line: Line) -> list[Line]:
    """Where the line is above 0 from `start` to `end`, as 0 and 1."""
    if line.slope == 0:
        return [Line(start, 0.0, float(line.offset > 0))]
    cut = Start(-line.offset / line.slope, line.slope > 0)
    sides = float(line.slope < 0), float(line.slope > 0)
    if cut <= start:
        return [Line(start, 0.0, sides[1])]
    return [Line(start, 0.0, sides[0]), *([Line(cut, 0.0, sides[1])] if cut < end else [])]


def _simple(row: Row) -> Row:
    """Without knots at which nothing changes."""
    kept = [row[0]]
    kept.extend(line for before, line in itertools.pairwise(row) if line[1:] != before[1:])
    return tuple(kept)


def _closed(row: Row) -> Row:
    """Where two lines meet, x > knot and x >= knot are the same."""
    kept = [row[0]]
    for line in row[1:]:
        knot = line.start.knot
        if kept[-1].at(knot) == line.at(knot):
            line = line._replace(start=Start(knot))
        if kept[-1].start == line.start:
            kept.pop()
        kept.append(line)
    return _simple(tuple(kept))


ONE = Pieces.constant(np.ones(1))
ZERO = Pieces.constant(np.zeros(1))
