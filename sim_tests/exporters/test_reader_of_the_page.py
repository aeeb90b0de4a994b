"""docs/format.md has a reader of chains: it is run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from graphs import Chain, small
from torch import nn

from dnisnm_lava.backends import reference
from exporters import netx

ROOT = Path(__file__).resolve().parents[2]


def reader() -> Callable[[Path, np.ndarray], np.ndarray]:
    page = (ROOT / "docs/format.md").read_text().split("## A reader\n")[1]
    block = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert block is not None
    assert 30 <= len([line for line in block[1].splitlines() if line.strip()]) <= 50
    names: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {}
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


CASES = {
    "a vector": (lambda: small(Chain(), (6,))),
    "levels, leads, a lower threshold": (lambda: small(Chain(), (6,), levels=3, lead=2, down=0.4)),
    "maps": (lambda: small(convolutions(), (2, 7, 7), levels=4)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_reader_of_the_page_gives_what_the_reference_gives(case: str, tmp_path: Path) -> None:
    graph, x = CASES[case]()
    path = netx.write(tmp_path / "chain.net", graph)
    for image in x[:3]:
        np.testing.assert_array_equal(reader()(path, image), reference.run(graph, image[None]).logits[0])


@pytest.mark.parametrize("version", ["0.1.0"])
def test_it_reads_files_of_a_release(version: str) -> None:
    path = ROOT / "sim_tests/archive" / version / "chain.net"
    graph = netx.read(path)
    x = np.random.default_rng(0).normal(size=graph.input.shape)
    np.testing.assert_array_equal(reader()(path, x), reference.run(graph, x[None]).logits[0])
