"""Networks that are no classifiers, as examples/tasks.py has them: a value, masks, and a detector's heads."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from html_pages import text_of

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import comparison, outputs, tallies
from dnisnm_lava.measures import Ask, Fit, Share, of
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.studies.tuning import tune
from dnisnm_lava.views import comparison as views

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/tasks.py"
RECIPE = dn.Recipe(**{**dn.PAPER.__dict__, "steps": 4, "levels": 4})  # two T to read, no fit


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(tasks: ModuleType, task: str, steps: int) -> tuple[dn.Networks, np.ndarray, tuple[np.ndarray, ...]]:
    _, draw, _ = tasks.TASKS[task]
    x, wanted = draw(96, 1)
    return dn.build(tasks.trained(task, draw(96, 0), steps), x[:32], RECIPE), x, wanted


NO_LAVA = dn.Lava(images=0)


def test_a_steering_angle_has_an_error_and_a_worst_image(tasks: ModuleType) -> None:
    nets, x, (angle,) = made(tasks, "steering", 150)
    found = dn.compare(nets, x, angle, lava=NO_LAVA)
    score = found.scores["integer"][4]  # type: ignore[index]
    assert isinstance(score, Fit)
    errors = np.abs(batched.run(nets.integer, x).values(4) - angle)[:, 0]
    assert score.value > 0.5
    assert score.worst == (int(errors.argmax()), pytest.approx(errors.max(), rel=1e-6))
    told = json.loads(json.dumps(views.comparison_json(found, {})))
    largest = {"image": score.worst[0], "error": pytest.approx(score.worst[1])}  # of one value an image
    worst = {"image": score.worst[0], "rmse": score.worst[1], "largest": largest}
    assert told["worst_image"]["integer"]["4"] == worst
    assert f"worst image {score.worst[0]:,} of" in views._rmse(found)


def test_masks_have_the_mean_of_intersections_over_unions(tasks: ModuleType) -> None:
    nets, x, (masks,) = made(tasks, "unet", 60)
    found = dn.compare(nets, x, masks, lava=NO_LAVA)
    said = batched.run(nets.integer, x).predictions(4)
    own = nets.analog.ann(x).argmax(axis=1)
    for wanted, score in ((masks, found.scores["integer"][4]), (own, found.agreements["integer"][4])):  # type: ignore[index]
        assert isinstance(score, Share)
        for c, iou in enumerate(score.ious):
            meant, got = ({*np.flatnonzero(a == c).tolist()} for a in (wanted, said))
            assert iou == (len(meant & got) / len(meant | got) if meant | got else None)
        assert score.miou == pytest.approx(np.mean([iou for iou in score.ious if iou is not None]))
    told = views.comparison_json(found, {})
    assert told["miou"]["integer"]["4"] == found.scores["integer"][4].miou  # type: ignore[index, union-attr]
    assert told["agreement"]["integer"]["4"] == np.mean(said == own)


def test_a_class_that_is_nowhere_is_in_no_mean() -> None:
    """Made up: of three classes, two are said or wanted."""
    measure = of(_maps(), np.zeros((1, 2, 2), np.int64), "classes")
    said, wanted = np.array([[[0, 0], [2, 2]]]), np.array([[[0, 2], [2, 2]]])
    score = measure.score(measure.count(said, wanted), {}, 1)
    assert isinstance(score, Share)
    assert score.ious == (1 / 2, None, 2 / 3)
    assert score.miou == pytest.approx(7 / 12)


def _maps() -> dn.AnalogGraph:
    return dn.from_torch(torch.nn.Conv2d(1, 3, 1), np.zeros((1, 2, 2), np.float32))


def test_each_head_is_told_by_its_raw_map_in_any_cut(tasks: ModuleType) -> None:
    nets, x, (where, _) = made(tasks, "heads", 60)
    found = dn.compare(nets, x, where, lava=NO_LAVA)
    run, own = batched.run(nets.integer, x), nets.analog.outputs(x)
    assert list(found.outputs["integer"]) == list(own)
    for name, values in own.items():
        errors = np.square(run.values(4, name) - values).reshape(len(x), -1).mean(axis=1)
        fit = found.outputs["integer"][name][4]
        assert isinstance(fit, Fit)
        assert fit.rmse == pytest.approx(np.sqrt(errors.mean()), rel=1e-5)  # of a float32 ANN, here float64
        assert fit.worst is not None
        assert fit.worst[1] == pytest.approx(np.sqrt(errors[fit.worst[0]]), rel=1e-5)
        assert errors[fit.worst[0]] == pytest.approx(errors.max(), rel=1e-4)
    measure = found.measure
    parts = [
        tallies.placed(
            comparison.tallied(nets, x[i : i + 40], where[i : i + 40], measure=measure, steps=(1, 2, 4)), i
        )
        for i in range(0, 96, 40)
    ]
    summed = comparison.comparison(nets.integer, measure, tallies.total(parts), None)
    assert summed.outputs == found.outputs
    assert summed.scores == found.scores


def test_a_second_head_is_met_by_targets_of_its_own(tasks: ModuleType) -> None:
    nets, x, (where, size) = made(tasks, "heads", 60)
    found = dn.compare(nets, x, where, targets={1: size}, lava=NO_LAVA)
    run, own = batched.run(nets.integer, x), nets.analog.outputs(x)["size"]
    for key, values in (("ann", own), ("integer", run.values(4, "size"))):
        fit = found.met[key]["size"][0 if key == "ann" else 4]
        assert isinstance(fit, Fit)
        assert fit.rmse == pytest.approx(np.sqrt(np.mean((values - size) ** 2)), rel=1e-5)
    assert (found.measure.output, found.measure.kind) == ("where", "binary")
    alone = dn.compare(nets, x, where, measure=Ask(output="size"), targets={"size": size}, lava=NO_LAVA)
    assert (alone.measure.kind, alone.measure.labels, alone.measure.index) == ("values", True, 1)
    assert alone.scores["integer"] == found.met["integer"]["size"]
    aim = outputs.wanted(nets.analog, len(x), where, {"size": size}, "auto")
    parts = []
    for i in range(0, 96, 40):
        cut = slice(i, i + 40)
        part = outputs.as_before(aim, nets.analog, len(x[cut]), where[cut], {1: size[cut]})
        tally = comparison.tallied(
            nets, x[cut], part.labels, measure=aim.measure, steps=(1, 2, 4), further=part.further
        )
        parts.append(tallies.placed(tally, i))
    summed = comparison.comparison(
        nets.integer, aim.measure, tallies.total(parts), None, further=aim.measures
    )
    assert summed.met == found.met
    told = views.comparison_json(found, {})["further"]["size"]
    assert told["rmse"]["integer"]["4"] == alone.scores["integer"][4].rmse  # type: ignore[index, union-attr]


def test_labels_of_the_first_head_are_not_taken_for_anothers(tasks: ModuleType) -> None:
    nets, x, (where, size) = made(tasks, "heads", 1)
    with pytest.raises(OutOfRange, match=r"fit where \(1x6x6\), the first output, and size \(2x6x6\)"):
        dn.compare(nets, x, where, measure=Ask(output=1), lava=NO_LAVA)
    with pytest.warns(UserWarning, match="of which they are taken as classes"):
        dn.compare(nets, x, where, measure=Ask("classes", 1), lava=NO_LAVA)
    with pytest.raises(OutOfRange, match="output where given twice"):
        dn.compare(nets, x, where, targets={0: where, "where": where}, lava=NO_LAVA)
    with pytest.raises(OutOfRange, match="labels: shape"):
        dn.compare(nets, x, where, targets={"size": size[:, :, :3]}, lava=NO_LAVA)


def test_targets_come_from_files_one_for_each_image(
    tasks: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["tasks.py", "heads", str(tmp_path), "--images", "120", "--steps", "3"])
    tasks.main()
    words = shlex.split(capsys.readouterr().out)[2:-2]  # without --targets
    few = [
        "--recipe",
        "paper",
        "--steps",
        "2",
        "--calibration-images",
        "40",
        "--lava-images",
        "0",
        "--anyway",
    ]
    np.save(tmp_path / "short.npy", np.zeros((3, 2, 6, 6)))
    np.savez(tmp_path / "several.npz", a=np.zeros(3), b=np.zeros(3))
    for given, why in (
        ("size", "give an output and a file, as OUTPUT=FILE"),
        (f"size={tmp_path / 'short.npy'}", "holds 3 of them, and there are 24 test images"),
        (f"size={tmp_path / 'none.npy'}", "no such file; check the path of the targets"),
        (f"size={tmp_path / 'several.npz'}", "holds a, b; name the targets y_test"),
        (f"other={tmp_path / 'targets1.npy'}", "output: other asked for; the network has 0: where"),
    ):
        assert cli.main(["compare", *words, *few, "--quiet", "--targets", given]) == 1
        assert why in capsys.readouterr().err
    page = tmp_path / "page.html"
    own = ["--targets", f"1={tmp_path / 'targets1.npy'}", "--images", "12", "-o", str(page)]
    pytest.importorskip("jinja2", reason="jinja2 is not installed: the report was not tested")
    assert cli.main(["report", *words, *few, *own, "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    r2 = told["further"]["size"]["quality"]
    shown = " ".join(text_of(page.read_text()).split("Each of 2 outputs")[1].split()[:60])
    t = str(told["suggested_steps"])
    assert f"{r2['ann']:.4f} {r2['float'][t]:.4f} {r2['integer'][t]:.4f}" in shown


@pytest.mark.parametrize("task", ["steering", "unet", "heads"])
def test_the_examples_commands_run(
    task: str,
    tasks: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it prints them; then explain and precision of the same."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["tasks.py", task, str(tmp_path), "--images", "120", "--steps", "30"])
    tasks.main()
    words = shlex.split(capsys.readouterr().out)[2:]
    few = ["--recipe", "paper", "--steps", "2", "--calibration-images", "40", "--quiet", "--json", "--anyway"]
    kind = "r2" if task == "steering" else "accuracy"
    assert cli.main(["compare", *words, *few, "--lava-images", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told[kind]) == {"ann", "float", "integer"}
    assert ("further" in told) == (task == "heads")
    words = words[: words.index("--targets")] if "--targets" in words else words
    assert ("miou" in told, "outputs" in told, "worst_image" in told) == (
        task != "steering",
        task == "heads",
        task == "steering",
    )
    assert cli.main(["explain", *words, *few, "--images", "6"]) == 0
    assert set(json.loads(capsys.readouterr().out)["accuracy"]) == {"ann", "float", "integer"}
    bits = [f"--try-{name}-bits" for name in ("weight", "payload", "state")]
    tried = [word for pair in zip(bits, ("8", "5", "24"), strict=True) for word in pair]
    assert cli.main(["precision", *words, *few, "--images", "20", *tried]) == 0
    assert (
        json.loads(capsys.readouterr().out)["measure"]["kind"]
        == {
            "steering": "values",
            "unet": "classes",
            "heads": "binary",
        }[task]
    )


@pytest.mark.parametrize("task", ["steering", "unet"])
def test_a_search_goes_by_the_quality_of_its_kind(task: str, tasks: ModuleType) -> None:
    """Of a pinned recipe: the error of values, the mean IoU of masks; and precision by the same."""
    nets, x, (wanted,) = made(tasks, task, 60)
    target = tune.Target("steps", 4)
    space = tune.Space(base=RECIPE, vary=(), images=16)
    found = tune.tune(nets.analog, x, target, wanted, space=space)
    _, choosing, _ = tune.split(len(x), space.held_back, space.seed)
    fitted = x[tune.split(len(x), space.held_back, space.seed)[0]]
    stats = tune.maxima(nets.analog, fitted, "cpu")
    integer = follow(RECIPE, nets.analog, stats, fitted[:16]).integer
    run, right = batched.run(integer, x[choosing]), wanted[choosing]
    (trial,) = found.trials
    if task == "steering":
        assert found.wanted == "R2"
        assert trial.error == pytest.approx(
            np.sqrt(np.mean((run.values(4) - right) ** 2)) / right.std(), rel=1e-5
        )
    else:
        said, ious = run.predictions(4), []
        for c in range(3):
            ious.append(np.sum((said == c) & (right == c)) / np.sum((said == c) | (right == c)))
        assert found.wanted == "mean IoU"
        assert trial.score == pytest.approx(np.mean(ious))
        assert trial.score < np.mean(said == right)
    assert trial.interval[0] < trial.score <= trial.interval[1]
    bits = dn.precision(nets, x[:24], wanted[:24], bits=dn.Tried([8], [5], [24]))
    score = dn.compare(nets, x[:24], wanted[:24], lava=NO_LAVA).scores["float"][4]  # type: ignore[index]
    assert bits.spiking == pytest.approx(score.quality)
