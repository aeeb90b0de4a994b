"""Small sound `.net` files that hold everything that the format has, as bytes and as trees {path: array}."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from graphs import curved_snm, gate_of, readout, snm, weights

from dnisnm_lava.ir import Input, MaxPool, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from exporters import netx

Tree = dict[str, Any]
ARCHIVE = Path(__file__).parent / "archive"


@cache
def sound() -> tuple[tuple[Tree, bytes], ...]:
    """Small files that hold everything that the format has, as trees and as bytes; then those of the
    archive."""
    written = [
        bytes_of(lambda file, g=graph: netx._write_graph(file, g), {})
        for graph in (_vector(), _maps(), _maps(), _branches(), _curves(), _gates())
    ]
    archived = [path.read_bytes() for path in sorted(ARCHIVE.glob("*/chain.net"))]
    return tuple((_tree(data), data) for data in [*written, *archived])


def _vector() -> SpikingGraph:
    rng = np.random.default_rng(0)
    out = readout("o", (3,), (Projection("i", weights(rng, 3, 2)),), rng)
    return SpikingGraph((Input("i", (2,), np.ones(2), 8), out), steps=3)


def _maps() -> SpikingGraph:
    """A conv with chosen channels behind a resampling, a max-pool, and a dense behind a sum-pool."""
    rng = np.random.default_rng(1)
    into = Projection(
        "i",
        weights(rng, 2, 1, 1, 1),
        groups=2,
        padding=((0, 1), (1, 0)),
        resample=Resample(*(rng.integers(-2, 3, (2, 3)).astype(np.int8) for _ in range(2))),
        source_channels=np.array([1, 0], np.int32),
        target_channels=np.array([2, 0], np.int32),
        targets=3,
    )
    a = snm("a", (3, 3, 3), (into,), rng, levels=2, lead=1)
    pool = MaxPool("p", (3, 2, 2), "a", Window((2, 2), (1, 1)))
    dense = Projection("p", weights(rng, 2, 3), sum_pool=Window((2, 2), (2, 2)))
    return SpikingGraph(
        (Input("i", (2, 3, 3), np.ones(2), 8), a, pool, readout("o", (2,), (dense,), rng)), steps=3
    )


def _branches() -> SpikingGraph:
    """Two projections, one of them a dense that fills a map, a two-sided population with a lower threshold,
    and two read-outs, one of them viewed."""
    rng = np.random.default_rng(2)
    both = (
        Projection("i", weights(rng, 2, 2, 1, 1)),
        Projection("i", weights(rng, 8, 8), target_shape=(2, 2, 2)),
    )
    a = snm("a", (2, 2, 2), both, rng, two_sided=True, down=0.25, shared=True)
    out = readout("o", (8,), (Projection("a", weights(rng, 8, 8)),), rng)
    viewed = ReadOut(
        out.name, out.shape, out.projections, bias=out.bias, unit=out.unit, v_range=out.v_range, view=(2, 4)
    )
    other = readout("m", (1, 2, 2), (Projection("a", weights(rng, 1, 2, 1, 1)),), rng)
    return SpikingGraph((Input("i", (2, 2, 2), np.ones(2), 8), a, viewed, other), steps=5)


def _curves() -> SpikingGraph:
    """Neurons with a curve for each channel, in a stream, and with a line for all."""
    rng = np.random.default_rng(3)
    a = curved_snm("a", (2, 2, 2), (Projection("i", weights(rng, 2, 2, 1, 1)),), rng, levels=3)
    line = Projection("a", weights(rng, 3, 8))
    b = curved_snm("b", (3,), (line,), rng, knots=0, own=False, shift=30, two_sided=True)
    out = readout("o", (2,), (Projection("b", weights(rng, 2, 3)),), rng)
    return SpikingGraph((Input("i", (2, 2, 2), np.ones(2), 8), a, b, out), steps=2, carry=True)


def _gates() -> SpikingGraph:
    """A map times one number a channel, and that product times the image."""
    rng = np.random.default_rng(4)
    a = snm("a", (2, 2, 2), (Projection("i", weights(rng, 2, 2, 1, 1)),), rng, two_sided=True)
    b = curved_snm("b", (2, 1, 1), (Projection("i", weights(rng, 2, 2, 2, 2)),), rng, knots=1, lead=1)
    first = gate_of("g", (2, 2, 2), ("a", "b"), rng, levels=3)
    second = replace(gate_of("h", (2, 2, 2), ("i", "g"), rng, shift=30, two_sided=True), band=0.5, most=9)
    out = readout("o", (2,), (Projection("h", weights(rng, 2, 8)),), rng)
    return SpikingGraph((Input("i", (2, 2, 2), np.ones(2), 8), a, b, first, second, out), steps=2)


def _tree(data: bytes) -> Tree:
    found: Tree = {}
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(
            lambda name, thing: found.update({name: thing[()]}) if isinstance(thing, h5py.Dataset) else None
        )
    return found


def bytes_of(fill: Callable[[h5py.File], Any], container: dict[str, Any]) -> bytes:
    with h5py.File(
        "hostile", "w", driver="core", backing_store=False, **{"libver": "earliest", **container}
    ) as file:
        fill(file)
        file.flush()
        return bytes(file.id.get_file_image())
