"""The search over recipes: Pareto fronts, targets, phases, what is held back, the command."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searched import analog as analog
from searched import images as images
from searched import place as place

import dnisnm_lava as dn
from dnisnm_lava import cli, measures
from dnisnm_lava.backends import ann, batched
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.measures import classes
from dnisnm_lava.stages import fitting, recipes
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import BEST, Recipe
from dnisnm_lava.studies.tuning import pareto, phases, tune
from dnisnm_lava.studies.tuning.pareto import Target, Trial
from dnisnm_lava.views import tuning as tuning_report
from exporters import netx


def trial(score: float, latency: int, spikes: float, steps: int) -> Trial:
    return Trial("", replace(BEST, steps=steps), score, 100 * (1 - score), latency, spikes)


trials = st.lists(
    st.builds(
        trial,
        st.sampled_from([0.2, 0.5, 0.9]),
        st.integers(3, 6),
        st.sampled_from([10.0, 20.0, 30.0]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=12,
)


@given(trials)
def test_a_front_is_what_nothing_beats(found: list[Trial]) -> None:
    front = pareto.front(found)

    def beaten(t: Trial) -> bool:
        """By definition: as good in all four, and better in one."""
        mine = (t.score, -t.latency, -t.spikes, -t.steps)
        others = [(o.score, -o.latency, -o.spikes, -o.steps) for o in found]
        return any(all(a >= b for a, b in zip(o, mine, strict=True)) and o != mine for o in others)

    assert {(*t.cost, t.score) for t in front} == {(*t.cost, t.score) for t in found if not beaten(t)}
    assert len({(*t.cost, t.score) for t in front}) == len(front)
    assert [t.cost for t in front] == sorted(t.cost for t in front)


@given(trials, st.sampled_from(["steps", "latency", "spikes"]), st.integers(1, 30))
def test_the_best_within_a_limit_is_the_most_accurate(found: list[Trial], kind: str, limit: int) -> None:
    chosen = pareto.best(Target(kind, limit), found)
    within = [t for t in found if getattr(t, kind) <= limit]
    if within:
        assert chosen in within
        assert chosen.score == max(t.score for t in within)
        assert chosen.cost == min(t.cost for t in within if t.score == chosen.score)
    else:
        assert getattr(chosen, kind) == min(getattr(t, kind) for t in found)


@given(trials, st.integers(0, 90))
def test_the_best_for_a_drop_is_the_cheapest(found: list[Trial], limit: int) -> None:
    chosen = pareto.best(Target("drop", limit), found)
    within = [t for t in found if t.drop <= limit]
    assert (
        chosen.cost == min(t.cost for t in within) if within else chosen.score == max(t.score for t in found)
    )


@pytest.mark.parametrize(
    ("kind", "limit", "text"),
    [
        ("steps", 0, "steps: at most 0"),
        ("drop", -1, "drop: at most -1"),
        ("drop", float("nan"), "drop: at most nan"),
        ("latency", 2, "needs 4 steps until"),
    ],
)
def test_targets_that_make_no_sense_are_refused(
    analog: dn.AnalogGraph, images: np.ndarray, kind: str, limit: float, text: str
) -> None:
    with pytest.raises(OutOfRange, match=text):
        dn.tune(analog, images, dn.Target(kind, limit))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"vary": ["spikes"]}, "vary: spikes"),
        ({"steps": []}, "steps \\(\\)"),
        ({"held_back": 1.0}, "held_back: 1"),
        ({"base": replace(BEST, correct=("all",))}, "correct: all"),
    ],
)
def test_other_options_too(
    analog: dn.AnalogGraph, images: np.ndarray, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(OutOfRange, match=text):
        dn.tune(analog, images, dn.Target("drop", 1), space=dn.Space(**options))


def test_labels_of_other_images_are_refused(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    with pytest.raises(OutOfRange, match="labels: 3 given for 120 images"):
        dn.tune(analog, images, dn.Target("drop", 1), np.zeros(3))


def test_few_images_are_refused(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    with pytest.raises(OutOfRange, match="7 images given"):
        dn.tune(analog, images[:7], dn.Target("drop", 1))


@pytest.fixture(scope="module")
def tuned(analog: dn.AnalogGraph, images: np.ndarray) -> tune.Tuning:
    return dn.tune(analog, images, dn.Target("steps", 3), space=dn.Space(levels=(1, 2), images=40))


def test_the_search_keeps_its_target_and_tells_of_every_phase(tuned: tune.Tuning) -> None:
    assert tuned.met
    assert max(t.steps for t in tuned.trials) <= 3
    assert 3 in {t.steps for t in tuned.trials}  # the limit itself is tried
    assert [sentence.split(":")[0] for sentence in tuned.story] == list(phases.PHASES)
    assert tuned.best == pareto.best(tuned.target, tuned.trials)
    assert tuned.images == {"fit": 60, "search": 40, "choose": 30, "confirm": 30}
    assert len({repr(t.recipe) for t in tuned.trials}) == len(tuned.trials)


def test_every_phase_changes_what_it_says(tuned: tune.Tuning) -> None:
    by_phase = {phase: [t.recipe for t in tuned.trials if t.phase == phase] for phase in phases.PHASES}
    assert {r.threshold for r in by_phase["thresholds"]} == {
        "max",
        "subset-max",
        "percentile",
        "ltb",
        "mmse",
        "gauss",
    }
    left_out = [name for r in by_phase["corrections"] for name in set(fitting.CORRECTIONS) - set(r.correct)]
    assert sorted(left_out) == sorted(fitting.CORRECTIONS)
    assert all(r.lead == 0 for r in by_phase["steps and levels"])
    for a, b in pairwise(t for t in tuned.trials if t.phase == "lead"):
        assert b.recipe.lead == 1 or b.recipe.lead == 2 * a.recipe.lead


def test_scores_are_those_of_the_recipe_on_held_back_images(
    tuned: tune.Tuning, analog: dn.AnalogGraph, images: np.ndarray
) -> None:
    """Made again by hand: what is confirmed was fitted on 60 images and measured on 30 others."""
    order = np.random.default_rng(0).permutation(120)
    confirming, fitted_on = images[order[30:60]], images[order[60:]]
    stats = dn.calibrate(analog, [fitted_on])
    network = follow(tuned.recipe, analog, stats, fitted_on).integer
    assert network.digest() == tuned.networks.integer.digest()
    run = batched.run(network, confirming)
    assert tuned.confirmed.score == np.mean(
        run.predictions(tuned.recipe.steps) == classes(ann.ann(analog, confirming))
    )
    assert tuned.confirmed.latency == network.window_starts()[network.readout.name] + tuned.recipe.steps


def test_it_repeats_itself(tuned: tune.Tuning, analog: dn.AnalogGraph, images: np.ndarray) -> None:
    again = dn.tune(analog, images, dn.Target("steps", 3), space=dn.Space(levels=(1, 2), images=40))
    assert again.trials == tuned.trials
    assert again.story == tuned.story


def test_with_labels_it_counts_them(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    """Labels that are the ANN's classes but for the images that confirm: there nothing is right."""
    order = np.random.default_rng(0).permutation(120)
    labels = classes(ann.ann(analog, images)).copy()
    labels[order[30:60]] = (labels[order[30:60]] + 1) % 3
    found = dn.tune(
        analog,
        images,
        dn.Target("steps", 1),
        labels=labels,
        space=dn.Space(levels=(31,), vary=("steps",), images=40),
    )
    assert found.wanted == "accuracy"
    assert found.best.score > 0.5
    assert (found.confirmed.score, found.confirmed.drop) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("turned", "given", "expected", "told"),
    [
        (1, True, None, "tune: the ANN says the class of "),
        (1, False, None, "tune: the ANN says the class of "),
        (0, True, None, ""),
        (0, True, 0.9, ""),
        (
            2,
            True,
            0.9,
            "tune: the ANN says the class of 60 of 120 of these images (50.0 %), where 90.0 % are "
            "expected; most likely the lens",
        ),
    ],
)
def test_an_ann_that_guesses_is_told_before_any_trial(
    analog: dn.AnalogGraph, images: np.ndarray, turned: int, given: bool, expected: float | None, told: str
) -> None:
    """Labels that are the ANN's classes, or every second one turned by one, or by number; where labels are
    not to be met, those that images bring tell."""
    labels = (
        (classes(ann.ann(analog, images)) + turned // 2 * (np.arange(120) % 2)) % 3
        if turned != 1
        else np.arange(120) % 3
    )
    x, y = (images, labels) if given else ([(images, labels)], None)
    first: list[int] = []

    def stage(_: str) -> None:
        first.append(len(caught))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = dn.tune(
            analog,
            x,
            dn.Target("steps", 1),
            labels=y,
            space=dn.Space(levels=(31,), vary=("steps",), images=20),
            session=dn.Session(stages=stage, set_up=dn.SetUp(expected=expected, causes=["the lens"])),
        )
    sentences = [str(w.message) for w in caught if w.category is UserWarning]
    assert [s[: len(told)] for s in sentences] == [told] * bool(told)
    assert first[0] >= len(sentences)  # before the first phase
    assert [a.kind for a in found.alarms] == {0: [], 1: ["chance"], 2: ["expectation"]}[turned]
    assert [f"tune: {a.sentence}" for a in found.alarms] == sentences
    assert tuning_report.tuning_json(found, {})["alarms"] == [
        {"kind": a.kind, "sentence": a.sentence} for a in found.alarms
    ]


def test_alarms_of_before_are_kept_and_not_told_again(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    labels = (classes(ann.ann(analog, images)) + 1) % 3
    raised = (Alarm("chance", "told already"),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dn.tune(
            analog,
            images,
            dn.Target("steps", 1),
            labels=labels,
            space=dn.Space(levels=(31,), vary=("steps",), images=20),
            session=dn.Session(set_up=dn.SetUp(alarms=raised)),
        )
    assert found.alarms == raised


def test_targets_that_never_vary_are_refused_before_any_trial(
    analog: dn.AnalogGraph, images: np.ndarray
) -> None:
    with pytest.raises(
        OutOfRange, match="targets do not vary over 30 images, so that any constant would explain them"
    ):
        dn.tune(analog, images, dn.Target("steps", 1), labels=np.full((120, 3), 0.25), measure="values")


def test_what_is_not_varied_stays(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    base = replace(
        BEST, threshold="mmse", levels=1, down=1.0, lead={"a": 2, "b": 0}, correct=("bias",), weight_bits=6
    )
    found = dn.tune(
        analog,
        images,
        dn.Target("drop", 30),
        space=dn.Space(base=base, vary=("steps",), steps=(1, 2), images=40),
    )
    assert {replace(t.recipe, steps=0) == replace(base, steps=0) for t in found.trials} == {True}


def searching(analog: dn.AnalogGraph, target: Target) -> phases.Search:
    stats = dn.calibrate(analog, [np.ones((1, 1, 4, 4))])
    return phases.Search(
        target, measures.of(analog), BEST, analog, stats, frozenset(phases.DIALS), (4,), (1,)
    )


def asked_for(phase: phases.Phase, answer: Callable[[Recipe], Trial]) -> list[Recipe]:
    """What the phase asks for, when it is told `answer` of each."""
    seen = []
    try:
        seen.append(next(phase))
        while True:
            seen.append(phase.send(answer(seen[-1])))
    except StopIteration:
        return seen


def test_levels_are_dealt_out_by_population(analog: dn.AnalogGraph) -> None:
    """Made up: the first population needs more levels, the second sends fewer spikes with fewer."""
    found = searching(analog, Target("spikes", 30))
    a, b = found.with_levels
    found.trials.append(Trial("", replace(BEST, levels=4), 0.8, 0.0, 5, 20.0))

    def answer(recipe: Recipe) -> Trial:
        levels = recipe.levels
        return Trial("", recipe, 0.9 if levels[a] == 8 else 0.8, 0.0, 5, 20.0 - (levels[b] == 2))  # type: ignore[index]

    seen = asked_for(phases.levels_of_populations(found), answer)
    assert [r.levels for r in seen] == [{a: 8, b: 4}, {a: 8, b: 8}, {a: 8, b: 2}]
    assert pareto.levels_told(seen[0].levels) == f"K = 4 ({a} 8)"


@pytest.mark.parametrize(
    ("phase", "dials", "wanted"),
    [
        (phases.lower_thresholds, {"steps": 4}, [{"down": 0.25}, {"down": 0.5}, {"down": 1.0}]),
        (phases.lower_thresholds, {"steps": 1}, []),
        (
            phases.granularities,
            {"granularity": "channel", "share": "channel"},
            [{"granularity": "neuron", "share": "neuron"}],
        ),
        (
            phases.granularities,
            {"granularity": "neuron", "share": "channel"},
            [{"share": "neuron"}, {"granularity": "channel"}],
        ),
        (phases.granularities, {"spikes": "binary"}, []),
        (phases.relay_levels, {}, []),
        (phases.function_errors, {}, []),
    ],
)
def test_a_phase_asks_for_the_other_values(
    analog: dn.AnalogGraph,
    phase: Callable[[phases.Search], phases.Phase],
    dials: dict[str, Any],
    wanted: list[dict[str, Any]],
) -> None:
    found, base = searching(analog, Target("steps", 4)), replace(BEST, **dials)
    found.trials.append(Trial("", base, 0.8, 0.0, 5, 20.0))
    asked = asked_for(phase(found), lambda recipe: Trial("", recipe, 0.1, 0.0, 5, 20.0))
    assert asked == [replace(base, **changed) for changed in wanted]


def test_binary_spikes_stay_binary(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    found = dn.tune(
        analog,
        images,
        dn.Target("steps", 2),
        space=dn.Space(base=recipes.BINARY, vary=("steps", "levels", "granularity", "down"), images=20),
    )
    assert {(t.recipe.levels, t.recipe.granularity, t.recipe.spikes) for t in found.trials} == {
        (1, "channel", "binary")
    }
    assert {t.recipe.down for t in found.trials} == {0.0, 0.25, 0.5, 1.0}


def test_leads_are_dealt_out_by_population(analog: dn.AnalogGraph) -> None:
    """A search whose trials are made up: only the second population's lead costs nothing to lose."""
    found = searching(analog, Target("latency", 30))
    names = found.waiting
    found.trials.append(Trial("", replace(BEST, steps=4, levels=1, lead=2), 0.9, 0.0, 14, 10.0))

    def answer(recipe: Recipe) -> Trial:
        lead = recipe.lead
        return Trial(
            "", recipe, 0.9 if lead[names[0]] == 2 else 0.1, 0.0, 14 - 2 * list(lead.values()).count(0), 10.0
        )  # type: ignore[index, union-attr]

    seen = [r.lead for r in asked_for(phases.leads_of_populations(found), answer)]
    assert seen == [{names[0]: 0, names[1]: 2}, {names[0]: 2, names[1]: 0}]


def test_a_missed_target_is_told(analog: dn.AnalogGraph, images: np.ndarray) -> None:
    found = dn.tune(
        analog,
        images,
        dn.Target("spikes", 1),
        space=dn.Space(vary=("steps", "threshold"), images=20, levels=(1,)),
    )
    assert not found.met
    assert found.best.spikes == min(t.spikes for t in found.trials)
    assert "is not met" in found.story[0]


# ---------------------------------------------------------------- recipes in files; the command


def run(*words: str) -> int:
    return cli.main(
        [
            "tune",
            "--model",
            "mine.py:net",
            "--data",
            "data.npz",
            "--fit-images",
            "30",
            "--held-images",
            "20",
            *words,
        ]
    )


def test_the_command_writes_network_front_and_recipe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--max-steps", "2", "--levels", "1", "-o", "out") == 0
    assert {p.name for p in (place / "out").iterdir()} == {cli.NET, cli.TUNING, cli.FRONT}
    shown = capsys.readouterr().out
    assert "Pareto front" in shown
    found = json.loads((place / "out" / cli.TUNING).read_text())
    assert found["images"] == {"fit": 30, "search": 30, "choose": 10, "confirm": 10}
    assert {t["recipe"]["levels"] for t in found["trials"]} == {1}  # --levels fixes it
    assert found["scores"] == "agreement with the ANN"
    assert netx.read(place / "out" / cli.NET).digest() == found["provenance"]["digests"]["integer"]
    assert all(isinstance(found["trials"][i]["score"], float) for i in found["front"])
    code = cli.main(
        [
            "convert",
            "--model",
            "mine.py:net",
            "--data",
            "data.npz",
            "--recipe",
            "out/tuning.json",
            "-o",
            "a.net",
            "--json",
        ]
    )
    assert code == 0
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert {**recipe, "correct": list(recipe["correct"])} == found["recipe"]


def test_the_command_counts_labels_when_told_to(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            "--max-drop", "20", "--labels", "--json", "--threshold", "max", "--correct", "none", "--lead", "0"
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["scores"] == "accuracy"
    assert [t["recipe"]["threshold"] for t in found["trials"]] == ["max"] * len(found["trials"])


def test_a_missed_target_is_an_error_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--max-spikes", "1", "--threshold", "max", "--correct", "none", "--levels", "1") == 1
    assert "not met by any recipe tried" in capsys.readouterr().err


def test_a_recipe_comes_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"recipe": {"steps": 3, "correct": ["bias"], "lead": {"a": 1}}}))
    assert recipes.named(str(path)) == Recipe(steps=3, correct=("bias",), lead={"a": 1})


@pytest.mark.parametrize(
    "text", ["", "[]", '{"recipe": 3}', '{"recipe": {"step": 3}}', '{"recipe": {"correct": 1}}', "{}"]
)
def test_a_file_without_a_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(BadFile, match="no recipe"):
        recipes.named(str(path))


def test_a_recipe_that_is_nowhere_is_refused() -> None:
    with pytest.raises(OutOfRange, match="neither best nor binary nor paper nor a file"):
        recipes.named("bset")


def test_the_story_tells_what_each_trial_costs_and_the_picture_has_whole_steps(tuned: tune.Tuning) -> None:
    for t in (t for t in tuned.trials if t.phase == "thresholds"):
        assert (
            f"({t.latency} steps, {t.spikes:,.0f} spikes)"
            in tuned.story[list(phases.PHASES).index("thresholds")]
        )
    one = replace(tuned, trials=(tuned.best,))  # one latency alone
    ticks = tuning_report.tuning_figure(one, "").axes[0].get_xticks()
    assert all(tick == round(tick) for tick in ticks)


def test_the_picture_names_the_corners_of_the_front_inside_their_panels(tuned: tune.Tuning) -> None:
    figure = tuning_report.tuning_figure(tuned, "a title")
    tuning_report.as_file(figure, "png")
    (legend,) = figure.legends
    for axes in figure.axes:
        panel, texts = axes.get_window_extent(), axes.texts
        assert texts
        assert all(re.match(r"T\d+ K\d+", text.get_text()) for text in texts)
        for box in (text.get_window_extent() for text in texts):
            assert panel.x0 < box.x0 < box.x1 < panel.x1
            assert panel.y0 < box.y0 < box.y1 < panel.y1
        assert not legend.get_window_extent().overlaps(panel)
    best = f"T{tuned.best.recipe.steps} "
    assert any(text.get_text().startswith(best) for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--max-drop", "1", "--held-images", "1"), "--held-images: 1 given; give 2 or more"),
        (("--max-drop", "1", "--fit-images", "0"), "--fit-images: 0 given; give 1 or more"),
        (("--max-steps", "2", "--steps", "4"), "at most 2 time steps T asked for, but T = 4 is the least"),
    ],
)
def test_options_of_the_command_that_contradict_a_search_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert run(*options) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        (2, "lead 2"),
        ({"a": 0, "b": 0}, "lead 0"),
        ({"a": 1, "b": 1, "c": 2, "d": 0}, "lead 2 in 3 of 4 (a to c)"),
        ({"a": 1, "b": 0, "c": 1}, "lead 1 in 2 of 3 (a, c)"),
        ({"a": 0, "b": 3}, "lead 3 in 1 of 2 (b)"),
    ],
)
def test_a_lead_is_told_with_its_populations(lead: int | dict[str, int], told: str) -> None:
    assert pareto.lead_told(lead) == told
    assert pareto.lead_told(lead, named=False) == told.partition(" (")[0]
