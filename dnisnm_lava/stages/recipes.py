"""Every dial between an analog graph and its integers, in one value; the paper's setting of them, and
ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import checked_steps
from dnisnm_lava.ir.fixedpoint import WEIGHT_BITS
from dnisnm_lava.stages.conversion import (
    FUNCTION_ERROR,
    RELAY_LEVELS,
    check_down,
    check_function_error,
    check_levels,
)
from dnisnm_lava.stages.fitting import CORRECTIONS, PERCENTILE, SUBSET, WITHOUT_IMAGES
from dnisnm_lava.stages.quantization import PAYLOAD_BITS, check_bits

ROUNDINGS = ("nearest", "compensated")
BYTE = 127  # the largest spike of 8 bits


@dataclass(frozen=True)
class Recipe:
    """steps, granularity, levels, lead, down, relay_levels, function_error: of `convert`. threshold, correct,
    share, percentile, subset: of `fit`, where `share` is the granularity of its choices. weight_bits,
    payload_bits, spikes: of `quantize`; payload_bits None: 1 where thresholds are shared within channels,
    else as many as leave the spikes of K levels a signed byte, 5 at most. rounding: of weights, to the
    `nearest` code, or `compensated` by what the weights read on the images."""

    steps: int = 1
    threshold: str = "sequential"
    correct: tuple[str, ...] = CORRECTIONS
    share: str = "channel"
    granularity: str = "channel"
    levels: int | Mapping[str, int] = 31
    lead: int | Mapping[str, int] = 0
    down: float = 0.0
    relay_levels: int = BYTE
    weight_bits: int = WEIGHT_BITS
    payload_bits: int | None = None
    spikes: str = "graded"
    rounding: str = "compensated"
    percentile: float = PERCENTILE
    subset: int = SUBSET
    function_error: float = FUNCTION_ERROR

    @property
    def fits(self) -> bool:
        return self.threshold != "max" or bool(self.correct)

    @property
    def needs_images(self) -> bool:
        """More than their extrema?"""
        return self.fits or self.rounding != "nearest"

    @property
    def without_images(self) -> Recipe:
        """The same with the corrections, which need images, left out. OutOfRange where its thresholds do."""
        if self.threshold not in WITHOUT_IMAGES:
            raise OutOfRange(
                f"threshold: {self.threshold} reads images, and none are given; give some, or threshold "
                f"{' or '.join(WITHOUT_IMAGES)}"
            )
        return replace(self, correct=())

    @property
    def payloads(self) -> int:
        """Bits of a payload. Where a channel shares its threshold, payloads have nothing to tell: a spike is
        its level."""
        if self.payload_bits is not None:
            return self.payload_bits
        return payload_bits(self.levels) if self.own_thresholds else 1

    @property
    def own_thresholds(self) -> bool:
        """Does each neuron of a channel have its own?"""
        return self.granularity == "neuron" or (self.threshold != "max" and self.share == "neuron")

    @property
    def runs(self) -> int:
        """How often each population hears all steps of the images: thresholds that are tried on them, and
        what it sends then, which tells what rounding reads, too."""
        sequential = self.threshold == "sequential"
        return sequential + bool(sequential or self.correct or self.rounding != "nearest")


BEST = Recipe()
BINARY = replace(BEST, steps=8, levels=1, spikes="binary")
PAPER = Recipe(
    steps=32,
    threshold="max",
    correct=(),
    share="neuron",
    granularity="neuron",
    levels=1,
    down=1.0,
    relay_levels=RELAY_LEVELS,
    payload_bits=PAYLOAD_BITS,
    rounding="nearest",
)
RECIPES = {"best": BEST, "binary": BINARY, "paper": PAPER}
SINCE_0_1 = {
    "down": 1.0,
    "relay_levels": RELAY_LEVELS,
}  # what records of 0.1.0, which name all other fields, do not say


def payload_bits(levels: int | Mapping[str, int]) -> int:
    """As many as a signed byte leaves to `levels` of them, 1 to 5: graded spikes of 8 bits travel fast, here
    as on chips."""
    most = max(levels.values(), default=1) if isinstance(levels, Mapping) else levels
    return max(1, min(PAYLOAD_BITS, (BYTE // most + 1).bit_length() - 1))


def named(name: str) -> Recipe:
    """One of RECIPES, or of a JSON file: what `dnisnm tune` wrote, or any object with the fields of Recipe as
    "recipe"."""
    if name in RECIPES:
        return RECIPES[name]
    path = Path(name)
    if not path.is_file():
        raise OutOfRange(
            f"recipe: {name!r} is neither {' nor '.join(RECIPES)} nor a file; give one of them, or what "
            f"`dnisnm tune` wrote"
        )
    try:
        return parsed(json.loads(path.read_bytes())["recipe"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = ", ".join(f.name for f in fields(Recipe))
        raise BadFile(
            f'{path}: no recipe ({error}); give a JSON object with "recipe", an object with some of {told}'
        ) from error


def parsed(told: Any) -> Recipe:
    """The recipe that an object says as JSON has it, with some of Recipe's fields; TypeError or
    AttributeError for what is none."""
    lacking = {f.name for f in fields(Recipe)} - set(told) - {"function_error"}
    before = SINCE_0_1 if lacking == set(SINCE_0_1) else {}
    return Recipe(**{**before, **told, "correct": tuple(told.get("correct", CORRECTIONS))})


def words(recipe: Recipe, base: Recipe) -> list[str]:
    """As options of the command line: what of `recipe` is not as in `base`."""
    found: list[str] = []
    for f in fields(Recipe):
        value = getattr(recipe, f.name)
        if value != getattr(base, f.name):
            found += [f"--{f.name.replace('_', '-')}", written(value)]
    return found


def written(value: Any) -> str:
    """A dial as the command line takes it."""
    if value is None:
        return "auto"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={steps}" for name, steps in value.items())
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check(recipe: Recipe) -> None:
    """OutOfRange for numbers that no network allows: before anything costs time."""
    checked_steps(recipe.steps)
    check_levels(levels=recipe.levels, relay_levels=recipe.relay_levels)
    check_down(recipe.down)
    check_function_error(recipe.function_error)
    if recipe.rounding not in ROUNDINGS:
        raise OutOfRange(f"rounding: {recipe.rounding!r} given; choose {' or '.join(ROUNDINGS)}")
    check_bits(weight_bits=recipe.weight_bits, payload_bits=recipe.payloads)
