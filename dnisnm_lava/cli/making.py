"""`convert`, `tune`, `precision`: networks out of a model."""

from __future__ import annotations

import json
import shlex
import warnings
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dnisnm_lava as dn
from dnisnm_lava import measures
from dnisnm_lava.cli import remembering, splitting, stream_tuning
from dnisnm_lava.cli.alarms import _causes, _raised, _told, _with_alarms
from dnisnm_lava.cli.blocks import _allowed_to_finish, _journal, _measure_words
from dnisnm_lava.cli.names import (
    ANN_IMAGES,
    BITS,
    BITS_TRIED,
    FRONT,
    HELD_IMAGES,
    NET,
    PRECISION,
    STREAM_NET,
    STUDY_IMAGES,
    TOLERANCE,
    TUNED_STREAM,
    TUNING,
)
from dnisnm_lava.cli.networks import _network, _recipe, _set_up, _statistics, _traced
from dnisnm_lava.cli.options import (
    MeasureOptions,
    OfModel,
    Overwriting,
    Resumable,
    Seeded,
    data_option,
    images_option,
    input_shape_option,
    model_option,
    out_option,
)
from dnisnm_lava.cli.output import Result, Stages, _to_paste, _with_place, _written
from dnisnm_lava.cli.reading import (
    _check_labels,
    _data,
    _given,
    _images,
    _require_data,
    _title,
    _told_labels,
    _transforms,
)
from dnisnm_lava.cli.shared import _provenance, _tried
from dnisnm_lava.cli.stream_options import ClipOptions
from dnisnm_lava.cli.values import _range
from dnisnm_lava.cli.verb import Verb, flag, option
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages import recipes

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.evaluation.blocks import Kept
    from dnisnm_lava.evaluation.sanity import Alarm
    from dnisnm_lava.measures import Measure, Score
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.stages.recipes import Recipe
    from dnisnm_lava.studies.tuning.pareto import Target
    from dnisnm_lava.system import ranks


@dataclass(frozen=True, kw_only=True)
class Convert(OfModel, MeasureOptions, Resumable, Overwriting, Seeded):
    model: str = model_option(required=True)
    data: str = data_option(default=" (default: none, with --threshold gauss or max)")
    input_shape: tuple[int, ...] = input_shape_option(", where there is no --data")
    out: Path = out_option("file to write", NET)


def convert(args: Convert, stages: Stages) -> Result:
    """The model as an integer spiking network, in a netx file."""
    from dnisnm_lava.evaluation import blocks, origin
    from dnisnm_lava.system import ranks
    from dnisnm_lava.system.files import refuse_unwritable

    with ranks.joined(args.device) as group:
        args = _allowed_to_finish(args)
        refuse_unwritable(args.out, args.overwrite)
        if not args.data:
            return _without_images(args, stages) if group.is_first else Result({}, "")
        if args.input_shape:
            raise OutOfRange("convert: give either --input-shape or --data, not both")
        job = blocks.fingerprint(version=dn.__version__, versions=origin.versions())
        with blocks.keeping(args.out, job, group, resume=args.resume, overwrite=args.overwrite) as kept:
            return _with_images(args, group, stages, kept)


def _with_images(args: Convert, group: ranks.Group, stages: Stages, kept: Kept | None) -> Result:
    """The same, as images tell. kept: where `fit` keeps what is done."""
    from rich.console import Group

    from dnisnm_lava.views import network as network_view
    from exporters import netx

    data = _data(args)
    network, set_up = _network(args, data, group, stages, kept if group.is_first else None)
    if not group.is_first:
        return Result({}, "")
    assert network.statistics is not None
    assert network.recipe is not None
    ann, told, alarms = _seen_in_calibration(args, network) or _prepared(args, network.analog, data, stages)
    stages("write")
    netx.write(
        args.out,
        network.integer,
        overwrite=args.overwrite,
        provenance=remembering.record(args, network.recipe, data),
    )
    facts = {
        **network_view.network_json(network.integer),
        "file": str(args.out),
        "calibration_images": network.statistics.images,
        "recipe": asdict(network.recipe),
        "ann": ann,
    }
    shown = Group(network_view.network_table(network.integer, _title(args)), told)
    _tell_what_is_short(network)
    raised = (*(set_up.alarms or ()), *alarms)
    return _written(_with_alarms(args, Result(facts, shown), raised), str(args.out))


def _tell_what_is_short(network: Networks) -> None:
    """Notices of few images, and of weights that use few bits: known without a measurement."""
    from dnisnm_lava.ir import weight_use
    from dnisnm_lava.studies.explain import remedies

    few = [f"{r.why}: {r.option}" for r in remedies.of_few_images(remedies.Setting.of(network))]
    for notice in filter(None, [*few, weight_use.sentence(weight_use.few_bits(network.integer))]):
        warnings.warn(notice, UserWarning, stacklevel=1)


def _without_images(args: Convert, stages: Stages) -> Result:
    """The same of a model alone."""
    from rich.console import Group

    from dnisnm_lava.cli import without_images
    from dnisnm_lava.views import network as network_view
    from exporters import netx

    found = None if args.mean or args.range else _transforms(args)
    if found is not None:
        args = replace(args, transforms=found[0])
    network, origins = without_images.network(args, stages)
    assert network.recipe is not None
    stages("write")
    netx.write(
        args.out,
        network.integer,
        overwrite=args.overwrite,
        provenance=remembering.record(args, network.recipe, None),
    )
    facts = {
        **network_view.network_json(network.integer),
        "file": str(args.out),
        "calibration_images": 0,
        "recipe": asdict(network.recipe),
        "ann": None,
        "moments": origins,
    }
    told = "no image was used, so nothing tells what the ANN gets right, or how images are to be prepared"
    shown = Group(network_view.network_table(network.integer, _title(args)), told)
    return _written(Result(facts, shown), str(args.out))


def _seen_in_calibration(
    args: Convert, network: Networks
) -> tuple[dict[str, Any], str, tuple[Alarm, ...]] | None:
    """What the ANN got right of the calibration images, where that is what is measured, of which alarms were
    raised before; else None."""
    from dnisnm_lava.measures import AUTO, Share, named_output

    assert network.statistics is not None
    found, analog = network.statistics.answers, network.analog
    first = named_output(analog.output_shapes, args.output) == analog.readout.name
    if found is None or not found.of or found.maps or not first or args.ignore_label is not None:
        return None
    several = found.by_label is not None or prod(analog.output_shapes[analog.readout.name]) == 1
    kind = "binary" if several else "classes"
    if args.measure not in (AUTO, kind):
        return None
    measure = replace(measures.of(analog, kind=kind), labels=True)
    return *_told_of_ann(measure, Share(found.right, found.of, found.images), found.images), ()


def _told_of_ann(measure: Measure, score: Score, images: int) -> tuple[dict[str, Any], str]:
    found = {
        "images": images,
        "accuracy" if measure.is_share else "r2": score.value,
        "measure": measure.facts,
    }
    told = (
        f"the ANN's {measure.name.removesuffix(', %')} is {measure.shown(score.value, 1)} "
        f"{'%' if measure.is_share else ''}"
    )
    return found, f"{told.strip()} on {images:,} training images ({measure})"


def _prepared(
    args: Convert, analog: dn.AnalogGraph, data: Data, stages: Stages
) -> tuple[dict[str, Any] | None, str, tuple[Alarm, ...]]:
    """What the ANN gets right of some training images, which tells whether they are prepared as in training,
    and the alarm where it explains nothing of targets; None where no labels tell, and why."""
    from dnisnm_lava.backends import ann
    from dnisnm_lava.evaluation import sanity

    x, y = _images(data.train, ANN_IMAGES, args.seed, stages, classes=False)
    labels = _told_labels(y)
    try:
        measure = measures.of(analog, labels, args.measure, args.output, args.ignore_label)
        if labels is None or not measure.labels:
            return (
                None,
                "no labels or targets come with the images, so nothing tells whether they are prepared "
                "as in training",
                (),
            )
        right, answers = (
            measure.wanted(labels),
            measure.said(ann.ann(analog, x, readout=measure.output, device=args.device)),
        )
        score = measure.score(measure.count(answers, right), measure.spread(right), len(x))
    except OutOfRange as error:
        return None, f"nothing tells whether images are prepared as in training: {error}", ()
    alarms = _told(sanity.of_values(score, f"images of {data.train.name}", _causes(args, data)))
    return *_told_of_ann(measure, score, len(x)), alarms


@dataclass(frozen=True, kw_only=True)
class TargetOptions(Verb):
    heading = "target"
    about = "one of these; of what a recipe's options fix, the search varies nothing"
    exclusive = True

    max_steps: int | None = option(metavar="T", help="time steps")
    max_latency: int | None = option(
        metavar="STEPS", help="until the read-out is done, leads and depth in it"
    )
    max_spikes: float | None = option(metavar="N", help="of an image")
    max_drop: float | None = option(
        metavar="POINTS",
        help="below the ANN, for as little latency as can be; with --stream, below the best agreement, for "
        "as few operations",
    )
    max_error: float | None = option(
        metavar="SHARE", help="of values: RMSE by the standard deviation, for as little latency"
    )


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Verb):
    heading = "target"

    labels: bool = flag(help="measure against training labels (default: the ANN's own answers)")
    held_images: int = option(
        default=HELD_IMAGES, help="training images to measure on, not fitted on (%(default)s)"
    )


@dataclass(frozen=True, kw_only=True)
class Tune(
    OfModel, MeasureOptions, TargetOptions, SearchOptions, ClipOptions, Resumable, Overwriting, Seeded
):
    model: str = model_option(required=True)
    data: str = data_option(default=" (default: with --stream, frames of it)")
    out: Path | None = out_option(
        f"folder for {NET}, {TUNING} and {FRONT}, or, with --stream, {STREAM_NET} and {TUNED_STREAM}"
    )


def tune(args: Tune, stages: Stages) -> Result:
    """The recipe that serves a target best, found on training images; or the dials of a stream; and its
    network."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _tune(args, group, stages)


def _tune(args: Tune, group: ranks.Group, stages: Stages) -> Result:
    from rich.console import Group
    from rich.text import Text

    from dnisnm_lava.backends import ann
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation.origin import array_digest
    from dnisnm_lava.measures.answers import answers
    from dnisnm_lava.studies.tuning import phases, racing
    from dnisnm_lava.studies.tuning import tune as tuning
    from dnisnm_lava.system.files import refuse_full, whole_folder, write_whole
    from dnisnm_lava.views import tuning as tuning_report
    from exporters import netx

    args = _allowed_to_finish(args)
    if args.out:
        refuse_full(args.out, args.overwrite)
    if args.stream is not None:
        return stream_tuning.tune_stream(args, _target(args), stages) if group.is_first else Result({}, "")
    stream_tuning.refuse_dials_of_streams(args)
    _require_data(args)
    for name, count, least in (
        ("--fit-images", args.fit_images, 1),
        ("--held-images", args.held_images, 2),
    ):
        if count < least:
            raise OutOfRange(f"{name}: {count} given; give {least} or more")
    base, data = _recipe(args), _data(args)
    analog = _traced(args, data, stages).graph
    split = splitting.split(data.train, args.calibration_images, args.fit_images, args.held_images, args.seed)
    if args.labels:
        _check_labels(data.train, split.searched, args.ask, {}, analog)
    stats = _statistics(analog, data, split.calibrate, group, stages) if len(split.calibrate) else None
    x, y = datasets.arrays(data.train, split.searched, stages("read images"), classes=args.labels)
    labels = _told_labels(y)
    told = answers(ann.ann(analog, x, device=group.device), labels) if stats is None else stats.answers
    alarms = _raised(args, told, data, analog)
    measure = tuning.measure_of(analog, labels, args.labels, args.ask)
    given = {dial for dial in phases.DIALS if getattr(args, dial) is not None} | (
        {"granularity"} if args.share is not None else set()
    )
    target = _target(args)
    space = tuning.Space(
        base,
        set(phases.DIALS) - given,
        held_back=splitting.share(args.fit_images, args.held_images),
        seed=args.seed,
    )
    covered = {
        "network": analog.digest(),
        "images": array_digest(x, *_given(labels)),
        "labels": args.labels,
        "recipe": asdict(base),
        "varied": sorted(space.vary),
        "held_images": args.held_images,
        "target": asdict(target),
        "pruned": (racing.ROUNDS, racing.LEVEL),
    }
    with _journal(args, data, covered, stages, most=True, group=group) as kept:
        found = tuning.tune(
            analog,
            x,
            target,
            labels if args.labels else None,
            measure=measure,
            space=space,
            statistics=stats,
            session=dn.Session(group.device, stages=stages, set_up=_set_up(args, data, alarms)),
            journal=kept,
        )
        if not group.is_first:
            return Result({}, "")
        title = _title(args)
        made_of = _provenance(args, analog, found.networks.spiking, found.networks.integer, data=data)
        facts = {
            **tuning_report.tuning_json(found, made_of),
            "split": split.facts,
            "next": _next_command(args, found.recipe),
        }
        missed = (
            "" if found.met else f"{found.target}: not met by any recipe tried; the nearest is in the result"
        )
        table = Group(tuning_report.tuning_table(found, title), Text(f"next:\n{_to_paste(facts['next'])}"))
        result = _with_alarms(args, Result(facts, table, missed), alarms)
        facts = result.data
        if args.out is None:
            return result
        record = {
            **remembering.record(args, found.recipe, data),
            "split": splitting.record(split, args, data.train),
        }
        with whole_folder(args.out, overwrite=args.overwrite) as folder:
            netx.write(folder / NET, found.networks.integer, provenance=record)
            write_whole(folder / TUNING, (json.dumps(facts, indent=2) + "\n").encode())
            write_whole(folder / FRONT, tuning_report.tuning_picture(found, title))
        return _with_place(result, args.out, NET, TUNING, FRONT)


def _target(args: Tune) -> Target:
    """The one that is asked for."""
    from dnisnm_lava.studies.tuning.pareto import KINDS, Target

    given = [Target(kind, limit) for kind in KINDS if (limit := getattr(args, f"max_{kind}")) is not None]
    if len(given) != 1:
        raise OutOfRange(
            f"tune: {len(given)} targets given; give one of {', '.join(f'--max-{kind}' for kind in KINDS)}"
        )
    return given[0]


def _next_command(args: Tune, recipe: Recipe) -> str:
    """To paste: the winner on test images."""
    words = ["dnisnm", "compare", *remembering.words(args), *_measure_words(args)]
    if args.out:
        return shlex.join([*words, "--recipe", str(args.out / TUNING)])
    named = "paper" if args.recipe == "paper" else "best"
    return shlex.join(
        [
            *words,
            *(["--recipe", named] if named != "best" else []),
            *recipes.words(recipe, recipes.RECIPES[named]),
        ]
    )


def _bits_option(kind: str) -> Any:
    return option(type=_range, default=BITS_TRIED[kind], metavar="BITS", help="(%(default)s)")


@dataclass(frozen=True, kw_only=True)
class BitOptions(Verb):
    heading = "bits to try"
    about = "all combinations, then each population alone; `2-8` or `2,4,8`"

    try_weight_bits: tuple[int, ...] = _bits_option("weight")
    try_payload_bits: tuple[int, ...] = _bits_option("payload")
    try_state_bits: tuple[int, ...] = _bits_option("state")
    tolerance: float = option(
        default=TOLERANCE,
        metavar="POINTS",
        help="of agreement with the float network that a population may cost alone before it counts as "
        "broken (%(default)g)",
    )


@dataclass(frozen=True, kw_only=True)
class Precision(OfModel, MeasureOptions, BitOptions, Resumable, Overwriting, Seeded):
    model: str = model_option(required=True)
    data: str = data_option(required=True)
    out: Path | None = out_option(f"folder for {PRECISION} and {BITS}")
    images: int = images_option(STUDY_IMAGES)


def precision(args: Precision, stages: Stages) -> Result:
    """What integers cost: accuracy over bits of weights, payloads and state, and the population that breaks
    first."""
    from dnisnm_lava.system import ranks

    with ranks.joined(args.device) as group:
        return _precision(args, group, stages)


def _precision(args: Precision, group: ranks.Group, stages: Stages) -> Result:
    from dnisnm_lava.evaluation.origin import array_digest
    from dnisnm_lava.stages.quantization import check_bits
    from dnisnm_lava.studies.precision import Tried
    from dnisnm_lava.system.files import refuse_full, whole_folder, write_whole
    from dnisnm_lava.views import precision as bitwidths_report

    args = _allowed_to_finish(args)
    if args.out:
        refuse_full(args.out, args.overwrite)
    check_bits(
        weight_bits=args.try_weight_bits, payload_bits=args.try_payload_bits, state_bits=args.try_state_bits
    )
    data, network, set_up, x, y, _ = _tried(args, group, stages)
    if not group.is_first:
        return Result({}, "")
    assert network.recipe is not None
    covered = {
        "network": network.spiking.digest(),
        "images": array_digest(x, *_given(y)),
        "recipe": asdict(network.recipe),
    }
    with _journal(args, data, covered, stages) as kept:
        bits = Tried(args.try_weight_bits, args.try_payload_bits, args.try_state_bits)
        found = dn.precision(
            network,
            x,
            y,
            bits=bits,
            tolerance=args.tolerance,
            measure=args.ask,
            session=dn.Session(args.device, stages=stages),
            journal=kept,
        )
        title = f"{_title(args)}, T = {network.recipe.steps}"
        provenance = {
            **_provenance(args, network.analog, network.spiking, x, *_given(y), data=data),
            "recipe": asdict(network.recipe),
        }
        facts = bitwidths_report.precision_json(found, provenance)
        result = _with_alarms(
            args, Result(facts, bitwidths_report.precision_table(found, title)), set_up.alarms or ()
        )
        facts = result.data
        if args.out is None:
            return result
        with whole_folder(args.out, overwrite=args.overwrite) as folder:
            write_whole(folder / PRECISION, (json.dumps(facts, indent=1) + "\n").encode())
            write_whole(folder / BITS, bitwidths_report.precision_picture(found, title))
        return _with_place(result, args.out, PRECISION, BITS)


def lava_environment(args: Verb, stages: Stages) -> Result:
    """Makes a Python 3.10 with Lava in the cache folder, for --lava-python auto; anew where it is there."""
    from dnisnm_lava.backends.lava_cpu import installation, interpreter

    stages(f"make {installation.home()} (about a minute, with downloads)")
    made = interpreter.chosen(installation.make())
    assert made is not None
    told = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return Result(
        {"path": made.path, "versions": dict(made.versions)},
        f"{made.path}: {told}\nuse it with --lava-python auto",
    )
