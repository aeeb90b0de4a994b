"""Phases of the search over recipes: each changes one thing of what is best so far."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dnisnm_lava.ir import Activation, AnalogGraph, Rectifier, Relay, Smooth
from dnisnm_lava.ir.timing import latency
from dnisnm_lava.measures import Measure
from dnisnm_lava.stages import conversion, recipes
from dnisnm_lava.stages.calibration import Statistics
from dnisnm_lava.stages.fitting import THRESHOLDS
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.studies.tuning.pareto import QUALITIES, Target, Trial, best, rank
from dnisnm_lava.studies.tuning.racing import Pruned

DIALS = (
    "steps",
    "levels",
    "down",
    "lead",
    "threshold",
    "correct",
    "rounding",
    "granularity",
    "relay_levels",
    "function_error",
)
STEPS = (1, 2, 4, 8, 16, 32)
LEVELS = (1, 4, 15, 31)
DOWNS = (0.0, 0.25, 0.5, 1.0)
RELAY_LEVELS = (conversion.RELAY_LEVELS, recipes.BYTE)
FUNCTION_ERRORS = (0.125, conversion.FUNCTION_ERROR, 2.0)
PARTS = 8  # of the populations: how finely leads and levels are dealt out
Phase = Generator[Recipe, Trial | None, None]  # asks for trials, and is sent them; None: it was pruned


@dataclass
class Search:
    """Where it stands. `trials`, `pruned` and `right` grow; right: by recipe, of which held-back images the
    trial is right, where each has one answer."""

    target: Target
    measure: Measure
    base: Recipe
    analog: AnalogGraph
    stats: Statistics
    vary: frozenset[str]
    steps: tuple[int, ...]
    levels: tuple[int | Mapping[str, int], ...]
    trials: list[Trial] = field(default_factory=list)
    pruned: list[Pruned] = field(default_factory=list)
    right: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        return best(self.target, self.trials)

    @property
    def with_levels(self) -> list[str]:
        """Rectifiers, activations and products."""
        return conversion.with_levels(self.analog)

    @property
    def waiting(self) -> list[str]:
        """That may have a lead: rectifiers and activations."""
        return [p.name for p in self.analog if isinstance(p, Rectifier | Activation)]

    def latency(self, recipe: Recipe) -> int:
        graph = conversion.convert(self.analog, self.stats, steps=recipe.steps, lead=recipe.lead)
        return latency(graph, self.measure.output or graph.readout.name, recipe.steps)

    def affordable(self, recipe: Recipe) -> bool:
        """What can be told before it is tried."""
        limit = self.target.limit
        return not (self.target.kind == "latency" and self.latency(recipe) > limit) and not (
            self.target.kind == "steps" and recipe.steps > limit
        )


def steps_and_levels(search: Search) -> Phase:
    for levels in search.levels:
        for steps in search.steps:
            recipe = replace(
                search.base, steps=steps, levels=levels, lead=0 if "lead" in search.vary else search.base.lead
            )
            if not search.affordable(recipe):
                break
            trial = yield recipe
            if trial is None:
                continue
            over = search.target.kind == "spikes" and not search.target.met(trial)
            enough = search.target.kind in QUALITIES and search.target.met(trial)
            if over or enough or trial.drop <= 0:
                break


def lower_thresholds(search: Search) -> Phase:
    """Lower thresholds of rectifiers, as shares of their thresholds. In one step nothing is taken back."""
    return _others(search, "down", DOWNS if search.best.steps > 1 else ())


def _others(search: Search, dial: str, values: Iterable[Any]) -> Phase:
    """Those of `values` that the best does not have."""
    now = search.best.recipe
    for value in values:
        if value != getattr(now, dial):
            yield replace(now, **{dial: value})


def leads(search: Search) -> Phase:
    """Twice as long as long as it helps, for the two best of each K."""
    for levels in search.levels:
        rows = [t for t in search.trials if t.recipe.levels == levels and t.steps > 1]
        for last in sorted(rows, key=lambda t: rank(search.target, t), reverse=True)[:2]:
            lead = 1
            while lead <= 2 * last.steps and search.affordable(replace(last.recipe, lead=lead)):
                trial = yield replace(last.recipe, lead=lead)
                if trial is None or trial.score <= last.score:
                    break
                last, lead = trial, 2 * lead


def levels_of_populations(search: Search) -> Phase:
    """Twice the levels where that alone brings something, half of them where it costs nothing: some
    populations need finer spikes than others, and some send fewer of them."""
    names, now = search.with_levels, search.best
    if isinstance(now.recipe.levels, Mapping) or len(names) < 2:
        return
    each = dict.fromkeys(names, now.recipe.levels)
    for group in _parts(names):
        for factor in (2, 0.5):
            levels = {**each, **{name: max(1, min(recipes.BYTE, int(each[name] * factor))) for name in group}}
            if levels == each:
                continue
            trial = yield replace(now.recipe, levels=levels)
            if trial is not None and rank(search.target, trial) > rank(search.target, now):
                now, each = trial, levels
                break


def leads_of_populations(search: Search) -> Phase:
    """From halves of the populations down to eighths: where a lead is lost without loss, or where one alone
    brings something."""
    names, now = search.waiting, search.best
    least = len(_parts(names)[0]) if names else 1
    if isinstance(now.recipe.lead, Mapping) or now.steps == 1 or len(names) < 2:
        return
    leads = dict.fromkeys(names, now.recipe.lead)
    given = 0 if now.recipe.lead else 1
    groups = _halves(names) if now.recipe.lead else _parts(names)
    while groups:
        group = groups.pop(0)
        recipe = replace(now.recipe, lead={**leads, **dict.fromkeys(group, given)})
        if not search.affordable(recipe):
            continue
        trial = yield recipe
        if trial is not None and rank(search.target, trial) > rank(search.target, now):
            now, leads = trial, {**leads, **dict.fromkeys(group, given)}
        elif given == 0 and len(group) > least:
            groups = _halves(group) + groups


def _halves(names: list[str]) -> list[list[str]]:
    middle = (len(names) + 1) // 2
    return [part for part in (names[:middle], names[middle:]) if part]


def _parts(names: list[str]) -> list[list[str]]:
    """Eighths."""
    least = -(-len(names) // PARTS)
    return [names[i : i + least] for i in range(0, len(names), least)]


def thresholds(search: Search) -> Phase:
    return _others(search, "threshold", THRESHOLDS)


def corrections(search: Search) -> Phase:
    """Each left out."""
    now = search.best.recipe
    for left_out in now.correct:
        yield replace(now, correct=tuple(c for c in now.correct if c != left_out))


def rounding(search: Search) -> Phase:
    """The other way."""
    return _others(search, "rounding", recipes.ROUNDINGS)


def granularities(search: Search) -> Phase:
    """Who shares maxima and choices: neurons of a channel, or nobody. Binary spikes need channels."""
    now = search.best.recipe
    for granularity in ("neuron", "channel") if now.spikes == "graded" else ():
        if {now.granularity, now.share} != {granularity}:
            yield replace(now, granularity=granularity, share=granularity)


def relay_levels(search: Search) -> Phase:
    """Levels of populations that relay a linear tensor, where there are some."""
    return _others(search, "relay_levels", RELAY_LEVELS if any(search.analog.of(Relay)) else ())


def function_errors(search: Search) -> Phase:
    """How near lines come to smooth functions, where there are some."""
    smooth = any(isinstance(p.function, Smooth) for p in search.analog.of(Activation))
    return _others(search, "function_error", FUNCTION_ERRORS if smooth else ())


PHASES: dict[str, tuple[Callable[[Search], Phase], str, str]] = {  # by what it varies, and why that may help
    "steps and levels": (
        steps_and_levels,
        "steps",
        "more steps, and more levels of a spike, say an activation more finely.",
    ),
    "lower threshold": (
        lower_thresholds,
        "down",
        "a level too much is taken back the sooner, for a spike, the lower it is.",
    ),
    "lead": (
        leads,
        "lead",
        "a neuron that waits hears more of its currents before it fires, and each population's wait is "
        "latency.",
    ),
    "thresholds": (thresholds, "threshold", "other rules, from what the best does with its own."),
    "corrections": (corrections, "correct", "each left out of the best."),
    "rounding": (rounding, "rounding", "the other way from weights to integers."),
    "granularity": (
        granularities,
        "granularity",
        "thresholds of neurons are finer, those of channels hold on other images too.",
    ),
    "relay levels": (relay_levels, "relay_levels", "linear tensors that are relayed, coarser or finer."),
    "function error": (
        function_errors,
        "function_error",
        "more lines come nearer to a smooth function, fewer take less memory.",
    ),
    "levels by population": (
        levels_of_populations,
        "levels",
        "twice or half the levels of a part of the populations.",
    ),
    "lead by population": (leads_of_populations, "lead", "leads only where they bring something."),
}


def most_trials(search: Search) -> int:
    """That the phases may come to, as each ends early where it brings nothing."""
    most = {
        "steps": len(search.steps) * len(search.levels),
        "lead": 2 * len(search.levels) * (2 * max(search.steps)).bit_length() + 2 * PARTS,
        "threshold": len(THRESHOLDS) - 1,
        "correct": len(search.base.correct),
        "rounding": len(recipes.ROUNDINGS) - 1,
        "down": len(DOWNS),
        "granularity": 2,
        "relay_levels": len(RELAY_LEVELS),
        "function_error": len(FUNCTION_ERRORS),
        "levels": 2 * PARTS,
    }
    return sum(number for dial, number in most.items() if dial in search.vary or dial == "steps")
