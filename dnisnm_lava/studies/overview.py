"""All that the page tells, gathered: values of the other modules, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.backends import lava_cpu
from dnisnm_lava.backends.results import Stages, in_silence
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation.comparison import Comparison, array_digest, checked, compare, versions
from dnisnm_lava.evaluation.intervals import standard_error, suggested
from dnisnm_lava.evaluation.sanity import CAUSES, Alarm
from dnisnm_lava.frontend.coverage import Coverage
from dnisnm_lava.ir import AnalogGraph, SpikingGraph, asked_measure, checked_pairs
from dnisnm_lava.measures import AUTO, Measure
from dnisnm_lava.studies.costs import energy as costs
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.explain.explain import UNKNOWN, explain
from dnisnm_lava.studies.explain.remedies import Setting
from dnisnm_lava.studies.explain.values import Explanation
from dnisnm_lava.studies.loihi2 import rules
from dnisnm_lava.studies.loihi2.rules import Checked

STEPS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
COST_IMAGES, EXPLAIN_IMAGES, LAVA_IMAGES = 16, 64, 4
MOST_THUMBNAILS = 12


@dataclass(frozen=True)
class Thumbnail:
    """An image (C, H, W) of the data, in [0, 1]; its place among the images, and what the Explanation says of it."""

    image: int
    pixels: np.ndarray
    ann: int
    integer: int
    label: int | None


@dataclass(frozen=True)
class Gathered:
    """costs: {T: of the first `COST_IMAGES` images or so}. coverage: None where no model was given, only a graph. classes: their
    names, or none. provenance: digests, versions, seed, command line."""

    title: str
    integer: SpikingGraph
    comparison: Comparison
    costs: Mapping[int, Costs]
    checked: Checked
    explanation: Explanation
    thumbnails: tuple[Thumbnail, ...]
    coverage: Coverage | None
    classes: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(self.costs)

    @property
    def suggested(self) -> int:
        """By the one-standard-error rule."""
        return suggested(self.accuracy("integer"), self.comparison.images["integer"])

    @property
    def standard_error(self) -> float:
        """Of the best integer accuracy: what the rule allows."""
        return standard_error(max(self.accuracy("integer").values()), self.comparison.images["integer"])

    def accuracy(self, key: str) -> Mapping[int, float]:
        """{T: share} of "float", "integer" or "lava"; the ANN's, which has no T, at each."""
        value = self.comparison.accuracy[key]
        return dict.fromkeys(self.steps, value) if isinstance(value, float) else value


def gather(
    analog: AnalogGraph, spiking: SpikingGraph, integer: SpikingGraph, images: Images, labels: Labels | None = None, *,
    title: str = "A spiking network", coverage: Coverage | None = None, classes: Sequence[str] = (),
    mean: Sequence[float] = (), std: Sequence[float] = (), steps: Sequence[int] = STEPS, measure: str | Measure = AUTO,
    output: str | int | None = None, ignore_label: int | None = None, lava_images: int = LAVA_IMAGES,
    cost_images: int = COST_IMAGES, explain_images: int = EXPLAIN_IMAGES, calibration: Any = None,
    provenance: Mapping[str, Any] | None = None, device: str = "cpu", memory: int | None = None,
    deadline: float = lava_cpu.DEADLINE, lava_python: Path | str | None = None, expected: float | None = None,
    causes: Sequence[str] = CAUSES, alarms: Sequence[Alarm] = (), setting: Setting = UNKNOWN, stages: Stages = in_silence,
) -> Gathered:  # fmt: skip
    """`compare`, `energy` at each T, `check` and `explain` on images (N, *input shape) and labels (N, ...) that were not fitted on
    (default: the labels that come with the images). measure, output, ignore_label: as in `compare`.

    mean, std: by channel, what the images were normalized with, so that thumbnails look as they should. calibration: images that
    the thresholds come from, for the maps, as in `explain`. provenance: by default digests and versions. expected: the ANN's accuracy
    as it should be, a share; causes: what may be wrong with the set-up, the likeliest first; alarms: those raised before. setting:
    what the networks were made with, for remedies.
    """
    if cost_images < 1 or explain_images < 1:
        raise OutOfRange(f"report: {cost_images} images for costs and {explain_images} to explain given; give 1 or more of each")
    chosen = checked((*steps, integer.steps), integer.steps, lava_images)
    x, y = checked_pairs(analog, images, labels)
    found = asked_measure(analog, y, measure, output, ignore_label)
    if not found.is_share:
        raise OutOfRange(f"report: tells of classes and answers; of values, compare, tune and precision do ({found})")
    compared = compare(
        analog, spiking, integer, x, y, steps=chosen, measure=found, lava_images=lava_images, device=device, memory=memory,
        deadline=deadline, lava_python=lava_python, expected=expected, causes=causes, alarms=alarms, stages=stages,
    )  # fmt: skip
    spent = {t: costs.energy(integer, x[:cost_images], steps=t, progress=stages(f"costs at T = {t}")) for t in chosen}
    told = explain(
        analog, spiking, integer, x[:explain_images], labels=None if y is None else y[:explain_images], measure=found,
        calibration=calibration, setting=setting,
        shown=MOST_THUMBNAILS, memory=memory, device=device, progress=stages("explain"),
    )  # fmt: skip
    shown = tuple(Thumbnail(d.image, viewable(x[d.image], mean, std), d.ann, d.integer, d.label) for d in told.disagreements)
    if provenance is None:
        digests = {"analog": analog.digest(), "float": spiking.digest(), "integer": integer.digest()}
        provenance = {"digests": {**digests, "images": array_digest(x, *(() if y is None else (y,)))}, "versions": versions()}
    return Gathered(title, integer, compared, spent, rules.check(integer), told, shown, coverage, tuple(classes), provenance)


def viewable(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(C, H, W) in [0, 1]: what it was before normalization; without that, stretched from its least to its largest value."""
    x = np.asarray(image, np.float64)
    if len(mean):
        by_channel = (-1, *(1,) * (x.ndim - 1))
        return np.clip(x * np.reshape(std, by_channel) + np.reshape(mean, by_channel), 0, 1)
    span = x.max() - x.min()
    return (x - x.min()) / span if span else np.zeros_like(x)
