"""What a conversion takes, told before the time is spent."""

from __future__ import annotations

import math
import warnings

import dnisnm_lava as dn
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.system.pace import duration

MANY_NEURONS = 4_000_000  # from here on, what they take is told before
SEEN_BYTES = 2 * 4  # of a neuron: least and largest seen
FLOAT_BYTES = {"theta": 8, "payload": 8, "v_init": 8}  # where a channel's neurons have their own
FILE_BYTES = {"theta": 2 * 4, "payload": 0, "v_init": 4}  # in a file, and as integers in memory: with theta


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
    if recipe.own_thresholds:  # a payload is theta, unless it is corrected
        return ["theta", *({"payload"} & set(recipe.correct)), "v_init"]
    return ["v_init"] if "v_init" in recipe.correct else []


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
