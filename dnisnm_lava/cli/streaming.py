"""`stream`: a network on frames one after another, its state kept."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering, stream_folder, stream_parts, stream_sources
from dnisnm_lava.cli.alarms import _with_alarms
from dnisnm_lava.cli.blocks import _allowed_to_finish
from dnisnm_lava.cli.names import PREPARED_BY
from dnisnm_lava.cli.networks import _recipe
from dnisnm_lava.cli.output import Result, Stages, _with_place, _written
from dnisnm_lava.cli.shared import _provenance
from dnisnm_lava.cli.stream_folder import Done
from dnisnm_lava.errors import BackendMissing, BadFile, DnisnmError, OutOfRange
from dnisnm_lava.system.extras import missing

if TYPE_CHECKING:
    from dnisnm_lava.backends.state import State
    from dnisnm_lava.cli.stream_options import Stream
    from dnisnm_lava.cli.stream_parts import Parts
    from dnisnm_lava.cli.stream_sources import Followed
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.data.streams.stream import Frames
    from dnisnm_lava.ir import SpikingGraph
    from dnisnm_lava.studies.streams.rows import Row
    from dnisnm_lava.studies.streams.watching import Watching

FRAMES = ("video", "frames", "events", "microseconds", "count", "sensor", "event_channels", "every")
RATE = 25.0  # frames a second of a clip that is written, where nothing tells


def stream(args: Stream, stages: Stages) -> Result:
    """A network on a clip, pictures or events: its state is kept, and only change is sent."""
    args = _allowed_to_finish(args)
    _check_early(args)
    files = stream_folder.written(args)
    source = stream_sources.source_of(args)
    found = stream_sources.network_of(args, source, stages, ann=not args.no_compare)
    args = found.args
    graph, made_of = _graph(args, found), _made_of(args, found.data)
    with _keeping(args, graph) as kept:
        parts = stream_parts.begun(kept, graph, _state(args, graph))
        watching = _followed(args, found, source, parts, stages)
        done = Done(watching, parts, source, made_of)
        result = _with_alarms(args, _result(args, done), found.alarms)
        if args.out is not None:
            stream_folder.write(args, result, done, files)
            result = _with_place(result, args.out, *files)
    return _with_clip(args, result, source, parts.rows, made_of.get("classes", ()), stages)


def _check_early(args: Stream) -> None:
    """What would be refused in the end, before any work."""
    from dnisnm_lava.stages.streaming import check_dials
    from dnisnm_lava.studies.streams.following import check_refresh
    from dnisnm_lava.system.files import refuse_full, refuse_unwritable

    if args.net is None or args.given & {"frame_steps", "hysteresis", "at_once"}:
        check_dials(args.frame_steps, args.hysteresis, args.at_once)
    check_refresh(args.refresh)
    if args.out is not None:
        refuse_full(args.out, args.overwrite)
    if args.write is not None:
        refuse_unwritable(args.write, args.overwrite)
        _check_clip(args.write)


def _check_clip(path: Path) -> None:
    from dnisnm_lava.data.streams.video import CODECS

    if path.suffix.lower() not in CODECS:
        raise OutOfRange(f"{path}: no kind of clip that is written here; name it {', '.join(CODECS)}")
    if importlib.util.find_spec("av") is None:
        raise BackendMissing(f"clips: {missing('av', 'video')}")


def _graph(args: Stream, found: Followed[Stream]) -> SpikingGraph:
    """The stream's network."""
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.studies.streams.following import of_stream

    given = found.networks.integer if isinstance(found.networks, Networks) else found.networks
    if not given.carry and args.frame_steps < given.steps:
        warnings.warn(
            f"the network was made for T = {given.steps}; a frame of --frame-steps {args.frame_steps} has "
            f"{args.frame_steps} of these steps' levels: give --frame-steps {given.steps}, or a network "
            f"made for fewer steps, as --recipe best makes",
            UserWarning,
            stacklevel=2,
        )
    return of_stream(given, args.frame_steps, args.hysteresis, args.at_once)


def _state(args: Stream, graph: SpikingGraph) -> State | None:
    from dnisnm_lava.backends import state

    if args.state is None:
        return None
    if not args.state.is_file():
        raise BadFile(f"{args.state}: no such file; give the state.npz that a stream wrote")
    return state.load(args.state, graph)


def _keeping(args: Stream, graph: SpikingGraph) -> Any:
    from dnisnm_lava.evaluation import blocks
    from dnisnm_lava.system.ranks import Group

    fingerprint = blocks.fingerprint(
        network=graph.digest(),
        frames=[getattr(args, name) for name in FRAMES],
        prepared=[getattr(args, name) for name in (*PREPARED_BY, "layout", "transforms")],
        followed=(args.refresh, args.state, args.no_compare),
        measure=args.ask,
    )
    return blocks.keeping(args.out, fingerprint, Group(), resume=args.resume, overwrite=args.overwrite)


def _followed(
    args: Stream, found: Followed[Stream], source: Frames, parts: Parts, stages: Stages
) -> Watching:
    """All frames that are left, into `parts`; what is kept there outlives an error."""
    from itertools import islice

    from dnisnm_lava.studies.streams import rows

    done = len(parts.rows)
    if args.limit is not None and args.limit < done:
        raise OutOfRange(
            f"--limit: {args.limit} given, and {done} frames are done already; give {done} or more"
        )
    frames = islice(iter(stream_sources.prepared(args, source)), done, None)
    networks = found.networks
    watching = dn.watch(
        networks,
        frames,
        steps=args.frame_steps,
        hysteresis=args.hysteresis,
        levels=args.at_once,
        refresh=args.refresh,
        state=parts.state,
        beside=None if args.no_compare else dn.References(found.analog, args.ask, args.device),
    )
    ann = None if watching.alone is None else watching.alone.bill.ann
    pace = _Pace(stages, source.total, done)
    try:
        for frame in watching:
            parts.follow(watching, frame, rows.row(frame, ann))
            pace.took(len(parts.rows))
    except DnisnmError as error:
        parts.save(watching)
        raise _with_what_is_kept(args, error, len(parts.rows)) from error
    parts.save(watching)
    return watching


def _with_what_is_kept(args: Stream, error: DnisnmError, done: int) -> DnisnmError:
    """The same error, and how the frames before it are had."""
    if args.out is None or not done:
        return error
    told = f"{error}; {done} frames before it are kept: --resume --limit {done} makes the result of them"
    return type(error)(told)


class _Pace:
    """Frames a second, beside the bar. total: frames, where it is known."""

    def __init__(self, stages: Stages, total: int | None, done: int) -> None:
        self._stages, self._total, self._before = stages, total, done
        self._tell, self._start = stages("stream"), time.monotonic()

    def took(self, done: int) -> None:
        rate = (done - self._before) / max(time.monotonic() - self._start, 1e-9)
        self._stages.rename(f"stream, {rate:.3g} frames a second")
        self._tell(done, max(done, self._total or 0))


# ---------------------------------------------------------------- what is told and written


def _result(args: Stream, done: Done) -> Result:
    from dnisnm_lava.views import streams as view

    found, watching = done.summary(args), done.watching
    provenance = {**_provenance(args, watching.graph), "state": watching.state.frames}
    facts = view.stream_json(found, provenance, done.parts.activity.totals())
    return Result(facts, view.stream_table(found, stream_sources.title(args)))


def _made_of(args: Stream, data: Data | None) -> dict[str, Any]:
    """What the file remembers: as of `convert`."""
    if args.net is not None:
        return dict(args.made_of)
    return remembering.record(args, _recipe(args), data)


def _with_clip(
    args: Stream,
    result: Result,
    source: Frames,
    rows: Sequence[Row],
    classes: Sequence[str],
    stages: Stages,
) -> Result:
    """The frames once more, with what was said of each."""
    if args.write is None:
        return result
    from dnisnm_lava.data.streams.video import write_video
    from dnisnm_lava.views.clip import annotated

    stages("write the clip")
    write_video(
        Path(args.write), annotated(source, rows, classes), source.rate or RATE, overwrite=args.overwrite
    )
    return _written(result, str(args.write))
