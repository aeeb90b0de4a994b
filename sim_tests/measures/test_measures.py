"""What is measured of an output: classes, binary answers, values; what is refused; no share beyond 0 to 100
%."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from outputs import Both, Bright, Maps
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava import cli, measures
from dnisnm_lava.backends import batched
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import predictions, tallies
from dnisnm_lava.measures import Fit, Share, chosen

RNG = np.random.default_rng(0)
TEN, MAP, ONE = {"out": (10,)}, {"map": (3, 8, 8)}, {"out": (1,)}


# ---------------------------------------------------------------- by construction


@given(st.integers(-3, 20), st.integers(-1, 20), st.integers(-1, 20))
def test_no_share_is_above_one_or_below_nothing(correct: int, of: int, images: int) -> None:
    if 0 <= correct <= of and 1 <= images <= of:
        share = Share(correct, of, images)
        low, high = share.interval
        assert 0 <= low <= share.value <= high <= 1
    else:
        with pytest.raises(ValueError, match="a share of"):
            Share(correct, of, images)


def test_a_fit_is_the_coefficient_of_determination() -> None:
    """Against its definition, averaged over channels by their variance."""
    wanted, said = RNG.normal(size=(2, 30, 2, 4))
    wanted[:, 1] += 100  # channels that differ: no merit of the network
    measure = chosen({"out": (2, 4)}, wanted)
    found = measure.score(measure.count(said, wanted), measure.spread(wanted), 30)
    errors, spread = np.square(said - wanted), np.square(wanted - wanted.mean(axis=(0, 2), keepdims=True))
    assert isinstance(found, Fit)
    assert found.value == pytest.approx(
        1 - errors.sum() / spread.sum(), rel=1e-12
    )  # exact sums against NumPy's of 240 terms
    assert found.rmse == pytest.approx(np.sqrt(errors.mean()), rel=1e-12)
    assert found.relative == pytest.approx(np.sqrt(1 - found.value), rel=1e-12)
    each = errors.mean(axis=(1, 2))
    assert found.standard_error == pytest.approx(each.std(ddof=1) / np.sqrt(30) / spread.mean(), rel=1e-9)
    perfect = measure.score(measure.count(wanted, wanted), measure.spread(wanted), 30)
    assert (perfect.value, perfect.interval) == (1.0, (1.0, 1.0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=12), st.randoms())
def test_sums_of_values_are_the_same_in_any_cut_and_order(errors: list[float], random: Any) -> None:
    wanted = np.linspace(-1, 1, len(errors))[:, None]
    said, measure = wanted + np.array(errors)[:, None], chosen(ONE, wanted)
    order = list(range(len(errors)))
    random.shuffle(order)
    parts = [
        tallies.placed(
            {"counts": measure.count(said[[i]], wanted[[i]]), "spread": measure.spread(wanted[[i]])}, i
        )
        for i in order
    ]
    assert tallies.total(parts) == {"counts": measure.count(said, wanted), "spread": measure.spread(wanted)}


def test_values_that_do_not_vary_have_no_score() -> None:
    wanted = np.full((7, 2), 0.3)
    measure = chosen({"out": (2,)}, wanted, "values")
    with pytest.raises(
        OutOfRange, match="targets do not vary over 7 images, so that any constant would explain them"
    ):
        measure.score(measure.count(wanted, wanted), measure.spread(wanted), 7)


# ---------------------------------------------------------------- what shape and labels tell


@pytest.mark.parametrize(
    ("outputs", "labels", "kind", "answers"),
    [
        (TEN, np.arange(10), "classes", 1),
        (TEN, np.arange(10.0), "classes", 1),
        (TEN, np.arange(10)[:, None], "classes", 1),
        (TEN, np.eye(10), "classes", 1),
        (TEN, 0.9 * np.eye(10) + 0.01, "classes", 1),
        (TEN, np.tri(10, dtype=int), "binary", 10),
        (TEN, RNG.normal(size=(10, 10)), "values", 10),
        (MAP, np.ones((4, 8, 8), int), "classes", 64),
        (MAP, RNG.normal(size=(4, 3, 8, 8)), "values", 192),
        ({"out": (1, 10)}, np.arange(10), "classes", 1),
        (ONE, np.arange(6) % 2, "binary", 1),
        (ONE, (np.arange(6) % 2)[:, None], "binary", 1),
        (ONE, np.arange(6) % 2 > 0, "binary", 1),
        (ONE, RNG.normal(size=6), "values", 1),
        (ONE, RNG.normal(size=(6, 1)), "values", 1),
        ({"map": (1, 4, 4)}, np.eye(4, dtype=int)[None], "binary", 16),
        ({"map": (1, 4, 4)}, np.eye(4)[None, None], "binary", 16),
        (TEN, None, "classes", 1),
    ],
)
def test_shape_and_labels_tell(
    outputs: dict[str, tuple[int, ...]], labels: np.ndarray | None, kind: str, answers: int
) -> None:
    measure = chosen(outputs, labels)
    assert (measure.kind, measure.answers) == (kind, answers)
    if labels is not None:
        assert measure.wanted(labels).shape == (len(labels), *measure.spots)


@pytest.mark.parametrize(
    ("outputs", "labels", "options", "told"),
    [
        (
            MAP,
            np.zeros(5, int),
            {},
            "shape \\(5,\\) given, which are neither classes nor targets of output map \\(3x8x8\\)",
        ),
        (MAP, None, {}, "output map \\(3x8x8\\) may hold classes of pixels, answers 0 or 1, or values"),
        (ONE, None, {}, "say --measure classes, binary or values"),
        (TEN, np.arange(11), {}, "10 among them, output out \\(10\\) tells"),
        (TEN, np.arange(4) - 1, {}, "labels: -1 among them"),
        (TEN, np.arange(4) / 2, {}, "some are no class indices"),
        (ONE, np.arange(6), {}, "labels: 0 to 5 given for the 1 value of output out; give 0 and 1"),
        (MAP, np.full((2, 8, 8), 255), {}, "labels: 255 among them, .*--ignore-label 255 leaves it out"),
        (MAP, 255 * np.tri(8, dtype=np.uint8)[None], {}, "masks of 0 and 255, .* 0 and 1 divided by 255"),
        ({"map": (1, 8, 8)}, 255 * np.tri(8, dtype=int)[None], {}, "masks of 0 and 255, as in pictures"),
        (MAP, np.zeros((2, 8, 9), int), {}, "neither classes nor targets"),
        (TEN, np.array([0.1, np.nan] * 5), {"kind": "values"}, "needed by"),
        (ONE, np.array([0.1, np.nan]), {}, "targets: 1 of 2 are NaN"),
        (TEN, np.tri(10), {"kind": "classes"}, "not one-hot"),
        (ONE, np.arange(2), {"kind": "classes"}, "which has one channel; say --measure binary"),
        (
            TEN,
            np.arange(3),
            {"kind": "accuracy"},
            "measure: accuracy given; choose of auto, classes, binary, values",
        ),
        (TEN, np.arange(3), {"output": 1}, "output: 1 asked for; the network has 0: out \\(10\\)"),
        (TEN, np.arange(3), {"output": "boxes"}, "output: boxes asked for"),
        (TEN, np.arange(3), {"output": -1}, "output: -1 asked for"),
        ({"boxes": (4,), "classes": (9,)}, np.arange(9), {}, "choose another --output"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    outputs: dict[str, tuple[int, ...]], labels: np.ndarray | None, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OutOfRange, match=told):
        chosen(outputs, labels, **options)


def test_an_output_is_chosen_by_name_or_index_and_told() -> None:
    outputs = {"boxes": (4,), "classes": (10,)}
    for output in ("classes", 1, "1"):
        measure = chosen(outputs, np.arange(10), output=output)
        assert (measure.output, measure.index) == ("classes", 1)
        assert str(measure) == "measured: output classes, the second of 2 (--output chooses), 10 classes"


def test_a_label_that_is_ignored_is_no_answer() -> None:
    labels = np.array([[[0, 1], [2, 255]]])
    measure = chosen({"map": (3, 2, 2)}, labels, ignored=255)
    said = np.array([[[0, 1], [1, 1]]])
    found = measure.score(measure.count(said, measure.wanted(labels)), {}, 1)
    assert isinstance(found, Share)
    assert (found.correct, found.of, found.images) == (2, 3, 1)
    nothing = np.full((1, 2, 2), 255)
    with pytest.raises(OutOfRange, match="0 of 1 images' answers count"):
        measure.score(measure.count(said, measure.wanted(nothing)), {}, 1)


def test_targets_of_one_value_are_not_spread_over_each_other() -> None:
    """(N,) against (N, 1) would broadcast to (N, N)."""
    targets = RNG.normal(size=20)
    measure = chosen(ONE, targets)
    assert (
        measure.score(
            measure.count(targets[:, None], measure.wanted(targets)),
            measure.spread(measure.wanted(targets)),
            20,
        ).value
        == 1
    )
    with pytest.raises(ValueError, match="answers of shape"):
        measure.count(targets[:, None], targets)


def test_classes_of_one_channel_are_signs_and_a_row_of_them_is_classes() -> None:
    assert measures.classes(np.array([[-1], [0], [2]])).tolist() == [0, 0, 1]
    assert measures.classes(np.array([[[-1, 1]], [[5, 2]]])).tolist() == [1, 0]  # (N, 1, C)
    assert measures.classes(np.array([[[[-1, 1], [3, -2]]]])).tolist() == [[[0, 1], [1, 0]]]  # (N, 1, H, W)


# ---------------------------------------------------------------- networks


Y = np.arange(40) % 2
X = (RNG.random((40, 1, 16, 16)) * 0.2 + np.where(Y, 0.7, 0.1)[:, None, None, None]).astype(np.float32)
F = RNG.normal(size=(60, 6)).astype(np.float32)


def networks(
    model: nn.Module, x: np.ndarray, steps: int = 4
) -> tuple[dn.AnalogGraph, dn.SpikingGraph, dn.SpikingGraph]:
    torch.manual_seed(1)
    analog = dn.from_torch(model.eval(), x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=steps, levels=4)
    return analog, spiking, dn.quantize(spiking)


def test_one_logit_is_measured_by_its_sign() -> None:
    found = dn.compare(dn.Networks(*networks(Bright(), X)), X, Y, lava=dn.Lava(images=0))
    assert found.accuracy["ann"] == 1.0
    assert set(found.accuracy["integer"].values()) == {1.0}  # type: ignore[union-attr]
    run = batched.run(networks(Bright(), X)[2], X)
    assert (run.accuracy(Y, 4), run.accuracy(1 - Y, 4)) == (1.0, 0.0)
    with pytest.raises(OutOfRange, match="labels: 0 to 39 given"):
        run.accuracy(np.arange(40), 4)
    with pytest.raises(OutOfRange, match="targets given, not classes"):
        run.accuracy(np.linspace(0, 0.9, 40), 4)


def test_maps_have_pixels_right_of_pixels() -> None:
    torch.manual_seed(0)
    graphs = networks(Maps(), X)
    own = graphs[0].ann(X).argmax(axis=1)
    masks = np.where(np.arange(64).reshape(8, 8) < 16, (own + 1) % 3, own)  # a quarter is wrong
    found = dn.compare(dn.Networks(*graphs), X, masks, lava=dn.Lava(images=0))
    score = found.scores["ann"]
    assert isinstance(score, Share)
    assert (score.correct, score.of, score.images) == (40 * 48, 40 * 64, 40)
    said = batched.run(graphs[2], X).predictions(4)
    assert found.accuracy["integer"][4] == np.mean(said == masks)  # type: ignore[index]
    assert found.agreement["integer"][4] == np.mean(said == own)
    with pytest.raises(OutOfRange, match="neither classes nor targets of output"):
        dn.compare(dn.Networks(*graphs), X, Y, lava=dn.Lava(images=0))


def test_values_are_measured_against_targets_and_against_the_ann() -> None:
    torch.manual_seed(0)
    graphs = networks(Both(), F)
    own = graphs[0].ann(F)
    targets = own + 0.1
    found = dn.compare(dn.Networks(*graphs), F, targets, lava=dn.Lava(images=0))
    run = batched.run(graphs[2], F)
    for wanted, score in ((targets, found.scores["integer"][4]), (own, found.agreements["integer"][4])):  # type: ignore[index]
        errors, spread = run.values(4) - wanted, wanted - wanted.mean(axis=0)
        assert score.rmse == pytest.approx(
            np.sqrt(np.mean(errors**2)), rel=1e-5
        )  # `ann` is float32 there, float64 here
        assert score.value == pytest.approx(1 - np.sum(errors**2) / np.sum(spread**2), rel=1e-5)
    assert found.scores["ann"].rmse == pytest.approx(0.1, rel=1e-4)  # type: ignore[union-attr]
    alone = dn.compare(dn.Networks(*graphs), F, measure="values", lava=dn.Lava(images=0))
    assert alone.scores == {**alone.agreements}
    assert alone.agreements["integer"][4] == found.agreements["integer"][4]
    with pytest.raises(OutOfRange, match="labels: none given"):
        dn.compare(dn.Networks(*graphs), F, lava=dn.Lava(images=0))


def test_a_further_output_is_measured_when_asked_for() -> None:
    torch.manual_seed(0)
    graphs = networks(Both(), F)
    name = graphs[0].readouts[1].name
    labels = graphs[0].outputs(F)[name].argmax(axis=1)
    with pytest.warns(UserWarning, match=r"fit boxes \(3\), the first output, and scores \(2\) is asked for"):
        dn.compare(dn.Networks(*graphs), F, labels, measure=dn.Ask(output=1), lava=dn.Lava(images=0))
    own = {name: labels}  # said to be its own, they are
    found = dn.compare(dn.Networks(*graphs), F, measure=dn.Ask(output=1), targets=own, lava=dn.Lava(images=0))
    assert (found.measure.output, found.accuracy["ann"]) == (name, 1.0)
    said = batched.run(graphs[2], F).values(4, name).argmax(axis=1)
    assert found.accuracy["integer"][4] == np.mean(said == labels)  # type: ignore[index]
    told = dn.explain(dn.Networks(*graphs), F, labels, measure=found.measure)
    assert told.accuracy["integer"] == found.accuracy["integer"][4]  # type: ignore[index]
    bits = dn.precision(
        dn.Networks(*graphs),
        F,
        labels,
        measure=found.measure,
        bits=dn.Tried(weights=[8], payloads=[5], state=[24]),
    )
    assert bits.finest.outcome.accuracy == found.accuracy["integer"][4]  # type: ignore[index]


def test_predictions_are_of_the_output_that_is_asked_for() -> None:
    torch.manual_seed(0)
    integer = networks(Both(), F)[2]
    run, name = batched.run(integer, F), integer.readouts[1].name
    found = predictions.predict(integer, [F[:40], F[40:]], output=1)
    np.testing.assert_array_equal(found.values, run.values(4, name))
    assert found.classes is not None
    np.testing.assert_array_equal(found.classes, run.values(4, name).argmax(axis=1))


def test_precision_and_explain_tell_values() -> None:
    torch.manual_seed(0)
    graphs = networks(Both(), F)
    own = graphs[0].ann(F)
    found = dn.precision(
        dn.Networks(*graphs), F, own + 0.01, bits=dn.Tried(weights=[2, 8], payloads=[5], state=[24])
    )
    coarse, fine = (cell.outcome.agreement for cell in found.grid)
    assert coarse is not None
    assert fine is not None
    assert coarse < fine < 1
    told = dn.explain(dn.Networks(*graphs), F, own + 0.01)
    assert told.disagreements == ()
    run = batched.run(graphs[2], F)
    errors, spread = run.values(4) - own, own - own.mean(axis=0)
    assert told.agreement["integer"] == pytest.approx(1 - np.sum(errors**2) / np.sum(spread**2), rel=1e-6)


class Behind(nn.Module):
    """A function behind the last layer."""

    def __init__(self, body: nn.Module, function: nn.Module) -> None:
        super().__init__()
        self.body, self.function = body, function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.body(x))


def test_a_last_sigmoid_leaves_answers_and_is_in_values() -> None:
    model = Behind(Bright(), nn.Sigmoid())
    with pytest.warns(UserWarning, match="sigmoid"):
        graphs = networks(model, X)
    found = dn.compare(dn.Networks(*graphs), X, Y, lava=dn.Lava(images=0))
    assert set(found.accuracy["integer"].values()) == {1.0}  # type: ignore[union-attr]
    assert "before its sigmoid" in str(found.measure)
    share = torch.sigmoid(Bright()(torch.from_numpy(X))).detach().numpy()
    values = dn.compare(dn.Networks(*graphs), X, share, measure="values", lava=dn.Lava(images=0))
    assert values.scores["ann"].value == pytest.approx(1, abs=1e-9)  # type: ignore[union-attr]
    own = batched.run(graphs[2], X).values(4)
    assert values.scores["integer"][4].rmse == pytest.approx(np.sqrt(np.mean((own - share) ** 2)))  # type: ignore[index]
    told = dn.explain(dn.Networks(*graphs), X, share, measure="values")
    assert told.accuracy["integer"] == pytest.approx(values.scores["integer"][4].value)  # type: ignore[index]


# ---------------------------------------------------------------- a search


def test_a_search_that_cannot_fail_is_refused() -> None:
    analog = networks(Bright(), X)[0]
    for options, told in (
        (
            {"target": dn.Target("drop", 1), "measure": "binary", "images": X[Y == 0]},
            "the same answer is wanted of all",
        ),
        (
            {"target": dn.Target("drop", 60), "measure": "binary", "images": X},
            "which one answer for every image would meet",
        ),
        ({"target": dn.Target("drop", 1), "measure": "values", "images": X}, "give max_error instead"),
        ({"target": dn.Target("error", 0.1), "measure": "binary", "images": X}, "give max_drop instead"),
        (
            {"target": dn.Target("error", 1), "measure": "values", "images": X},
            "which one answer for every image would meet",
        ),
        (
            {"target": dn.Target("drop", 1), "images": X},
            "may hold classes of pixels, answers 0 or 1, or values",
        ),
    ):
        images = options.pop("images")  # type: ignore[attr-defined]
        with pytest.raises(OutOfRange, match=told):
            dn.tune(analog, images, **options)  # type: ignore[arg-type]


def test_a_search_for_values_meets_an_error() -> None:
    torch.manual_seed(0)
    analog = networks(Both(), F)[0]
    found = dn.tune(
        analog,
        F,
        dn.Target("error", 0.25),
        measure="values",
        space=dn.Space(vary=("steps", "levels"), steps=(1, 4, 16), levels=(1, 4)),
    )
    assert found.met
    assert found.best.error <= 0.25
    assert found.wanted == "R2 to the ANN"
    assert len(found.trials) > 1  # T = 1, K = 1 does not do
    assert found.best.steps > 1 or found.best.recipe.levels > 1


# ---------------------------------------------------------------- the command line

MODULE = """
import sys

sys.path.insert(0, {tests!r})
from outputs import Both, Bright, Maps

def seeded(kind):
    import torch
    torch.manual_seed(0)
    return kind().eval()

def bright(): return Bright().eval()
def maps(): return seeded(Maps)
def both(): return seeded(Both)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(MODULE.format(tests=str(Path(__file__).parents[1])))
    np.savez(tmp_path / "bright.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
    np.savez(tmp_path / "rows.npz", x_train=F, y_train=np.arange(60) % 2, x_test=F, y_test=np.arange(60) % 2)
    return tmp_path


def run(verb: str, model: str, data: str, *words: str) -> int:
    few = ["--calibration-images", "40", "--fit-images", "10"]
    lava = ["--lava-images", "0"] if verb in ("compare", "report") else []
    return cli.main([verb, "--model", f"nets.py:{model}", "--data", data, *few, *lava, *words])


def test_verbs_measure_one_logit_by_its_sign(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "bright", "bright.npz", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["measure"]["kind"] == "binary"
    assert found["accuracy"]["ann"] == 1.0
    assert set(found["accuracy"]["integer"].values()) == {1.0}
    assert run("convert", "bright", "bright.npz", "-o", "a.net", "--json") == 0
    assert json.loads(capsys.readouterr().out)["ann"]["accuracy"] == 1.0
    assert cli.main(["simulate", "a.net", "--data", "bright.npz", "--confidence", "0.9", "--json"]) == 0
    simulated = json.loads(capsys.readouterr().out)
    assert set(simulated["accuracy"].values()) == {1.0}
    assert simulated["early_exit"]["accuracy"] == 1.0
    assert (
        run(
            "tune",
            "bright",
            "bright.npz",
            "--max-drop",
            "1",
            "--held-images",
            "20",
            "--levels",
            "1",
            "--json",
        )
        == 0
    )
    assert (
        json.loads(capsys.readouterr().out)["measure"]["kind"] == "binary"
    )  # by the labels, which it does not count


def test_labels_that_do_not_fit_a_map_are_one_sentence_in_every_verb(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("compare", "explain", "precision"):
        assert run(verb, "maps", "bright.npz", "--images", "8") == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert (
            "labels: shape (8,) given, which are neither classes nor targets of output n.2 (3x8x8)" in error
        )
    assert run("convert", "maps", "bright.npz", "-o", "m.net") == 0
    assert (
        "nothing tells whether images are prepared as in training: labels: shape (40,)"
        in capsys.readouterr().out.replace("\n", " ")
    )
    assert cli.main(["simulate", "m.net", "--data", "bright.npz"]) == 1
    assert "neither classes nor targets" in capsys.readouterr().err
    assert cli.main(["simulate", "m.net", "--data", "bright.npz", "--measure", "values"]) == 1
    assert "a file has no ANN to set its values against" in capsys.readouterr().err


def test_values_are_told_against_the_ann_where_labels_are_no_targets(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", "maps", "bright.npz", "--measure", "values", "--out", "out") == 0
    assert "R2 to the ANN" in capsys.readouterr().out
    found = json.loads((place / "out" / "result.json").read_text())
    assert (found["accuracy"], found["agreement"]) == ({}, {})
    assert found["measure"]["against"] == "the ANN's own"
    assert 0.9 < found["r2_to_ann"]["integer"]["1"] < 1
    assert found["rmse"] == found["rmse_to_ann"]
    assert (
        run(
            "tune",
            "maps",
            "bright.npz",
            "--measure",
            "values",
            "--max-error",
            "0.2",
            "--held-images",
            "20",
            "--out",
            "tuned",
        )
        == 0
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "RMSE" in told
    assert "--measure values" in told.partition("next:")[2]  # what compare has to measure, too
    assert run("compare", "both", "rows.npz", "--output", "1", "--anyway", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["measure"]["output"] == "scores"
    assert "they are taken as classes; give its own, --targets scores=FILE" in " ".join(said.err.split())
    assert run("compare", "both", "rows.npz", "--output", "2") == 1
    assert "output: 2 asked for; the network has 0: boxes (3), 1: scores (2)" in capsys.readouterr().err
