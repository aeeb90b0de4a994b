"""What a stream's page draws over frames: as many points at most, however long the stream was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnisnm_lava.studies.streams.rows import Answer, Row
from dnisnm_lava.studies.streams.summary import Summary
from dnisnm_lava.views.streams import NAMES

MOST_POINTS = 1000
MOST_LETTERS = 40  # of a name
MOST_VALUES = 4  # of an answer


@dataclass(frozen=True)
class Follow:
    """What `stream` tells, for its page. classes: their names, or none."""

    title: str
    rows: Sequence[Row]
    summary: Summary
    facts: Mapping[str, Any]
    classes: Sequence[str] = ()


def points(found: Follow) -> dict[str, Any]:
    """For JSON. A point is a frame or, of a long stream, `width` of them: means of what is counted, the first
    frame's answer, the worst agreement, and whether any of them began anew or lies behind a saturation."""
    rows, width = found.rows, -(-len(found.rows) // MOST_POINTS)
    groups = [rows[i : i + width] for i in range(0, len(rows), width)]
    answers = {key: [_short(g[0].answers[key]) for g in groups] for key in rows[0].answers}
    return {
        "first": rows[0].frame,
        "frames": len(rows),
        "width": width,
        "who": [[key, name] for key, name in NAMES.items()],
        "operations": _means(groups, lambda row: row.operations),
        "multiplications": int(found.summary.operations["ann"]),
        "spikes": _means(groups, lambda row: row.spikes),
        "kind": _kind(found),
        "agreement": _worst(groups, found),
        "answers": answers,
        "classes": _named(answers, found.classes),
        "fresh": [i for i, group in enumerate(groups) if any(row.fresh for row in group)],
        "inexact": [i for i, group in enumerate(groups) if not all(row.exact for row in group)],
    }


def class_name(answer: Answer, classes: Sequence[str]) -> str:
    """Shortened: a page has many."""
    if not isinstance(answer, int):
        return ""
    return short(classes[answer]) if 0 <= answer < len(classes) else f"class {answer}"


def short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _means(groups: Sequence[Sequence[Row]], of: Callable[[Row], Mapping[str, int]]) -> dict[str, list[int]]:
    return {key: [sum(of(row)[key] for row in g) // len(g) for g in groups] for key in of(groups[0][0])}


def _kind(found: Follow) -> str:
    """What agreement is: "class", a mark where one differs; "share" of the answers of a map; "error"."""
    measure = found.summary.measure
    if measure is None or measure.is_share:
        return "class" if isinstance(found.rows[0].answers["stream"], int) else "share"
    return "error"


def _worst(groups: Sequence[Sequence[Row]], found: Follow) -> dict[str, list[float]]:
    worst: Callable[[list[float]], float] = max if _kind(found) == "error" else min
    return {
        key: [float(f"{worst([row.agreement[key] for row in g]):.4g}") for g in groups]
        for key in found.rows[0].agreement
    }


def _short(answer: Answer) -> int | str | None:
    if isinstance(answer, list):
        told = ", ".join(f"{value:.4g}" for value in answer[:MOST_VALUES])
        return told + (", …" if len(answer) > MOST_VALUES else "")
    return answer


def _named(answers: Mapping[str, Sequence[int | str | None]], classes: Sequence[str]) -> dict[str, str]:
    said = {answer for found in answers.values() for answer in found if isinstance(answer, int)}
    return {str(answer): class_name(answer, classes) for answer in sorted(said)}
