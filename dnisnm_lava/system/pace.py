"""How long what is done again and again will take: told after the first, and as often as their number has
doubled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dnisnm_lava.system.progress import Progress, in_silence, tell


@dataclass
class Pace:
    """Itself a progress, which hands on to another. unit: of what is done, such as "trial". most: is their
    number the most that it may come to?"""

    unit: str
    tell: Callable[[str], None] = in_silence
    most: bool = False
    progress: Progress | None = None
    last: float = field(default_factory=time.monotonic)
    seconds: list[float] = field(default_factory=list)

    def took(self, seconds: float, done: int, of: int) -> None:
        """One more is done, of all `of` the `done`th."""
        self.seconds.append(seconds)
        count = len(self.seconds)
        if count & (count - 1) or done >= of:
            return
        each = sum(self.seconds) / count
        left = each * (of - done)
        at_most, latest = (" at most", " at the latest") if self.most else ("", "")
        told = f"{done:,} of{at_most} {of:,} {self.unit}s, {each:.3g} s each"
        self.tell(f"{told}: done in {duration(left)}, about {_clock(left)}{latest}, at this pace")

    def __call__(self, done: int, of: int) -> None:
        """One more is done, since the last or since this was made."""
        now = time.monotonic()
        self.took(now - self.last, done, of)
        self.last = now
        tell(self.progress, done, of)


def duration(seconds: float) -> str:
    """1.5 h, 20 min or 7 s."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _clock(left: float) -> str:
    """The time of day; with its date where that is another."""
    now, end = time.time(), time.time() + left
    same = time.localtime(now)[:3] == time.localtime(end)[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", time.localtime(end))
