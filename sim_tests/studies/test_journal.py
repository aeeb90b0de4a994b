"""Searches that are interrupted and gone on with, how long they say they will take, and the next command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, refused_last, run
from command_line import place as place
from converting import converted
from processes import in_ranks

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.cli.output import _to_paste
from dnisnm_lava.cli.verbs import _parser
from dnisnm_lava.errors import BadFile
from dnisnm_lava.evaluation.trials import Journal, keeping
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.recipes import BEST, PAPER, Recipe
from dnisnm_lava.studies import precision
from dnisnm_lava.studies.tuning import tune as tuning
from dnisnm_lava.system import pace
from dnisnm_lava.system.pace import Pace
from dnisnm_lava.system.ranks import Group

SEARCHES: dict[str, list[str]] = {
    "tune": [
        "tune",
        *NET,
        *DATA,
        "--calibration-images",
        "24",
        "--fit-images",
        "12",
        "--held-images",
        "12",
        "--max-steps",
        "1",
        "--measure",
        "values",
    ],
    "precision": [
        "precision",
        *NET,
        *DATA,
        *LITTLE,
        "--try-weight-bits",
        "4,8",
        "--try-payload-bits",
        "5",
        "--try-state-bits",
        "24",
    ],
}
WRITTEN = {
    "tune": ("tuning.json", "front.png", "network.net"),
    "precision": ("precision.json", "precision.png"),
}


class Stopped(BaseException):
    """As Ctrl-C: nothing catches it but the end."""


def stopping(monkeypatch: pytest.MonkeyPatch, verb: str, after: int) -> list[int]:
    """The verb's trials are counted, and end at one of them."""
    module, name = (tuning, "_measured") if verb == "tune" else (precision._Bench, "_measured")
    measured, counted = getattr(module, name), [0]

    def counting(*args: Any) -> Any:
        counted[0] += 1
        if counted[0] == after:
            raise KeyboardInterrupt
        return measured(*args)

    monkeypatch.setattr(module, name, counting)
    return counted


@pytest.mark.parametrize("verb", SEARCHES)
def test_an_interrupted_search_that_goes_on_writes_the_same_files(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Byte for byte, with no trial made twice."""
    argv = [*SEARCHES[verb], "-o", "out"]
    with monkeypatch.context() as patch:
        whole = stopping(patch, verb, 0)
        assert cli.main(argv) == 0
    Path("out").rename("whole")
    with monkeypatch.context() as patch:
        first = stopping(patch, verb, 5)
        assert cli.main(argv) == 130
        assert "go on with --resume" in capsys.readouterr().err
    kept = sorted(p.name for p in Path("out.parts").iterdir())
    assert kept == [f"trial-{i:06d}.json" for i in range(1, 5)]
    assert not Path("out").exists()
    with monkeypatch.context() as patch:
        second = stopping(patch, verb, 0)
        assert cli.main([*argv, "--resume"]) == 0
    assert (first[0] - 1) + second[0] == whole[0]
    for name in WRITTEN[verb]:
        assert (Path("out") / name).read_bytes() == (Path("whole") / name).read_bytes(), name
    assert not Path("out.parts").exists()


@pytest.mark.parametrize("verb", SEARCHES)
def test_trials_of_another_search_are_not_taken(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    argv = [*SEARCHES[verb], "-o", "out"]
    with monkeypatch.context() as patch:
        stopping(patch, verb, 3)
        assert cli.main(argv) == 130
    capsys.readouterr()
    assert "parts of an unfinished run; go on with --resume, or begin again with --overwrite" in refused_last(
        *argv, capsys=capsys
    )
    assert "of another network, other images, steps or options" in refused_last(
        *argv, "--seed", "9", "--resume", capsys=capsys
    )
    assert "--resume: no result is written" in refused_last(*SEARCHES[verb], "--resume", capsys=capsys)
    assert cli.main([*argv, "--overwrite"]) == 0


def test_a_trial_is_read_as_it_was_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    values = {"a": {"score": 0.1 + 0.2, "lead": {"conv": 1}}, "b": {"score": None, "lead": 0}}

    def stopped() -> None:
        with keeping(out, "job", Pace("trial"), resume=False, overwrite=False) as first:
            for key, value in values.items():
                assert first.once(key, lambda value=value: value) == value
            raise Stopped

    with pytest.raises(Stopped):
        stopped()
    with keeping(out, "job", Pace("trial"), resume=True, overwrite=False) as second:
        assert second.known == values
        assert second.once("a", lambda: pytest.fail("made again")) == values["a"]
    assert not (tmp_path / "out.parts").exists()


def test_a_broken_trial_is_told(tmp_path: Path) -> None:
    (tmp_path / "out.parts").mkdir()
    (tmp_path / "out.parts/trial-000001.json").write_text('{"fingerprint": "job", "key": "a"}')
    resumed = keeping(tmp_path / "out", "job", Pace("trial"), resume=True, overwrite=False)
    with (
        pytest.raises(BadFile, match=r"trial-000001\.json: not a part that this program wrote \(KeyError\)"),
        resumed,
    ):
        pass


# ---------------------------------------------------------------- how long


def test_the_end_is_told_after_the_first_and_as_the_number_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_clock", lambda left: f"in {left:g}")
    told: list[str] = []
    watched = Pace("trial", told.append)
    for done in range(1, 9):
        watched.took(2.0, done, 540)
    assert [line.partition(" ")[0] for line in told] == ["1", "2", "4", "8"]
    assert told[0] == "1 of 540 trials, 2 s each: done in 18 min, about in 1078, at this pace"
    at_most = Pace("trial", told.append, most=True)
    at_most.took(0.25, 3, 41)  # two were kept
    assert (
        told[-1]
        == "3 of at most 41 trials, 0.25 s each: done in 10 s, about in 9.5 at the latest, at this pace"
    )
    at_most.took(0.25, 41, 41)
    assert len(told) == 5


@pytest.mark.parametrize(
    ("seconds", "told"), [(3.2, "3 s"), (90, "1.5 min"), (1500, "25 min"), (5400, "1.5 h"), (200_000, "56 h")]
)
def test_durations_have_two_digits(seconds: float, told: str) -> None:
    assert pace.duration(seconds) == told


@pytest.mark.parametrize("verb", ["tune", "precision", "compare"])
def test_a_long_verb_says_when_it_will_be_done(
    place: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    data = ["--data", "net.py:many", "--images", "150", *LITTLE, "--lava-images", "0"]
    Path("net.py").write_text(Path("net.py").read_text() + MANY)
    command = (
        ["compare", *NET, *data, "--anyway"] if verb == "compare" else SEARCHES[verb]
    )  # it was never trained
    assert cli.main(command) == 0
    err = capsys.readouterr().err
    of = {"tune": "1 of at most", "precision": "1 of ", "compare": "1 of 2 blocks"}[verb]
    assert any(
        line.startswith(of) and "s each: done in" in line and "at this pace" in line
        for line in err.splitlines()
    )
    assert cli.main([*command, "--quiet"]) == 0
    assert "at this pace" not in capsys.readouterr().err


MANY = """
class Many(Pairs):
    def __len__(self):
        return 200
    def __getitem__(self, i):
        import torch
        return torch.full((3, 6, 6), i / 200), i % 3

def many():
    return Many()
"""


# ---------------------------------------------------------------- tune's own


def test_tune_tries_the_other_rounding_and_tells_intervals(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(*SEARCHES["tune"], "-o", "out", capsys=capsys)
    assert {t["recipe"]["rounding"] for t in found["trials"] if t["phase"] == "rounding"} == {"nearest"}
    assert any(
        sentence.startswith("rounding: the other way from weights to integers.")
        for sentence in found["story"]
    )
    for t in found["trials"]:
        assert t["interval"][0] < t["score"] < t["interval"][1] <= 1
    assert found["intervals"] == {key: found[key]["interval"] for key in ("best", "confirmed")}
    fixed = run(*SEARCHES["tune"], "--rounding", "nearest", capsys=capsys)
    assert {t["recipe"]["rounding"] for t in fixed["trials"]} == {"nearest"}


def test_the_next_command_is_understood_and_is_of_the_winner(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(*SEARCHES["tune"], "-o", "an out", capsys=capsys)
    words = shlex.split(found["next"])
    assert words[:2] == ["dnisnm", "compare"]
    args = _parser().parse_args(words[1:])
    assert (args.model, args.weights, args.data, args.mean, args.several) == (
        "net.py:net",
        "weights.pt",
        "data.npz",
        (0.5, 0.5, 0.5),
        ["an out/tuning.json"],
    )
    assert json.loads(json.dumps(recipes.named(args.several[0]).__dict__)) == found["recipe"]
    assert cli.main([*words[1:], "--lava-images", "0"]) == 0
    capsys.readouterr()
    cli.main(SEARCHES["tune"])
    shown = capsys.readouterr().out
    assert "next:" in shown
    pasted = shown[shown.index("next:") + len("next:") :]
    assert max(map(len, pasted.splitlines())) <= 80
    assert shlex.split(pasted.replace("\\\n", " "))[:4] == ["dnisnm", "compare", "--model", "net.py:net"]
    assert "…" not in shown


def test_a_command_is_pasted_whole() -> None:
    command = shlex.join(
        ["dnisnm", "compare", *(f"a folder with spaces/{i}" for i in range(12)), "--model", "x" * 90]
    )
    shown = _to_paste(command)
    assert shlex.split(shown.replace("\\\n", " ")) == shlex.split(command)
    assert len(shown.splitlines()) > 3


@pytest.mark.parametrize("base", [BEST, PAPER])
def test_a_recipe_as_options_is_that_recipe(base: Recipe) -> None:
    from dataclasses import fields, replace

    recipe = replace(
        base,
        steps=3,
        correct=("bias",),
        lead={"a.b": 1, "c": 0},
        weight_bits=6,
        percentile=99.5,
        rounding="nearest",
    )
    words = ["convert", "--model", "m", "--data", "d", *recipes.words(recipe, base)]
    args = _parser().parse_args(words)
    given = {f.name: getattr(args, f.name) for f in fields(Recipe) if getattr(args, f.name) is not None}
    assert replace(base, **given) == recipe
    assert recipes.words(base, base) == []
    assert recipes.words(replace(base, correct=()), replace(base, correct=("bias",))) == ["--correct", "none"]


def test_a_search_comes_to_no_more_trials_than_it_says(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journals: list[Journal] = []
    once = Journal.once
    monkeypatch.setattr(Journal, "once", lambda self, *args: journals.append(self) or once(self, *args))
    found = run(*SEARCHES["tune"], capsys=capsys)
    assert journals[-1].done == len(found["trials"]) <= journals[-1].of


def test_ranks_find_what_one_process_finds() -> None:
    """Every trial, in its order, and the winner's integers."""
    analog, _, _ = converted()
    x = np.random.default_rng(3).normal(size=(120, 2, 6, 6)).astype(np.float32)
    space = dn.Space(vary=("steps", "levels"), steps=(1, 2), levels=(3, 7))

    def work(group: Group) -> Any:
        found = dn.tune(
            analog, x, dn.Target("latency", 12), measure="values", space=space, journal=Journal(group=group)
        )
        return found.trials, found.confirmed, found.networks.integer.digest()

    (alone,) = in_ranks(1, work)
    assert len(alone[0]) > 2
    assert in_ranks(3, work) == [alone] * 3
