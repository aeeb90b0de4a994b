"""Where a stream has its frames and its network from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering
from dnisnm_lava.cli.names import PREPARED_BY
from dnisnm_lava.cli.networks import _network
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.reading import _data, _transforms
from dnisnm_lava.cli.shared import _refuse_dials
from dnisnm_lava.cli.stream_options import MayFollow, OfFrames
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.system.ranks import Group

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.data.files.preparation import Preparation
    from dnisnm_lava.data.streams.stream import Frames
    from dnisnm_lava.evaluation.sanity import Alarm
    from dnisnm_lava.stages.networks import Networks

MOST_TO_FIT = 256  # frames of the stream itself, where there are no training images


def source_of(args: OfFrames) -> Frames:
    """Those that are asked for, as they lie there."""
    from dnisnm_lava.data.streams import sources, stream

    if args.source is None:
        raise OutOfRange(f"{args.verb}: give frames as --video, --frames or --events")
    if args.events is None:
        _refuse_dials_of_events(args)
    elif args.microseconds is None and args.count is None:
        raise OutOfRange("--events: say what a frame holds, by --microseconds or --count")
    if args.video is not None:
        from dnisnm_lava.data.streams.video import video

        found: stream.Frames = video(args.video)
        return found.part(every=args.every, limit=args.limit)
    return sources.frames(
        args.source,
        microseconds=args.microseconds,
        count=args.count,
        shape=_sensor(args),
        channels=args.event_channels,
        every=args.every,
        limit=args.limit,
    )


def _sensor(args: OfFrames) -> tuple[int, int] | None:
    if args.sensor is None:
        return None
    if len(args.sensor) != 2:
        raise OutOfRange(
            f"--sensor: {','.join(map(str, args.sensor))} given; give height and width in pixels"
        )
    return args.sensor[0], args.sensor[1]


def _refuse_dials_of_events(args: OfFrames) -> None:
    given = args.given & {"microseconds", "count", "sensor", "event_channels"}
    if given:
        raise OutOfRange(f"--{min(given).replace('_', '-')}: belongs to --events; leave it out")


def prepared(args: OfFrames, source: Frames) -> Frames:
    """The same, as the network takes them."""
    from dnisnm_lava.data.streams.prepared import prepared

    return prepared(source, _preparation(args, source))


def _preparation(args: OfFrames, source: Frames) -> Preparation:
    from dnisnm_lava.data.files import preparation

    own = {name: getattr(args, name) for name in PREPARED_BY}
    found = None if any(own.values()) and args.transforms is None else _transforms(args)
    if found is not None and not _are_pictures(source):
        warnings.warn(
            f"{source.name}: holds floats, which are taken as prepared; the transforms of {found[0]} are "
            f"left out",
            stacklevel=1,
        )
        found = None
    if found is not None:
        warnings.warn(f"{source.name}: prepared by the transforms of {found[0]}", stacklevel=1)
    transform = None if found is None else found[1]
    return preparation.checked(layout=args.layout, **own, transform=transform)


def _are_pictures(source: Frames) -> bool:
    return source.axes == "hwc" or next(iter(source)).dtype == np.uint8


# ---------------------------------------------------------------- the network


F = TypeVar("F", bound=MayFollow)


@dataclass(frozen=True)
class Followed(Generic[F]):
    """The network of a stream: networks that were made now, or a file's graph, of images or a stream's; the
    ANN, where it is known. args: with what the file remembers. data: training images, of a model."""

    args: F
    networks: Networks | dn.SpikingGraph
    analog: dn.AnalogGraph | None
    data: Data | None = None
    alarms: tuple[Alarm, ...] = ()


def network_of(args: F, source: Frames, stages: Stages, ann: bool = True) -> Followed[F]:
    """That of the file, or of --model: made on --data, or on frames of the stream itself. ann: with the ANN
    beside it, where that is known."""
    if args.net is not None:
        return _of_file(args, stages, ann)
    if not args.model:
        raise OutOfRange(f"{args.verb}: give a .net file, or a model as --model")
    data = _data(args) if args.data else _data_of(prepared(args, source))
    made, set_up = _network(args, data, Group(device=args.device), stages)
    return Followed(args, made, made.analog, data, set_up.alarms or ())


def _of_file(args: F, stages: Stages, ann: bool) -> Followed[F]:
    from exporters import netx

    _refuse_dials(args)
    assert args.net is not None
    graph = netx.read(args.net)
    check_dials_of(args, graph)
    args = remembering.recall(args)
    return Followed(args, graph, _ann(args, graph, stages) if ann else None)


def check_dials_of(args: OfFrames, graph: dn.SpikingGraph) -> None:
    """OutOfRange for dials beside a network that has its own."""
    if graph.carry and args.given & {"frame_steps", "hysteresis", "at_once"}:
        raise OutOfRange(
            f"{args.net}: the network is a stream's already; its own --frame-steps, --hysteresis and "
            f"--at-once hold"
        )


def _ann(args: MayFollow, graph: dn.SpikingGraph, stages: Stages) -> dn.AnalogGraph | None:
    """The ANN of the model that the file remembers, or that is given; None, with a notice, where it is not
    here."""
    from dnisnm_lava.data.models import load_model
    from dnisnm_lava.frontend import walk

    try:
        args = remembering.recall(args, "model", "weights")
    except BadFile as error:
        warnings.warn(f"the stream goes without the ANN: {error}", stacklevel=1)
        return None
    shape = graph.input.image_shape
    model = load_model(args.model, args.weights, shape, stages("trace"))
    analog = walk.from_torch(model, np.zeros(shape, np.float32))
    if analog.output_shapes != graph.output_shapes:
        raise OutOfRange(
            f"{args.net}: has other outputs than {args.model}; give the --model that it was made of"
        )
    return analog


def _data_of(frames: Frames) -> Data:
    """Frames of the stream in place of training images, evenly over it where its length is known."""
    from dnisnm_lava.data.datasets import Data, Labelled
    from dnisnm_lava.data.files.preparation import Preparation

    every = max(1, -(-(frames.total or 0) // MOST_TO_FIT))
    taken = list(frames.part(every=every, limit=MOST_TO_FIT))
    warnings.warn(
        f"no --data: the network is calibrated and fitted on {len(taken)} frames of {frames.name} itself",
        stacklevel=1,
    )
    held = Labelled(taken, Preparation(), frames.name)
    return Data(frames.name, held, held)


def title(args: OfFrames) -> str:
    """Network and frames by their names, without folders."""
    assert args.source is not None
    model = (
        args.net.name if args.net is not None else ":".join(Path(p).name or p for p in args.model.split(":"))
    )
    return f"{model} on {args.source.name}"
