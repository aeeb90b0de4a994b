"""Options that several verbs have, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnisnm_lava.cli.names import (
    CALIBRATION_IMAGES,
    FIT_IMAGES,
    LAVA_IMAGES,
    LAVA_PYTHON,
    MODELS,
    WEIGHTS,
)
from dnisnm_lava.cli.values import _accuracy, _by_name, _bytes, _numbers, _sizes, _words
from dnisnm_lava.cli.verb import Verb, argument, flag, option
from dnisnm_lava.measures import AUTO, KINDS, Ask
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.calibration import GRANULARITIES
from dnisnm_lava.stages.fitting import THRESHOLDS

# ---------------------------------------------------------------- options of which verbs say more


def model_option(required: bool = False) -> Any:
    return option(default="", required=required, metavar="MODEL", help=MODELS)


def data_option(
    required: bool = False, default: str = " (default: what the file remembers)", of: str = ""
) -> Any:
    kinds = (
        "an ImageFolder, pictures (a folder, or one; without classes), an .npz or .npy, mnist:DIR or "
        "file.py:factory (the file is run)"
    )
    return option(default="", required=required, help=of + kinds + ("" if required else default))


def images_option(count: int) -> Any:
    return option(default=count, help="test images, a seeded sample of them (%(default)s)")


def confidence_option(also: str = "") -> Any:
    return option(
        metavar="SHARE",
        help=f"{also}stop an image at the first step where its margin is so large that, of calibration "
        f"images with as large a margin, this share (such as 0.99) keep their class to the end",
    )


def out_option(what: str, default: str | None = None) -> Any:
    return option(
        "-o",
        "--out",
        default=None if default is None else Path(default),
        help=f"{what} ({'default: none' if default is None else '%(default)s'})",
    )


def input_shape_option(where: str = "") -> Any:
    return option(
        type=_sizes,
        default=(),
        metavar="C,H,W",
        help=f"of one image{where} (C,L or F where it has no map)",
    )


def rates_option() -> Any:
    return option(metavar="FILE", help="rates of a chip, as JSON (default: those of Loihi 2 that are public)")


def lava_images_option(count: int) -> Any:
    return option(help=f"test images for Lava; 0: no Lava ({count}, where Lava is installed)")


def _dial(name: str, text: str, **how: Any) -> Any:
    """A field of Recipe of that name; None where the recipe decides."""
    own = {which: recipes.written(getattr(recipe, name)) for which, recipe in recipes.RECIPES.items()}
    same = len(set(own.values())) == 1
    defaults = own["best"] if same else ", ".join(f"{which}: {value}" for which, value in own.items())
    return option(help=f"{text} ({defaults})", **how)


# ---------------------------------------------------------------- groups with a heading


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Verb):
    heading = "model"

    model: str = model_option()
    weights: str | None = option(help=WEIGHTS)
    calibration_images: int = option(
        default=CALIBRATION_IMAGES,
        help="training images whose largest activations thresholds start from: a pass of the ANN each "
        "(%(default)s)",
    )
    fit_images: int = option(
        default=FIT_IMAGES,
        help="training images that --threshold, --correct and --rounding are fitted on: many passes each; "
        "1,024 bring one level at T = 1 or 2 one to three points (%(default)s)",
    )


@dataclass(frozen=True, kw_only=True)
class RecipeOptions(Verb):
    heading = "recipe"
    about = "what is not given here, the recipe decides"

    recipe: str = option(
        default="best",
        metavar="RECIPE",
        help="best (graded spikes), binary (spikes of 1 and -1 alone), paper, or a JSON file of tune's "
        "(%(default)s)",
    )
    steps: int | None = _dial("steps", "time steps T")
    threshold: str | None = _dial(
        "threshold", "rule that makes a threshold of a largest activation", choices=THRESHOLDS
    )
    correct: tuple[str, ...] | None = _dial(
        "correct",
        "what is corrected after the thresholds, towards what the ANN says: weights, bias, payload, v_init, "
        "or some of them with commas, or none",
        type=_words,
        metavar="WHAT",
    )
    share: str | None = _dial(
        "share",
        "who shares what --threshold chooses: each neuron, the neurons of a channel, or of a layer",
        choices=GRANULARITIES,
    )
    percentile: float | None = _dial(
        "percentile", "for --threshold percentile: percent of the activations that a threshold is not below"
    )
    subset: int | None = _dial(
        "subset",
        "for --threshold subset-max: images, the first of --fit-images, whose largest activations count",
        metavar="N",
    )
    granularity: str | None = _dial(
        "granularity",
        "who shares a largest activation: each neuron has its own, or the neurons of a channel, or of a "
        "layer, have one",
        choices=GRANULARITIES,
    )
    levels: int | dict[str, int] | None = _dial(
        "levels", "levels K of a spike, for all or as NAME=K,...", type=_by_name, metavar="K"
    )
    down: float | None = _dial(
        "down",
        "lower threshold, as a share of the threshold: how much of a level too much is kept before it is "
        "taken back",
        metavar="SHARE",
    )
    relay_levels: int | None = _dial(
        "relay_levels", "levels of the populations that relay a linear tensor", metavar="K"
    )
    function_error: float | None = _dial(
        "function_error",
        "by how much the curve of a smooth activation may differ from it, as a share of a level",
        metavar="SHARE",
    )
    lead: int | dict[str, int] | None = _dial(
        "lead",
        "steps before a neuron may fire, for all or as NAME=STEPS,...",
        type=_by_name,
        metavar="STEPS",
    )
    weight_bits: int | None = _dial("weight_bits", "bits of a weight")
    rounding: str | None = _dial(
        "rounding",
        "how weights become integers: each the nearest one, or so that others make up for what one loses",
        choices=recipes.ROUNDINGS,
    )
    payload_bits: int | None = _dial(
        "payload_bits", "bits of a payload; auto: what 8-bit spikes leave to K levels, 5 at most"
    )
    spikes: str | None = _dial(
        "spikes",
        "payloads of their own for neurons, or none: with --granularity and --share channel or layer, "
        "and --levels 1 for 1 and -1 alone",
        choices=("graded", "binary"),
    )


@dataclass(frozen=True, kw_only=True)
class AlarmOptions(Verb):
    """What is no part of a network: a file does not remember it."""

    heading = "alarm"
    about = "where the ANN cannot be what it should be"

    expect_accuracy: float | None = option(
        type=_accuracy,
        metavar="SHARE",
        help="of the ANN, such as 0.926 or 92.6: an alarm where it has less (default: none)",
    )
    anyway: bool = flag(help="exit code 0 in spite of the alarm that the ANN is at chance, or below this")


@dataclass(frozen=True, kw_only=True)
class DataOptions(Verb):
    heading = "data"

    data: str = data_option()
    mean: tuple[float, ...] = option(
        type=_numbers, default=(), metavar="M,M,M", help="per channel, subtracted"
    )
    std: tuple[float, ...] = option(
        type=_numbers, default=(), metavar="S,S,S", help="per channel, divided by"
    )
    resize: tuple[int, ...] = option(
        type=_sizes, default=(), metavar="N|H,W", help="shorter side, or height and width, in pixels"
    )
    crop: tuple[int, ...] = option(
        type=_sizes,
        default=(),
        metavar="N|H,W",
        help="of the centre: a square, or height and width, in pixels",
    )
    range: tuple[float, ...] = option(
        type=_numbers,
        default=(),
        metavar="LOW,HIGH",
        help="what bytes 0 ... 255 become, 0,255 for a network that scales by itself (default: 0,1; "
        "arrays of a factory as they come)",
    )
    layout: str = option(
        default="",
        metavar="AXES",
        help="axes of arrays, such as nhwc, nchw, nlc or ncl, behind a colon as the model takes them "
        "(default: what the model runs on)",
    )
    grayscale: bool = flag(help="one channel")
    transforms: str | None = option(
        metavar="WEIGHTS",
        help="instead of these: the transforms of a set of torchvision's weights, such as "
        "ResNet18_Weights.DEFAULT (default: of --weights, "
        "where pictures or bytes are given and none of these); or none",
    )
    device: str = option(default="cpu", help="where torch runs (%(default)s)")


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(Verb):
    heading = "measure"
    about = "what is told in every result"

    output: str | None = option(
        metavar="NAME",
        help="output of the model that is measured, by name or index (default: the first)",
    )
    measure: str = option(
        choices=(AUTO, *KINDS),
        default=AUTO,
        help="classes (largest channel), binary (threshold at 0), values (RMSE and R2, of targets or of "
        "the ANN's own values), or what "
        "shape and labels tell (%(default)s)",
    )
    ignore_label: int | None = option(
        metavar="N", help="a label that is not counted, such as 255 in masks (default: none)"
    )

    @property
    def ask(self) -> Ask:
        return Ask(self.measure, self.output, self.ignore_label)


@dataclass(frozen=True, kw_only=True)
class TargetOptions(MeasureOptions):
    """The options of a verb that measures several outputs of test images."""

    targets: list[str] = option(
        action="append",
        metavar="OUTPUT=FILE",
        help="labels or targets of an output, by name or index, of all test images in their order: an .npy, "
        "or an .npz with y_test; several times: of several outputs (default: the images' own, of the one "
        "that is measured)",
    )


# ---------------------------------------------------------------- how a verb runs


@dataclass(frozen=True, kw_only=True)
class LavaOptions(Verb):
    deadline: float = option(
        default=600.0, metavar="SECONDS", help="seconds for each run on Lava (%(default)g)"
    )
    lava_python: str | None = option(metavar="PATH", help=LAVA_PYTHON)


@dataclass(frozen=True, kw_only=True)
class ChipOptions(Verb):
    heading = "chip"

    target: str = option(
        default="loihi2",
        metavar="CHIP",
        help="whose limits: loihi2, or a TOML file like it (docs/resources.md; %(default)s)",
    )
    chips: int = option(default=1, help="chips to fit on (%(default)s)")
    period: int | None = option(
        metavar="STEPS", help="from one sample to the next (default: the shortest power of two)"
    )
    rates: Path | None = rates_option()


@dataclass(frozen=True, kw_only=True)
class LavaToo(LavaOptions):
    """The options of a verb that goes on without Lava."""

    lava_images: int | None = lava_images_option(LAVA_IMAGES)


@dataclass(frozen=True, kw_only=True)
class Overwriting(Verb):
    overwrite: bool = flag(help="replace what --out names")


@dataclass(frozen=True, kw_only=True)
class Resumable(Overwriting):
    """What is kept as it goes, beside `out`."""

    out: Path | None = None
    resume: bool = flag(help="go on from the parts that an interrupted run left beside --out")


@dataclass(frozen=True, kw_only=True)
class InMemory(Verb):
    memory: int | None = option(
        type=_bytes,
        metavar="SIZE",
        help="for spikes and currents, such as 500M or 2G (default: a quarter of what is free)",
    )


@dataclass(frozen=True, kw_only=True)
class Seeded(Verb):
    seed: int = option(default=0, help="for training and for samples of images (%(default)s)")


# ---------------------------------------------------------------- groups together


@dataclass(frozen=True, kw_only=True)
class ImageOptions(DataOptions, Seeded):
    """Images, and which of them."""


@dataclass(frozen=True, kw_only=True)
class OfModel(ModelOptions, RecipeOptions, AlarmOptions, ImageOptions):
    """What makes networks of a model."""


@dataclass(frozen=True, kw_only=True)
class OfModelOrFile(OfModel):
    net: Path | None = argument(
        nargs="?", help="a netx file, which remembers its model, data and preparation"
    )


@dataclass(frozen=True, kw_only=True)
class OfFile(ImageOptions):
    """What a file's network says of images; early, by bounds from `calibration_images`."""

    net: Path = argument(help="a netx file")
    steps: int | None = None
    confidence: float | None = None
    calibration_images: int = CALIBRATION_IMAGES
