"""How long what is done again and again will take: told after the first, and as often as their number has
doubled."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dnisnm_lava.system.progress import Progress, in_silence, tell


@dataclass
class Pace:
    """Itself a progress, which hands on to another. unit: of what is done, such as "trial", or "pass of the
    ANN". most: is their number the most that it may come to? least: seconds left below which nothing is
    told."""

    unit: str
    tell: Callable[[str], None] = in_silence
    most: bool = False
    least: float = 0.0
    progress: Progress | None = None
    last: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    count: int = 0
    done: int = 0

    def took(self, seconds: float, done: int, of: int, units: int = 1) -> None:
        """One more is done, or so many `units`, of all `of` the `done`th."""
        before = self.count
        self.seconds, self.count = self.seconds + seconds, before + units
        if self.count.bit_length() == before.bit_length() or done >= of:
            return
        each = self.seconds / self.count
        left = each * (of - done)
        if left < self.least:
            return
        at_most, latest = (" at most", " at the latest") if self.most else ("", "")
        told = f"{done:,} of{at_most} {of:,} {_plural(self.unit)}, {each:.3g} s each"
        self.tell(f"{told}: done in {duration(left)}, about {_clock(left)}{latest}, at this pace")

    def __call__(self, done: int, of: int) -> None:
        """More is done, since the last or since this was made."""
        now = time.monotonic()
        self.took(now - self.last, done, of, done - self.done)
        self.last, self.done = now, done
        tell(self.progress, done, of)


def _plural(unit: str) -> str:
    head, space, rest = unit.partition(" ")
    return f"{head}{'es' if head.endswith('s') else 's'}{space}{rest}"


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
