"""A network in its three forms, the ANN, the float SNN and its integers, and the one way there from a model
and images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import AnalogGraph, Rectifier, SpikingGraph
from dnisnm_lava.stages.calibration import Statistics, calibrate
from dnisnm_lava.stages.conversion import convert
from dnisnm_lava.stages.quantization import Readings, quantize
from dnisnm_lava.stages.recipes import BEST, Recipe, check
from dnisnm_lava.system.progress import Stages, in_silence
from dnisnm_lava.system.ranks import ALONE, Group

if TYPE_CHECKING:
    import torch

    from dnisnm_lava.frontend.coverage import Coverage
    from dnisnm_lava.frontend.walk import Traced
    from dnisnm_lava.stages.fitting.kept import Keep

CALIBRATION_IMAGES, FIT_IMAGES = 4000, 256


@dataclass(frozen=True)
class Samples:
    """How many training images are drawn, by `seed`: for maxima, and for `fit` and rounding; all, where there
    are no more."""

    calibration: int = CALIBRATION_IMAGES
    fit: int = FIT_IMAGES
    seed: int = 0


SAMPLES = Samples()


@dataclass(frozen=True, eq=False)
class Networks:
    """One network in three forms, and what made it; None for what is not known.

    analog: the ANN. spiking: the float SNN. integer: the same in integers. statistics: what calibration saw.
    readings: what weights read, where that decided their rounding. images: how many were fitted on (0: none),
    available: that there were. coverage: what became of the model's operations.
    """

    analog: AnalogGraph
    spiking: SpikingGraph
    integer: SpikingGraph
    statistics: Statistics | None = None
    recipe: Recipe | None = None
    readings: Readings | None = None
    images: int | None = None
    available: int | None = None
    coverage: Coverage | None = None


def build(
    model: torch.nn.Module | Traced | AnalogGraph,
    images: Images,
    recipe: Recipe = BEST,
    samples: Samples = SAMPLES,
    *,
    device: Device = "cpu",
    stages: Stages = in_silence,
    calibrated: Callable[[AnalogGraph, Statistics, int], None] | None = None,
    group: Group = ALONE,
    keep: Keep | None = None,
) -> Networks:
    """The networks of `recipe`, of a model in evaluation mode and training images: what `dnisnm convert`
    makes of the same.

    images: an array or a tensor (N, *input shape), a Dataset, a DataLoader, or an iterable of batches (the
    last two are held in memory), with labels or without; prepared as in training. samples: of them.
    calibrated(analog, statistics, fit images): called before anything is fitted, and may refuse. group: of
    the processes that share calibration and `fit`; each is given the same, and the first one's networks are
    those that one alone would make. keep: as of `Passes`. UnsupportedModel and OutOfRange as `from_torch`,
    `calibrate`, `fit` and `quantize` say.
    """
    check(recipe)
    pool = inputs.pool(images)
    analog, coverage = traced(model, pool)
    sample = pool.sample(samples.calibration, samples.seed, stages("calibrate"))
    statistics = calibrate(analog, sample, device=device, group=group)
    fitted = min(samples.fit, len(pool)) if recipe.needs_images else 0
    if calibrated:
        calibrated(analog, statistics, fitted)
    stages("convert, quantize")
    chosen = pool.sample(samples.fit, samples.seed) if fitted else None
    made = follow(recipe, analog, statistics, chosen, stages, group, keep)
    return Networks(
        analog, made.spiking, made.integer, statistics, recipe, made.readings, fitted, len(pool), coverage
    )


def traced(
    model: torch.nn.Module | Traced | AnalogGraph, pool: inputs.Pool
) -> tuple[AnalogGraph, Coverage | None]:
    """The model's graph, and what became of its operations, where that is known."""
    if isinstance(model, AnalogGraph):
        return model, None
    from dnisnm_lava.frontend.walk import Traced, trace

    found = model if isinstance(model, Traced) else trace(model, pool.first)
    return found.graph, found.coverage


def follow(
    recipe: Recipe,
    analog: AnalogGraph,
    statistics: Statistics,
    images: Images | None,
    stages: Stages = in_silence,
    group: Group = ALONE,
    keep: Keep | None = None,
) -> Networks:
    """The networks of `recipe`, from what calibration saw. images: for `fit` and for rounding, an array (N,
    *input shape), or what gives batches of such each time it is iterated; None where the recipe needs none,
    or the statistics are those of no image: then only what `Recipe.without_images` leaves of a recipe is
    understood. group, keep: as of `build`."""
    check(recipe)
    moments_alone = images is None and statistics.moments is not None
    if moments_alone:
        _check_without_images(recipe)
    elif images is None and recipe.needs_images:
        raise OutOfRange(
            "recipe: it fits on images, and none are given; give calibration images, or use the recipe "
            "`paper`"
        )
    images = () if images is None else images
    if recipe.spikes == "binary":
        _check_binary(recipe, analog)
    spiking = convert(
        analog,
        statistics,
        steps=recipe.steps,
        granularity=recipe.granularity,
        levels=recipe.levels,
        lead=recipe.lead,
        down=recipe.down,
        relay_levels=recipe.relay_levels,
        function_error=recipe.function_error,
    )
    found: Readings | None = None
    if recipe.fits and moments_alone:
        from dnisnm_lava.stages.fitting import without_images

        stages("thresholds")
        spiking = without_images.fit_without_images(analog, spiking, statistics, granularity=recipe.share)
    elif recipe.fits:
        from dnisnm_lava.stages.fitting.fit import Fitting, Passes, fit, fit_and_read

        how = Fitting(
            threshold=recipe.threshold,
            correct=recipe.correct,
            granularity=recipe.share,
            percentile=recipe.percentile,
            subset=recipe.subset,
        )
        passes = Passes(progress=stages("fit"), group=group, keep=keep)
        if recipe.rounding == "nearest":
            spiking = fit(analog, spiking, images, how, passes)
        else:
            spiking, found = fit_and_read(analog, spiking, images, how, passes)
    if recipe.rounding == "compensated" and moments_alone:
        from dnisnm_lava.stages.fitting import without_images

        found = without_images.readings_without_images(spiking, statistics)
    elif recipe.rounding == "compensated" and found is None:
        from dnisnm_lava.stages.fitting.readings import readings as read

        found = read(spiking, images, progress=stages("read moments"), group=group)
    integer = quantize(
        spiking,
        weight_bits=recipe.weight_bits,
        payload_bits=recipe.payloads,
        spikes=recipe.spikes,
        readings=found,
    )
    return Networks(analog, spiking, integer, statistics, recipe, found)


def _check_without_images(recipe: Recipe) -> None:
    """OutOfRange for a recipe that reads images."""
    if recipe != recipe.without_images:
        raise OutOfRange(
            f"correct: {', '.join(recipe.correct)} given, which need images, and none are; give some, or "
            f"correct none"
        )


def _check_binary(recipe: Recipe, analog: AnalogGraph) -> None:
    """OutOfRange, before anything is fitted, where thresholds would differ within a channel."""
    own = [
        name
        for name, fits in (("granularity", True), ("share", recipe.threshold != "max"))
        if fits and getattr(recipe, name) == "neuron"
    ]
    if own and any(prod(p.shape[1:]) > 1 for p in analog.of(Rectifier)):
        raise OutOfRange(
            f"spikes: binary spikes need one threshold per channel, and {' and '.join(own)} 'neuron' "
            f"give neurons their own; "
            f"give {' and '.join(f'{name} channel' for name in own)} (or layer)"
        )
