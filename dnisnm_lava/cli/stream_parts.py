"""What a stream keeps beside --out while it goes on: rows of its frames, and its state behind the last."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dnisnm_lava.errors import BadFile

if TYPE_CHECKING:
    from dnisnm_lava.backends.state import State
    from dnisnm_lava.evaluation.blocks import Kept
    from dnisnm_lava.ir import SpikingGraph
    from dnisnm_lava.studies.streams.activity import Activity, Counted
    from dnisnm_lava.studies.streams.rows import Row
    from dnisnm_lava.studies.streams.watching import Watched, Watching

PERIOD = 10.0  # seconds from one time that they are kept to the next; they are behind the first frame, too
STATE = "state.npz"


@dataclass
class Parts:
    """kept: where; None where no result is written. activity: of all frames so far, and rows: theirs. state:
    to go on from, None at the beginning."""

    kept: Kept | None
    activity: Activity
    rows: list[Row] = field(default_factory=list)
    state: State | None = None
    _saved: int = 0
    _last: float = float("-inf")
    _new: list[Counted] = field(default_factory=list)

    def follow(self, watching: Watching, frame: Watched, row: Row) -> None:
        """One more frame is done."""
        counted = self.activity.of(frame.work)
        self.activity.add(counted)
        self.rows.append(row)
        if self.kept is not None:
            self._new.append(counted)
        if time.monotonic() - self._last >= PERIOD:
            self.save(watching)

    def save(self, watching: Watching) -> None:
        """Rows first: those behind the state's last frame are forgotten."""
        from dnisnm_lava.studies.streams import rows

        if self.kept is None or len(self.rows) == self._saved:
            return
        new = [rows.told(row) for row in self.rows[self._saved :]]
        self.kept.put(f"rows-{new[0]['frame']:09d}", {"rows": new, "activity": self._new})
        watching.save(self.kept.folder / STATE)
        self._new = []
        self._saved, self._last = len(self.rows), time.monotonic()


def begun(kept: Kept | None, graph: SpikingGraph, first: State | None) -> Parts:
    """What an attempt before has left; else nothing, and the state `first`. BadFile where it is of another
    network or of other options, or where something of it is missing."""
    from dnisnm_lava.backends import state as states
    from dnisnm_lava.studies.streams import activity, rows

    parts = Parts(kept, activity.begun(graph), [], first)
    if kept is None or not (kept.folder / STATE).is_file():
        return parts
    state = states.load(kept.folder / STATE, graph)
    start = 0 if first is None else first.frames
    found = kept.all("rows-*", ("rows", "activity"))
    try:
        for part in found:
            for told, counted in zip(part["rows"], part["activity"], strict=True):
                _go_on(parts, rows.read(told), counted, state.frames)
        if [row.frame for row in parts.rows] != list(range(start, state.frames)):
            raise KeyError("frames")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadFile(
            f"{kept.folder}: not what this program kept ({type(error).__name__}); remove it, and begin again"
        ) from error
    parts.state, parts._saved = state, len(parts.rows)
    return parts


def _go_on(parts: Parts, row: Row, counted: Counted, end: int) -> None:
    """With a frame that was kept, if it is not behind the state's last."""
    if row.frame < end:
        parts.rows.append(row)
        parts.activity.add(counted)
