"""Ctrl-C and SIGTERM, where they must not leave half of something."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A few steps that belong together: SIGINT and SIGTERM wait until they are done. They only ever reach the
    main thread; in another one there is nothing to do."""
    handlers = {sign: signal.getsignal(sign) for sign in INTERRUPTS}
    if threading.current_thread() is not threading.main_thread() or None in handlers.values():
        yield
        return
    waiting: list[int] = []

    def wait(sign: int, _: FrameType | None) -> None:
        waiting.append(sign)

    for sign in handlers:
        signal.signal(sign, wait)
    try:
        yield
    finally:
        for sign, handler in handlers.items():
            signal.signal(sign, handler)
        if waiting:
            signal.raise_signal(waiting[0])
