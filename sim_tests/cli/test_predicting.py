"""`predict` and `costs`: what a file says of images that nobody labelled, and what that costs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, LITTLE, NET, refused_last, run
from command_line import place as place
from graphs import small

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import exits, predictions
from dnisnm_lava.views import costs
from dnisnm_lava.views.runtime import runtime_json
from exporters import netx


@pytest.fixture
def made(place: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """a.net, made of images/: three classes with names."""
    run("convert", *NET, "--data", "images", *LITTLE, "-o", "a.net", capsys=capsys)
    return place


def as_the_file_takes_them(folder: str) -> np.ndarray:
    from PIL import Image

    paths = sorted(Path(folder).rglob("*.png"))
    return np.stack([np.asarray(Image.open(p), np.float32).transpose(2, 0, 1) / 255 for p in paths])


def test_pictures_get_classes_names_and_margins(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Against the reference executor, and the margin by hand."""
    alone = made / "alone"
    alone.mkdir()
    for i, path in enumerate(sorted((made / "images/test").rglob("*.png"))):
        (alone / f"{i}.png").write_bytes(path.read_bytes())
    found = run("predict", "a.net", "--data", "alone", capsys=capsys)
    graph = netx.read("a.net")
    exact = reference.run(graph, as_the_file_takes_them("alone"))
    values = exact.values(graph.steps)
    assert [Path(p["image"]).name for p in found["predictions"]] == [f"{i}.png" for i in range(6)]
    assert [p["class"] for p in found["predictions"]] == values.argmax(axis=1).tolist()
    assert [p["name"] for p in found["predictions"]] == [f"class{c}" for c in values.argmax(axis=1)]
    ordered = np.sort(values, axis=1)
    assert [p["margin"] for p in found["predictions"]] == (ordered[:, -1] - ordered[:, -2]).tolist()
    assert {p["steps"] for p in found["predictions"]} == {graph.steps}
    (name,) = graph.output_shapes
    sums = np.array([p["sums"][name] for p in found["predictions"]])
    np.testing.assert_array_equal(sums, exact.logits[:, -1])
    np.testing.assert_array_equal(sums * found["units"][name] / graph.steps, values)
    one = run("predict", "a.net", "--data", "alone/3.png", capsys=capsys)["predictions"]
    assert one == found["predictions"][3:4]
    assert cli.main(["predict", "a.net", "--data", "alone"]) == 0
    said = capsys.readouterr().out
    assert "alone/5.png" in said
    assert "margin: by how much the class leads the second" in said


def test_arrays_are_numbered_and_prepared_as_the_file_remembers(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", *NET, *DATA, *LITTLE, "-o", "a.net", capsys=capsys)
    remembered = run("predict", "a.net", "--data", "data.npz", capsys=capsys)
    given = run("predict", "a.net", *DATA, capsys=capsys)
    other = run("predict", "a.net", *DATA[:2], "--mean", "0,0,0", "--std", "1,1,1", capsys=capsys)
    assert remembered["predictions"] == given["predictions"] != other["predictions"]
    assert [p["image"] for p in remembered["predictions"]] == list(map(str, range(16)))
    assert "name" not in remembered["predictions"][0]
    labels = run("simulate", "a.net", *DATA, capsys=capsys)["accuracy"]
    right = np.mean([p["class"] == i % 3 for i, p in enumerate(remembered["predictions"])])
    assert labels[str(netx.read("a.net").steps)] == right


def test_early_exit_stops_each_image_at_its_step(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--confidence", "0.8", "--calibration-images", "6"]
    found = run("predict", "a.net", "--data", "images/test", *options, capsys=capsys)
    graph = netx.read("a.net")
    bounds = exits.calibrate(batched.run(graph, as_the_file_takes_them("images/train")).scores, 0.8)
    run_ = batched.run(graph, as_the_file_takes_them("images/test"))
    steps = exits.exit_steps(run_.scores, bounds)
    assert [p["steps"] for p in found["predictions"]] == steps.tolist()
    assert [p["class"] for p in found["predictions"]] == exits.classes_at(run_.scores, steps).tolist()
    assert found["mean_steps"] == steps.mean()
    ordered = np.sort(np.stack([run_.values(int(t))[i] for i, t in enumerate(steps)]), axis=1)
    assert [p["margin"] for p in found["predictions"]] == (ordered[:, -1] - ordered[:, -2]).tolist()
    by_name = run(
        "predict", "a.net", "--data", "images/test", *options, "--calibration", "images", capsys=capsys
    )
    assert by_name["predictions"] == found["predictions"]
    netx.write("plain.net", graph)
    said = refused_last("predict", "plain.net", "--data", "images/test", *options, capsys=capsys)
    assert "plain.net: does not remember its --data; give --calibration" in said


@pytest.mark.parametrize("lead", [0, 1])
def test_images_that_have_stopped_are_simulated_no_further(
    monkeypatch: pytest.MonkeyPatch, lead: int
) -> None:
    """And every answer is that of all steps; with leads, a run is not the beginning of a longer one, and all
    are run once."""
    graph, x = small(steps=8, lead=lead)
    whole = batched.run(graph, x)
    middle = np.median(exits.margins(whole.scores))
    bounds = exits.Exits(np.array([*[middle] * 7, 0]), 0.5, len(x))
    steps = exits.exit_steps(whole.scores, bounds)
    assert len(set(steps.tolist())) > 1
    ran: list[tuple[int, int]] = []
    simulate = batched.run

    def watched(graph: Any, images: np.ndarray, **options: Any) -> Any:
        ran.append((len(images), options["steps"]))
        return simulate(graph, images, **options)

    monkeypatch.setattr(batched, "run", watched)
    found = predictions.predict(graph, [x[:10], x[10:]], exits=bounds)
    np.testing.assert_array_equal(found.steps, steps)
    np.testing.assert_array_equal(found.classes, exits.classes_at(whole.scores, steps))
    np.testing.assert_array_equal(
        found.values, np.stack([whole.values(int(t))[i] for i, t in enumerate(steps)])
    )
    for name, sums in found.sums.items():
        np.testing.assert_array_equal(
            sums, np.stack([whole.sums(int(t))[name][i] for i, t in enumerate(steps)])
        )
    if lead:
        assert ran == [(10, 8), (14, 8)]
        return
    assert ran[0] == (10, 1)  # an eighth of the steps
    still = [int(np.count_nonzero(steps[:10] > t)) for t in (1, 2, 4)]
    assert [count for count, _ in ran if count][1 : 1 + sum(n > 0 for n in still)] == [n for n in still if n]


def test_a_map_of_one_pixel_stops_early_too() -> None:
    """Its scores are those of a row of classes."""
    scores = np.random.default_rng(0).integers(-50, 50, (30, 6, 3))
    of_map = exits.calibrate(scores[..., None, None], 0.8)
    np.testing.assert_array_equal(of_map.bounds, exits.calibrate(scores, 0.8).bounds)
    np.testing.assert_array_equal(
        exits.exit_steps(scores[..., None, None], of_map), exits.exit_steps(scores, of_map)
    )


def test_a_file_may_be_written_as_json_or_arrays(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("predict", "a.net", "--data", "images/test", "-o", "p.json", capsys=capsys)
    assert json.loads(Path("p.json").read_text()) == found
    run("predict", "a.net", "--data", "images/test", "-o", "p.npz", capsys=capsys)
    with np.load("p.npz", allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == [p["class"] for p in found["predictions"]]
        assert arrays["margins"].tolist() == [p["margin"] for p in found["predictions"]]
        assert (arrays["values"].shape, arrays["images"][0]) == ((6, 3), found["predictions"][0]["image"])
        for name, unit in found["units"].items():
            assert arrays[f"sums/{name}"].tolist() == [p["sums"][name] for p in found["predictions"]]
            assert arrays[f"unit/{name}"] == unit
    assert "p.npz: exists already" in refused_last(
        "predict", "a.net", "--data", "images/test", "-o", "p.npz", capsys=capsys
    )


VALUES = """
import torch

def steering():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 1))

def mask():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(2, 40, 1))
"""


@pytest.mark.parametrize(("model", "shape"), [("steering", (1,)), ("mask", (40, 6, 6))])
def test_values_where_there_are_no_classes(
    place: Path, capsys: pytest.CaptureFixture[str], model: str, shape: tuple[int, ...]
) -> None:
    Path("values.py").write_text(VALUES)
    run("convert", "--model", f"values.py:{model}", *DATA, *LITTLE, "-o", "v.net", capsys=capsys)
    found = run("predict", "v.net", "--data", "data.npz", "-o", "v.npz", capsys=capsys)
    graph = netx.read("v.net")
    with np.load("data.npz") as data:
        x = ((data["x_test"] / np.float32(255) - np.float32(0.5)) / np.float32(0.2)).transpose(0, 3, 1, 2)
    values = reference.run(graph, x).values(graph.steps)
    assert found["shape"] == list(shape)
    assert "class" not in found["predictions"][0]
    if values[0].size == 1:
        assert [p["values"] for p in found["predictions"]] == values.tolist()
    else:
        assert [p["largest"] for p in found["predictions"]] == values.reshape(16, -1).max(axis=1).tolist()
    with np.load("v.npz") as arrays:
        np.testing.assert_array_equal(arrays["values"], values)
    said = refused_last("predict", "v.net", "--data", "data.npz", "--confidence", "0.9", capsys=capsys)
    assert "early exit:" in said
    assert cli.main(["predict", "v.net", "--data", "data.npz"]) == 0
    assert "--out FILE.npz keeps all values" in capsys.readouterr().out or values[0].size == 1


def test_the_class_is_told_by_the_sums_before_a_last_function(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of sigmoids that are all 1.0 in floats, the first is not the largest."""
    layers = "torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32, 3)"
    body = f"    torch.manual_seed(1)\n    net = torch.nn.Sequential({layers}, torch.nn.Sigmoid())\n"
    body += "    net[3].bias.data = torch.tensor([100.0, 300.0, 200.0])\n    return net\n"
    Path("sure.py").write_text(f"import torch\n\ndef net():\n{body}")
    run("convert", "--model", "sure.py:net", *DATA, *LITTLE, "-o", "s.net", capsys=capsys)
    found = run("predict", "s.net", "--data", "data.npz", capsys=capsys)["predictions"]
    assert {(p["class"], p["margin"]) for p in found} == {(1, 0.0)}


def test_no_images_is_told() -> None:
    with pytest.raises(OutOfRange, match="predict: 0 images given"):
        predictions.predict(small()[0], [])


def test_data_is_needed(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused_last("predict", "a.net", "--data", "nowhere", capsys=capsys)
    assert "nowhere: no such data" in said
    with pytest.raises(SystemExit):
        cli.main(["predict", "a.net"])
    assert "the following arguments are required: --data" in capsys.readouterr().err


# ---------------------------------------------------------------- costs


def test_costs_of_a_file_and_of_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("convert", *NET, *DATA, *LITTLE, "-o", "a.net", capsys=capsys)
    found = run("costs", "a.net", "--images", "5", "-o", "costs.json", capsys=capsys)
    assert json.loads(Path("costs.json").read_text()) == found
    of_model = run("costs", *NET, *DATA, *LITTLE, "--images", "5", capsys=capsys)
    assert without(of_model, "provenance") == without(found, "provenance")
    with np.load("data.npz") as data:
        x = ((data["x_test"] / np.float32(255) - np.float32(0.5)) / np.float32(0.2)).transpose(0, 3, 1, 2)
    chosen = np.sort(np.random.default_rng(3).choice(16, 5, replace=False))
    by_hand = json.loads(json.dumps(costs.costs_json(dn.energy(netx.read("a.net"), x[chosen]), {})))
    time = json.loads(json.dumps(runtime_json(dn.runtime(netx.read("a.net"), x[chosen][:4]))))
    assert without({**by_hand, "runtime": time, "alarms": []}, "provenance") == without(found, "provenance")
    assert run("costs", "a.net", "--images", "5", "--steps", "2", capsys=capsys)["steps"] == 2
    assert cli.main(["costs", "a.net", "--images", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"a\.net, 2 images, T = 4", said)
    assert "NeuroBench: membrane_updates" in said


def without(told: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in told.items() if k != key}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["a.net", *NET], "a.net: costs takes its integers as they are, and --model makes others; leave"),
        (["a.net", "--fit-images", "9"], "a.net: costs takes its integers as they are, and --fit-images"),
        (DATA, "costs: give a .net file, or a model as --model"),
        (["a.net", "--levels", "2"], "a.net: is made already, and --levels belongs to a --model"),
        (["a.net", "-o", "net.py"], "net.py: exists already"),
    ],
)
def test_costs_refuses(made: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str) -> None:
    assert said in refused_last("costs", *argv, capsys=capsys)
