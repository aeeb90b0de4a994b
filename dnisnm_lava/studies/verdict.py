"""Is a network ready? One sentence, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from dnisnm_lava.evaluation import equalities
from dnisnm_lava.studies.loihi2.rules import Checked
from dnisnm_lava.studies.overview import Gathered

MOST_LOST = 0.01  # of a quality, a point: what a conversion may cost; a convention of the report, told on it
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
    """The verdict on the integer network, read after t steps, from the images and rules of the report."""
    grounds = (*_alarms(found), _loss(found, t), _lava(found), _chip(found.checked))
    states = {ground.state for ground in grounds}
    state = next(s for s in (NOT_READY, OPEN, READY) if s in states)
    told = [ground.told for ground in grounds if ground.state == state]
    left = [ground.told for ground in grounds if ground.state == OPEN and state == NOT_READY]
    beside = f" Not decided: {_listed(left)}." if left else ""
    return Verdict(state, f"{NAMES[state]} at T = {t}: {_listed(told)}.{beside}", grounds)


def _alarms(found: Gathered) -> tuple[Ground, ...]:
    told = {
        "chance": "the ANN itself guesses",
        "expectation": "the ANN itself has less accuracy than expected",
        "integers": "the integers lose what the float SNN has",
    }
    return tuple(Ground(NOT_READY, told.get(alarm.kind, alarm.sentence)) for alarm in found.comparison.alarms)


def _loss(found: Gathered, t: int) -> Ground:
    if not found.losses["integer"]:
        return Ground(OPEN, "no labels tell its accuracy")
    low, high = found.losses["integer"][t].interval
    told = f"it {lost(found, t)}"
    if low > MOST_LOST:
        return Ground(NOT_READY, f"{told}, more than {bound(found)}")
    if high > MOST_LOST:
        what = "loses" if has_targets(found) else "errs by"
        return Ground(
            OPEN, f"{told}, and so few images cannot tell whether it {what} more than {bound(found)}"
        )
    return Ground(READY, told)


def has_targets(found: Gathered) -> bool:
    """Is there something to meet but the ANN's own values?"""
    return found.comparison.measure.labels


def bound(found: Gathered) -> str:
    """`MOST_LOST` in words: of values without targets, the error that is a point of R2."""
    if not has_targets(found):
        return f"{100 * MOST_LOST**0.5:g} %"
    return f"{100 * MOST_LOST:g} point" + (" of R2" if found.scale.deviation else "")


def lost(found: Gathered, t: int) -> str:
    """loses 0.30 points of the ANN's accuracy (95 %: ..., paired on 1,000 images)."""
    loss, scale = found.losses["integer"][t], found.scale
    images = f"{loss.images:,} image{'' if loss.images == 1 else 's'}"
    own = found.quality("integer")[t]
    if not has_targets(found):
        span = scale.span(*scale.bounds(own))
        error = scale.words(scale.of(own.value))
        return f"errs by {error} of the standard deviation of the ANN's values (95 %: {span}, on {images})"
    low, high = (100 * end for end in loss.interval)
    errors = ""
    if scale.deviation:
        mine, theirs = (scale.number(scale.of(q.value)) for q in (own, found.quality("ann")[t]))
        errors = f"; RMSE {mine}, the ANN's {theirs}"
    points = f"{_points(loss.lost)} the ANN's {scale.lost}"
    ends = "95 %" if loss.lost >= 0 else "95 % of the loss"
    return f"{points} ({ends}: {low:+.2f} to {high:+.2f}, paired on {images}{errors})"


def _points(share: float) -> str:
    if abs(share) < 5e-5:
        return "keeps"
    return f"{'loses' if share > 0 else 'gains'} {100 * abs(share):.2f} points of"


def _lava(found: Gathered) -> Ground:
    if not found.comparison.equality:
        return Ground(OPEN, "it was not run on Lava")
    equal, images = equalities.on_lava(found.comparison.equality)
    if not found.comparison.all_equal:
        different = sum(row.different for row in found.comparison.equality)
        return Ground(
            NOT_READY, f"executors differ in {different:,} values ({equal:,} of {images:,} images equal)"
        )
    return Ground(READY, f"Lava gives {equal:,} of {images:,} images every {_what(found)} equal")


def _what(found: Gathered) -> str:
    return "logit" if found.comparison.measure.is_share else "value"


def _chip(checked: Checked) -> Ground:
    by_value = sorted(checked.violations, key=lambda v: v.value)
    broken = {v.rule: v for v in by_value}  # the worst of each
    rules = f"{len(checked.uses)} design rules of {checked.target.name}"
    if broken:
        told = "; ".join(f"{rule}: {v.value:,}, at most {v.limit:,}" for rule, v in broken.items())
        fail = "fails" if len(broken) == 1 else "fail"
        return Ground(NOT_READY, f"{len(broken)} of {rules} {fail} ({told})")
    return Ground(READY, f"all {rules} hold, on an estimated {cores(checked)}")


def cores(checked: Checked) -> str:
    """17 of 128 cores, 13 %."""
    all_cores = checked.target.cores * checked.chips
    share = 100 * checked.cores / all_cores
    told = "under 1" if 0 < share < 1 else f"{share:.0f}"
    chips = f" of {checked.chips:,} chips" if checked.chips > 1 else ""
    more = f"; {checked.chips_needed:,} chips hold them" if checked.chips_needed > checked.chips else ""
    return f"{checked.cores:,} of {all_cores:,} cores{chips}, {told} %{more}"


def _listed(told: list[str]) -> str:
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])}, and {told[-1]}"
