"""Which chunks of the images a process holds, of those that a group shares, and sums over all of them.

Sums of floats depend on their order. So chunks, which images alone decide, go to LANES lanes in turn; a lane
adds up its chunks in their order, and the lanes are added up in theirs. Each lane is one process's, so that
one process and several have the same last bit.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from dnisnm_lava.system.ranks import ALONE, Group

LANES = 16
TURNS = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)  # bits reversed: few chunks are spread, too
T = TypeVar("T")


def lane(number: int) -> int:
    """The lane of the chunk of this number."""
    return TURNS[number % LANES]


def owner(number: int, size: int) -> int:
    """The rank, of `size`, that holds the chunk of this number: each has lanes that follow one another."""
    return lane(number) * size // LANES


@dataclass(frozen=True)
class Share:
    """The chunks of this process, lane after lane. numbers: of each, among all `chunks`. starts: the place of
    its first image among all `images`."""

    numbers: tuple[int, ...]
    starts: tuple[int, ...]
    chunks: int
    images: int
    group: Group = ALONE

    def summed(self, parts: Iterable[T], plus: Callable[[T, T], T] = operator.add) -> T:
        """The sum over all chunks, on every rank. parts: of each chunk here, in order."""
        lanes: list[T] = []
        before = -1
        for number, part in zip(self.numbers, parts, strict=True):
            if lane(number) == before:
                lanes[-1] = plus(lanes[-1], part)
            else:
                lanes = [*self._folded(lanes, plus), part]
            before = lane(number)
        return reduce(plus, self._of_all(lanes))

    def _folded(self, lanes: list[T], plus: Callable[[T, T], T]) -> list[T]:
        """Finished lanes as one sum, where they are the first of all: they take memory."""
        return [reduce(plus, lanes)] if lanes and self.group.is_first else lanes

    def _of_all(self, lanes: list[T]) -> Iterator[T]:
        """Those of every rank, in order; of one rank at a time in memory."""
        for rank in range(self.group.size):
            yield from self.group.broadcast(lanes if rank == self.group.rank else None, rank)

    def agreed(self, value: T) -> T:
        """The first rank's: another machine may round otherwise, and all must go on with one network."""
        return self.group.broadcast(value if self.group.is_first else None)


def dealt(sizes: Sequence[int], group: Group = ALONE) -> Share:
    """The share of this process of `group`, of all chunks; sizes: images of each."""
    own = [n for n in range(len(sizes)) if owner(n, group.size) == group.rank]
    numbers = tuple(sorted(own, key=lambda n: (lane(n), n)))
    starts = list(itertools.accumulate(sizes, initial=0))
    return Share(numbers, tuple(starts[n] for n in numbers), len(sizes), starts[-1], group)
