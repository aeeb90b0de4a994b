"""`explain --try`: the likeliest remedies, followed on the same data, and what they bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

import dnisnm_lava as dn
from dnisnm_lava.cli import splitting
from dnisnm_lava.cli.names import TRIED_IMAGES
from dnisnm_lava.cli.networks import _fit_images, _statistics
from dnisnm_lava.cli.options import OfModel
from dnisnm_lava.cli.output import Stages
from dnisnm_lava.cli.reading import _images
from dnisnm_lava.measures import Measure
from dnisnm_lava.stages.networks import Networks, follow
from dnisnm_lava.studies.explain import remedies
from dnisnm_lava.studies.explain.values import Explanation, Remedy
from dnisnm_lava.system import ranks

if TYPE_CHECKING:
    from dnisnm_lava.data.datasets import Data

MOST = 2  # remedies


@dataclass(frozen=True)
class Tried:
    """A remedy on so many test `images`: the quality (share, mean IoU or R2, as `measure` tells) of the
    integer SNN's answers against the ANN's, and against labels (None without), before and after."""

    remedy: Remedy
    images: int
    agreement: tuple[float, float]
    accuracy: tuple[float, float] | None
    measure: Measure

    @property
    def sentence(self) -> str:
        measure, labelled = self.measure, replace(self.measure, labels=True)
        pairs = [(replace(measure, labels=False).aim, self.agreement)]
        pairs += [] if self.accuracy is None else [(labelled.aim, self.accuracy)]
        unit = " %" if measure.is_share else ""
        told = ", ".join(
            f"{name.removesuffix(', %')} {measure.shown(before, 1)} -> {measure.shown(after, 1)}{unit}"
            for name, (before, after) in pairs
        )
        return f"tried {self.remedy.option}: {told} of {self.images:,} images"


def try_remedies(
    args: OfModel, data: Data, network: Networks, found: Explanation, stages: Stages
) -> tuple[Tried, ...]:
    """The first `MOST` of those found, each alone."""
    from dnisnm_lava.backends import ann, batched

    measure = found.measure
    x, y = _images(data.test, TRIED_IMAGES, args.seed, stages, classes=measure.labels)
    own = measure.said(ann.ann(network.analog, x, readout=measure.output, device=args.device))
    right = measure.wanted(y) if measure.labels else None

    def against(said: np.ndarray, wanted: np.ndarray) -> float:
        return measure.score(measure.count(said, wanted), measure.spread(wanted), len(said)).quality

    def qualities(graph: dn.SpikingGraph) -> tuple[float, float | None]:
        said = measure.said(batched.run(graph, x, device=args.device).rates(graph.steps, measure.output))
        return against(said, own), None if right is None else against(said, right)

    before = qualities(network.integer)
    tried = []
    for remedy in found.remedies[:MOST]:
        stages(f"try {remedy.option}")
        after = qualities(_remade(args, data, network, remedy, stages))
        accuracy = None if before[1] is None or after[1] is None else (before[1], after[1])
        tried.append(Tried(remedy, len(x), (before[0], after[0]), accuracy, measure))
    return tuple(tried)


def _remade(args: OfModel, data: Data, network: Networks, remedy: Remedy, stages: Stages) -> dn.SpikingGraph:
    """The integer network with the remedy, and all else as it was."""
    from dnisnm_lava.data import datasets

    asked = replace(args, **{remedy.dial: remedy.value})
    stats = network.statistics
    assert stats is not None
    assert network.recipe is not None
    if remedy.dial == "calibration_images":
        chosen = datasets.choose(data.train, asked.calibration_images, args.seed)
        stats = _statistics(network.analog, data, chosen, ranks.Group(device=args.device), stages)
    recipe = replace(network.recipe, **remedies.changed(network.recipe, remedy))
    split = None if remedy.dial == "fit_images" else splitting.remembered(args, data.train)
    images = _fit_images(asked, data, split) if recipe.needs_images else None
    return follow(recipe, network.analog, stats, images, stages).integer


def tried_json(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    return [{**asdict(t), "measure": t.measure.facts, "option": t.remedy.option} for t in tried]


def tried_told(tried: Sequence[Tried]) -> RenderableType:
    return Group(*(Text(t.sentence) for t in tried))
