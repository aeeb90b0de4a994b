"""What Python and NumPy take at most while a test runs."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator


@contextlib.contextmanager
def below(limit: float) -> Iterator[None]:
    """Fails where the block takes `limit` bytes or more at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit
