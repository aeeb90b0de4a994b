"""Trials of recipes, those that no other beats, and which serves a target best."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import intervals
from dnisnm_lava.stages.recipes import Recipe

KINDS = {
    "steps": "time steps T",
    "latency": "steps until the read-out is done",
    "spikes": "spikes an image",
    "drop": "points below the ANN",
    "error": "RMSE by the standard deviation",
}
QUALITIES = (
    "drop",
    "error",
)  # limits of how good it is, for as little latency as can be; the others limit what it costs


@dataclass(frozen=True)
class Trial:
    """One recipe, measured on held-back images. score: share of the answers that are the wanted ones; of
    masks, the mean IoU; of values, R2. drop: points (%) by which the ANN's own score is higher. interval: 95
    % of the score. latency: steps until the read-out's last, with leads and depth. spikes: of an image."""

    phase: str
    recipe: Recipe
    score: float
    drop: float
    latency: int
    spikes: float
    interval: tuple[float, float] = (0.0, 1.0)

    @property
    def steps(self) -> int:
        return self.recipe.steps

    @property
    def error(self) -> float:
        """The error of values: RMSE by the standard deviation of the wanted ones."""
        return error_of(self.score)

    @property
    def cost(self) -> tuple[int, float, int]:
        return self.latency, self.spikes, self.steps


def error_of(score: float) -> float:
    """sqrt(1 - R2) of the R2 `score`: RMSE by the standard deviation of the wanted values."""
    return sqrt(max(0.0, 1 - score))


@dataclass(frozen=True)
class Target:
    """What must not be exceeded: `limit` of one of KINDS."""

    kind: str
    limit: float

    def __post_init__(self) -> None:
        least = 0 if self.kind in QUALITIES else 1
        if not self.limit >= least:  # NaN too
            raise OutOfRange(
                f"{self.kind}: at most {self.limit:g} asked for; give {least} or more ({KINDS[self.kind]})"
            )

    def met(self, trial: Trial) -> bool:
        return float(getattr(trial, self.kind)) <= self.limit

    def __str__(self) -> str:
        return f"at most {self.limit:g} {KINDS[self.kind]}"


def best(target: Target, trials: Sequence[Trial]) -> Trial:
    """The best that meets `target`: for a drop or an error the cheapest, else the most accurate, of equals
    the cheapest. If none does: the one that comes nearest."""
    return max(trials, key=lambda trial: rank(target, trial))


def rank(target: Target, trial: Trial) -> tuple[float, ...]:
    """More is better."""
    cheap = tuple(-c for c in trial.cost)
    if not target.met(trial):
        return (0.0, -float(getattr(trial, target.kind)), *cheap)
    return (1.0, *cheap, trial.score) if target.kind in QUALITIES else (1.0, trial.score, *cheap)


def front(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Those that no other beats or equals in score, latency, spikes and steps together; the cheapest first,
    each once."""
    unbeaten = intervals.front([t.score for t in trials], *zip(*(t.cost for t in trials), strict=True))
    kept: dict[tuple[float, ...], Trial] = {}
    for trial in itertools.compress(trials, unbeaten):
        kept.setdefault((trial.score, *trial.cost), trial)
    return tuple(sorted(kept.values(), key=lambda t: t.cost))


def difference(recipe: Recipe, other: Recipe) -> str:
    """What `other` does otherwise, in words."""
    told = {
        "steps": f"T = {other.steps}",
        "levels": levels_told(other.levels),
        "down": f"down {other.down:g}",
        "lead": lead_told(other.lead),
        "threshold": f"threshold {other.threshold}",
        "correct": f"correct {','.join(other.correct) or 'none'}",
        "rounding": f"rounding {other.rounding}",
        "granularity": f"granularity {other.granularity}",
        "relay_levels": f"{other.relay_levels} relay levels",
    }
    return (
        ", ".join(text for name, text in told.items() if getattr(recipe, name) != getattr(other, name))
        or "the same"
    )


def levels_told(levels: int | Mapping[str, int]) -> str:
    """`K = 4`, or what most populations have and which ones have another."""
    if not isinstance(levels, Mapping):
        return f"K = {levels}"
    values = list(levels.values())
    usual = max(sorted(set(values)), key=values.count)
    others = [f"{name} {k}" for name, k in levels.items() if k != usual]
    return f"K = {usual}" + (f" ({', '.join(others)})" if others else "")


def lead_told(lead: int | Mapping[str, int], named: bool = True) -> str:
    """named: which populations have one? In a row, the first and the last."""
    if not isinstance(lead, Mapping):
        return f"lead {lead}"
    names = list(lead)
    some = [name for name in names if lead[name]]
    if not some:
        return "lead 0"
    places = [names.index(name) for name in some]
    in_a_row = len(some) > 1 and places == list(range(places[0], places[-1] + 1))
    which = f" ({f'{some[0]} to {some[-1]}' if in_a_row else ', '.join(some)})" if named else ""
    return f"lead {max(lead.values())} in {len(some)} of {len(lead)}{which}"
