"""Who is told what goes on: stages as they begin, and how far each is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (done, of)
Stages = Callable[[str], Progress | None]  # what begins -> whom to tell how far it is


def in_silence(_: str) -> None:
    """Stages of which nobody is told."""
    return None
