"""Trials of a search that are kept as they finish, so that a search which was interrupted goes on where it
stopped.

A trial is a value as JSON has it, and depends on its key alone. One that was kept is not tried again, and one
that is made is read back as it would be from its file: so a search in several attempts finds what it finds in
one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnisnm_lava.evaluation import blocks
from dnisnm_lava.evaluation.blocks import Kept
from dnisnm_lava.system.pace import Pace
from dnisnm_lava.system.ranks import ALONE, Group


@dataclass
class Journal:
    """known: trials by key. of: how many there will be, where that is known. done: how many were asked for.
    group: of the processes that make each trial together, of which the first keeps it."""

    kept: Kept | None = None
    pace: Pace = field(default_factory=lambda: Pace("trial"))
    known: dict[str, Any] = field(default_factory=dict)
    of: int = 0
    done: int = 0
    group: Group = ALONE

    def once(self, key: str, work: Callable[[], Any]) -> Any:
        """The trial of this key: kept, or else what `work` makes."""
        self.done += 1
        if key in self.known:
            return self.known[key]
        start = time.monotonic()
        self.known[key] = json.loads(json.dumps(work()))
        if self.kept is not None and self.group.is_first:
            self.kept.put(f"trial-{len(self.known):06d}", {"key": key, "value": self.known[key]})
        self.pace.took(time.monotonic() - start, self.done, self.of)
        return self.known[key]


@contextlib.contextmanager
def keeping(
    out: Path | None,
    fingerprint: str,
    pace: Pace,
    *,
    resume: bool,
    overwrite: bool,
    group: Group = ALONE,
) -> Iterator[Journal]:
    """A journal beside `out` until the block ends well, as `blocks.keeping` has it: with what an attempt
    before has kept, to be gone on with by `resume`. fingerprint: of what all trials depend on."""
    with blocks.keeping(out, fingerprint, group, resume=resume, overwrite=overwrite) as kept:
        told = [] if kept is None or not group.is_first else kept.all("trial-*", ("key", "value"))
        found = group.broadcast({trial["key"]: trial["value"] for trial in told})
        yield Journal(kept, pace, found, group=group)
