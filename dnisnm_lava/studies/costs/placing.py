"""Where each neuron lies on a chip whose cores hold fewer neurons than Loihi 2's: its rows' tiles, cut
further."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from dnisnm_lava.studies.loihi2.cores import Row, ceil_div
from dnisnm_lava.studies.loihi2.traffic import placed


def placed_on_cores(rows: tuple[Row, ...], most: int) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """{population: (neurons,) core}, cores in the order of populations; and those whose tiles were cut to
    `most` neurons."""
    cut = tuple(replace(row, tile=tile_of(row.tile, most)) for row in rows)
    found = {name: p.first + p.core_of_neuron for name, p in placed(cut).items()}
    return found, tuple(row.name for row, own in zip(cut, rows, strict=True) if row.tile != own.tile)


def tile_of(tile: tuple[int, ...], most: int) -> tuple[int, ...]:
    """A part of a tile, of `most` neurons or fewer: the longer of rows and columns is halved, then
    channels."""
    while prod(tile) > most:
        longest = max(range(len(tile)), key=lambda i: (i > 0 and tile[i] > 1, tile[i]))
        tile = tuple(ceil_div(n, 2) if i == longest else n for i, n in enumerate(tile))
    return tile
