"""The command line as a user meets it: results, refusals of one sentence, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import DATA, NET, ROOT, refused, run, skip_where_missing
from command_line import place as place
from graphs import ResidualPoolNet, randomized, to_onnx
from PIL import Image

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import ann
from dnisnm_lava.backends.lava_cpu import parent
from dnisnm_lava.cli import blocks
from dnisnm_lava.data import datasets
from dnisnm_lava.data.models import load_model
from dnisnm_lava.frontend import walk
from dnisnm_lava.frontend.coverage import Coverage, Row
from dnisnm_lava.system.extras import missing
from dnisnm_lava.views import graph_svg
from dnisnm_lava.views.coverage import coverage_json
from exporters import netx

# ---------------------------------------------------------------- the road


def test_convert_inspect_simulate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run("convert", *NET, *DATA, "--steps", "8", "-o", "a.net", capsys=capsys)
    graph = netx.read(place / "a.net")
    assert made["digest"] == graph.digest()
    assert made["calibration_images"] == 24
    assert made["ann"].pop("measure")["kind"] == "classes"
    assert made["ann"] == {"images": 24, "accuracy": _ann_on_training_images()}
    facts = run("inspect", "a.net", capsys=capsys)
    assert facts["neurons"] == sum(p["neurons"] for p in facts["populations"] if p["kind"] == "SNM")
    assert [p["name"] for p in facts["populations"]] == [
        "input",
        "0",
        "2.conv1",
        "2.conv2",
        "2.conv2.pool",
        "2.conv3",
        "2.fc",
    ]
    results = [
        run("simulate", "a.net", *DATA, "--backend", backend, capsys=capsys)
        for backend in ("batched", "reference")
    ]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    assert list(results[0]["accuracy"]) == ["1", "2", "4", "8"]
    assert results[0]["spike_counts"] == results[1]["spike_counts"]
    assert cli.main(["inspect", "a.net"]) == 0
    assert "2.conv3" in capsys.readouterr().out


def _ann_on_training_images() -> float:
    """The model itself, in torch, on images prepared by hand."""
    with np.load("data.npz") as data:
        x = torch.from_numpy(data["x_train"].astype(np.float32)).permute(0, 3, 1, 2)
        y = data["y_train"]
    with torch.no_grad():
        classes = load_model("net.py:net", "weights.pt", (3, 6, 6))((x / 255 - 0.5) / 0.2).argmax(1)
    return float(np.mean(classes.numpy() == y))


def test_convert_asks_the_ann_once(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of classes, calibration has counted what it says; of what it counts not, it is asked again."""
    asked, again = [], ann.ann
    monkeypatch.setattr(
        ann, "ann", lambda *args, **options: asked.append(len(args[1])) or again(*args, **options)
    )
    made = run("convert", *NET, *DATA, "--calibration-images", "24", "-o", "a.net", capsys=capsys)
    assert made["ann"]["accuracy"] == _ann_on_training_images()
    assert (
        run("convert", *NET, *DATA, "--calibration-images", "5", "-o", "b.net", capsys=capsys)["ann"][
            "images"
        ]
        == 5
    )
    assert asked == []
    measure = ["--ignore-label", "7"]
    assert (
        run("convert", *NET, *DATA, *measure, "-o", "c.net", capsys=capsys)["ann"]["accuracy"]
        == made["ann"]["accuracy"]
    )
    assert asked == [24]


def test_the_cli_does_what_the_api_does(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`convert` from the shell, and the same by hand: preprocessing, weights, calibration, quantization."""
    run("convert", *NET, *DATA, "--steps", "8", "-o", "a.net", capsys=capsys)
    with np.load("data.npz") as data:
        x = ((data["x_train"] / np.float32(255) - np.float32(0.5)) / np.float32(0.2)).transpose(0, 3, 1, 2)
    model = randomized(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU(), ResidualPoolNet()), 0)
    analog = dn.from_torch(model, x[0])
    stats = dn.calibrate(analog, [x])
    spiking = dn.convert(analog, stats, steps=8, levels=31, down=0.0, granularity="channel", relay_levels=127)
    fitted = dn.fit(analog, spiking, x, dn.Fitting(granularity="channel"))
    assert netx.read("a.net") == dn.quantize(fitted, payload_bits=1, readings=dn.readings(fitted, x))
    run("convert", *NET, *DATA, "--recipe", "paper", "-o", "b.net", capsys=capsys)
    assert netx.read("b.net") == dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=32))


def test_verify_from_a_file_and_from_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    run("convert", *NET, *DATA, "--steps", "8", "-o", "a.net", capsys=capsys)
    rows = run("verify", "a.net", *DATA, "--images", "2", "--steps", "4", capsys=capsys)["equality"]
    assert [(r["a"], r["b"]) for r in rows] == [
        ("integer reference", "integer batched"),
        ("integer batched", "Lava fixed_pt"),
    ]
    rows = run("verify", *NET, *DATA, "--images", "2", "--steps", "4", capsys=capsys)["equality"]
    assert [r["b"] for r in rows] == ["integer batched", "Lava fixed_pt", "Lava floating_pt"]
    assert all((r["images"], r["steps"], r["populations"], r["different"]) == (2, 4, 6, 0) for r in rows)
    sizes = 2 * 36 + 4 * 36 + 4 * 36 + 4 * 9 + 6 * 25 + 3
    assert all(r["spikes_compared"] == 2 * 4 * sizes or r["spikes_compared"] > 0 for r in rows)


def test_steps_of_verify_are_those_that_are_compared(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--steps 4` compared 8, as another option said."""
    from dnisnm_lava.backends.results import Run
    from dnisnm_lava.evaluation import verification

    given: list[int] = []

    def verified(*graphs: Any, steps: int, **options: Any) -> verification.Verification:
        given.append(steps)
        return verification.Verification((), Run(np.zeros((1, 1, 3))))

    monkeypatch.setattr(verification, "verify", verified)
    for steps in ("2", "16"):
        run(
            "convert", *NET, *DATA, "--recipe", "paper", "--steps", steps, "-o", f"{steps}.net", capsys=capsys
        )
    for argv in (
        ["2.net"],
        ["16.net"],
        ["16.net", "--steps", "12"],
        [*NET, "--recipe", "paper"],
        [*NET, "--steps", "4"],
    ):
        assert cli.main(["verify", *argv, *DATA]) == 0
    assert given == [2, 8, 12, 8, 4]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["verify", "2.net", *DATA, "--verify-steps", "4"])
    assert "unknown option --verify-steps (did you mean --steps or --frame-steps?)" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["simulate", "compare"])
def test_each_test_image_is_read_once(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Those of the first block, too, whose labels tell what is measured; 16 images are two blocks here."""
    run("convert", *NET, *DATA, "--recipe", "paper", "--steps", "2", "-o", "a.net", capsys=capsys)
    monkeypatch.setattr(blocks, "BLOCK", 10)
    read: list[int] = []
    given = datasets.Labelled.given

    def counted(self: datasets.Labelled, index: int) -> tuple[Any, Any]:
        read.extend([index] * self.name.endswith("(test)"))
        return given(self, index)

    monkeypatch.setattr(datasets.Labelled, "given", counted)
    run(verb, "a.net", *(["--lava-images", "0"] if verb == "compare" else []), capsys=capsys)
    assert sorted(read) == list(range(16))


def test_compare_leaves_a_whole_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    result = run("compare", *NET, *DATA, "--steps", "4", "--lava-images", "2", "-o", "out", capsys=capsys)
    assert json.loads((place / "out/result.json").read_text()) == result
    assert (place / "out/accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert netx.read("out/network.net").digest() == result["provenance"]["digests"]["integer"]
    assert set(result["accuracy"]) == {"ann", "float", "integer", "lava"}
    assert list(result["accuracy"]["integer"]) == ["1", "2", "4"]
    assert result["images"] == {"ann": 16, "float": 16, "integer": 16, "lava": 2}
    assert result["provenance"]["command_line"].startswith("dnisnm compare --model net.py:net")
    again = refused("compare", *NET, *DATA, "--steps", "4", "--lava-images", "0", "-o", "out", capsys=capsys)
    assert "out: exists already" in again


def test_compare_with_leads_measures_every_t_on_its_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--steps", "4", "--lead", "2", "--lava-images", "0"]
    result = run("compare", *NET, *DATA, *options, capsys=capsys)
    run("convert", *NET, *DATA, "--steps", "4", "--lead", "2", "-o", "a.net", capsys=capsys)
    for t in ("1", "2", "4"):
        alone = run("simulate", "a.net", *DATA, "--steps", t, capsys=capsys)
        assert alone["accuracy"] == {t: result["accuracy"]["integer"][t]}


@pytest.mark.parametrize(
    "data", [["--data", "images"], ["--data", "net.py:data"], ["--data", "images/train"]]
)
def test_other_kinds_of_data(place: Path, capsys: pytest.CaptureFixture[str], data: list[str]) -> None:
    result = run("compare", *NET, *data, "--steps", "2", "--lava-images", "0", capsys=capsys)
    assert result["images"]["ann"] == {"images": 6, "net.py:data": 12, "images/train": 6}[data[1]]


def test_a_torchvision_factory_is_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torchvision")
    options = [
        "--data",
        "images",
        "--resize",
        "40",
        "--crop",
        "33",
        "--recipe",
        "paper",
        "--steps",
        "2",
        "-o",
        "a.net",
    ]
    for spec in ("torchvision.models:squeezenet1_1", "torchvision:squeezenet1_1"):
        made = run("convert", "--model", spec, *options, "--overwrite", capsys=capsys)
        assert made["weights"] > 1_200_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the images that coverage was asked for, in place of a trace."""
    shapes: list[tuple[int, ...]] = []

    def coverage(model: torch.nn.Module, image: np.ndarray) -> Coverage:
        assert not model.training
        shapes.append(np.shape(image))
        row = Row(
            "aten.convolution",
            "0",
            "net.py:7 `conv`",
            "projection into 1",
            "exact",
            ((3, 6, 6),),
            (2, 6, 6),
            8,
            216,
        )
        return Coverage(
            type(model).__name__, (row,), {"Input": 1, "ReadOut": 1}, 1, 72, 8, 216, 216, 1, ("nothing else",)
        )

    monkeypatch.setattr(walk, "inspect", coverage)
    return shapes


def test_inspect_takes_the_shape_of_an_image_from_where_it_is_known(
    place: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[int, ...]]
) -> None:
    facts = run("inspect", *NET[1:], "--input-shape", "3,6,6", capsys=capsys)
    assert [row["name"] for row in facts["rows"]] == ["0"]
    assert (facts["model"], facts["notices"]) == ("net.py:net", ["nothing else"])
    run("inspect", *NET[1:], *DATA, "--crop", "5", capsys=capsys)
    run("inspect", "torchvision:squeezenet1_1", capsys=capsys)
    run("inspect", "torchvision:squeezenet1_1", "--input-shape", "3,64,64", capsys=capsys)
    assert asked == [(3, 6, 6), (3, 5, 5), (3, 224, 224), (3, 64, 64)]
    assert cli.main(["inspect", *NET[1:], "--input-shape", "3,6,6"]) == 0
    out = capsys.readouterr().out
    assert "projection into 1" in out
    assert "notice: nothing else" in out


def test_inspect_tells_what_the_api_tells(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run("inspect", *NET[1:], "--input-shape", "3,6,6", capsys=capsys)
    coverage = walk.inspect(load_model("net.py:net", "weights.pt"), np.zeros((3, 6, 6)))
    assert facts == json.loads(json.dumps(coverage_json(replace(coverage, model="net.py:net"))))
    assert facts["populations"]["ReadOut"] == 1


def test_inspect_draws_a_file_and_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run("convert", *NET, *DATA, "--steps", "2", "-o", "a.net", capsys=capsys)
    facts = run("inspect", "a.net", "--svg", "a.svg", capsys=capsys)
    assert (facts["digest"], facts["latency"]) == (
        made["digest"],
        2 + max(p["depth"] for p in facts["populations"]),
    )
    assert (place / "a.svg").read_bytes() == graph_svg.svg(netx.read("a.net"), "a.net")
    run("inspect", *NET[1:], "--input-shape", "3,6,6", "--svg", "b.svg", capsys=capsys)
    assert b">2.conv3</text>" in (place / "b.svg").read_bytes()
    (place / "b.svg").write_bytes(b"precious")
    said = refused("inspect", *NET[1:], "--input-shape", "3,6,6", "--svg", "b.svg", capsys=capsys)
    assert "b.svg: exists already" in said
    assert (place / "b.svg").read_bytes() == b"precious"
    run("inspect", "a.net", "--svg", "b.svg", "--overwrite", capsys=capsys)
    assert (place / "b.svg").read_bytes() == (place / "a.svg").read_bytes()


def test_inspect_takes_the_shape_of_an_image_from_an_onnx_file(
    place: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[int, ...]]
) -> None:
    as_onnx(place / "net.onnx")
    run("inspect", "net.onnx", capsys=capsys)
    assert asked == [(3, 6, 6)]


def as_onnx(path: Path) -> None:
    """The network of `place`, weights included."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = randomized(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU(), ResidualPoolNet()), 0)
    to_onnx(model, torch.randn(1, 3, 6, 6), path, opset_version=13)


def test_an_onnx_file_is_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_onnx(place / "net.onnx")
    of_torch = run("convert", *NET, *DATA, "--steps", "4", "-o", "a.net", capsys=capsys)
    of_onnx = run("convert", "--model", "net.onnx", *DATA, "--steps", "4", "-o", "b.net", capsys=capsys)
    assert [(p["kind"], p["shape"]) for p in of_onnx["populations"]] == [
        (p["kind"], p["shape"]) for p in of_torch["populations"]
    ]
    x = np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32)
    ours, theirs = (
        dn.from_torch(load_model(spec, weights), x[0]).ann(x)
        for spec, weights in (("net.onnx", None), ("net.py:net", NET[3]))
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_notices_are_lines_on_standard_error(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = walk.trace

    def warns(model: torch.nn.Module, image: np.ndarray) -> walk.Traced:
        for _ in range(2):
            warnings.warn("softmax after the last layer\ndropped", stacklevel=2)
        warnings.warn_explicit("of another package", UserWarning, "other.py", 1)
        return trace(model, image)

    monkeypatch.setattr(walk, "trace", warns)
    with pytest.warns(UserWarning, match="of another package"):
        assert cli.main(["convert", *NET, *DATA, "--steps", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines().count("notice: softmax after the last layer dropped") == 1
    assert "UserWarning" not in err
    assert json.loads(out)["steps"] == 2


def test_random_weights_are_told(
    place: Path, capsys: pytest.CaptureFixture[str], asked: list[tuple[int, ...]]
) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    assert cli.main(["inspect", "torchvision:squeezenet1_1", "--json"]) == 0
    notice = (
        "notice: torchvision:squeezenet1_1: no weights given, so they are random and accuracy is meaningless"
    )
    assert notice in capsys.readouterr().err.splitlines()


def test_version_and_help() -> None:
    for flag, word in (("--version", dn.__version__), ("--help", "compare")):
        done = subprocess.run(
            [sys.executable, "-m", "dnisnm_lava", flag], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert word in done.stdout


def test_the_demo_is_the_main_job(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    command = [
        sys.executable,
        "-m",
        "dnisnm_lava",
        "demo",
        "--out",
        str(tmp_path / "demo"),
        "--lava-images",
        "4",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "demo")) == ["accuracy.png", "network.net", "result.json"]
    assert os.listdir(tmp_path) == ["demo"]
    assert netx.provenance(tmp_path / "demo/network.net") == {"seed": 0, "made_by": "demo"}
    result = json.loads((tmp_path / "demo/result.json").read_text())
    assert result["accuracy"]["ann"] > 0.97
    for key in ("float", "integer", "lava"):
        assert list(result["accuracy"][key]) == ["1", "2", "4", "8", "16", "32"]
    assert result["accuracy"]["integer"]["32"] > result["accuracy"]["ann"] - 0.02
    assert [r["different"] for r in result["equality"]] == [0, 0, 0]
    assert [r["b"] for r in result["equality"]] == ["integer batched", "Lava fixed_pt", "Lava floating_pt"]
    assert result["saturations"] == 0
    assert result["dead_neurons"] >= 0
    assert set(result["provenance"]) == {"digests", "versions", "seed", "command_line"}
    assert "T = 32" in done.stdout
    assert "calibrate" in done.stderr


# ---------------------------------------------------------------- bad input: one sentence, nothing left
# behind


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["--model", "nowhere.py:net"],
            "nowhere.py:net: nowhere.py cannot be imported (FileNotFoundError: no such file",
        ),
        (
            ["--model", "net.py"],
            "net.py: not understood; write path/to/file.py:factory, package.module:factory, "
            "torchvision:NAME or",
        ),
        (
            ["--model", "torchvision:resnet19"],
            "torchvision:resnet19: torchvision has no such network; did you mean resnet18",
        ),
        (
            ["--model", "torchvision:resnet18", "--weights", "BEST"],
            "BEST: no such file, and no weights of resnet18; give a state_dict or",
        ),
        (["--model", "nowhere.onnx"], "nowhere.onnx: no such file; check the path of the network"),
        (["--model", "net.onnx"], "net.onnx: not a sound ONNX file, or truncated"),
        (["--model", "net.py:other"], "net.py has no 'other'"),
        (["--model", "net.py:fails"], "fails() failed (KeyError: 'missing' at net.py:"),
        (["--model", "net.py:number"], "makes a int, not a torch.nn.Module"),
        (["--model", "no.such.module:net"], "no.such.module cannot be imported (ModuleNotFoundError"),
        (["--model", "net.py:normed"], "group_norm"),
        ([*NET[:2], "--weights", "nowhere.pt"], "nowhere.pt: no such file; check the path of the weights"),
        ([*NET[:2], "--weights", "net.py"], "net.py: not a state_dict that loads with weights_only=True"),
        (
            [*NET[:2], "--weights", "other.pt"],
            "does not fit Sequential: 17 missing (0.weight, 0.bias, ...), 1 unexpected (fc.weight), 0 of",
        ),
        (
            [*NET[:2], "--weights", "misshapen.pt"],
            "1 of another shape (2.fc.weight); give the weights of this very model",
        ),
        ([*NET[:2], "--weights", "nan.pt"], "2.fc.weight: 1 of 18 weights are NaN or infinite"),
        ([*NET, "--steps", "0"], "steps: 0 given; give 1 or more"),
        ([*NET, "--calibration-images", "0"], "0 images asked for; ask for 1 or more"),
        ([*NET, "--data", "nowhere.npz"], "nowhere.npz: no such file"),
        ([*NET, "--data", "nowhere"], "nowhere: no such data; give a folder of class folders"),
        (
            [*NET, "--data", "half.npz"],
            "half.npz: lacks x_test; save both, and with classes y_train and y_test",
        ),
        ([*NET, "--data", "text.npz"], "text.npz: not an .npz of plain arrays, or truncated"),
        (
            [*NET, "--data", "labels.npz"],
            "x of shape (4, 6, 6, 3) with y of shape (3,); give one label for each image",
        ),
        (
            [*NET, "--data", "nan.npz", "--mean", "0", "--std", "1"],
            "values are NaN or infinite; clean the data first",
        ),
        ([*NET, "--data", "empty"], "empty: not in ImageFolder layout"),
        (
            [*NET, "--data", "sizes"],
            "images of 2 sizes, such as (3, 6, 6) and (3, 6, 7); make them one with resize and crop",
        ),
        ([*NET, "--data", "broken"], "cannot be read"),
        ([*NET, "--data", "net.py:number"], "net.py:number: makes a int; a Dataset with a length"),
        ([*NET, "--std", "0,0,0"], "every value must be above 0"),
        ([*NET, "--std", "1"], "mean and std: 3 and 1 values given"),
        ([*NET, "--mean", "1,1", "--std", "1,1"], "does not suit layout, mean, std, resize or crop"),
        (
            [*NET, "--data", "gray.npz", "--mean", "0", "--std", "1"],
            "torch.export cannot trace it for an input of shape (1, 6, 6)",
        ),
        ([*NET, "-o", "net.py"], "net.py: exists already"),
        ([*NET, "-o", "nowhere/a.net"], "could not be written (No such file or directory)"),
        ([*NET, "--weight-bits", "1"], "weight_bits: 1 given; choose 2 to 32"),
        ([*NET, "--payload-bits", "0"], "payload_bits: 0 given; choose 1 to 24"),
        (
            [*NET, "--recipe", "binary", "--granularity", "neuron", "--share", "neuron"],
            "binary spikes need one threshold per channel, and granularity and share 'neuron'",
        ),
        (
            [*NET, "--spikes", "binary", "--share", "neuron"],
            "share 'neuron' give neurons their own; give share channel (or layer)",
        ),
    ],
)
def test_bad_input_gets_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    spoil(place)
    found = refused("convert", *DATA, *argv, capsys=capsys)
    skip_where_missing(found)
    assert said in found


@pytest.mark.parametrize("verb", ["convert", "explain", "report"])
def test_a_missing_folder_is_told_before_any_work(
    place: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert cli.main([verb, *NET, *DATA, "-o", "nowhere/a"]) == 1
    told = capsys.readouterr().err
    skip_where_missing(told)
    assert told.startswith("dnisnm: nowhere/a: could not be written (No such file or directory)")


@pytest.mark.parametrize(("option", "value"), [("--steps", "0"), ("--levels", "0"), ("--weight-bits", "1")])
def test_impossible_dials_are_told_before_any_work(
    place: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    for verb in ("convert", "tune"):
        target = ("--max-steps", "4") if verb == "tune" else ()
        said = refused(verb, *NET, *DATA, *target, option, value, capsys=capsys, before_work=True)
        skip_where_missing(said)
        assert f"{option[2:].replace('-', '_')}: {value} given" in said


def spoil(place: Path) -> None:
    """Every file that the sentences above are about."""
    sound = torch.load(place / "weights.pt", weights_only=True)
    torch.save({"fc.weight": torch.zeros(1)}, place / "other.pt")
    torch.save({**sound, "2.fc.weight": torch.zeros(3, 7)}, place / "misshapen.pt")
    weight = sound["2.fc.weight"].clone()
    weight[0, 0] = torch.nan
    torch.save({**sound, "2.fc.weight": weight}, place / "nan.pt")
    x, y = np.zeros((4, 6, 6, 3), np.uint8), np.zeros(4, int)
    np.savez(place / "half.npz", x_train=x)
    (place / "text.npz").write_text("not at all")
    (place / "net.onnx").write_text("not at all")
    np.savez(place / "labels.npz", x_train=x, y_train=np.zeros(3), x_test=x, y_test=y)
    bad = np.full((4, 3, 6, 6), np.nan, np.float32)
    np.savez(place / "nan.npz", x_train=bad, y_train=y, x_test=bad, y_test=y)
    np.savez(place / "gray.npz", x_train=x[..., 0], y_train=y, x_test=x[..., 0], y_test=y)
    (place / "empty").mkdir()
    for name, size in (("sizes", 7), ("broken", 6)):
        (place / name / "a").mkdir(parents=True)
        Image.fromarray(x[0]).save(place / name / "a/0.png")
        Image.fromarray(np.zeros((6, size, 3), np.uint8)).save(place / name / "a/1.png")
    (place / "broken/a/0.png").write_bytes(b"no picture")


@pytest.mark.parametrize(
    ("verb", "argv", "said"),
    [
        ("inspect", ["nowhere.net"], "nowhere.net: no such file"),
        (
            "inspect",
            ["net.py"],
            "net.py: a program, not a netx file; name the function that makes the model: net.py:FACTORY",
        ),
        (
            "inspect",
            ["resnet18"],
            "resnet18: no such file; check the path, or name a model as torchvision:NAME",
        ),
        ("inspect", ["text.npz"], "text.npz: not an HDF5 file, or truncated"),
        (
            "inspect",
            ["a.net", "--weights", "weights.pt"],
            "a.net: a netx file takes no --weights; give it with a model",
        ),
        (
            "inspect",
            ["a.net", "--input-shape", "3,6,6"],
            "a.net: a netx file takes no --input-shape; give it with a model",
        ),
        (
            "inspect",
            ["net.py:net"],
            "net.py:net: the shape of an image is not known; give it as --input-shape C,H,W, or images as",
        ),
        (
            "inspect",
            ["net.py:net", "--input-shape", "3,0,6"],
            "input_shape: (3, 0, 6) given; every size must be 1 or more",
        ),
        (
            "inspect",
            ["net.py:net", "--input-shape", "3,6,6", *DATA],
            "give either --input-shape or --data, not both",
        ),
        ("inspect", ["net.py:other", "--input-shape", "3,6,6"], "net.py has no 'other'"),
        ("inspect", ["torchvision:resnet19"], "torchvision has no such network; did you mean resnet18"),
        ("inspect", ["nowhere.onnx"], "nowhere.onnx: no such file"),
        (
            "simulate",
            ["a.net", "--data", "gray.npz", "--mean", "0", "--std", "1"],
            "images: shape (4, 1, 6, 6) given, (N, 3, 6, 6) needed",
        ),
        ("simulate", ["a.net", *DATA, "--steps", "-1"], "steps: -1 given"),
        ("simulate", ["a.net", *DATA, "--images", "0"], "0 images asked for"),
        ("verify", ["a.net", *NET, *DATA], "give either a .net file or --model, not both"),
        ("verify", [*DATA], "give either a .net file or --model, not both"),
        ("compare", [*NET, *DATA, "--lava-images", "-1"], "lava_images: -1 given"),
        ("compare", [*NET, *DATA, "-o", "net.py"], "net.py: is a file, and a folder is to be written"),
        (
            "compare",
            [*NET, *DATA, "--deadline", "0.01", "--steps", "1"],
            "no result after the deadline of 0.01 s",
        ),
        ("compare", [*NET, *DATA, "--steps", "1", "-o", "new/out", "--weights", "other.pt"], "other.pt"),
        (
            "compare",
            [*NET, *DATA, "--resume"],
            "--resume: no result is written, so no parts were kept; give --out as before",
        ),
        ("simulate", ["a.net", *DATA, "-o", "net.py"], "net.py: exists already"),
        (
            "simulate",
            ["a.net", *DATA, "--confidence", "1.5"],
            "confidence: 1.5 given; give a share above 0, at most 1",
        ),
    ],
)
def test_bad_input_of_the_other_verbs(
    place: Path, capsys: pytest.CaptureFixture[str], verb: str, argv: list[str], said: str
) -> None:
    run("convert", *NET, *DATA, "--steps", "2", "-o", "a.net", capsys=capsys)
    spoil(place)
    found = refused(verb, *argv, capsys=capsys)
    skip_where_missing(found)
    assert said in found


def test_lava_not_installed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parent.importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("DNISNM_LAVA_PYTHON", raising=False)
    for asked in (["verify"], ["compare", "--lava-images", "2", "-o", "out"]):
        said = refused(*asked, *NET, *DATA, "--steps", "1", capsys=capsys)
        assert missing("lava-nc", "lava") in said
    assert cli.main(["compare", *NET, *DATA, "--steps", "1", "-o", "out", "--json"]) == 0
    out, err = capsys.readouterr()
    assert f"notice: compare goes on without Lava: {missing('lava-nc', 'lava')}" in err
    assert set(json.loads(out)["accuracy"]) == {"ann", "float", "integer"}


def test_a_difference_is_an_error(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dnisnm_lava.backends.results import Difference, Run
    from dnisnm_lava.evaluation import verification

    row = Difference(
        "integer batched", "Lava fixed_pt", 2, 4, 6, 1000, 3, "conv1, image 0, step 2, neuron (0, 0, 0)"
    )
    monkeypatch.setattr(
        verification, "verify", lambda *a, **k: verification.Verification((row,), Run(np.zeros((2, 4, 3))))
    )
    run("convert", *NET, *DATA, "--steps", "2", "-o", "a.net", capsys=capsys)
    assert cli.main(["verify", "a.net", *DATA]) == 1
    out, err = capsys.readouterr()
    assert "conv1, image 0, step 2, neuron (0, 0, 0)" in out
    assert "not equal" in err


UNLABELLED = """
import numpy as np

class Images:
    def __init__(self, wrapped):
        self.wrapped = wrapped

    def __len__(self):
        return 12

    def __getitem__(self, i):
        image = np.load("bare.npz")["x_train"][i].transpose(2, 0, 1) / np.float32(255)
        return (*self.wrapped, image)[-3:] if self.wrapped else image

def images():
    return Images(())

def triples():
    return Images((1, 2))
"""


@pytest.fixture
def bare(place: Path) -> Path:
    """bare.npz, pictures/ and bare.py: the images of `place` without classes."""
    data = np.load(place / "data.npz")
    np.savez(place / "bare.npz", x_train=data["x_train"], x_test=data["x_test"])
    for i, x in enumerate(data["x_train"]):
        (place / "pictures").mkdir(exist_ok=True)
        Image.fromarray(x).save(place / f"pictures/{i:02}.png")
    (place / "bare.py").write_text(UNLABELLED)
    return place


PREPARED = ["--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2", "--quiet"]


@pytest.mark.parametrize("data", ["bare.npz", "pictures", "bare.py:images"])
def test_images_without_classes_make_and_tune_networks(
    bare: Path, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    given = [*NET, "--data", data, *PREPARED]
    assert cli.main(["convert", *given, "-o", "bare.net"]) == 0
    assert "no labels or targets come with the images" in capsys.readouterr().out
    if data != "bare.py:images":  # the same images as with classes
        assert cli.main(["convert", *NET, *DATA, "--quiet", "-o", "same.net"]) == 0
        assert netx.read("bare.net") == netx.read("same.net")
        capsys.readouterr()
    tune = [
        "tune",
        *given,
        "--fit-images",
        "6",
        "--held-images",
        "4",
        "--max-steps",
        "1",
        "--measure",
        "values",
        "--json",
    ]
    assert cli.main(tune) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == "R2 to the ANN"
    assert cli.main([*tune, "--labels"]) == 1
    assert "images come without classes" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["compare", "precision", "explain", "report"])
def test_nothing_is_measured_without_classes(
    bare: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    words = ["-o", "page.html"] if verb == "report" else []
    assert cli.main([verb, *NET, "--data", "bare.npz", *PREPARED, *words]) == 1
    assert "bare.npz (test): images come without classes, which accuracy needs" in capsys.readouterr().err
    assert not (bare / "page.html").exists()


def test_three_parts_of_an_image_are_refused(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["convert", *NET, "--data", "bare.py:triples", *PREPARED]) == 1
    assert "image 0 is a tuple of 3; give images, or (image, class) pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ("--percentile", "90"),
            "--percentile: has no effect with --threshold sequential, but with percentile",
        ),
        (("--subset", "5"), "--subset: has no effect"),
        (("--threshold", "max", "--share", "layer"), "--share: has no effect"),
        (("--threshold", "percentile", "--percentile", "90"), ""),
        (("--share", "layer"), ""),
    ],
)
def test_options_that_do_nothing_are_told(
    place: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert cli.main(["convert", *NET, *DATA, *options, "-o", "a.net", "--quiet"]) == 0
    said = capsys.readouterr().err
    assert told in said
    assert told or "has no effect" not in said
