"""Who is told what goes on: one protocol for all that takes long.

What has stages takes `stages`, and says each as it begins. What has one takes `progress`, and says how far it
is. Nobody need listen: `progress` may be None, and so may what `stages` returns.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]  # (done, of)
Stages = Callable[[str], Progress | None]  # what begins -> whom to tell how far it is


def tell(progress: Progress | None, done: int, of: int) -> None:
    """How far it is, to who listens."""
    if progress:
        progress(done, of)


def in_silence(_: str) -> None:
    """Stages, or lines, of which nobody is told."""
