"""What runs on a Loihi 2 board alone. Without one, each test skips with the reason that is true here."""

from __future__ import annotations

import importlib.util

import pytest


def why_no_board() -> str | None:
    """None where lava-nc's Loihi 2 extension is installed, which Intel gives to members of its research community."""
    if importlib.util.find_spec("lava") is None or importlib.util.find_spec("lava.utils") is None:
        return "lava-nc is not installed in this Python"
    from lava.utils import loihi

    if not loihi.is_installed():
        return "lava-nc's Loihi 2 extension (lava.utils.loihi2_profiler) is not installed, so no board can be reached"
    return None


@pytest.fixture
def board() -> None:
    reason = why_no_board()
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("board")
def test_snm_has_a_neuro_core_model() -> None:
    """Fails, and rightly, on a machine with a board: SNM has CPU models only, and a neuro-core model has to be
    written against the extension's base class (docs/design.md, 1.3)."""
    from dnisnm_lava.procs.snm import process

    assert importlib.util.find_spec(process.__name__.replace("process", "ncmodels")) is not None


def test_the_reason_is_a_sentence_or_none() -> None:
    reason = why_no_board()
    assert reason is None or "not installed" in reason
