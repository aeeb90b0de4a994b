"""Ready or not: a sentence for each state, and what decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="jinja2 is not installed: what a report gathers was not tested")

from html_pages import evil

from dnisnm_lava.backends.results import Difference
from dnisnm_lava.evaluation.pairs import Loss
from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.studies.loihi2.rules import Violation
from dnisnm_lava.studies.overview import Gathered
from dnisnm_lava.studies.verdict import cores, verdict

EQUAL = Difference("integer batched", "Lava fixed_pt", 4, 4, 0, 999, 0, "", 0)
SURE = Loss(0.003, (-0.002, 0.008), 8, 5, 1000)


def made(loss: Loss = SURE, equality: tuple[Difference, ...] = (EQUAL,), **of_checked: Any) -> Gathered:
    found = evil()
    losses = {**found.losses, "integer": dict.fromkeys(found.steps, loss)}
    comparison = replace(found.comparison, equality=equality)
    return replace(
        found,
        comparison=comparison,
        losses=losses,
        checked=replace(found.checked, violations=(), **of_checked),
    )


def test_ready_says_what_it_rests_on() -> None:
    said = verdict(made(), 2)
    assert said.state == "ready"
    assert said.sentence.startswith(
        "Ready at T = 2: it loses 0.30 points of the ANN's accuracy (95 %: -0.20 to"
    )
    assert "Lava gives 4 of 4 images every logit equal" in said.sentence
    assert said.sentence.endswith(f"hold, on an estimated {cores(made().checked)}.")


def test_few_images_or_no_lava_leave_it_open() -> None:
    few = verdict(made(Loss(0.003, (-0.02, 0.04), 3, 2, 30)), 1)
    assert few.state == "open"
    assert "so few images cannot tell whether it loses more than 1 point" in few.sentence
    none = verdict(made(equality=()), 1)
    assert (none.state, none.sentence) == ("open", "Not decided at T = 1: it was not run on Lava.")


@pytest.mark.parametrize("what", ["loss", "lava", "rule", "alarm"])
def test_anything_wrong_makes_it_not_ready_and_is_told(what: str) -> None:
    found, told = made(), ""
    if what == "loss":
        found, told = made(Loss(0.05, (0.03, 0.07), 60, 10, 1000)), "loses 5.00 points"
    elif what == "lava":
        wrong = replace(EQUAL, different=6, unequal_images=1)
        found, told = made(equality=(wrong,)), "executors differ in 6 values (3 of 4 images equal)"
    elif what == "rule":
        broken = Violation("synapses fit", "conv", 9, 8, "split it")
        found = replace(found, checked=replace(found.checked, violations=(broken, replace(broken, value=7))))
        told = "1 of 14 design rules of Loihi 2 fails (synapses fit: 9, at most 8)"
    else:
        alarms = (Alarm("chance", "the ANN says nothing"),)
        found, told = (
            replace(found, comparison=replace(found.comparison, alarms=alarms)),
            "the ANN itself guesses",
        )
    said = verdict(found, 1)
    assert said.state == "not ready"
    assert said.sentence.startswith("Not ready at T = 1: ")
    assert told in said.sentence
    assert said.sentence.count("hold") == 0  # what is well is not a reason


def test_cores_are_told_of_the_chips_that_they_take() -> None:
    found = evil().checked
    assert cores(replace(found, cores=17)) == "17 of 128 cores, 13 %"
    assert cores(replace(found, cores=1)) == "1 of 128 cores, under 1 %"
    assert cores(replace(found, cores=300)) == "300 of 128 cores, 234 %; 3 chips hold them"
