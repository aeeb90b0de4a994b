"""Small graphs and real data that the tests share."""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[2] / "shared/data"

LAVA_PYTHON = os.environ.pop(
    "DNISNM_LAVA_PYTHON", ""
)  # for the tests that ask for it; the others know their environment

if importlib.util.find_spec(
    "lava"
):  # it sets how processes start, which it cannot once another library has asked how they do
    import lava.magma.runtime.message_infrastructure.multiprocessing  # noqa: F401

HANGS = 400  # seconds, which no test takes

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


LONG = (  # minutes a file
    "test_pieces",
    "test_real_data",
    "test_examples",
    "test_torchvision",
    "test_fast_conv",
    "test_lava_child",
    "test_interruptions",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Campaigns run where they are asked for. Files that take long come first, so that no process waits for
    one of them at the end: pytest-xdist would begin with those of many tests, were it not told otherwise."""
    items.sort(key=lambda item: item.path.stem not in LONG)
    if "DNISNM_CAMPAIGNS" not in os.environ:
        asked = pytest.mark.skip(reason="a campaign: DNISNM_CAMPAIGNS=1 python -m pytest -m campaign")
        for item in items:
            if item.get_closest_marker("campaign"):
                item.add_marker(asked)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """A test that hangs ends its process, with the stack of each thread; pytest-xdist names it, and goes on
    with the others."""
    faulthandler.dump_traceback_later(HANGS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Weights that a test leaves to chance are the same in each run, in any order of the tests."""
    import torch  # behind Lava

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(
            f"real data and weights are not here: no folder shared/data beside the repository ({SHARED.name})"
        )
    return SHARED


@pytest.fixture(scope="session")
def other_lava() -> str | None:
    """A Python with Lava: the one that DNISNM_LAVA_PYTHON names, else this one, named; None where neither has
    it."""
    return LAVA_PYTHON or (sys.executable if importlib.util.find_spec("lava") else None)


@pytest.fixture(scope="session")
def other_python(other_lava: str | None) -> str:
    if other_lava is None:
        pytest.skip("lava-nc is not installed, and DNISNM_LAVA_PYTHON names no Python that has it")
    return other_lava
