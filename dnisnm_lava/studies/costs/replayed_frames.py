"""A stream's frames on SANA-FE's chip: the first, which sends all, and those behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.studies.costs.replay import HOUR, Cores, Replay, replay
from dnisnm_lava.system.progress import Progress


@dataclass(frozen=True)
class FrameReplay:
    """first: the first frame alone, in which the chip fills and empties as with any image. all: all frames,
    one right behind the other. What a frame behind the first takes is what they take more, by their number:
    of both the chip fills and empties once."""

    first: Replay
    all: Replay

    def behind(self, what: str) -> float:
        """What a frame behind the first takes on average. what: a field of `replay.Step` that is a number."""
        more: float = getattr(self.all.total, what) - getattr(self.first.total, what)
        return more / (self.all.images - 1)

    def cores_behind(self) -> Cores:
        """The same, core by core."""
        return self.all.of_cores.an_image(self.all.images - 1, self.first.of_cores)

    def joules_behind(self) -> dict[str, float]:
        """The same by what takes the energy."""
        count = self.all.images - 1
        return {name: (value - self.first.joules[name]) / count for name, value in self.all.joules.items()}


def replay_frames(
    graph: SpikingGraph, frames: np.ndarray, *, deadline: float = HOUR, progress: Progress | None = None
) -> FrameReplay:
    """The replay of a stream's network on its first frames (N, *image shape), two or more; errors as of
    `replay`."""
    if len(frames) < 2:
        raise OutOfRange(
            f"SANA-FE: {len(frames)} frame given of a stream; give 2 or more, of which the first is an image"
        )
    first = replay(graph, frames[:1], deadline=deadline)
    return FrameReplay(first, replay(graph, frames, deadline=deadline, progress=progress))
