"""Lava runs in a row leave this process as it was: three here, fifty in `python -m sim_tests.faults
leaks`."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faults.leaks import runs


@pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")
def test_runs_in_a_row_leak_nothing(network: tuple[Any, np.ndarray], nothing_left: Path) -> None:
    graph, x = network
    first, *others = runs(graph, x[:2], 3)  # what tests before left may go meanwhile, and nothing may come
    for held in others:
        more = {f.name: getattr(held, f.name) - getattr(first, f.name) for f in fields(held)}
        assert all(n <= 0 for name, n in more.items() if name != "megabytes"), more
    # A process in which other tests ran moves by some MB of itself; `faults leaks` measures in its own.
    assert others[-1].megabytes - others[0].megabytes < 16
    assert list(nothing_left.iterdir()) == []
