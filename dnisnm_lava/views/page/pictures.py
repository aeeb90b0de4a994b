"""The page's figures, each with what it says in words and, where no other table says so, in numbers."""

from __future__ import annotations

import json

import plotly.graph_objects as go

from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.views.page import figures, tables, why_figures
from dnisnm_lava.views.page.pieces import Picture, count, percent


def pictures(found: Gathered) -> dict[str, Picture]:
    """{id: Picture}"""
    made = [
        _accuracy(found),
        _agreement(found),
        _spikes(found),
        *_energies(found),
        *_trades(found),
        *_why(found),
    ]
    return {p.id: p for p in made}


def _plain(figure: go.Figure) -> dict:
    """Arrays as lists, so that every number of the page can be read in its source."""
    return json.loads(json.dumps(figure.to_plotly_json(), default=lambda array: array.tolist()))


def _accuracy(found: Gathered) -> Picture:
    alt = (
        f"Accuracy over time steps T: {_ends(found, found.accuracy('integer'))}; the ANN has "
        f"{percent(_ann(found))}."
    )
    caption = "Shaded areas are 95 % intervals (Wilson): what as many other images may well have shown."
    if "lava" in found.comparison.accuracy:
        caption += " Lava ran few images, to be compared spike for spike (Checks): they have no curve."
    return Picture(
        "accuracy", _plain(figures.accuracy(found)), alt, caption, tables.accuracy(found), over_steps=True
    )


def _agreement(found: Gathered) -> Picture:
    alt = (
        f"Share of images with the ANN's own class over T: "
        f"{_ends(found, found.comparison.agreement['integer'])}."
    )
    caption = (
        "Images that get the ANN's own class, right or wrong: what conversion alone changes, "
        "whatever the labels say."
    )
    return Picture(
        "agreement", _plain(figures.agreement(found)), alt, caption, tables.agreement(found), over_steps=True
    )


def _spikes(found: Gathered) -> Picture:
    first, last = (count(figures.spikes(found.costs[t])) for t in (found.steps[0], found.steps[-1]))
    alt = f"Spikes an image over T: {first} at T = {found.steps[0]}, {last} at T = {found.steps[-1]}."
    images = found.costs[found.steps[0]].images
    caption = (
        f"Spikes of all populations, positive and negative, without the image's own; mean of "
        f"{images:,} images."
    )
    return Picture(
        "spikes", _plain(figures.spikes_over_steps(found)), alt, caption, tables.cost(found), over_steps=True
    )


PANEL = 28  # pixels of a population in the raster, at least
ENERGY_CAPTIONS = {
    "chip": "A chip like Loihi: synaptic operations, updates and messages at Loihi 1's published "
    "simulated figures.",
    "arithmetic": "Integer arithmetic alone, at 45 nm; beside it, the ANN with as many bits of weights "
    "and activations.",
    "paper": "The paper's rule: 4.6 pJ a float multiplication of the ANN and of the layers that read the "
    "image, 0.9 pJ a spike's addition.",
}


ERROR_CAPTION = (
    "Bars tell what each part adds: they sum to the whole, the mark, and parts left of 0 make up for others. "
    "The sentence above and the table below tell how large a part is by itself."
)


def _energies(found: Gathered) -> list[Picture]:
    made = []
    for rule, name in figures.RULES.items():
        first, last = (figures.energies(found.costs[t], rule)[0] for t in (found.steps[0], found.steps[-1]))
        told = f"{first:,.4g} µJ at T = {found.steps[0]}, {last:,.4g} µJ at T = {found.steps[-1]}"
        alt = f"Energy an image over T, estimated for {name}: {told}."
        caption = f"{ENERGY_CAPTIONS[rule]} Estimated by this rule, not measured."
        made.append(
            Picture(
                f"energy-{rule}",
                _plain(figures.energy_over_steps(found, rule)),
                alt,
                caption,
                over_steps=True,
            )
        )
    return made


def _trades(found: Gathered) -> list[Picture]:
    made = []
    for cost, (title, _) in figures.COSTS.items():
        kept = [str(t) for t, is_kept in figures.on_front(found, cost).items() if is_kept]
        alt = f"Accuracy against {title}. On the front: T = {', '.join(kept)}."
        made.append(Picture(f"trade-{cost}", _plain(figures.trade(found, cost)), alt, ""))
    return made


def _why(found: Gathered) -> list[Picture]:
    told = found.explanation
    worst = max(told.populations, key=lambda p: p.total.mean_squared)
    busiest = max(told.populations, key=lambda p: p.rate_up + p.rate_down)
    error = (
        f"Squared error of each population in five parts; the largest in all, "
        f"{100 * worst.total.mean_squared:.2f} %, is {worst.name}'s."
    )
    most = f"{busiest.rate_up + busiest.rate_down:.3f}, are {busiest.name}'s"
    rate = f"Positive and negative spikes a neuron and step, by population; the most, {most}."
    panels = (
        "A panel a population, in the order of the graph; a column a step, a row a neuron, from the "
        "busiest to the least busy. "
        "Orange is positive, blue negative, full colour K levels; of a max-pool, the sign alone."
    )
    image = (
        f"Image {told.raster_image} through the network: what up to 64 neurons of each population "
        f"send in each of {told.steps} steps."
    )
    return [
        Picture("parts", _plain(why_figures.parts(told)), error, ERROR_CAPTION),
        Picture(
            "rates",
            _plain(why_figures.rates(told)),
            rate,
            "Negative spikes take back what was sent too soon (the paper's Fig. 9).",
        ),
        Picture(
            "raster",
            _plain(why_figures.raster(told)),
            image,
            panels,
            least_width=100 + PANEL * len(told.populations),
        ),
    ]


def _ends(found: Gathered, shares: object) -> str:
    assert isinstance(shares, dict)
    first, last = found.steps[0], found.steps[-1]
    return (
        f"the integer SNN goes from {percent(shares[first])} at T = {first} to "
        f"{percent(shares[last])} at T = {last}"
    )


def _ann(found: Gathered) -> float:
    return found.accuracy("ann")[found.steps[0]]
