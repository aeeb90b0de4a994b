"""The page's figures, each with what it says in words and, where no other table says so, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.views.page import figures, tables, why_figures
from dnisnm_lava.views.page.pieces import Picture, count, digits

ENERGY_CAPTIONS = {
    "arithmetic": "Integer arithmetic alone, at 45 nm; beside it, the ANN with as many bits of weights "
    "and activations.",
    "paper": "The paper's rule: 4.6 pJ a float multiplication of the ANN and of the layers that read the "
    "image, 0.9 pJ a spike's addition.",
    "chip": "A chip like Loihi: synaptic operations, updates and messages at Loihi 1's published "
    "simulated figures. It says nothing of an ANN.",
}
ERROR_CAPTION = (
    "Bars tell what each part adds: they sum to the whole, the mark, and parts left of 0 make up for others."
)


def pictures(found: Gathered) -> dict[str, Picture]:
    """{role: Picture}; those over T where there is more than one."""
    over_steps = {
        "quality": _quality,
        "agreement": _agreement,
        "spikes": _spikes,
    }
    made = {role: make(found) for role, make in over_steps.items()} if len(found.steps) > 1 else {}
    others = [*_energies(found), *_trades(found)] if made else []
    return {**made, **{p.id: p for p in [*others, *_why(found)]}}


def _quality(found: Gathered) -> Picture:
    scale = found.scale
    title = f"{scale.title} by the ANN's deviation" if scale.unit and scale.deviation else scale.title
    told = {t: scale.words(scale.of(q.value)) for t, q in found.quality("integer").items()}
    ann = f"; the ANN has {scale.words(scale.of(_ann(found)))}" if "ann" in found.qualities else ""
    alt = f"{title} over time steps T: {_ends(found, told)}{ann}."
    of = "Wilson" if not (scale.deviation or found.comparison.measure.is_mask) else "normal, over images"
    paired = "; what is lost has a paired one, above" if "ann" in found.qualities else ""
    caption = f"Shaded: each network's own 95 % interval ({of}){paired}."
    return Picture(scale.id, title, figures.quality(found, alt), caption, tables.quality(found))


def _agreement(found: Gathered) -> Picture:
    told = figures.nearness(found)
    alt = (
        f"{told.title} over T: {_ends(found, {t: told.words(v) for t, v in told.values['integer'].items()})}."
    )
    return Picture(
        "agreement", told.title, figures.agreement(found, alt), told.caption, tables.agreement(found)
    )


def _spikes(found: Gathered) -> Picture:
    first, last = (count(figures.spikes(found.costs[t])) for t in (found.steps[0], found.steps[-1]))
    alt = f"Spikes an image over T: {first} at T = {found.steps[0]}, {last} at T = {found.steps[-1]}."
    images = found.costs[found.steps[0]].images
    of = f"{images:,} image{'' if images == 1 else 's'}"
    caption = f"Counted, of all populations, without the image's own; mean of {of}."
    return Picture("spikes", "Spikes", figures.spikes_over_steps(found, alt), caption, tables.cost(found))


def _energies(found: Gathered) -> list[Picture]:
    made = []
    for rule, name in figures.RULES.items():
        first, last = (figures.energies(found.costs[t], rule)[0] for t in (found.steps[0], found.steps[-1]))
        told = f"{digits(first)} µJ at T = {found.steps[0]}, {digits(last)} µJ at T = {found.steps[-1]}"
        alt = f"Energy an image over T, estimated for {name}: {told}."
        drawing = figures.energy_over_steps(found, rule, alt)
        made.append(Picture(f"energy-{rule}", "", drawing, ENERGY_CAPTIONS[rule]))
    return made


def _trades(found: Gathered) -> list[Picture]:
    made = []
    for cost in ("energy", "latency"):
        title, _ = figures.COSTS[cost]
        kept = [str(t) for t, is_kept in figures.on_front(found, cost).items() if is_kept]
        name = f"{found.scale.title} against {cost}"
        alt = f"{found.scale.title} against {title}. On the front: T = {', '.join(kept)}."
        made.append(Picture(f"trade-{cost}", name, figures.trade(found, cost, alt), ""))
    return made


def _why(found: Gathered) -> list[Picture]:
    told = found.explanation
    worst = max(told.populations, key=lambda p: p.total.mean_squared)
    busiest = max(told.populations, key=lambda p: p.rate_up + p.rate_down)
    error = (
        f"Squared error of each population in parts; the largest in all, "
        f"{100 * worst.total.mean_squared:.2f} %, is {worst.name}'s."
    )
    most = f"{busiest.rate_up + busiest.rate_down:.3f}, are {busiest.name}'s"
    rate = f"Positive and negative spikes a neuron and step, by population; the most, {most}."
    image = (
        f"Image {told.raster_image} through the network: what up to 64 neurons of each population "
        f"send in each of {told.steps} steps."
    )
    panels = (
        "A column a step, a row a neuron, the busiest first. Orange is positive, blue negative, full colour "
        "K levels; of a max-pool, the sign alone."
    )
    few = why_figures.left_out(told.populations)
    left_out = f" The {why_figures.MOST} with the largest errors; the table has all." if few else ""
    return [
        Picture("parts", "Error by population", why_figures.parts(told, error), ERROR_CAPTION + left_out),
        Picture(
            "rates",
            "Firing rates",
            why_figures.rates(told, rate),
            "Negative spikes take back what was sent too soon (the paper's Fig. 9).",
        ),
        Picture("raster", "One image on its way", why_figures.raster(told, image), panels),
    ]


def _ends(found: Gathered, told: Mapping[int, str]) -> str:
    first, last = found.steps[0], found.steps[-1]
    return f"the integer SNN goes from {told[first]} at T = {first} to {told[last]} at T = {last}"


def _ann(found: Gathered) -> float:
    return found.quality("ann")[found.steps[0]].value
