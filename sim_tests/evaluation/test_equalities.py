"""What equals what, in words: with a tick where all is equal, and Lava's few images counted, not as a
percentage."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from dnisnm_lava.backends.results import Difference, Run, difference
from dnisnm_lava.evaluation import equalities
from dnisnm_lava.evaluation.comparison import Comparison
from dnisnm_lava.measures import Share, chosen
from dnisnm_lava.views.comparison import accuracy_picture, comparison_json, comparison_table

ROWS = (
    Difference("integer reference", "integer batched", 4, 8, 6, 1000, 0),
    Difference("integer batched", "Lava fixed_pt", 4, 8, 6, 1000, 0),
    Difference("float reference", "Lava floating_pt", 4, 8, 6, 1000, 0),
)
FURTHER = Difference("integer batched, read-outs", "Lava fixed_pt, read-outs", 46, 8, 1, 3680, 0)


def compared(rows: tuple[Difference, ...], share: float = 0.25) -> Comparison:
    """71 % of 1,000 images; Lava met the labels of a quarter of its 4."""
    ann, floats, integers, same = (Share(correct, 1000, 1000) for correct in (720, 715, 710, 1000))
    scores = {
        "ann": ann,
        "float": {8: floats},
        "integer": {8: integers},
        "lava": {8: Share(round(4 * share), 4, 4)},
    }
    agreement = {"float": {8: same}, "integer": {8: same}}
    images = {"ann": 1000, "float": 1000, "integer": 1000, "lava": 4}
    return Comparison(
        chosen({"out": (10,)}),
        scores,
        images,
        rows,
        0,
        0,
        0,
        (),
        agreement,
        {"float": {8: 0}, "integer": {8: 0}},
    )


def shown(comparison: Comparison) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison_table(comparison, "a network"))
    return console.export_text()


def test_equality_is_a_line_with_a_tick_its_images_and_its_steps() -> None:
    chains = "integer reference = batched = Lava fixed_pt, float reference = Lava floating_pt"
    assert equalities.told(ROWS) == [f"✓ spikes equal, 4 images, 8 steps: {chains}"]
    assert equalities.told((*ROWS, FURTHER))[1:] == [
        "✓ read-outs equal, 46 more images, 8 steps: integer batched = Lava fixed_pt"
    ]
    one = replace(ROWS[0], images=1, steps=1)
    assert equalities.told([one]) == ["✓ spikes equal, 1 image, 1 step: integer reference = batched"]


def test_a_difference_has_no_tick() -> None:
    rows = (ROWS[0], replace(ROWS[1], different=3, unequal_images=2, first="conv1, image 0"))
    (line,) = equalities.told(rows)
    assert (
        line == "✗ 3 of 2,000 spikes differ, 4 images, 8 steps: integer reference = batched = Lava fixed_pt"
    )
    assert equalities.lava_told(rows) == "2 of 4 images, every logit equal"
    said = shown(compared(rows))
    assert "first: conv1, image 0" in said
    assert "✓" not in said


def test_images_that_differ_are_counted_once() -> None:
    a = Run(np.zeros((3, 2, 4), int), {"conv": np.zeros((3, 2, 5), int)})
    logits, spikes = a.logits.copy(), a.spikes["conv"].copy()
    logits[0, 1, 2] = spikes[0, 0, 0] = spikes[2, 1, 1] = 1
    assert difference("a", a, "b", Run(logits, {"conv": spikes})).unequal_images == 2
    assert difference("a", a, "b", a).unequal_images == 0


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_lava_is_no_percentage_beside_that_of_a_thousand_images(share: float) -> None:
    """`25.00` beside `71.00` read as if Lava were broken."""
    said = shown(compared(ROWS, share))
    assert "Lava fixed_pt: 4 of 4 images, every logit equal" in said
    assert f"{100 * share:.2f}" not in said
    assert "71.00" in said


def test_the_json_keeps_lavas_share_and_adds_the_count() -> None:
    told = comparison_json(compared((*ROWS, FURTHER)), {})
    assert told["accuracy"]["lava"] == {"8": 0.25}
    assert told["on_lava"] == {"images": 50, "equal": 50}
    assert "on_lava" not in comparison_json(compared(()), {})


def test_the_picture_has_no_point_of_lavas_few_images() -> None:
    """The legend tells of them: the picture is the same whatever share of labels they met."""
    assert accuracy_picture(compared(ROWS, 0.25), "a") == accuracy_picture(compared(ROWS, 1.0), "a")
    assert accuracy_picture(compared(ROWS), "a") != accuracy_picture(
        replace(compared(ROWS), equality=ROWS[:1]), "a"
    )
