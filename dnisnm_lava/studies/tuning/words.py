"""What each phase of a search says in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from dnisnm_lava.measures import Measure
from dnisnm_lava.stages.recipes import Recipe
from dnisnm_lava.studies.tuning.pareto import Trial, difference, lead_told, levels_told
from dnisnm_lava.studies.tuning.phases import Search
from dnisnm_lava.studies.tuning.racing import Pruned


def brought(search: Search, before: Trial | None, trials: Sequence[Trial], pruned: Sequence[Pruned]) -> str:
    """What a phase brought: its trials against what was best before it, and what was pruned."""
    if not trials and not pruned:
        return "Nothing to try here."
    now = search.best
    if before is None:
        return f"{len(trials)} tried. {_facts(search, now)}{_pruned(search.base, pruned)}"
    if not trials:
        return f"None could win.{_pruned(before.recipe, pruned)}"
    scale, digits, unit = (100, 1, "points") if search.measure.is_share else (1, 4, "R2")
    others = "; ".join(
        f"{difference(before.recipe, t.recipe)} {scale * (t.score - before.score):+.{digits}f} ({_cost(t)})"
        for t in trials
    )
    kept = f"Now {_facts(search, now)}" if now is not before else "None is better for the target."
    against = f"Against {difference(search.base, before.recipe)} ({_cost(before)}), in {unit}: {others}."
    return f"{against} {kept}{_pruned(before.recipe, pruned)}"


def _pruned(recipe: Recipe, pruned: Sequence[Pruned]) -> str:
    """Which were and why, by what they do otherwise than `recipe`."""
    reasons: dict[str, list[str]] = {}
    for p in pruned:
        reasons.setdefault(p.why, []).append(difference(recipe, p.recipe))
    lines = [f"{', '.join(them)}: {why}" for why, them in reasons.items()]
    return f" Pruned, {len(pruned)}: {'; '.join(lines)}." if lines else ""


def _cost(trial: Trial) -> str:
    return f"{trial.latency} steps, {trial.spikes:,.0f} spikes"


def _facts(search: Search, trial: Trial) -> str:
    recipe = trial.recipe
    return (
        f"T = {trial.steps}, {levels_told(recipe.levels)}, {lead_told(recipe.lead)}: "
        f"{_score(search.measure, trial)}, "
        f"latency {trial.latency} steps, {trial.spikes:,.0f} spikes an image"
        + ("." if search.target.met(trial) else f"; {search.target} is not met.")
    )


def _score(measure: Measure, trial: Trial) -> str:
    if measure.is_share:
        return f"{measure.shown(trial.score, 1)} %, {trial.drop:.1f} points below the ANN"
    return f"R2 {measure.shown(trial.score)}, RMSE {trial.error:.3g} of the standard deviation"
