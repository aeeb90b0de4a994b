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

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched
from dnisnm_lava.evaluation import comparison, tallies
from dnisnm_lava.measures import Fit, Share, of
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
