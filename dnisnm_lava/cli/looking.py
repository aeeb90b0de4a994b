"""`inspect`, `check`: what a file or a model is; nothing is simulated."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import framed, remembering, stream_sources
from dnisnm_lava.cli.names import MODELS, RUNTIME_FRAMES, RUNTIME_IMAGES, TEST_IMAGES, WEIGHTS
from dnisnm_lava.cli.networks import _fit_images, _network
from dnisnm_lava.cli.options import (
    ChipOptions,
    DataOptions,
    OfModelOrFile,
    Overwriting,
    Seeded,
    data_option,
    input_shape_option,
    model_option,
)
from dnisnm_lava.cli.output import Result, Stages
from dnisnm_lava.cli.reading import _check_labels, _data, _images, _module, _told_labels
from dnisnm_lava.cli.shared import _rates, _recall
from dnisnm_lava.cli.stream_options import OfFrames
from dnisnm_lava.cli.verb import Verb, argument, flag, option
from dnisnm_lava.errors import BadFile, OutOfRange

if TYPE_CHECKING:
    from dnisnm_lava.ir import Graph, SpikingGraph
    from dnisnm_lava.studies.loihi2.limits import Limits
    from dnisnm_lava.studies.loihi2.rates import Rates
    from dnisnm_lava.studies.loihi2.rules import Checked
    from dnisnm_lava.studies.loihi2.runtime import Runtime
    from dnisnm_lava.studies.loihi2.suggestions import Suggestion


@dataclass(frozen=True, kw_only=True)
class Subject(Verb):
    heading = ""

    subject: str = argument(metavar="SUBJECT", help=f"a netx file, or a model: {MODELS}")
    weights: str | None = option(help=WEIGHTS)
    input_shape: tuple[int, ...] = input_shape_option()
    svg: Path | None = option(metavar="FILE", help="also draw the graph there (default: none)")


@dataclass(frozen=True, kw_only=True)
class Inspect(Subject, DataOptions, Overwriting):
    data: str = data_option(default="")
    overwrite: bool = flag(help="replace what --svg names")


def inspect(args: Inspect, stages: Stages) -> Result:
    """What a netx file holds, or what becomes of a model: every operation, and the graph. Simulates
    nothing."""
    from dnisnm_lava.system.files import refuse_unwritable
    from dnisnm_lava.views import network

    if args.svg:
        refuse_unwritable(args.svg, args.overwrite)
    if args.subject.lower().endswith(".onnx") or (":" in args.subject and not Path(args.subject).is_file()):
        return _inspect_model(replace(args, model=args.subject), stages)
    given = [
        f"--{name.replace('_', '-')}" for name in ("weights", "input_shape", "data") if getattr(args, name)
    ]
    if given:
        raise OutOfRange(f"{args.subject}: a netx file takes no {given[0]}; give it with a model")
    from exporters import netx

    if not Path(args.subject).is_file():
        hint = (
            "PATH.py:FACTORY"
            if args.subject.endswith(".py")
            else "torchvision:NAME, PATH.py:FACTORY or PATH.onnx"
        )
        raise BadFile(f"{args.subject}: no such file; check the path, or name a model as {hint}")
    if args.subject.endswith(".py"):
        raise BadFile(
            f"{args.subject}: a program, not a netx file; name the function that makes the model: "
            f"{args.subject}:FACTORY"
        )
    graph, made_of = netx.read(Path(args.subject)), netx.provenance(args.subject)
    _picture(args, graph)
    table = network.network_table(graph, args.subject)
    return Result({**network.network_json(graph), "made_of": made_of}, remembering.beside(table, made_of))


def _inspect_model(args: Inspect, stages: Stages) -> Result:
    from dnisnm_lava.data.models import load_model, own_input_shape
    from dnisnm_lava.data.onnx.conversion import evaluation_of
    from dnisnm_lava.frontend import walk
    from dnisnm_lava.views import coverage as coverage_view

    if args.input_shape and args.data:
        raise OutOfRange("inspect: give either --input-shape or --data, not both")
    data = _data(args) if args.data else None
    shape = tuple(data.train[0][0].shape) if data else args.input_shape or own_input_shape(args.subject)
    if min(shape or (1,)) < 1:
        raise OutOfRange(f"input_shape: {shape} given; every size must be 1 or more")
    progress = stages("trace")
    model = (
        _module(args, data, progress)
        if data
        else load_model(args.subject, args.weights, shape or (), progress)
    )
    if not shape:
        raise OutOfRange(
            f"{args.subject}: the shape of an image is not known; give it as --input-shape C,H,W, or "
            f"images as --data"
        )
    coverage = replace(walk.inspect(model, np.zeros(shape, np.float32)), model=args.subject)
    held = evaluation_of(model)
    if held:
        coverage = replace(coverage, notices=(held.sentence(), *coverage.notices))
    if args.svg and not coverage.refused:
        stages("trace again, draw")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # notices, which the coverage tells
            _picture(args, walk.from_torch(model, np.zeros(shape, np.float32)))
    failed = coverage_view.refused_sentence(coverage)
    told = f"{args.subject}: {failed}, and no picture was drawn" if args.svg else f"{args.subject}: {failed}"
    result = {**coverage_view.coverage_json(coverage), **({"onnx": asdict(held)} if held else {})}
    return Result(result, coverage_view.coverage_table(coverage), told if failed else "")


def _picture(args: Inspect, graph: Graph) -> None:
    if args.svg:
        from dnisnm_lava.system.files import write_whole
        from dnisnm_lava.views import graph_svg

        write_whole(args.svg, graph_svg.svg(graph, args.subject), overwrite=args.overwrite)


@dataclass(frozen=True, kw_only=True)
class Check(OfFrames, ChipOptions, Seeded):
    net: Path = argument(help="a netx file")
    limit: int = option(
        default=RUNTIME_FRAMES,
        metavar="N",
        help="take so many frames, of which the first is an image (%(default)s)",
    )
    images: int = option(
        default=RUNTIME_IMAGES, help="test images, whose spikes the time rests on (%(default)s); 0: no time"
    )
    suggest: int | None = option(
        metavar="N",
        help=f"make cheaper networks of the model that the file remembers, and tell their cores and points "
        f"on so many test images; 0: none (default: {TEST_IMAGES:,} where this one is too large, else 0)",
    )
    model: str = model_option()
    weights: str | None = option(help=WEIGHTS)


def check(args: Check, stages: Stages) -> Result:
    """Whether a netx file fits a chip, Loihi 2 or another: design rules, an estimate of the cores it would
    take, a bound on its time, and cheaper networks that were tried."""
    from dnisnm_lava.studies.loihi2.limits import limits
    from dnisnm_lava.views import checks
    from dnisnm_lava.views.runtime import runtime_json
    from exporters import netx

    if not args.net.is_file() and (":" in str(args.net) or args.net.suffix in (".py", ".onnx")):
        raise BadFile(
            f"{args.net}: a model, but check takes a netx file; dnisnm convert makes one, dnisnm inspect "
            f"tells of a model"
        )
    if args.rates is not None and args.images == 0:
        raise OutOfRange("--rates: belong to the time, which --images 0 leaves out; leave one of them out")
    target, chip = limits(args.target), _rates(args)
    graph, made_of = _followed(args, netx.read(args.net)), netx.provenance(args.net)
    found = dn.check(graph, chips=args.chips, period=args.period, target=target)
    time, missing = _time(args, graph, made_of, target, chip, stages)
    tried, why = _suggestions(args, graph, found, stages)
    missing = "\n".join(filter(None, [missing, why]))
    table = remembering.beside(checks.check_table(found, str(args.net), time, missing, tried), made_of)
    facts = {
        **checks.check_json(found),
        "runtime": time and runtime_json(time),
        "suggestions": [asdict(s) for s in tried],
        "made_of": made_of,
    }
    return Result(facts, table, checks.broken(found))


def _followed(args: Check, graph: SpikingGraph) -> SpikingGraph:
    """The stream's network, where frames are given."""
    from dnisnm_lava.studies.streams.following import of_stream

    if not framed.follows(args):
        return graph
    stream_sources.check_dials_of(args, graph)
    return of_stream(graph, args.frame_steps, args.hysteresis, args.at_once)


def _suggestions(
    args: Check, graph: SpikingGraph, found: Checked, stages: Stages
) -> tuple[tuple[Suggestion, ...], str]:
    """What was tried; or nothing, and why. Where nobody asked, a file that does not tell its model and data
    is no error."""
    from dnisnm_lava.views import checks

    count = args.suggest
    if count is None:
        count = TEST_IMAGES if found.is_too_large else 0
    if count == 0:
        useless = args.suggest is None and not found.fits
        return (), "no suggestions: none that is tried would mend what does not hold" if useless else ""
    if graph.carry:
        return (), "no suggestions: a stream's network is made of one of images; check that"
    try:
        own = _recall(_of_file(args))
    except (BadFile, OutOfRange) as error:
        if args.suggest is not None or args.given & {"model", "data"}:
            raise
        return (), f"no suggestions, which are made of the model and its images: {error}"
    stages.tell(f"{checks.verdict(found)}; cheaper networks are tried now")
    return _tried(own, count, found, stages), ""


def _of_file(args: Check) -> OfModelOrFile:
    """The same, as a verb that makes the file's network again."""
    names = {f.name for f in fields(OfModelOrFile)}
    return OfModelOrFile(**{f.name: getattr(args, f.name) for f in fields(args) if f.name in names})


def _tried(own: OfModelOrFile, count: int, found: Checked, stages: Stages) -> tuple[Suggestion, ...]:
    from dnisnm_lava.cli import splitting
    from dnisnm_lava.data import datasets
    from dnisnm_lava.measures import Ask
    from dnisnm_lava.studies.loihi2.suggestions import suggest
    from dnisnm_lava.system.ranks import Group

    data = _data(own)
    chosen = datasets.choose(data.test, count, own.seed)
    check = partial(_check_labels, data.test, chosen, Ask(), {})
    nets, _ = _network(own, data, Group(device=own.device), stages, check=check)
    assert nets.recipe is not None
    split = splitting.remembered(own, data.train)
    fitted = _fit_images(own, data, split) if nets.recipe.needs_images else None
    x, y = datasets.arrays(data.test, chosen, stages("read images"))
    return suggest(nets, fitted, x, _told_labels(y), found=found, session=dn.Session(stages=stages))


def _time(
    args: Check,
    graph: SpikingGraph,
    made_of: Mapping[str, Any],
    target: Limits,
    chip: Rates,
    stages: Stages,
) -> tuple[Runtime | None, str]:
    """The bound on time, on spikes of test images; or None, and why there is none."""
    from dnisnm_lava.studies.loihi2.limits import LOIHI2

    if target != LOIHI2:
        return None, f"no time: its model is of Loihi 2's cores and links, not of --target {args.target}"
    if graph.carry:
        return _time_of_frames(args, graph, chip, stages)
    if args.images == 0:
        return None, ""
    if not args.data and not made_of.get("data"):
        return None, "no time: it rests on spikes, and the file remembers no images; give --data"
    try:
        args = remembering.recall(args, "data")
    except BadFile as error:
        if args.data:
            raise
        return None, f"no time, which rests on spikes: {error}"
    x, _ = _images(_data(args, graph).test, args.images, args.seed, stages, classes=False)
    stages("spikes of images")
    return dn.runtime(graph, x, given=chip), ""


def _time_of_frames(
    args: Check, graph: SpikingGraph, chip: Rates, stages: Stages
) -> tuple[Runtime | None, str]:
    """The same of a stream's network."""
    if args.source is None:
        return None, "no time: it rests on spikes of frames; give --video, --frames or --events"
    source = stream_sources.source_of(args)
    x = framed.first(stream_sources.prepared(remembering.recall(args), source), graph, args.limit)
    stages("spikes of frames")
    return dn.runtime(graph, x, given=chip), ""
