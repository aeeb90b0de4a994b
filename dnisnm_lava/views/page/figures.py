"""What the charts over T and the trade-offs show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

from markupsafe import Markup

from dnisnm_lava.evaluation.intervals import front
from dnisnm_lava.measures import Fit, Score
from dnisnm_lava.studies.costs.energy import Costs
from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.views.page import charts
from dnisnm_lava.views.page.charts import Series
from dnisnm_lava.views.page.pieces import count, digits

NAMES = {"ann": "ANN", "float": "float SNN", "integer": "integer SNN", "lava": "Lava fixed_pt"}
MARKERS = {"float": "circle", "integer": "square"}
# The first knows both sides, and is shown first.
RULES = {"arithmetic": "integer arithmetic", "paper": "the paper's rule", "chip": "a chip like Loihi"}


def energies(costs: Costs, rule: str) -> tuple[float, float]:
    """µJ an image by one of RULES: (of the spiking network, of the ANN beside it; 0 where the rule knows
    none)."""
    if rule == "chip":
        return costs.chip.total / 1e6, 0.0
    if rule == "arithmetic":
        return costs.quantized.snn / 1e6, costs.quantized.ann / 1e6
    return costs.paper.energy_snn["arriving"] / 1e6, costs.paper.energy_ann / 1e6


def spikes(costs: Costs) -> float:
    """How many spikes an image takes, without those of the image itself."""
    return sum(p.spikes for p in costs.populations if p.kind != "Input")


# ---------------------------------------------------------------- over T


def quality(found: Gathered, alt: str) -> Markup:
    """A line each, in its 95 % interval; the ANN's, which has no T, is level."""
    scale, drawn = found.scale, []
    for key in found.qualities:
        at = found.quality(key)
        values = {t: scale.of(own.value) for t, own in at.items()}
        if key == "ann":
            drawn.append(Series(key, NAMES[key], values, marker="", dashed=True))
        else:
            drawn.append(
                Series(key, NAMES[key], values, {t: scale.bounds(q) for t, q in at.items()}, MARKERS[key])
            )
    unit = scale.unit or "in the output's unit"
    return charts.over_steps(
        drawn, unit, alt, chosen=found.suggested, told=scale.words, is_share=_is_share(found)
    )


def _is_share(found: Gathered) -> bool:
    """Is 100 % all there is? An error has no such end."""
    return found.comparison.measure.is_share


@dataclass(frozen=True)
class Nearness:
    """How near the SNNs are to the ANN, right or wrong. title, caption: in words. values, bands: {"float",
    "integer": {T: ...}}, as they are told; none of what has no interval. less: is less better?"""

    title: str
    caption: str
    unit: str
    values: Mapping[str, Mapping[int, float]]
    bands: Mapping[str, Mapping[int, tuple[float, float]]]
    less: bool = False

    def number(self, told: float) -> str:
        return f"{told:.2f}" if self.unit == "%" else f"{told:#.4g}".rstrip(".")

    def words(self, told: float) -> str:
        return f"{self.number(told)} {self.unit}".strip()


def nearness(found: Gathered) -> Nearness:
    """Answers: the share that is the ANN's. Values: the RMSE by the standard deviation of the ANN's; where
    that is measured anyway, the largest error of a single value."""
    measure, scores = found.comparison.measure, found.comparison.agreements
    if measure.is_share:
        what = "Pixels that are as the ANN's" if measure.is_mask else "Images that get the ANN's own class"
        return Nearness(
            "Agreement with the ANN",
            f"{what}, right or wrong: what conversion alone changes.",
            "%",
            _each(scores, lambda s: 100 * s.value),
            _each(scores, lambda s: (100 * s.interval[0], 100 * s.interval[1])),
        )
    if measure.labels:
        return Nearness(
            "Error against the ANN",
            "RMSE to the ANN's own values, by their standard deviation: what conversion alone changes.",
            "%",
            _each(scores, lambda s: 100 * sqrt(max(0.0, 1 - s.value))),
            _each(scores, lambda s: _errors(s.interval)),
            True,
        )
    return Nearness(
        "Largest error",
        "Of any single value of any image, against the ANN's own, in the output's unit.",
        "",
        _each(scores, _largest),
        {},
        True,
    )


T = TypeVar("T")


def _each(scores: Mapping[str, Mapping[int, Score]], of: Callable[[Score], T]) -> dict[str, dict[int, T]]:
    return {key: {t: of(score) for t, score in at.items()} for key, at in scores.items()}


def _errors(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = (100 * sqrt(max(0.0, 1 - r2)) for r2 in interval)
    return high, low


def _largest(score: Score) -> float:
    assert isinstance(score, Fit)
    assert score.largest is not None
    return score.largest[1]


def agreement(found: Gathered, alt: str) -> Markup:
    told = nearness(found)
    drawn = [
        Series(key, NAMES[key], values, told.bands.get(key), MARKERS[key])
        for key, values in told.values.items()
    ]
    unit = told.unit or "in the output's unit"
    return charts.over_steps(
        drawn, unit, alt, chosen=found.suggested, told=told.words, is_share=_is_share(found)
    )


def spikes_over_steps(found: Gathered, alt: str) -> Markup:
    counts = {t: spikes(found.costs[t]) for t in found.steps}
    drawn = [Series("integer", NAMES["integer"], counts, None, "square")]
    return charts.over_steps(
        drawn, "spikes an image", alt, chosen=found.suggested, told=count, from_zero=True
    )


def energy_over_steps(found: Gathered, rule: str, alt: str) -> Markup:
    pairs = {t: energies(found.costs[t], rule) for t in found.steps}
    drawn = [Series("integer", NAMES["integer"], {t: snn for t, (snn, _) in pairs.items()}, None, "square")]
    if any(ann for _, ann in pairs.values()):
        values = {t: ann for t, (_, ann) in pairs.items()}
        drawn.append(Series("ann", "the ANN, by the same rule", values, marker="", dashed=True))
    return charts.over_steps(
        drawn, "µJ an image", alt, chosen=found.suggested, told=_microjoules, from_zero=True
    )


def _microjoules(value: float) -> str:
    return f"{digits(value)} µJ"


# ---------------------------------------------------------------- trade-offs

COSTS: dict[str, tuple[str, Callable[[Gathered, int], float]]] = {
    "latency": ("latency, µs at least", lambda found, t: 1e6 * found.runtimes[t].latency),
    "spikes": ("spikes an image", lambda found, t: spikes(found.costs[t])),
    "energy": ("µJ an image, integer arithmetic", lambda found, t: energies(found.costs[t], "arithmetic")[0]),
}


def on_front(found: Gathered, cost: str) -> dict[int, bool]:
    """{T: does no other T beat its integer quality at this cost?}"""
    values = [COSTS[cost][1](found, t) for t in found.steps]
    own = [found.quality("integer")[t].value for t in found.steps]
    return dict(zip(found.steps, front(own, values), strict=True))


def trade(found: Gathered, cost: str, alt: str) -> Markup:
    """Quality over a cost: the front as a line, what is beaten as rings."""
    title, of = COSTS[cost]
    scale, first = found.scale, found.steps[0]
    points = {t: (of(found, t), scale.of(found.quality("integer")[t].value)) for t in found.steps}
    level = scale.of(found.quality("ann")[first].value) if "ann" in found.qualities else None
    return charts.trade(
        points,
        on_front(found, cost),
        level,
        title,
        scale.unit or scale.name,
        alt,
        chosen=found.suggested,
        told=lambda x, y: f"{scale.words(y)}\n{title}: {digits(x)}",
        is_share=_is_share(found),
    )
