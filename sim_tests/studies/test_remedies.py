"""Faults made on purpose: the sentence names each, and its remedy, followed, cures it; no remedy says what is
set already."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages.recipes import BEST, PAPER, Recipe
from dnisnm_lava.studies.explain import first_wrong, remedies
from dnisnm_lava.studies.explain.remedies import Setting
from dnisnm_lava.studies.explain.values import PARTS, Explained, Part, Remedy

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import digits_net

NOTHING = Part(0.0, 0.0, 0.0)
LARGE = Part(0.5, 0.0, 0.5)


def population(**fields: Any) -> Explained:
    """A rectifier with four levels."""
    plain = Explained(
        name="p",
        kind="Rectifier",
        shape=(1,),
        neurons=1,
        sources=("input",),
        levels=4,
        lead=0,
        power=1.0,
        parts=dict.fromkeys(PARTS, NOTHING),
        total=NOTHING,
        spiking=NOTHING,
        rate_up=0.0,
        rate_down=0.0,
        dead=0,
        silent=0,
        inactive=0,
        saturations=0,
        headroom=None,
        thresholds=None,
        map=None,
        raster=None,
    )
    return replace(plain, **fields)


SETTING = Setting(BEST, 4000, 1024, 60_000)


@pytest.mark.parametrize(
    "recipe",
    [BEST, PAPER, replace(BEST, threshold="max", levels=1), replace(BEST, weight_bits=2, rounding="nearest")],
)
@pytest.mark.parametrize("part", remedies.BY_PART)
@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize(
    "fields",
    [{}, {"kind": "Relay", "levels": 31}, {"kind": "ReadOut", "levels": 0}, {"saturations": 3}, {"lead": 7}],
)
def test_no_remedy_is_set_already_and_each_can_be_pasted(
    recipe: Recipe, part: str, steps: int, fields: dict[str, Any]
) -> None:
    recipe = replace(recipe, steps=steps)
    found = remedies.remedies(population(**fields), part, replace(SETTING, recipe=recipe), steps, ())
    assert len({r.dial for r in found}) == len(found)
    for r in found:
        assert getattr(recipe, r.dial, None) != r.value
        words = ["explain", "--model", "m", "--data", "d", *r.option.split()]
        assert getattr(cli.verbs._parser().parse_args(words), r.dial) == r.value


@pytest.mark.parametrize("part", ["clipping", "discreteness"])
def test_a_percentile_that_cuts_is_named_first_whichever_part_is_the_largest(part: str) -> None:
    """Images do not help against it."""
    recipe = replace(BEST, threshold="percentile", percentile=70.0)
    found = remedies.remedies(population(), part, replace(SETTING, recipe=recipe), 1, ())
    assert found[0].option in ("--threshold max", "--threshold sequential")
    assert "percentile" in found[0].why
    assert not any(r.option.startswith("--calibration-images") for r in found)


def test_levels_are_no_remedy_against_clipping() -> None:
    """theta is the maximum by K."""
    for recipe in (BEST, PAPER):
        dials = [
            r.dial
            for r in remedies.remedies(population(), "clipping", replace(SETTING, recipe=recipe), 8, ())
        ]
        assert "levels" not in dials
        assert ("threshold" in dials) == (recipe.threshold != "max")


def test_few_images_are_named_first_where_there_are_more() -> None:
    for part in remedies.BY_PART:
        first = remedies.remedies(population(), part, replace(SETTING, calibration_images=2), 8, ())[0]
        assert first.option == "--calibration-images 1000"
        assert "2 images" in first.why
    for available, count in ((300, 300), (2, None)):
        found = remedies.remedies(population(), "clipping", Setting(BEST, 2, 1024, available), 8, ())
        assert [r.value for r in found if r.dial == "calibration_images"] == ([count] if count else [])


def test_few_images_are_known_before_anything_is_measured() -> None:
    options = [r.option for r in remedies.of_few_images(Setting(BEST, 2, 64, 60_000))]
    assert options == ["--calibration-images 1000", "--fit-images 1000"]
    assert remedies.of_few_images(SETTING) == remedies.of_few_images(Setting(BEST, 2, 2, 2)) == ()


def test_more_images_to_fit_on_come_behind_what_makes_integers_finer() -> None:
    few = replace(SETTING, fit_images=64)
    for part in remedies.BY_PART:
        options = [r.option for r in remedies.remedies(population(), part, few, 8, ())]
        assert options.index("--fit-images 1000") == (len(options) - 1 if part == "integers" else 0)


def test_where_nothing_is_wrong_a_remedy_is_named_too() -> None:
    p = population(
        parts={**dict.fromkeys(PARTS, NOTHING), "discreteness": Part(0.05, 0.0, 0.05)},
        total=Part(0.05, 0.0, 0.05),
    )
    sentence, found = first_wrong.all_well(
        [p], 0.1, lambda q, part: remedies.remedies(q, part, SETTING, 8, ())
    )
    assert found[0].option == "--steps 16"
    assert "What would lower it: --steps 16 (" in sentence


def test_labels_beyond_the_classes_are_refused() -> None:
    analog = dn.from_torch(digits_net.trained(), digits_net.prepared(digits_net.pictures()[0])[0])
    x = digits_net.prepared(digits_net.pictures()[0][:4])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=1)
    for labels in ([0, 1, 2, 10], [-1, 0, 0, 0]):
        with pytest.raises(OutOfRange, match="tells classes 0 to 9"):
            dn.explain(dn.Networks(analog, spiking, dn.quantize(spiking)), x, np.array(labels))


# ---------------------------------------------------------------- each fault, made on purpose


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    digits_net.lay_out(tmp_path)
    return tmp_path


def explained(
    capsys: pytest.CaptureFixture[str], *options: str, weights: str = "weights.pt", data: str = "data.npz"
) -> Any:
    """What `explain` says of the digits."""
    command = [
        "explain",
        "--model",
        "net.py:network",
        "--weights",
        weights,
        "--data",
        data,
        *digits_net.GIVEN,
        "--fit-images",
        "128",
        "--images",
        "256",
        *options,
    ]
    assert cli.main([*command, "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def remedied(options: tuple[str, ...], remedy: str) -> list[str]:
    """The command with the remedy pasted behind it: of an option that is given twice, the last counts."""
    return [*options, *remedy.split()]


@pytest.mark.parametrize(
    ("options", "remedy", "why"),
    [
        (
            ("--calibration-images", "2", "--recipe", "paper", "--steps", "8"),
            "--calibration-images 1000",
            "maxima of 2 images",
        ),
        (("--threshold", "percentile", "--percentile", "70"), "--threshold max", "clipping"),
        (("--weight-bits", "2"), "--weight-bits 8", "weights of 2 bits"),
        (("--steps", "1", "--levels", "2"), "--steps 4", "T = 1"),
    ],
)
def test_a_fault_is_named_and_its_remedy_cures_it(
    digits: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], remedy: str, why: str
) -> None:
    before = explained(capsys, *options, "--try")
    assert f"{remedy} (" in before["sentence"]
    assert why in before["sentence"]
    after = explained(capsys, *remedied(options, remedy))
    assert after["agreement"]["integer"] > before["agreement"]["integer"]
    assert after["agreement"]["integer"] >= 0.97
    assert remedy not in after["sentence"]
    tried = {t["option"]: t for t in before["tried"]}
    assert list(tried) == [Remedy(r["dial"], r["value"], r["why"]).option for r in before["remedies"]][:2]
    assert tried[remedy]["images"] == 256
    assert tried[remedy]["agreement"] == [before["agreement"]["integer"], after["agreement"]["integer"]]
    assert tried[remedy]["accuracy"] == [before["accuracy"]["integer"], after["accuracy"]["integer"]]
    assert [a["kind"] for a in before["alarms"]] == ["integers"] * ("--weight-bits" in options)
    assert after["alarms"] == []


def test_images_without_mean_and_std_are_named_and_these_cure(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is fitted, with the options that are missing; given, nothing is said any more."""
    command = ["explain", "--model", "net.py:network", "--weights", "weights.pt", "--data", "data.npz"]
    command += ["--recipe", "paper", "--images", "64", "--json"]
    assert cli.main(command) == 1
    out, err = capsys.readouterr()
    (alarm,) = json.loads(out)["alarms"]
    assert alarm["kind"] == "chance"
    assert "not prepared as in training: none of --mean, --std, " in alarm["sentence"]
    assert err.index("alarm: ") < err.index("convert, quantize ...")
    short = ["convert", *command[1:7], *digits_net.GIVEN, "--calibration-images", "2", "--weight-bits", "2"]
    assert cli.main([*short, "--recipe", "paper"]) == 0
    told = capsys.readouterr().err
    assert "notice: maxima of 2 images tell little of others: --calibration-images 1000\n" in told
    assert "their rounding costs accuracy; quantize with more weight_bits" in told
    assert cli.main([*command, *digits_net.GIVEN]) == 0
    out, err = capsys.readouterr()
    after = json.loads(out)
    assert (after["alarms"], "alarm: " in err) == ([], False)
    assert after["accuracy"]["ann"] >= 0.9
    assert after["agreement"]["integer"] >= 0.9


def test_integers_that_lose_are_told_by_compare_and_exit_0(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is measured does mean something."""
    command = ["compare", "--model", "net.py:network", "--weights", "weights.pt", "--data", "data.npz"]
    command += [*digits_net.GIVEN, "--recipe", "paper", "--steps", "4", "--levels", "8", "--lava-images", "0"]
    assert cli.main([*command, "--weight-bits", "2", "--images", "300", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (alarm,) = found["alarms"]
    assert alarm["kind"] == "integers"
    assert "from the float SNN alone" in alarm["sentence"]
    assert "look at the projection from " in alarm["sentence"]


def test_a_projection_that_a_few_large_weights_starve(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two channels that say the same are read by large weights that cancel, and take the range of the
    projection's codes."""
    starved = {name: value.clone() for name, value in digits_net.trained().state_dict().items()}
    for name in ("0.weight", "0.bias"):
        starved[name][1] = starved[name][0]
    starved["3.weight"][:, 0] += 100
    starved["3.weight"][:, 1] -= 100
    torch.save(starved, digits / "starved.pt")
    before = explained(capsys, "--recipe", "paper", "--steps", "8", "--levels", "8", weights="starved.pt")
    assert before["remedies"][0]["dial"] == "weight_bits"
    assert "in the projection from 0.pool into 3 " in before["sentence"]
    after = explained(
        capsys,
        "--recipe",
        "paper",
        "--steps",
        "8",
        "--levels",
        "8",
        "--weight-bits",
        str(before["remedies"][0]["value"]),
        weights="starved.pt",
    )
    assert after["agreement"]["integer"] > before["agreement"]["integer"]
    assert after["agreement"]["integer"] >= 0.97


def test_a_state_that_saturates(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of many bits leave the state the range of two images, and a quarter more."""
    options = [
        "--recipe",
        "paper",
        "--steps",
        "8",
        "--levels",
        "4",
        "--weight-bits",
        "20",
        "--images",
        "64",
        "--calibration-images",
    ]
    before = explained(capsys, *options, "2")
    assert "--calibration-images 1000 (the state of " in before["sentence"]
    assert "saturates (" in before["sentence"]
    after = explained(capsys, *options, "1000")
    assert (
        sum(p["saturations"] for p in before["populations"])
        > 0
        == sum(p["saturations"] for p in after["populations"])
    )
    assert "saturates" not in after["sentence"]
    assert after["agreement"]["integer"] > before["agreement"]["integer"]


def test_a_table_tells_what_was_tried(digits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--weights",
        "weights.pt",
        *digits_net.GIVEN,
        "--images",
        "8",
        "--recipe",
        "paper",
        "--steps",
        "1",
        "--try",
        "--quiet",
    ]
    assert cli.main(["explain", "--model", "net.py:network", "--data", "data.npz", *options]) == 0
    told = capsys.readouterr().out
    assert "tried --steps 4: agreement with the ANN " in told
    assert "of 256 images" in told
