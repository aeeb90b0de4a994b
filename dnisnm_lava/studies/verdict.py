"""Is a network ready? One sentence, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from dnisnm_lava.evaluation import equalities
from dnisnm_lava.studies.loihi2.rules import RULES, Checked
from dnisnm_lava.studies.overview import Gathered

MOST_LOST = 0.01  # of accuracy: what a conversion may cost; a convention of the report, told on it
READY, OPEN, NOT_READY = "ready", "open", "not ready"
NAMES = {READY: "Ready", OPEN: "Not decided", NOT_READY: "Not ready"}


@dataclass(frozen=True)
class Ground:
    """One reason of a verdict: for `ready`, for `not ready`, or why it is `open`."""

    state: str
    told: str


@dataclass(frozen=True)
class Verdict:
    """state: NOT_READY where any ground says so, else OPEN where any does, else READY. sentence: for
    people."""

    state: str
    sentence: str
    grounds: tuple[Ground, ...]


def verdict(found: Gathered, t: int) -> Verdict:
    """Of the integer network read after t steps, on the images and rules of the report."""
    grounds = (*_alarms(found), _loss(found, t), _lava(found), _chip(found.checked))
    states = {ground.state for ground in grounds}
    state = next(s for s in (NOT_READY, OPEN, READY) if s in states)
    told = [ground.told for ground in grounds if ground.state == state]
    return Verdict(state, f"{NAMES[state]} at T = {t}: {_listed(told)}.", grounds)


def _alarms(found: Gathered) -> tuple[Ground, ...]:
    told = {
        "chance": "the ANN itself guesses",
        "expectation": "the ANN itself has less accuracy than expected",
        "integers": "the integers lose what the float SNN has",
    }
    return tuple(Ground(NOT_READY, told.get(alarm.kind, alarm.sentence)) for alarm in found.comparison.alarms)


def _loss(found: Gathered, t: int) -> Ground:
    images = found.comparison.images["integer"]
    if not found.losses["integer"]:
        return Ground(OPEN, "no labels tell its accuracy")
    loss = found.losses["integer"][t]
    low, high = loss.interval
    told = f"{lost(loss.lost)} (95 %: {100 * low:+.2f} to {100 * high:+.2f}, paired on {images:,} images)"
    if low > MOST_LOST:
        return Ground(NOT_READY, f"it {told}, more than {100 * MOST_LOST:g} point")
    if high > MOST_LOST:
        return Ground(
            OPEN,
            f"it {told}, and so few images cannot tell whether it loses more than {100 * MOST_LOST:g} point",
        )
    return Ground(READY, f"it {told}")


def lost(share: float) -> str:
    """loses 0.30 points of the ANN's accuracy."""
    if abs(share) < 5e-5:
        return "keeps the ANN's accuracy"
    return f"{'loses' if share > 0 else 'gains'} {100 * abs(share):.2f} points of the ANN's accuracy"


def _lava(found: Gathered) -> Ground:
    if not found.comparison.equality:
        return Ground(OPEN, "it was not run on Lava")
    equal, images = equalities.on_lava(found.comparison.equality)
    if not found.comparison.all_equal:
        different = sum(row.different for row in found.comparison.equality)
        return Ground(
            NOT_READY, f"executors differ in {different:,} values ({equal:,} of {images:,} images equal)"
        )
    return Ground(READY, f"Lava gives {equal:,} of {images:,} images every logit equal")


def _chip(checked: Checked) -> Ground:
    by_value = sorted(checked.violations, key=lambda v: v.value)
    broken = {v.rule: v for v in by_value}  # the worst of each
    if broken:
        told = "; ".join(f"{rule}: {v.value:,}, at most {v.limit:,}" for rule, v in broken.items())
        fail = "fails" if len(broken) == 1 else "fail"
        return Ground(NOT_READY, f"{len(broken)} of {len(RULES)} design rules of Loihi 2 {fail} ({told})")
    return Ground(READY, f"all {len(RULES)} design rules of Loihi 2 hold, on an estimated {cores(checked)}")


def cores(checked: Checked) -> str:
    """17 of 128 cores, 13 %."""
    all_cores = checked.target.cores * max(1, checked.chips_needed)
    share = 100 * checked.cores / all_cores
    told = "under 1" if 0 < share < 1 else f"{share:.0f}"
    chips = f" of {checked.chips_needed:,} chips" if checked.chips_needed > 1 else ""
    return f"{checked.cores:,} of {all_cores:,} cores{chips}, {told} %"


def _listed(told: list[str]) -> str:
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])}, and {told[-1]}"
