"""Frames in place of images, of the verbs that take either: the network is then a stream's, one of its own or
one that the dials make of a network of images."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from dnisnm_lava.cli import stream_sources
from dnisnm_lava.cli.options import MeasureOptions
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.stream_options import FrameOptions, MayFollow, OfFrames, StreamDials
from dnisnm_lava.errors import OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.cli.stream_sources import Followed
    from dnisnm_lava.data.streams.stream import Frames
    from dnisnm_lava.ir import SpikingGraph

OF_FRAMES = frozenset(
    {"replay_frames"}.union(*(kind.__annotations__ for kind in (FrameOptions, StreamDials, MeasureOptions)))
)
OF_IMAGES = frozenset({"images", "replay_images"})
OF_FILE = frozenset({"steps", "data"})  # of a file's network that follows frames, nothing is asked of these


def follows(args: OfFrames) -> bool:
    """Are frames given? OutOfRange for what belongs to frames without them, and to images with them."""
    if args.source is None:
        _refuse(args, OF_FRAMES, "belongs to frames; give --video, --frames or --events, too")
        return False
    _refuse(
        args,
        OF_IMAGES | (OF_FILE if args.net else frozenset()),
        "is of images, and frames are given; leave it out",
    )
    return True


def _refuse(args: OfFrames, names: frozenset[str], told: str) -> None:
    own = {f.name for f in fields(args)}
    given = sorted(args.given & names & own)
    if given:
        raise OutOfRange(f"--{given[0].replace('_', '-')}: {told}")


def require_frames(args: OfFrames, graph: SpikingGraph) -> None:
    """OutOfRange where the network is a stream's, which only frames can be given to."""
    if graph.carry:
        raise OutOfRange(
            f"{args.net}: {args.verb}: the network is a stream's, which keeps its state from frame to frame; "
            f"give frames as --video, --frames or --events, or the network of images that it was made of"
        )


@dataclass(frozen=True)
class Framed:
    """graph: integers that follow frames; floats: the same before they were rounded, where they were made
    now. frames: as the network takes them, read anew each time."""

    found: Followed[MayFollow]
    graph: SpikingGraph
    floats: SpikingGraph | None
    frames: Frames

    def first(self, count: int) -> np.ndarray:
        """(n, *image shape) the first frames, as many as there are up to `count`."""
        return first(self.frames, self.graph, count)


def framed(args: MayFollow, stages: Stages, ann: bool) -> Framed:
    """The network and its frames. ann: with the ANN beside it, where that is known."""
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.studies.streams.following import of_stream

    source = stream_sources.source_of(args)
    found = stream_sources.network_of(args, source, stages, ann)
    dials = args.frame_steps, args.hysteresis, args.at_once
    frames = stream_sources.prepared(found.args, source)
    if not isinstance(found.networks, Networks):
        return Framed(found, of_stream(found.networks, *dials), None, frames)
    nets = found.networks
    return Framed(found, of_stream(nets.integer, *dials), of_stream(nets.spiking, *dials), frames)


def first(frames: Frames, graph: SpikingGraph, count: int) -> np.ndarray:
    """(n, *image shape) the first frames, as many as there are up to `count`."""
    from dnisnm_lava.studies.streams.following import checked

    shape = graph.input.image_shape
    return np.stack([checked(frame, i, shape) for i, frame in enumerate(islice(iter(frames), count))])
