"""What the charts over T and the trade-offs show."""

from __future__ import annotations

from collections.abc import Callable

from markupsafe import Markup

from dnisnm_lava.evaluation.intervals import front
from dnisnm_lava.measures import wilson
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


def accuracy(found: Gathered, alt: str) -> Markup:
    """A line each, in its 95 % interval; the ANN's, which has no T, is level."""
    drawn = [Series("ann", NAMES["ann"], _percents(found, "ann"), marker="", dashed=True)]
    for key in ("float", "integer"):
        images = found.comparison.images[key]
        band = {t: _interval(share, images) for t, share in found.accuracy(key).items()}
        drawn.append(Series(key, NAMES[key], _percents(found, key), band, MARKERS[key]))
    return charts.over_steps(drawn, "%", alt, chosen=found.suggested, told=_percent)


def agreement(found: Gathered, alt: str) -> Markup:
    drawn = []
    for key, shares in found.comparison.agreement.items():
        images = found.comparison.images[key]
        band = {t: _interval(share, images) for t, share in shares.items()}
        values = {t: 100 * share for t, share in shares.items()}
        drawn.append(Series(key, NAMES[key], values, band, MARKERS[key]))
    return charts.over_steps(drawn, "%", alt, chosen=found.suggested, told=_percent)


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


def _percents(found: Gathered, key: str) -> dict[int, float]:
    return {t: 100 * share for t, share in found.accuracy(key).items()}


def _interval(share: float, images: int) -> tuple[float, float]:
    low, high = wilson(share, images)
    return 100 * low, 100 * high


def _percent(value: float) -> str:
    return f"{value:.2f} %"


def _microjoules(value: float) -> str:
    return f"{digits(value)} µJ"


# ---------------------------------------------------------------- trade-offs

COSTS: dict[str, tuple[str, Callable[[Gathered, int], float]]] = {
    "latency": ("latency, µs at least", lambda found, t: 1e6 * found.runtimes[t].latency),
    "spikes": ("spikes an image", lambda found, t: spikes(found.costs[t])),
    "energy": ("µJ an image, integer arithmetic", lambda found, t: energies(found.costs[t], "arithmetic")[0]),
}


def on_front(found: Gathered, cost: str) -> dict[int, bool]:
    """{T: does no other T beat its integer accuracy at this cost?}"""
    values = [COSTS[cost][1](found, t) for t in found.steps]
    return dict(
        zip(found.steps, front([found.accuracy("integer")[t] for t in found.steps], values), strict=True)
    )


def trade(found: Gathered, cost: str, alt: str) -> Markup:
    """Accuracy over a cost: the front as a line, what is beaten as rings."""
    title, of = COSTS[cost]
    points = {t: (of(found, t), 100 * found.accuracy("integer")[t]) for t in found.steps}
    level = 100 * found.accuracy("ann")[found.steps[0]]
    return charts.trade(
        points,
        on_front(found, cost),
        level,
        title,
        "%",
        alt,
        chosen=found.suggested,
        told=lambda x, y: f"{_percent(y)}\n{title}: {digits(x)}",
    )
