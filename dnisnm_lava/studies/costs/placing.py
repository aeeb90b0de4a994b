"""Where each neuron lies on a chip whose cores hold fewer neurons than Loihi 2's: its rows' tiles, cut
further."""

from __future__ import annotations

from math import prod

import numpy as np

from dnisnm_lava.studies.loihi2.cores import Row, ceil_div


def placed_on_cores(rows: tuple[Row, ...], most: int) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """{population: (neurons,) core}, cores in the order of populations; and those whose tiles were cut to
    `most` neurons."""
    placed, cut, first = {}, [], 0
    for row in rows:
        tile = tile_of(row.tile, most)
        if tile != row.tile:
            cut.append(row.name)
        placed[row.name] = first + core_of_each(row.shape, tile)
        first = 1 + int(placed[row.name].max())
    return placed, tuple(cut)


def tile_of(tile: tuple[int, ...], most: int) -> tuple[int, ...]:
    """A part of a tile, of `most` neurons or fewer: the longer of rows and columns is halved, then
    channels."""
    while prod(tile) > most:
        longest = max(range(len(tile)), key=lambda i: (i > 0 and tile[i] > 1, tile[i]))
        tile = tuple(ceil_div(n, 2) if i == longest else n for i, n in enumerate(tile))
    return tile


def core_of_each(shape: tuple[int, ...], tile: tuple[int, ...]) -> np.ndarray:
    """(neurons,) which tile each lies in, counted in C, H, W order."""
    at = [np.arange(n) // t for n, t in zip(shape, tile, strict=True)]
    tiles = tuple(ceil_div(n, t) for n, t in zip(shape, tile, strict=True))
    return np.ravel_multi_index(np.meshgrid(*at, indexing="ij"), tiles).reshape(-1)
