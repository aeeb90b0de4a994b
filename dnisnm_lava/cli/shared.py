"""What several verbs do: read data, make the networks, go through images in blocks, say where a result comes
from."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli import ranges, remembering, splitting
from dnisnm_lava.cli.alarms import _causes, _raised
from dnisnm_lava.cli.names import BLOCK, DEMO_LAVA_IMAGES, LAVA_IMAGES, PREPARED_BY
from dnisnm_lava.cli.options import (
    ChipOptions,
    DataOptions,
    LavaOptions,
    LavaToo,
    MeasureOptions,
    OfModel,
    OfModelOrFile,
    RecipeOptions,
    Resumable,
    Seeded,
    TargetOptions,
)
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.verb import Verb
from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.fitting import THRESHOLDS
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.system.machine import Compute
from dnisnm_lava.system.pace import Pace, duration
from dnisnm_lava.system.ranks import ALONE

if TYPE_CHECKING:
    from dnisnm_lava.backends.lava_cpu import Lava
    from dnisnm_lava.cli.comparing import Compare
    from dnisnm_lava.cli.explaining import Explain, Report
    from dnisnm_lava.cli.making import Precision, Tune
    from dnisnm_lava.cli.simulating import Simulate
    from dnisnm_lava.cli.splitting import Split
    from dnisnm_lava.data.datasets import Data, Labelled
    from dnisnm_lava.data.inputs import Images
    from dnisnm_lava.evaluation.blocks import Kept, Part
    from dnisnm_lava.evaluation.sanity import Alarm, SetUp
    from dnisnm_lava.evaluation.tallies import Tally
    from dnisnm_lava.evaluation.trials import Journal
    from dnisnm_lava.frontend.walk import Traced
    from dnisnm_lava.ir import Graph
    from dnisnm_lava.measures import Ask, Measure
    from dnisnm_lava.stages.networks import Networks
    from dnisnm_lava.studies.loihi2.rates import Rates
    from dnisnm_lava.system.progress import Progress
    from dnisnm_lava.system.ranks import Group


M = TypeVar("M", bound=OfModelOrFile)
R = TypeVar("R", bound=Resumable)
WORTH_TELLING = 5.0  # seconds that `fit` still takes
MANY_NEURONS = 4_000_000  # from here on, what they take is told before
SEEN_BYTES = 2 * 4  # of a neuron: least and largest seen
FLOAT_BYTES = {"theta": 8, "v_init": 8}  # where a channel's neurons have their own; a payload is theta
FILE_BYTES = {"theta": 2 * 4, "v_init": 4}  # in a file, and as integers in memory: theta and payload


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


def _tell_size(who: str, analog: dn.AnalogGraph, recipe: Recipe, images: int) -> None:
    """What a large network will take, before time is spent on it. images: that it is fitted on."""
    neurons = _neurons(analog)
    if neurons < MANY_NEURONS:
        return
    kept = (recipe.steps + 4) * images * neurons  # spikes are bytes, activations floats
    fitted = (
        f", and up to {kept / 1e9:,.0f} GB, in memory or in temporary files, of {images} images to fit on"
        if kept
        else ""
    )
    own = _own_constants(recipe)
    channel = ", and --granularity channel --share channel" if "theta" in own else ""
    file = sum(FILE_BYTES[key] for key in own)
    held = SEEN_BYTES + file + sum(FLOAT_BYTES[key] for key in own)
    smaller = "smaller images, fewer --fit-images or --recipe paper" if images else "smaller images"
    warnings.warn(
        f"{who}: {neurons:,} neurons: about {held * neurons / 1e9:.1f} GB for their thresholds, "
        f"potentials and maxima{fitted}; "
        f"a file takes {file * neurons / 1e6:,.0f} MB for them; time grows alike: {smaller} take less"
        f"{channel}",
        stacklevel=1,
    )


def _neurons(analog: dn.AnalogGraph) -> int:
    return sum(math.prod(p.shape) for p in analog.populations[1:])


def _own_constants(recipe: Recipe) -> list[str]:
    """What each neuron of a channel has its own of."""
    return ["theta", "v_init"] if recipe.own_thresholds else ["v_init"] if "v_init" in recipe.correct else []


def _tell_time(who: str, analog: dn.AnalogGraph, recipe: Recipe, stats: dn.Statistics, images: int) -> None:
    """How long a large network will take at least, by what the ANN took in calibration."""
    passes = recipe.steps * recipe.runs
    if _neurons(analog) < MANY_NEURONS or not passes or not images:
        return
    warnings.warn(
        f"{who}: a pass of the ANN took {stats.seconds:.2g} s an image; fitting and rounding make "
        f"{passes} or more of each of "
        f"{images} images: at least {duration(stats.seconds * passes * images)}; fewer --fit-images or "
        f"--steps take less",
        stacklevel=1,
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


def _recall(args: M) -> M:
    """The same, with what the netx file remembers of model, weights and data, where it is about one.
    OutOfRange for neither file nor model."""
    if args.net is not None:
        _of_images(args)
        args = remembering.recall(args, "model", "weights", "data")
    elif not args.model:
        raise OutOfRange(f"{args.verb}: give a .net file, or a model as --model")
    _require_data(args)
    return args


def _of_images(args: Verb) -> dn.SpikingGraph:
    """The file's network; OutOfRange where it is a stream's."""
    from dnisnm_lava.ir.integers import check_images
    from exporters import netx

    assert args.net is not None
    graph = netx.read(args.net)
    check_images(graph, f"{args.net}: {args.verb}")
    return graph


def _refuse_dials(args: OfModelOrFile) -> None:
    """OutOfRange for a dial, but steps, of a recipe that is not read: the file is as it is."""
    dials = [f.name for f in fields(Recipe) if f.name != "steps" and f.name in args.given] + ["recipe"] * (
        "recipe" in args.given
    )
    if dials:
        raise OutOfRange(
            f"{args.net}: is made already, and --{dials[0].replace('_', '-')} belongs to a --model; "
            f"leave one of them out"
        )


def _refuse_model(args: OfModelOrFile) -> None:
    """OutOfRange for what makes a network of a model, where the file's is counted as it is."""
    given = [name for name in ("model", "weights", "calibration_images", "fit_images") if name in args.given]
    if given:
        raise OutOfRange(
            f"{args.net}: {args.verb} takes its integers as they are, and --{given[0].replace('_', '-')} "
            f"makes others; leave that out, or leave the file out to ask of a --model"
        )


def _rates(args: ChipOptions) -> Rates:
    """Those of --rates, else the public ones. OutOfRange beside another chip's limits."""
    from dnisnm_lava.studies.loihi2.limits import LOIHI2, limits
    from dnisnm_lava.studies.loihi2.rates import rates

    target = limits(args.target)
    if args.rates is not None and target != LOIHI2:
        raise OutOfRange(
            f"--rates: time is told of Loihi 2's cores and links alone, and not of --target {args.target}; "
            f"leave one of them out"
        )
    return rates(args.rates)


def _require_data(args: DataOptions) -> None:
    if not args.data:
        raise OutOfRange(f"{args.verb}: give images as --data")


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


def _data(args: DataOptions, graph: Graph | None = None) -> Data:
    """--data, prepared as asked for; its axes as `graph`, or --model, takes them."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.data.forward import runs_on

    data = _prepared(args)
    if args.layout or len(data.train) == 0:
        return data
    if graph is not None:
        shape = graph.input.image_shape
        sequence = (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape  # as maps of one row
        return datasets.suited(data, lambda image: tuple(image.shape) in (shape, sequence))
    module = _module(args, data)
    return replace(datasets.suited(data, lambda image: runs_on(module, image)), model=module)


def _module(args: Verb, data: Data, progress: Progress | None = None) -> Any:
    """The module of --model, or of what is inspected, with its weights: loaded once."""
    from dnisnm_lava.data.models import load_model

    shape = tuple(data.train[0][0].shape)
    return load_model(args.model, args.weights, shape, progress) if data.model is None else data.model


def _prepared(args: DataOptions) -> Data:
    from dnisnm_lava.data import datasets

    own = {name: getattr(args, name) for name in PREPARED_BY}
    data = datasets.load_data(args.data, **own, layout=args.layout)
    ranges.tell_range(args, data)
    if args.transforms is None and any(own.values()):
        return data
    found = _transforms(args)
    if found is None:
        return data
    name, transform = found
    if any(own.values()):
        raise OutOfRange(
            f"--transforms {name}: given beside --mean, --std, --resize, --crop, --grayscale or --range; "
            f"give either"
        )
    if not datasets.are_pictures(data):
        warnings.warn(
            f"{args.data}: holds floats, which are taken as prepared; the transforms of {name} are left out",
            stacklevel=1,
        )
        return data
    told = " ".join(repr(transform).replace("(", " ").replace(")", " ").split())
    warnings.warn(f"{args.data}: prepared by the transforms of {name}: {told}", stacklevel=1)
    return replace(datasets.transformed(data, transform), transforms=name)


def _transforms(args: DataOptions) -> tuple[str, Callable[[Any], Any]] | None:
    """Those of --transforms, else those that torchvision's --weights were measured with."""
    from dnisnm_lava.data import models

    if args.transforms is not None:
        return None if args.transforms == "none" else models.transforms_named(args.transforms)
    return models.transforms_of(args.model, args.weights) if args.model and args.weights else None


def _images(
    dataset: Labelled, count: int, seed: int, stages: Stages, *, classes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """A sample of `count`."""
    from dnisnm_lava.data import datasets

    return datasets.arrays(
        dataset, datasets.choose(dataset, count, seed), stages("read images"), classes=classes
    )


def _tried(
    args: Precision | Explain | Report, group: Group, stages: Stages
) -> tuple[Data, Networks, SetUp, np.ndarray, np.ndarray | None, dict[str | int, np.ndarray]]:
    """The data, the networks made of it, what is known of the set-up, and the sample of test images, with
    labels where there are some, and the targets of further outputs, to try them on."""
    from dnisnm_lava.data import datasets

    data = _data(args)
    chosen = datasets.choose(data.test, args.images, args.seed)
    targets = _targets(args, data) if isinstance(args, TargetOptions) else {}
    check = partial(_check_labels, data.test, chosen, args.ask, targets)
    nets, set_up = _network(args, data, group, stages, check=check)
    x, y = datasets.arrays(data.test, chosen, stages("read images"), classes=args.measure != "values")
    return data, nets, set_up, x, _told_labels(y), {name: own[chosen] for name, own in targets.items()}


def _targets(args: TargetOptions, data: Data) -> dict[str | int, np.ndarray]:
    """{output: its labels or targets (N, ...) of all test images}, of --targets."""
    from dnisnm_lava.data.files import arrays

    found: dict[str | int, np.ndarray] = {}
    for told in args.targets or ():
        name, equals, path = told.partition("=")
        if not (name and equals and path):
            raise OutOfRange(f"--targets {told}: give an output and a file, as OUTPUT=FILE")
        if name in found:
            raise OutOfRange(f"--targets {told}: output {name} given twice; give each once")
        found[name] = arrays.labels(Path(path))
        if len(found[name]) != len(data.test):
            raise OutOfRange(
                f"--targets {told}: holds {len(found[name]):,} of them, and there are {len(data.test):,} "
                f"test images; give one for each, in their order"
            )
    return found


def _check_labels(
    dataset: Labelled,
    chosen: np.ndarray,
    ask: Ask,
    targets: Mapping[str | int, np.ndarray],
    graph: dn.AnalogGraph | dn.SpikingGraph,
) -> None:
    """OutOfRange for labels of the `chosen` images that the asked measure of `graph`'s output does not take,
    or for none where it needs them; of a Dataset that tells labels with images alone, of some of them.
    targets: {output: its own, of all images}."""
    from dnisnm_lava.data import datasets
    from dnisnm_lava.evaluation import outputs

    found = datasets.labels_of(dataset, chosen, classes=ask.kind != "values")
    own = {name: values[chosen] for name, values in targets.items()}
    outputs.wanted(graph, len(chosen), _told_labels(found), own, ask)


def _told_labels(y: np.ndarray) -> np.ndarray | None:
    """None where an image comes without one."""
    from dnisnm_lava.data import datasets

    return None if datasets.is_unknown(y) else y


def _given(y: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Labels for a digest, if there are some."""
    return () if y is None else (y,)


def _lava(args: LavaOptions, images: int) -> Lava:
    """How Lava is asked, on so many images."""
    from dnisnm_lava.backends.lava_cpu import Lava

    return Lava(images, args.deadline, args.lava_python)


def _compute(args: Compare | Report, device: str | None = None) -> Compute:
    """Where torch computes: --device, or a rank's own."""
    return Compute(args.device if device is None else device, args.memory)


def _measure_words(args: MeasureOptions) -> list[str]:
    """The options of what is measured that were given, as they are written."""
    given = {
        "--measure": None if args.measure == "auto" else args.measure,
        "--output": args.output,
        "--ignore-label": args.ignore_label,
    }
    return [word for option, value in given.items() if value is not None for word in (option, str(value))]


@dataclass(frozen=True)
class Blocks:
    """The indices `chosen` of `dataset`, which are read in blocks. labelled: are labels needed? targets:
    {output: its own (N, ...), of the whole dataset}."""

    dataset: Labelled
    chosen: np.ndarray
    labelled: bool
    targets: Mapping[str | int, np.ndarray] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return -(-len(self.chosen) // BLOCK)

    @cached_property
    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of the first block, read once: they tell what is measured, run as all others, and
        the first of them on Lava."""
        return self._read(0)

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        return self._read(block) if block else self.first

    def own(self, block: int) -> dict[str | int, np.ndarray]:
        """The targets of a block."""
        which = self.chosen[block * BLOCK : (block + 1) * BLOCK]
        return {name: values[which] for name, values in self.targets.items()}

    def _read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        from dnisnm_lava.data import datasets

        return datasets.arrays(
            self.dataset, self.chosen[block * BLOCK : (block + 1) * BLOCK], classes=self.labelled
        )


def _blocks(
    args: Compare | Simulate, data: Data, targets: Mapping[str | int, np.ndarray] | None = None
) -> Blocks:
    """Those of the test images."""
    from dnisnm_lava.data import datasets

    chosen = datasets.choose(data.test, args.images, args.seed)
    return Blocks(data.test, chosen, args.measure != "values", targets or {})


def _measure(args: MeasureOptions, blocks: Blocks, graph: dn.AnalogGraph | dn.SpikingGraph) -> Measure:
    """What the labels of the first block of test images tell; each block's must fit it."""
    from dnisnm_lava.measures import asked

    return asked(graph, _told_labels(blocks.first[1]), args.ask)


@contextlib.contextmanager
def _in_blocks(
    args: Compare | Simulate,
    data: Data,
    blocks: Blocks,
    covered: Mapping[str, Any],
    work: Callable[[np.ndarray, np.ndarray | None, Mapping[str | int, np.ndarray]], Tally],
    group: Group,
    stages: Stages,
) -> Iterator[list[Part]]:
    """`work(images, labels, targets)` on the chosen test images, in blocks that the ranks share; kept beside
    --out until the result is written. covered: what a part depends on beside images and the measure."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import tallies
    from dnisnm_lava.evaluation.comparison import array_digest

    fingerprint = shards.fingerprint(
        **covered, prepared=_preparation(args, data), chosen=array_digest(blocks.chosen), measure=args.ask
    )

    def part(block: int) -> Part:
        (x, y), own = blocks.read(block), blocks.own(block)
        tally = tallies.placed(work(x, _told_labels(y), own), block * BLOCK)
        return shards.Part(array_digest(x, y, *own.values()), tally)

    with shards.keeping(args.out, fingerprint, group, resume=args.resume, overwrite=args.overwrite) as kept:
        unit = f"block{'' if group.size == 1 else ' of this process'}"
        pace = Pace(unit, stages.tell, progress=stages.progress)
        yield shards.evaluate(blocks.count, part, group, kept, pace)


@contextlib.contextmanager
def _journal(
    args: Tune | Precision,
    data: Data,
    covered: Mapping[str, Any],
    stages: Stages,
    most: bool = False,
    group: Group = ALONE,
) -> Iterator[Journal]:
    """Trials beside --out. covered: what they depend on beside training images and the measure. most: is
    their number the most that it may come to? group: of the processes that make each trial together."""
    from dnisnm_lava.evaluation import blocks as shards
    from dnisnm_lava.evaluation import trials

    fingerprint = shards.fingerprint(
        **covered,
        prepared=_preparation(args, data),
        sampled=(args.calibration_images, args.fit_images, args.seed),
        measure=args.ask,
    )
    pace = Pace("trial", stages.tell, most)
    with trials.keeping(
        args.out, fingerprint, pace, resume=args.resume, overwrite=args.overwrite, group=group
    ) as kept:
        yield kept


def _preparation(args: DataOptions, data: Data) -> dict[str, Any]:
    """What decides an image."""
    own = {name: getattr(args, name) for name in ("data", *PREPARED_BY, "layout")}
    return {**own, "transforms": data.transforms}


def _allowed_to_finish(args: R) -> R:
    """A run that is gone on with may replace what it could replace, or had written, when it was ended."""
    from dnisnm_lava.evaluation import blocks as shards

    unfinished = args.out is not None and args.resume and shards.is_unfinished(args.out)
    return replace(args, overwrite=args.overwrite or unfinished)


def _settled_lava(args: LavaToo) -> Lava:
    """On as many images as are asked for, else some; on none, with a notice, where Lava is not installed and
    nobody asked for it. BackendMissing where somebody did."""
    from dnisnm_lava.backends import lava_cpu
    from dnisnm_lava.backends.lava_cpu import interpreter

    asked = args.lava_images is not None or args.lava_python or os.environ.get(interpreter.VARIABLE)
    usual = DEMO_LAVA_IMAGES if args.verb == "demo" else LAVA_IMAGES
    images = usual if args.lava_images is None else args.lava_images
    if images:
        try:
            lava_cpu.require_lava(args.lava_python)
        except BackendMissing as error:
            if asked:
                raise
            images = 0
            warnings.warn(f"{args.verb} goes on without Lava: {error}", stacklevel=1)
    return _lava(args, images)


def _title(args: DataOptions) -> str:
    """Model and data by their names, without folders: provenance has those."""
    given = [text for text in (args.model, args.data) if text]
    return " on ".join(":".join(Path(part).name or part for part in text.split(":")) for text in given)


def _provenance(
    args: Seeded, *values: Any, data: Data | None = None, lava: Lava | None = None
) -> dict[str, Any]:
    """Digests of graphs (by mode) and of images with labels, versions, seed and command line. lava: as it was
    asked, if it was."""
    from dnisnm_lava.backends.lava_cpu import interpreter
    from dnisnm_lava.evaluation import comparison

    graphs = {_mode(g): g.digest() for g in values if hasattr(g, "digest")}
    arrays = [a for a in values if not hasattr(a, "digest")]
    return {
        "digests": {**graphs, **({"images": comparison.array_digest(*arrays)} if arrays else {})},
        "versions": comparison.versions(interpreter.chosen(lava.python) if lava and lava.images else None),
        **({"transforms": data.transforms} if data and data.transforms else {}),
        **({"made_of": args.made_of} if args.made_of else {}),
        "seed": args.seed,
        "command_line": args.command_line,
    }


def _mode(graph: dn.AnalogGraph | dn.SpikingGraph) -> str:
    return "analog" if isinstance(graph, dn.AnalogGraph) else "integer" if graph.is_integer else "float"
