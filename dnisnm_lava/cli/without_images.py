"""`convert` without --data: a network by batch norm and the weights alone, and what is to be said of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import dnisnm_lava as dn
from dnisnm_lava.cli.networks import _recipe, _tell_unread
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.sizes import _tell_size
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages.networks import Networks, follow
from dnisnm_lava.stages.recipes import Recipe

if TYPE_CHECKING:
    from dnisnm_lava.cli.making import Convert

UNREAD = (
    "calibration_images",
    "fit_images",
    "measure",
    "output",
    "ignore_label",
    "expect_accuracy",
    "device",
)
NAMED = 4  # populations


def network(args: Convert, stages: Stages) -> tuple[Networks, dict[str, str]]:
    """The networks of the recipe without an image, and where each population's moments come from."""
    from dnisnm_lava.data.models import load_model, own_input_shape
    from dnisnm_lava.stages.fitting import without_images

    shape = args.input_shape or own_input_shape(args.model)
    if not shape or min(shape) < 1:
        raise OutOfRange(
            f"{args.model}: the shape of an image is not known; give it as --input-shape C,H,W, or "
            f"images as --data"
        )
    recipe, given = _left(args), _of_images(args)
    model = load_model(args.model, args.weights, shape, stages("trace"))
    analog = dn.from_torch(model, np.zeros(shape, np.float32))
    _tell_size(args.model, analog, recipe, 0)
    stages("propagate, convert, quantize")
    stats = dn.calibrate_without_images(analog, **given)
    origins = without_images.origins(analog)
    _tell(args, origins, bool(given))
    made = follow(recipe, analog, stats, None, stages)
    return made, origins


def _left(args: Convert) -> Recipe:
    """What of the recipe needs no image, with a notice of what it loses; OutOfRange where that was asked
    for."""
    recipe = _recipe(args)
    left = recipe.without_images
    if args.correct:
        raise OutOfRange(
            f"--correct {','.join(args.correct)}: needs images, and none are given; give --data, or "
            f"leave it out"
        )
    _tell_unread(args, recipe)
    if recipe.correct:
        warnings.warn(
            f"{args.model}: corrections ({', '.join(recipe.correct)}) need images, and are left out",
            stacklevel=1,
        )
    if recipe.rounding == "compensated":
        warnings.warn(
            f"{args.model}: rounding knows means and variances alone: biases take up what weights lose, "
            f"other weights do not",
            stacklevel=1,
        )
    unread = [f"--{name.replace('_', '-')}" for name in UNREAD if name in args.given]
    if unread:
        warnings.warn(f"{', '.join(unread)}: without effect where there is no --data", stacklevel=1)
    return left


def _of_images(args: Convert) -> dict[str, Any]:
    """What the preparation tells of images, for calibrate_without_images; nothing where none is given. Bytes
    become --range, evenly spread for want of better, or are normalised by their own --mean and --std."""
    from dnisnm_lava.data.files import preparation

    preparation.checked(
        layout=args.layout,
        range=args.range,
        resize=args.resize,
        crop=args.crop,
        grayscale=args.grayscale,
        mean=args.mean,
        std=args.std,
        transform=None,
    )
    if not args.mean and not args.range:
        return {}
    low, high = args.range or preparation.UNIT
    mean, std = np.array(args.mean or (0.0,)), np.array(args.std or (1.0,))
    magnitude = np.maximum(np.abs(low - mean), np.abs(high - mean)) / std
    if args.mean:
        return {"image_magnitude": magnitude}
    return {"image_mean": (low + high) / 2, "image_std": (high - low) / 12**0.5, "image_magnitude": magnitude}


def _tell(args: Convert, origins: Mapping[str, str], prepared: bool) -> None:
    """Notices: that no image was used, and where moments come from."""
    norm, both, alone = (
        [name for name, of in origins.items() if of == origin]
        for origin in ("batch norm", "both", "propagated")
    )
    images = (
        "images as --mean, --std and --range tell them"
        if prepared
        else "normalised images (mean 0, standard deviation 1, at most 3)"
    )
    warnings.warn(
        f"{args.model}: no image was used: of {len(origins)} populations, {len(norm)} have mean and "
        f"variance from batch norm, {len(both)} "
        f"from batch norm and what is added to it ({_named(both)}), {len(alone)} propagated "
        f"({_named(alone)}) from {images}",
        stacklevel=1,
    )
    if not norm and not both:
        warnings.warn(
            f"{args.model}: has no batch norm in front of a ReLU, and propagation alone takes pixels as "
            f"independent, which those of "
            "pictures are not: a deep network may be left guessing; give a few images as --data",
            stacklevel=1,
        )


def _named(names: list[str]) -> str:
    return ", ".join([*names[:NAMED], *(["..."] if len(names) > NAMED else [])]) or "none"
