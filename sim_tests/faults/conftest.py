"""Nothing is left behind: counted before and after."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from graphs import Chain, small

from dnisnm_lava.backends import batched
from dnisnm_lava.ir import SpikingGraph
from faults.left import MARK, assert_nothing_new, left

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def network() -> tuple[SpikingGraph, np.ndarray]:
    graph, x = small(Chain(), (6,))
    batched.run(graph, x[:1], steps=2, record=True)  # the pool of threads that later runs share begins here
    return graph, x


@pytest.fixture
def nothing_left(network: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, of this process and of all that it starts, which can import the faults.
    Afterwards no process, shared memory, semaphore, file, descriptor or thread is left that was not there
    before."""
    mark = secrets.token_hex(8)
    folder = Path(tempfile.mkdtemp(prefix="f-", dir="/tmp"))  # short: the path of a socket has 108 bytes
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "sim_tests")]))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = left(mark, folder)
    yield folder
    assert_nothing_new(before, mark, folder)
    shutil.rmtree(folder)
