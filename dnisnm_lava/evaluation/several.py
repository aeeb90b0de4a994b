"""Several networks beside each other: the points of each, from results of `compare`, with intervals that are
paired with the ANN on the same images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.evaluation import marks as marking
from dnisnm_lava.evaluation.comparison import Comparison
from dnisnm_lava.evaluation.marks import Difference
from dnisnm_lava.measures import Score, wilson

RESULT = "result.json"
RULES = ("chip", "arithmetic", "paper")  # of an energy
COSTS = ("steps", "latency", "spikes", "energy")  # what may stand on the other axis


@dataclass(frozen=True)
class Point:
    """A network read after `steps` steps. score: of the measure. interval: 95 % of it: around the ANN's score
    the paired interval of the difference from the ANN, where each image's answer is known; else that of the
    score alone; None: not known. loss: the difference itself. latency: steps until the answer stands; spikes
    of an image; energy: {rule: pJ an image}; None and empty where the result does not tell."""

    steps: int
    score: float
    interval: tuple[float, float] | None = None
    loss: Difference | None = None
    latency: int | None = None
    spikes: float | None = None
    energy: Mapping[str, float] | None = None

    def cost(self, kind: str, rule: str) -> float | None:
        """One of COSTS; energy in uJ."""
        if kind == "energy":
            found = (self.energy or {}).get(rule)
            return None if found is None else found / 1e6
        value = getattr(self, kind)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Curve:
    """The points of one network over T, or of networks that were made each for its T. heading: what a score
    is called; is_share: is it told in %? ann: the ANN's score, where labels tell it. images: how many;
    same: the digest of the images and their labels. marks: of its points, by T, and of the ANN, by 0; of
    `kind`. paired: do its intervals pair it with the ANN? variance: of the wanted values, else 1. for_each:
    was a network made for each point, or one for the last, which was read earlier?"""

    name: str
    points: tuple[Point, ...]
    heading: str
    is_share: bool
    ann: float | None = None
    images: int = 0
    same: str = ""
    kind: str = ""
    marks: Mapping[int, Any] | None = None
    paired: bool = False
    variance: float = 1.0
    for_each: bool = False

    @property
    def last(self) -> Point:
        """At its own T."""
        return max(self.points, key=lambda p: p.steps)


def read(place: Path, name: str = "", network: str = "integer") -> tuple[Curve, ...]:
    """What `compare --out` left in a folder, or a result.json; of a folder of such folders, each. Those that
    were made together for several T are one curve. BadFile for what compare did not write."""
    found = []
    for path in _results(place):
        try:
            told = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise BadFile(
                f"{path}: cannot be read as JSON ({error}); give what dnisnm compare wrote"
            ) from None
        found.append((name or path.resolve().parent.name, told, str(path)))
    return of_results([(own, told) for own, told, _ in found], network, [who for *_, who in found])


def of_results(
    results: Sequence[tuple[str, Any]], network: str = "integer", places: Sequence[str] = ()
) -> tuple[Curve, ...]:
    """Curves of (name, content of a result.json). places: where they were found, for errors."""
    whos = places or [name for name, _ in results]
    found = [_curve(told, name, network, who) for (name, told), who in zip(results, whos, strict=True)]
    series: dict[str, list[Curve]] = {}
    for i, (curve, made) in enumerate(found):
        series.setdefault(made or f"{i}/{curve.name}", []).append(curve)
    return tuple(_together(key, curves) for key, curves in series.items())


def _results(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if (place / RESULT).is_file():
        return [place / RESULT]
    inside = sorted(place.glob(f"*/{RESULT}"), key=lambda p: p.stat().st_mtime_ns)
    if not inside:
        raise BadFile(f"{place}: no {RESULT}, here or in its folders; give what dnisnm compare --out wrote")
    return inside


def _together(name: str, curves: Sequence[Curve]) -> Curve:
    """The curve of networks made each for its T, each at its own."""
    if len(curves) == 1:
        return curves[0]
    if len({(c.heading, c.same, c.images, c.ann) for c in curves}) > 1:
        raise OutOfRange(
            f"{name}: its networks were measured on other images, or otherwise; compare them anew"
        )
    last = {c.last.steps: c for c in sorted(curves, key=lambda c: c.last.steps)}
    marks: dict[int, Any] = {}
    for t, c in last.items():
        marks.update({at: c.marks[at] for at in (0, t) if c.marks is not None and at in c.marks})
    known = all(c.marks is not None for c in curves)
    points = tuple(c.last for c in last.values())
    return replace(curves[0], name=name, points=points, marks=marks if known else None, for_each=True)


def _curve(told: Any, name: str, network: str, who: str) -> tuple[Curve, str]:
    """The curve, and the name of those that it was made with, or nothing."""
    try:
        is_share = told["measure"]["kind"] != "values"
        scores = told["accuracy" if is_share else "r2"]
        points = {int(t): _number(score) for t, score in scores[network].items()}
        last = max(points)
        curve = Curve(
            name,
            (),
            str(told.get("heading") or ("accuracy, %" if is_share else "R2")),
            is_share,
            _number(scores["ann"]) if "ann" in scores else None,
            int(told["images"][network]),
            str(told["provenance"]["digests"].get("images", "")),
            variance=1.0 if is_share else _variance(told, network),
        )
        found = marking.from_json(told["answers"], who) if "answers" in told else None
        kept = (
            None
            if found is None
            else {**{t: found.of[network][t] for t in points}, **found.of.get("ann", {})}
        )
        costs = _costs(told, network, last)
        made = str(told.get("made_together", ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(
            f"{who}: no result of compare ({type(error).__name__}: {error}); give what dnisnm compare --out "
            f"wrote"
        ) from None
    return with_points(curve, points, found.kind if found else "", kept, costs), made


def _number(value: Any) -> float:
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{value} is no score")
    return number


def _variance(told: Mapping[str, Any], network: str) -> float:
    """The variance of the wanted values: RMSE^2 / (1 - R2), of the T where R2 is least."""
    t = min(told["r2"][network], key=lambda t: told["r2"][network][t])
    left = 1 - _number(told["r2"][network][t])
    return _number(told["rmse"][network][t]) ** 2 / left if left > 0 else 1.0


def _costs(told: Mapping[str, Any], network: str, last: int) -> dict[int, dict[str, Any]]:
    """{T: latency, spikes, energy}, as far as they are told; the last two of the T that was run."""
    found: dict[int, dict[str, Any]] = {
        int(t): {"latency": int(steps)} for t, steps in told.get("latency", {}).items()
    }
    if network == "integer":
        spikes = sum(p["spikes_up"] + p["spikes_down"] for p in told["populations"])
        found.setdefault(last, {})["spikes"] = spikes / int(told["images"][network])
        costs = told.get("costs")
        if costs is not None and int(costs["steps"]) == last:
            found[last]["energy"] = {rule: _number(costs["energy"][rule]) for rule in RULES}
    return found


def with_points(
    curve: Curve,
    scores: Mapping[int, float],
    kind: str,
    marks: Mapping[int, Any] | None,
    costs: Mapping[int, Mapping[str, Any]] | None = None,
) -> Curve:
    """The curve with its points, and intervals where the marks of images tell them."""
    paired = marks is not None and 0 in marks and curve.ann is not None
    points = []
    for t, score in sorted(scores.items()):
        point = Point(t, score, **(costs or {}).get(t, {}))
        if paired:
            assert marks is not None
            assert curve.ann is not None
            loss = _scaled(marking.difference(kind, marks[t], marks[0]), curve.variance)
            ends = (curve.ann + end for end in loss.interval)
            low, high = (min(max(end, 0.0), 1.0) if curve.is_share else end for end in ends)
            point = replace(point, interval=(low, high), loss=loss)
        elif marks is not None and curve.is_share and kind == "right":
            point = replace(point, interval=wilson(score, curve.images))
        points.append(point)
    return replace(curve, points=tuple(points), kind=kind, marks=marks, paired=paired)


def _scaled(found: Difference, variance: float) -> Difference:
    """The difference of mean squared errors, as one of R2."""
    low, high = found.interval
    return Difference(found.value / variance, (low / variance, high / variance))


def of_comparison(found: Comparison, network: str, name: str) -> Curve:
    """The curve of one network of a comparison, "float" or "integer"."""
    scores, measure = found.scores[network], found.measure
    assert isinstance(scores, Mapping)
    ann = found.scores.get("ann")
    curve = Curve(
        name,
        (),
        measure.name,
        measure.is_share,
        None if ann is None or isinstance(ann, Mapping) else ann.value,
        found.images[network],
        variance=1.0 if measure.is_share else _of_fit(scores.values()),
    )
    marks: dict[int, Any] | None = None
    if found.marks is not None:
        marks = {**found.marks.of[network], **found.marks.of.get("ann", {})}
    kind = found.marks.kind if found.marks else ""
    return with_points(curve, {t: s.value for t, s in scores.items()}, kind, marks)


def _of_fit(scores: Iterable[Score]) -> float:
    return float(next(getattr(score, "variance", 1.0) for score in scores))


def between(a: Curve, b: Curve) -> Difference | None:
    """a - b, each at its last T, paired; None where they were not measured on the same images, or nothing is
    known of these."""
    if a.marks is None or b.marks is None or a.kind != b.kind or not a.same or a.same != b.same:
        return None
    return _scaled(marking.difference(a.kind, a.marks[a.last.steps], b.marks[b.last.steps]), a.variance)
