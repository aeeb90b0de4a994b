"""What a click on a box of the graph tells: rows of a word and its value, which may follow the chosen T."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.studies.explain import first_wrong
from dnisnm_lava.studies.explain.values import PARTS, Explained
from dnisnm_lava.studies.loihi2.cores import Row
from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.views import graph_svg
from dnisnm_lava.views.network import network_json
from dnisnm_lava.views.page.pieces import At, Cell, count, size


def nodes(found: Gathered) -> list[dict[str, Any]]:
    """One a population, in the order of the graph: {name, rows: [(word, Cell)]}."""
    explained = {p.name: p for p in found.explanation.populations}
    placed = {row.name: row for row in found.checked.rows}
    counted = {p.name: i for i, p in enumerate(found.costs[found.suggested].populations)}
    made = []
    for entry in network_json(found.integer)["populations"]:
        name = entry["name"]
        told = [
            *_shape(entry),
            *_projections(found.integer, entry),
            *_neurons(entry, explained.get(name)),
            *_activity(counted.get(name), explained.get(name)),
            *_cores(placed.get(name)),
            *_error(explained.get(name)),
        ]
        made.append({"name": name, "rows": told})
    return made


def first_shown(found: Gathered) -> int:
    """The population that the page tells of before any click: the first that goes wrong, else that with the
    largest error."""
    told = found.explanation
    name = told.first.origin if told.first else max(told.populations, key=lambda p: p.total.mean_squared).name
    return [p.name for p in found.integer].index(name)


def _shape(entry: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    yield "kind", entry["kind"]
    yield "shape", f"{size(tuple(entry['shape']))}, {count(entry['neurons'])} neurons"
    if "bits" in entry:
        yield "bits", f"{entry['bits']}, with a sign"


def _projections(graph: SpikingGraph, entry: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    whats = graph_svg.whats(graph[entry["name"]])
    for i, (source, (told, _)) in enumerate(zip(entry["inputs"], whats, strict=True)):
        yield "reads", f"{source}: {told}"
        if "weight_bits" in entry:
            weight = graph_svg.projections(graph[entry["name"]])[i].weight
            used = entry["effective_bits"][i]
            yield (
                "weights",
                f"{size(weight.shape)}, {entry['weight_bits'][i]} bits, {used:.1f} effective",
            )


def _neurons(entry: Mapping[str, Any], p: Explained | None) -> Iterator[tuple[str, Cell]]:
    if "vth" in entry:
        low, high = entry["vth"]
        told = f"{count(low)} to {count(high)}" if low != high else count(low)
        real = "" if p is None or p.thresholds is None else f"; median theta {p.thresholds.median:.3g}"
        yield "thresholds", f"{told} in integer units{real}"
        yield "levels K", f"{entry['levels']}, lead {entry['lead']}"
        yield "payload", f"{entry['payload_bits']} bit{'' if entry['payload_bits'] == 1 else 's'}"
    if "state_bits" in entry:
        room = "" if p is None or p.headroom is None else f", {p.headroom.bits_left:.1f} of 24 not needed"
        yield "state", f"{entry['state_bits']} bits{room}"


def _activity(place: int | None, p: Explained | None) -> Iterator[tuple[str, Cell]]:
    if place is None:
        return
    yield "spikes an image", At(f"spikes.{place}")
    yield "rate a step", At(f"rate.{place}")
    yield "operations", At(f"operations.{place}")
    if p is not None and p.kind != "ReadOut":
        yield "dead, silent", f"{count(p.dead)}, {count(p.silent)} neurons"
    if p is not None and p.saturations:
        yield "saturations", count(p.saturations)


def _cores(row: Row | None) -> Iterator[tuple[str, Cell]]:
    if row is not None:
        yield "cores", f"{count(row.cores)}, {size(row.tile)} on each" if row.fits else "fits on no core"


def _error(p: Explained | None) -> Iterator[tuple[str, Cell]]:
    if p is None:
        return
    yield "error", f"{100 * p.total.mean_squared:.3f} % of the power"
    part = max(PARTS, key=lambda name: first_wrong.size(p, name))
    value = first_wrong.size(p, part)
    more = ", more than the whole: other parts undo some" if value > p.total.mean_squared else ""
    yield "largest part", f"{part}, {100 * value:.3f} %{more}"
