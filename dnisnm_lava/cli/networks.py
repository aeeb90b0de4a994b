"""The networks that a verb makes of a model and its images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import ranges, remembering, splitting
from dnisnm_lava.cli.alarms import _causes, _raised
from dnisnm_lava.cli.options import OfModel, RecipeOptions
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.reading import _module
from dnisnm_lava.cli.sizes import _tell_size, _tell_time
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.fitting import THRESHOLDS
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.system.pace import Pace

if TYPE_CHECKING:
    from dnisnm_lava.cli.splitting import Split
    from dnisnm_lava.data.datasets import Data
    from dnisnm_lava.data.inputs import Images
    from dnisnm_lava.evaluation.blocks import Kept
    from dnisnm_lava.evaluation.sanity import Alarm, SetUp
    from dnisnm_lava.frontend.walk import Traced
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.system.progress import Progress
    from dnisnm_lava.system.ranks import Group

WORTH_TELLING = 5.0  # seconds that `fit` still takes


def _traced(args: OfModel, data: Data, stages: Stages) -> Traced:
    """The model as a graph, with its coverage under the name that the user gave; notices told."""
    from dnisnm_lava.frontend import walk

    traced = walk.trace(_module(args, data, stages("trace")), data.train.first)
    graph = traced.graph
    for notice in traced.coverage.notices:
        warnings.warn(notice, UserWarning, stacklevel=1)
    ranges.tell_better_range(args, graph, data)
    return replace(traced, coverage=replace(traced.coverage, model=args.model))


def _statistics(
    analog: dn.AnalogGraph, data: Data, chosen: np.ndarray, group: Group, stages: Stages
) -> dn.Statistics:
    from dnisnm_lava.data.datasets import Chosen

    sample = Chosen(data.train, chosen, stages("calibrate"))
    return dn.calibrate(analog, sample, device=group.device, group=group)


def _network(
    args: OfModel,
    data: Data,
    group: Group,
    stages: Stages,
    keep: Kept | None = None,
    check: Callable[[dn.AnalogGraph], None] | None = None,
) -> tuple[Networks, SetUp]:
    """The networks, the file's integers in them where a verb is about one, and what is known of the set-up.
    The ranks share it: all have the same. keep: where `fit` keeps what is done. check: what is to be looked
    at as soon as the model is traced, since all else takes long."""
    recipe = _recipe(args)
    _tell_unread(args, recipe)
    traced = _traced(args, data, stages)
    if check is not None:
        check(traced.graph)
    split = splitting.remembered(args, data.train)
    fitted = _fitted(args, data, split) if recipe.needs_images else 0
    _tell_size(args.model, traced.graph, recipe, fitted)
    raised: list[Alarm] = []

    def calibrated(analog: dn.AnalogGraph, stats: dn.Statistics, images: int) -> None:
        _tell_time(args.model, analog, recipe, stats, images)
        raised.extend(_raised(args, stats.answers, data, analog))

    if split is None:
        made = dn.build(
            traced,
            data.train,
            recipe,
            dn.Samples(args.calibration_images, args.fit_images, args.seed),
            device=group.device,
            stages=_paced(stages),
            calibrated=calibrated,
            group=group,
            keep=keep,
        )
    else:
        made = _of_split(args, traced, recipe, data, split, group, stages, calibrated)
    return replace(made, integer=_integer(args, made.integer)), _set_up(args, data, tuple(raised))


def _set_up(args: OfModel, data: Data, alarms: tuple[Alarm, ...]) -> SetUp:
    from dnisnm_lava.evaluation.sanity import SetUp

    return SetUp(args.expect_accuracy, _causes(args, data), alarms)


def _of_split(
    args: OfModel,
    traced: Traced,
    recipe: Recipe,
    data: Data,
    split: Split,
    group: Group,
    stages: Stages,
    calibrated: Callable[[dn.AnalogGraph, dn.Statistics, int], None],
) -> Networks:
    """As `tune` made them: of its images, in its order and at once, so that sums round as there."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.studies.tuning import tune

    analog = traced.graph
    if len(split.calibrate):
        stats = _statistics(analog, data, split.calibrate, group, stages)
    else:
        x, _ = datasets.arrays(data.train, split.fit, stages("calibrate"), classes=False)
        stats = tune.maxima(analog, x, group.device, group)
    fitted = len(split.fit) if recipe.needs_images else 0
    calibrated(analog, stats, fitted)
    stages("convert, quantize")
    images = datasets.arrays(data.train, split.fit, classes=False)[0] if fitted else None
    made = follow(recipe, analog, stats, images, _paced(stages), group)
    return replace(made, images=fitted, available=len(data.train), coverage=traced.coverage)


def _paced(stages: Stages) -> Callable[[str], Progress | None]:
    """The same; of `fit`, the time that is left is told too."""

    def begin(name: str) -> Progress | None:
        progress = stages(name)
        if name != "fit":
            return progress
        return Pace("pass of the ANN", stages.tell, progress=progress, least=WORTH_TELLING)

    return begin


def _fitted(args: OfModel, data: Data, split: Split | None) -> int:
    return min(args.fit_images, len(data.train)) if split is None else len(split.fit)


def _fit_images(args: OfModel, data: Data, split: Split | None) -> Images:
    """What all but maxima is fitted on: a sample, or the images of `tune`."""
    from dnisnm_lava.data import datasets

    return (
        data.train.sample(args.fit_images, args.seed)
        if split is None
        else datasets.arrays(data.train, split.fit, classes=False)[0]
    )


def _integer(args: OfModel, made: dn.SpikingGraph) -> dn.SpikingGraph:
    """The file's, where there is one, with a notice where what was made anew is another; else `made`."""
    if args.net is None:
        return made
    from exporters import netx

    kept = netx.read(args.net)
    if [(p.name, p.shape) for p in kept] != [(p.name, p.shape) for p in made]:
        raise OutOfRange(
            f"{args.net}: holds other populations than {args.model}; give the --model that it was made of"
        )
    if kept.digest() != made.digest():
        warnings.warn(
            f"{args.net}: made anew from {args.model}, its integers are others (other data, weights, "
            f"seed or versions): "
            "what is said of integers is said of the file, and the float network beside it was made now",
            stacklevel=1,
        )
    return kept


def _recipe(args: OfModel) -> Recipe:
    """--recipe, and what other options say instead; of a file that remembers one, its own."""
    given = {f.name: getattr(args, f.name) for f in fields(Recipe) if getattr(args, f.name) is not None}
    remembered = args.made_of.get("recipe")
    if remembered is not None and (given or "recipe" in args.given):
        dial = next(iter(given), "recipe").replace("_", "-")
        raise OutOfRange(
            f"{args.net}: has its own recipe, and --{dial} belongs to a --model; leave one of them out"
        )
    recipe = (
        replace(recipes.named(args.recipe), **given) if remembered is None else remembering.recipe_of(args)
    )
    recipes.check(recipe)
    return recipe


def _tell_unread(args: RecipeOptions, recipe: Recipe) -> None:
    """A notice of each option that the recipe's threshold does not read."""
    readers = {
        "percentile": ["percentile"],
        "subset": ["subset-max"],
        "share": [rule for rule in THRESHOLDS if rule != "max"],
    }
    for dial, rules in readers.items():
        if getattr(args, dial) is not None and recipe.threshold not in rules:
            warnings.warn(
                f"--{dial}: has no effect with --threshold {recipe.threshold}, but with {', '.join(rules)}",
                stacklevel=1,
            )
