"""Options that several verbs have, in groups."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dnisnm_lava.cli.names import (
    BITS,
    BITS_TRIED,
    CALIBRATION_IMAGES,
    FIT_IMAGES,
    FRONT,
    HELD_IMAGES,
    MODELS,
    NET,
    PRECISION,
    TOLERANCE,
    TUNING,
    WEIGHTS,
)
from dnisnm_lava.cli.values import _accuracy, _by_name, _numbers, _range, _sizes, _words
from dnisnm_lava.measures import AUTO, KINDS
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.calibration import GRANULARITIES
from dnisnm_lava.stages.fitting import THRESHOLDS


def _model_options(verb: argparse.ArgumentParser, required: bool) -> None:
    model = verb.add_argument_group("model")
    model.add_argument("--model", required=required, metavar="MODEL", help=MODELS)
    model.add_argument("--weights", help=WEIGHTS)
    model.add_argument(
        "--calibration-images",
        type=int,
        default=CALIBRATION_IMAGES,
        help="training images for the maxima (%(default)s)",
    )
    model.add_argument(
        "--fit-images",
        type=int,
        default=FIT_IMAGES,
        help="training images for all else that is fitted (%(default)s)",
    )
    _recipe_options(verb)


def _alarm_options(verb: argparse.ArgumentParser) -> None:
    """What is no part of a network: a file does not remember it."""
    alarm = verb.add_argument_group("alarm", "where the ANN cannot be what it should be")
    alarm.add_argument(
        "--expect-accuracy",
        type=_accuracy,
        metavar="SHARE",
        help="of the ANN, such as 0.926 or 92.6: an alarm where it has less (default: none)",
    )
    alarm.add_argument(
        "--anyway",
        action="store_true",
        help="exit code 0 in spite of the alarm that the ANN is at chance, or below this",
    )


def _recipe_options(verb: argparse.ArgumentParser) -> None:
    """Each is a field of Recipe of that name; None where the recipe decides."""
    group = verb.add_argument_group("recipe", "what is not given here, the recipe decides")

    def add(option: str, text: str, name: str, **how: Any) -> None:
        own = {which: recipes.written(getattr(recipe, name)) for which, recipe in recipes.RECIPES.items()}
        defaults = (
            own["best"]
            if len(set(own.values())) == 1
            else ", ".join(f"{which}: {value}" for which, value in own.items())
        )
        group.add_argument(option, dest=name, help=f"{text} ({defaults})", **how)

    group.add_argument(
        "--recipe",
        default="best",
        metavar="RECIPE",
        help="best (graded spikes), binary (spikes of 1 and -1 alone), paper, or a JSON file of tune's "
        "(%(default)s)",
    )
    add("--steps", "time steps T", "steps", type=int)
    add("--threshold", "rule for the thresholds", "threshold", choices=THRESHOLDS)
    add(
        "--correct",
        "weights, bias, v_init or some of them, with commas; or none",
        "correct",
        type=_words,
        metavar="WHAT",
    )
    add("--share", "who shares a choice of --threshold", "share", choices=GRANULARITIES)
    add("--percentile", "of activations, for --threshold percentile", "percentile", type=float)
    add(
        "--subset",
        "images, the first of those that are fitted on, for --threshold subset-max",
        "subset",
        type=int,
        metavar="N",
    )
    add("--granularity", "who shares a maximum", "granularity", choices=GRANULARITIES)
    add("--levels", "levels K of a spike, for all or as NAME=K,...", "levels", type=_by_name, metavar="K")
    add(
        "--down",
        "lower threshold, as a share of the threshold: how much of a level too much is kept before it is "
        "taken back",
        "down",
        type=float,
        metavar="SHARE",
    )
    add(
        "--relay-levels",
        "levels of the populations that relay a linear tensor",
        "relay_levels",
        type=int,
        metavar="K",
    )
    add(
        "--lead",
        "steps before a neuron may fire, for all or as NAME=STEPS,...",
        "lead",
        type=_by_name,
        metavar="STEPS",
    )
    add("--weight-bits", "bits of a weight", "weight_bits", type=int)
    add(
        "--rounding",
        "of weights: each to the nearest code, or what one loses others take up",
        "rounding",
        choices=recipes.ROUNDINGS,
    )
    add(
        "--payload-bits",
        "bits of a payload; auto: what 8-bit spikes leave to K levels, 5 at most",
        "payload_bits",
        type=int,
    )
    add(
        "--spikes",
        "payloads of their own for neurons, or none: with --granularity and --share channel or layer, "
        "and --levels 1 for 1 and -1 alone",
        "spikes",
        choices=("graded", "binary"),
    )


def _measure_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("measure", "what is told in every result")
    group.add_argument(
        "--output",
        metavar="NAME",
        help="output of the model that is measured, by name or index (default: the first)",
    )
    group.add_argument(
        "--measure",
        choices=(AUTO, *KINDS),
        default=AUTO,
        help="classes (largest channel), binary (threshold at 0), values (RMSE and R2, of targets or of "
        "the ANN's own values), or what "
        "shape and labels tell (%(default)s)",
    )
    group.add_argument(
        "--ignore-label",
        type=int,
        metavar="N",
        help="a label that is not counted, such as 255 in masks (default: none)",
    )


def _tune_options(verb: argparse.ArgumentParser) -> None:
    target = verb.add_argument_group(
        "target", "one of these; of what a recipe's options fix, the search varies nothing"
    )
    only = target.add_mutually_exclusive_group(required=True)
    only.add_argument("--max-steps", type=int, metavar="T", help="time steps")
    only.add_argument(
        "--max-latency", type=int, metavar="STEPS", help="until the read-out is done, leads and depth in it"
    )
    only.add_argument("--max-spikes", type=float, metavar="N", help="of an image")
    only.add_argument(
        "--max-drop", type=float, metavar="POINTS", help="below the ANN, for as little latency as can be"
    )
    only.add_argument(
        "--max-error",
        type=float,
        metavar="SHARE",
        help="of values: RMSE by the standard deviation, for as little latency",
    )
    target.add_argument(
        "--labels",
        action="store_true",
        help="measure against training labels (default: the ANN's own answers)",
    )
    target.add_argument(
        "--held-images",
        type=int,
        default=HELD_IMAGES,
        help="training images to measure on, not fitted on (%(default)s)",
    )
    verb.add_argument(
        "-o", "--out", type=Path, help=f"folder for {NET}, {TUNING} and {FRONT} (default: none)"
    )


def _precision_options(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group(
        "bits to try", "all combinations, then each population alone; `2-8` or `2,4,8`"
    )
    for kind, default in BITS_TRIED.items():
        group.add_argument(
            f"--try-{kind}-bits", type=_range, default=default, metavar="BITS", help="(%(default)s)"
        )
    group.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="POINTS",
        help="of agreement with the float network that a population may cost alone before it counts as "
        "broken (%(default)g)",
    )
    verb.add_argument("-o", "--out", type=Path, help=f"folder for {PRECISION} and {BITS} (default: none)")


def _data_options(
    verb: argparse.ArgumentParser, required: bool = True, default: str = "", of: str = ""
) -> None:
    data = verb.add_argument_group("data")
    kinds = (
        "an ImageFolder, pictures (a folder, or one; without classes), an .npz or .npy, mnist:DIR or "
        "file.py:factory (the file is run)"
    )
    data.add_argument("--data", required=required, help=of + kinds + default)
    data.add_argument("--mean", type=_numbers, default=(), metavar="M,M,M", help="per channel, subtracted")
    data.add_argument("--std", type=_numbers, default=(), metavar="S,S,S", help="per channel, divided by")
    data.add_argument(
        "--resize",
        type=_sizes,
        default=(),
        metavar="N|H,W",
        help="shorter side, or height and width, in pixels",
    )
    data.add_argument(
        "--crop",
        type=_sizes,
        default=(),
        metavar="N|H,W",
        help="of the centre: a square, or height and width, in pixels",
    )
    data.add_argument(
        "--range",
        type=_numbers,
        default=(),
        metavar="LOW,HIGH",
        help="what bytes 0 ... 255 become, 0,255 for a network that scales by itself (default: 0,1; "
        "arrays of a factory as they come)",
    )
    data.add_argument(
        "--layout",
        default="",
        metavar="AXES",
        help="axes of arrays, such as nhwc, nchw, nlc or ncl, behind a colon as the model takes them "
        "(default: what the model runs on)",
    )
    data.add_argument("--grayscale", action="store_true", help="one channel")
    data.add_argument(
        "--transforms",
        metavar="WEIGHTS",
        help="instead of these: the transforms of a set of torchvision's weights, such as "
        "ResNet18_Weights.DEFAULT (default: of --weights, "
        "where pictures or bytes are given and none of these); or none",
    )
    data.add_argument("--device", default="cpu", help="where torch runs (%(default)s)")
