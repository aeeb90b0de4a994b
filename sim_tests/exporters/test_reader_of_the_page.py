"""docs/format.md has a reader of chains: it is run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import Chain, curved, readout, small, snm, weights
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.ir import Input, Projection, SpikingGraph
from exporters import netx

ROOT = Path(__file__).resolve().parents[2]


def reader() -> Callable[[h5py.File, np.ndarray], np.ndarray]:
    page = (ROOT / "docs/format.md").read_text().split("## A reader\n")[1]
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    lines = [line for line in block[1].splitlines() if line.strip()]
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 110
    names: dict[str, Callable[[h5py.File, np.ndarray], np.ndarray]] = {}
    exec(block[1], names)
    return names["run"]


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2), dilation=(1, 2)),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 3),
    )


def two_sided() -> tuple[SpikingGraph, np.ndarray]:
    """Neurons that go below zero, some of them dead, and a lead that no other has."""
    rng = np.random.default_rng(0)
    own = snm("a", (4,), (Projection("input", weights(rng, 4, 3)),), rng, levels=2, two_sided=True, down=0.0)
    then = snm("b", (5,), (Projection("a", weights(rng, 5, 4), exponent=2),), rng, levels=3, lead=2, down=0.5)
    out = readout("out", (2,), (Projection("b", weights(rng, 2, 5)),), rng)
    graph = SpikingGraph((Input("input", (3,), np.ones(3), 8), own, then, out), steps=6)
    return graph, rng.integers(-127, 128, (6, 3)).astype(np.float64)


CASES = {
    "a vector": (lambda: small(Chain(), (6,))),
    "levels, leads, a lower threshold": (lambda: small(Chain(), (6,), levels=3, lead=2, down=0.4)),
    "maps": (lambda: small(convolutions(), (2, 7, 7), levels=4)),
    "two sides": two_sided,
}


@pytest.mark.parametrize("case", CASES)
def test_the_reader_of_the_page_gives_what_the_reference_gives(case: str, tmp_path: Path) -> None:
    graph, x = CASES[case]()
    with h5py.File(netx.write(tmp_path / "chain.net", graph)) as file:
        for image in x[:3]:
            np.testing.assert_array_equal(reader()(file, image), reference.run(graph, image[None]).logits[0])


@pytest.mark.parametrize("version", ["0.1.0"])
def test_it_reads_files_of_a_release(version: str) -> None:
    path = ROOT / "sim_tests/archive" / version / "chain.net"
    graph = netx.read(path)
    x = np.random.default_rng(0).normal(size=graph.input.shape)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(reader()(file, x), reference.run(graph, x[None]).logits[0])


MORE = {
    "residual sums": (lambda: small()),
    "curves": (lambda: curved()),
    "a stream": (lambda: (dn.streaming(small(Chain(), (6,))[0]), np.zeros((1, 6)))),
    "a pool": (lambda: small(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3)))),
}


@pytest.mark.parametrize("case", MORE)
def test_it_computes_nothing_of_what_is_no_chain(case: str, tmp_path: Path) -> None:
    graph, x = MORE[case]()
    path = netx.write(tmp_path / "more.net", graph)
    with h5py.File(path) as file, pytest.raises((AssertionError, ValueError)):
        reader()(file, x[0])
