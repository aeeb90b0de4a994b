"""`tune --stream`: the dials of a stream, searched on the first frames of a clip."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import remembering, stream_sources
from dnisnm_lava.cli.alarms import _raised, _with_alarms
from dnisnm_lava.cli.blocks import _journal, _measure_words
from dnisnm_lava.cli.names import STREAM_NET, TUNED_STREAM
from dnisnm_lava.cli.networks import _fitted, _recipe, _tell_unread, _traced
from dnisnm_lava.cli.output import Result, Stages, _to_paste, _with_place
from dnisnm_lava.cli.reading import _data
from dnisnm_lava.cli.shared import _provenance
from dnisnm_lava.cli.sizes import _tell_size
from dnisnm_lava.cli.stream_options import ClipOptions, FrameOptions, Stream
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages import recipes

if TYPE_CHECKING:
    from dnisnm_lava.cli.making import Tune
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.evaluation.sanity import Alarm
    from dnisnm_lava.ir import AnalogGraph
    from dnisnm_lava.studies.tuning.pareto import Target
    from dnisnm_lava.studies.tuning.streams import StreamSpace, StreamTrial, StreamTuning

OF_IMAGES = ("labels", "held_images")
FRAME_WORDS = {
    "microseconds": "--microseconds",
    "count": "--count",
    "sensor": "--sensor",
    "event_channels": "--event-channels",
    "every": "--every",
}
RECIPE_DIALS = {"levels": "try_levels", "steps": "try_frame_steps"}  # what fixes one, and what varies it


def refuse_dials_of_streams(args: Tune) -> None:
    """OutOfRange for what belongs to --stream, without it."""
    of_streams = {name for kind in (ClipOptions, FrameOptions) for name in kind.__annotations__}
    given = sorted(args.given & of_streams)
    if given:
        raise OutOfRange(f"--{given[0].replace('_', '-')}: belongs to --stream CLIP; give that, too")


def tune_stream(args: Tune, target: Target, stages: Stages) -> Result:
    """The dials of a stream that serve the target best."""
    _check_early(args, target)
    space, followed = _space(args), _as_stream(args)
    source = stream_sources.source_of(followed)
    data = _data(args) if args.data else stream_sources._data_of(stream_sources.prepared(followed, source))
    analog = _traced(args, data, stages).graph
    _tell_size(args.model, analog, space.base, _fitted(args, data, None) if space.base.needs_images else 0)
    frames = list(stream_sources.prepared(followed, source))
    sample = data.train.sample(args.calibration_images, args.seed, stages("calibrate"))
    stats = dn.calibrate(analog, sample, device=args.device)
    alarms = _raised(args, stats.answers, data, analog)
    with _journal(args, data, _covered(args, analog, frames, space), stages) as kept:
        found = dn.tune_stream(
            analog,
            data.train,
            frames,
            target,
            space=space,
            measure=args.ask,
            statistics=stats,
            session=dn.Session(args.device, stages=stages),
            journal=kept,
        )
        result = _result(args, followed, found, data, alarms)
        return result if args.out is None else _written(args, result, found, data)


def _check_early(args: Tune, target: Target) -> None:
    """What would be refused in the end, before any work."""
    from dnisnm_lava.studies.tuning.pareto import QUALITIES

    if target.kind not in QUALITIES:
        raise OutOfRange(
            f"--max-{target.kind}: is of images; give --max-drop with --stream, or --max-error of values"
        )
    for name in OF_IMAGES:
        if name in args.given:
            raise OutOfRange(
                f"--{name.replace('_', '-')}: is of images, and --stream measures against the ANN's own "
                f"answers for its frames; leave it out"
            )
    for dial, tried in RECIPE_DIALS.items():
        if getattr(args, dial) is not None and getattr(args, tried) is not None:
            raise OutOfRange(
                f"--{dial}: fixes what --{tried.replace('_', '-')} varies; leave one of them out"
            )


def _space(args: Tune) -> StreamSpace:
    """What is given as a recipe's option is not varied."""
    from dnisnm_lava.studies.tuning import streams

    base = _recipe(args)
    _tell_unread(args, base)
    tried = {
        "levels": args.try_levels if args.levels is None else (base.levels,),
        "steps": args.try_frame_steps if args.steps is None else (base.steps,),
        "hysteresis": args.try_hysteresis,
        "at_once": args.try_at_once,
    }
    given: dict[str, Any] = {name: values for name, values in tried.items() if values is not None}
    samples = dn.Samples(args.calibration_images, args.fit_images, args.seed)
    space = streams.StreamSpace(base, **given, frames=args.limit, samples=samples)
    streams.check(space)
    return space


def _as_stream(args: Tune) -> Stream:
    """The same options, as `stream` has them."""
    assert args.stream is not None
    shared = {f.name: getattr(args, f.name) for f in fields(Stream) if hasattr(args, f.name)}
    return Stream(**{**shared, _kind(args, args.stream): args.stream})


def _kind(args: Tune, path: Path) -> str:
    """The option of `stream` that takes such a file."""
    from dnisnm_lava.data.streams.events.files import SUFFIXES
    from dnisnm_lava.data.streams.sources import ARRAYS

    suffix = path.suffix.lower()
    binned = args.microseconds is not None or args.count is not None
    if suffix in SUFFIXES or (suffix in ARRAYS and binned):
        return "events"
    return "frames" if path.is_dir() or suffix in ARRAYS else "video"


def _covered(
    args: Tune, analog: AnalogGraph, frames: Sequence[np.ndarray], space: StreamSpace
) -> dict[str, Any]:
    """What a trial depends on; of the space, the recipe without what is varied."""
    from dnisnm_lava.evaluation.origin import array_digest

    base = {name: value for name, value in asdict(space.base).items() if name not in RECIPE_DIALS}
    return {"network": analog.digest(), "frames": array_digest(np.stack(frames)), "recipe": base}


# ---------------------------------------------------------------- what is told and written


def _result(args: Tune, followed: Stream, found: StreamTuning, data: Data, alarms: Sequence[Alarm]) -> Result:
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava.views import stream_tuning as view

    made_of = _provenance(args, found.networks.analog, found.networks.spiking, found.graph, data=data)
    command = _next_command(args, found.best)
    facts = {**view.stream_tuning_json(found, made_of), "next": command}
    missed = (
        ""
        if found.met
        else f"{view.limit_told(found)}: not met by any dials tried; the nearest are in the result"
    )
    shown = view.stream_tuning_table(found, stream_sources.title(followed))
    table = Group(shown, Text(f"next:\n{_to_paste(command)}"))
    return _with_alarms(args, Result(facts, table, missed), tuple(alarms))


def _written(args: Tune, result: Result, found: StreamTuning, data: Data) -> Result:
    from dnisnm_lava.system.files import whole_folder, write_whole
    from exporters import netx

    assert args.out is not None
    record = remembering.record(args, found.best.recipe, data)
    with whole_folder(args.out, overwrite=args.overwrite) as folder:
        netx.write(folder / STREAM_NET, found.graph, provenance=record)
        write_whole(folder / TUNED_STREAM, (json.dumps(result.data, indent=2) + "\n").encode())
    return _with_place(result, args.out, STREAM_NET, TUNED_STREAM)


def _next_command(args: Tune, best: StreamTrial) -> str:
    """To paste: the whole clip, with the chosen dials; of a file, which has them, or of the model."""
    assert args.stream is not None
    if args.out is None:
        words = ["dnisnm", "stream", *remembering.words(args), *_recipe_words(args, best)]
    else:
        weights = [] if args.weights is None else ["--weights", args.weights]
        words = ["dnisnm", "stream", str(args.out / STREAM_NET), "--model", args.model, *weights]
    return shlex.join([*words, *_measure_words(args), *_source_words(args, args.stream)])


def _recipe_words(args: Tune, best: StreamTrial) -> list[str]:
    named = "paper" if args.recipe == "paper" else "best"
    dials = ["--frame-steps", str(best.steps), "--hysteresis", f"{best.hysteresis:g}"]
    return [
        *(["--recipe", named] if named != "best" else []),
        *recipes.words(best.recipe, recipes.RECIPES[named]),
        *dials,
        *([] if best.at_once is None else ["--at-once", str(best.at_once)]),
    ]


def _source_words(args: Tune, path: Path) -> list[str]:
    """Where the frames are: all of them, not only the first."""
    found = [f"--{_kind(args, path)}", str(path)]
    for name, option in FRAME_WORDS.items():
        if name in args.given:
            value = getattr(args, name)
            found += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return found
