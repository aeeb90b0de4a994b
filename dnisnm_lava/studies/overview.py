"""All that the page tells, gathered: values of the other modules, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dnisnm_lava.backends.lava_cpu import LAVA, Lava
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import outputs
from dnisnm_lava.evaluation.comparison import (
    Answered,
    Comparison,
    answered,
    checked,
    comparison,
    first_on_lava,
    tally_of,
)
from dnisnm_lava.evaluation.intervals import suggested
from dnisnm_lava.evaluation.origin import array_digest, versions
from dnisnm_lava.evaluation.outputs import Targets
from dnisnm_lava.evaluation.pairs import Loss, Parting, losses, partings, qualities
from dnisnm_lava.evaluation.session import NOTHING_KNOWN, SESSION, Session
from dnisnm_lava.frontend.coverage import Coverage
from dnisnm_lava.ir import SNM, Activation, Curve, Smooth, SpikingGraph, checked_pairs
from dnisnm_lava.ir.integers import check_images
from dnisnm_lava.measures import AUTO, Asked, Measure, Quality, Scale, Score, scale
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.explain.explain import Detail, explain
from dnisnm_lava.studies.explain.values import Explanation
from dnisnm_lava.studies.loihi2 import rules
from dnisnm_lava.studies.loihi2.limits import LOIHI2, Limits
from dnisnm_lava.studies.loihi2.rates import Rates
from dnisnm_lava.studies.loihi2.rules import Checked
from dnisnm_lava.studies.loihi2.runtime import Runtime
from dnisnm_lava.studies.observed import Watch

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
COST_IMAGES, EXPLAIN_IMAGES, RUNTIME_IMAGES = 16, 64, 2
MOST_THUMBNAILS = 8  # at one T


@dataclass(frozen=True)
class Thumbnail:
    """An image (C, H, W) of the data, in [0, 1], its place among the images, and the T at which it is one of
    those shown. ann, label: class, answer 0 or 1, or value; said: {T: the integer SNN's}. None, and said
    empty, where an image has several answers; apart: {T: how many of them differ from the ANN's; of values,
    the RMSE to the ANN's}."""

    image: int
    pixels: np.ndarray
    steps: tuple[int, ...]
    ann: float | None
    said: Mapping[int, float]
    label: float | None
    apart: Mapping[int, float]


@dataclass(frozen=True)
class Gathered:
    """scale: how qualities are told. qualities: {"ann", where there are labels: {0: of it}, "float",
    "integer": {T: ...}}. losses: {"float", "integer": {T: against the ANN}}, empty for answers without
    labels; partings: {T: where the integer SNN parts from the ANN}; all on all images. costs: {T: of the
    first `COST_IMAGES` images or so}; runtimes: {T: of the first `RUNTIME_IMAGES`}. coverage: None where no
    model was given, only a graph. classes: their names, or none. provenance: digests, versions, seed, command
    line. curves: (population, its smooth function, the lines that its neurons have instead)."""

    title: str
    integer: SpikingGraph
    comparison: Comparison
    scale: Scale
    qualities: Mapping[str, Mapping[int, Quality]]
    losses: Mapping[str, Mapping[int, Loss]]
    partings: Mapping[int, Parting]
    costs: Mapping[int, Costs]
    checked: Checked
    runtimes: Mapping[int, Runtime]
    explanation: Explanation
    thumbnails: tuple[Thumbnail, ...]
    coverage: Coverage | None
    classes: tuple[str, ...]
    provenance: Mapping[str, Any]
    curves: tuple[tuple[str, Smooth, Curve], ...] = ()

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(self.costs)

    @property
    def runtime_images(self) -> int:
        return self.runtimes[self.suggested].images

    @property
    def timed(self) -> str:
        """The chip whose rates the times rest on."""
        return self.runtimes[self.suggested].rates.name

    @property
    def suggested(self) -> int:
        """By the one-standard-error rule."""
        return suggested(self.qualities["integer"])

    @property
    def standard_error(self) -> float:
        """That of the best integer network: what the rule allows."""
        return max(self.qualities["integer"].values(), key=lambda quality: quality.value).standard_error

    def quality(self, key: str) -> Mapping[int, Quality]:
        """{T: of "float" or "integer"}; the ANN's, which has no T, at each. Empty where there is none."""
        found = self.qualities.get(key, {})
        return dict.fromkeys(self.steps, found[0]) if 0 in found else found

    def score(self, key: str, t: int) -> Score:
        """What was counted of it."""
        found = self.comparison.scores[key]
        return found[t] if isinstance(found, Mapping) else found


@dataclass(frozen=True)
class Chip:
    """Where the network is to run, as `check` and `runtime` ask: so many `chips` of these limits, an image
    every `period` steps (default: the shortest power of two), at these rates (default: the public ones)."""

    target: Limits = LOIHI2
    chips: int = 1
    period: int | None = None
    rates: Rates | None = None


@dataclass(frozen=True)
class About:
    """What the page says besides. classes: their names. mean, std: by channel, what the images were
    normalized with, so that thumbnails look as they should. provenance: by default digests and versions.
    cost_images, explain_images: the first so many are counted, and explained. steps: the T that are told,
    with the graph's own."""

    title: str = "A spiking network"
    classes: Sequence[str] = ()
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    provenance: Mapping[str, Any] | None = None
    cost_images: int = COST_IMAGES
    explain_images: int = EXPLAIN_IMAGES
    steps: Sequence[int] = STEPS


ABOUT, CHIP = About(), Chip()


def gather(
    nets: Networks,
    images: Images,
    labels: Labels | None = None,
    *,
    about: About = ABOUT,
    chip: Chip = CHIP,
    measure: Asked = AUTO,
    targets: Targets | None = None,
    lava: Lava = LAVA,
    session: Session = SESSION,
) -> Gathered:
    """`compare`, `energy` at each T, `check` and `explain` on images (N, *input shape) and labels (N, ...)
    that were not fitted on (default: the labels that come with the images); the arguments are theirs. chip:
    where the network is to run."""
    if about.cost_images < 1 or about.explain_images < 1:
        raise OutOfRange(
            f"report: {about.cost_images} images for costs and {about.explain_images} to explain given; "
            f"give 1 or more of each"
        )
    integer = nets.integer
    chosen = checked((*about.steps, integer.steps), integer.steps, lava.images)
    x, y = checked_pairs(nets.analog, images, labels)
    aim = outputs.wanted(nets.analog, len(x), y, targets, measure)
    found, y = aim.measure, aim.labels
    placed = rules.check(integer, chips=chip.chips, period=chip.period, target=chip.target)
    check_images(integer, "compare")
    heard = answered(nets, x, y, measure=found, further=aim.further, steps=chosen, session=session)
    on_lava = first_on_lava(nets, x, y, measure=found, steps=chosen, lava=lava, session=session)
    compared = comparison(integer, found, tally_of(heard, found), on_lava, session.set_up, aim.measures)
    parted = partings(heard, found, MOST_THUMBNAILS)
    watch = Watch(integer, chosen, about.cost_images, RUNTIME_IMAGES)
    told = explain(
        nets,
        x[: about.explain_images],
        None if y is None else y[: about.explain_images],
        measure=found,
        session=replace(session, set_up=NOTHING_KNOWN),  # which the comparison of all images has told
        detail=Detail(observe=watch.observe),
    )
    seen = watch.found(x, chip.rates, session.stages("costs, time"))
    provenance = about.provenance
    if provenance is None:
        digests = {
            "analog": nets.analog.digest(),
            "float": nets.spiking.digest(),
            "integer": integer.digest(),
        }
        provenance = {
            "digests": {**digests, "images": array_digest(x, *(() if y is None else (y,)))},
            "versions": versions(),
        }
    return Gathered(
        about.title,
        integer,
        compared,
        scale(found, _some(compared.scores["integer"])),
        qualities(heard, found, compared.scores),
        {key: losses(heard, found, key) for key in ("float", "integer")},
        parted,
        seen.costs,
        placed,
        seen.runtimes,
        told,
        _thumbnails(heard, found, parted, x, about),
        nets.coverage,
        tuple(about.classes),
        provenance,
        _curves(nets),
    )


def _some(scores: Score | Mapping[int, Score]) -> Score:
    return next(iter(scores.values())) if isinstance(scores, Mapping) else scores


def _thumbnails(
    heard: Answered, measure: Measure, parted: Mapping[int, Parting], images: np.ndarray, about: About
) -> tuple[Thumbnail, ...]:
    """The thumbnails of the images that some T shows: those of the most steps first."""
    shown: dict[int, list[int]] = {}
    for t in sorted(parted, reverse=True):
        for image in parted[t].shown:
            shown.setdefault(image, []).append(t)
    single = measure.answers == 1
    ann, labels, integer = heard.right["ann"], heard.right.get("labels"), heard.said["integer"]
    return tuple(
        Thumbnail(
            image,
            viewable(images[image], about.mean, about.std),
            tuple(sorted(steps)),
            ann[image].item() if single else None,
            {t: said[image].item() for t, said in integer.items()} if single else {},
            labels[image].item() if single and labels is not None else None,
            {t: _between(measure, said[image], ann[image]) for t, said in integer.items()},
        )
        for image, steps in shown.items()
    )


def _between(measure: Measure, said: np.ndarray, ann: np.ndarray) -> float:
    """The distance between the answers to one image: how many differ; of values, their RMSE."""
    if measure.is_share:
        return int(np.count_nonzero(said != ann))
    return float(np.sqrt(np.mean(np.square(said - ann))))


def _curves(nets: Networks) -> tuple[tuple[str, Smooth, Curve], ...]:
    """(population, the ANN's function, the float network's lines) where they are not the same."""
    return tuple(
        (own.name, own.function, p.curve)
        for own, p in ((own, nets.spiking[own.name]) for own in nets.analog.of(Activation))
        if isinstance(own.function, Smooth) and isinstance(p, SNM) and p.curve is not None
    )


def viewable(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(C, H, W) in [0, 1]: what it was before normalization; without that, stretched from its least to its
    largest value."""
    x = np.asarray(image, np.float64)
    if len(mean):
        by_channel = (-1, *(1,) * (x.ndim - 1))
        return np.clip(x * np.reshape(std, by_channel) + np.reshape(mean, by_channel), 0, 1)
    span = x.max() - x.min()
    return (x - x.min()) / span if span else np.zeros_like(x)
