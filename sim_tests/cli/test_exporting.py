"""`dnisnm export`, and what `check`, `verify` and `costs` tell of time and of another simulator."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import Chain, gated, small

from dnisnm_lava import cli
from dnisnm_lava.backends import reference
from exporters import netx

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, object]:
    """The command's JSON."""
    assert cli.main([*argv, "--json", "--quiet"]) == code
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def said(*argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence that it fails with."""
    assert cli.main([*argv, "--quiet"]) == 1
    return capsys.readouterr().err


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_each_kind_is_written_and_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    graph, x = gated()
    netx.write("a.net", graph)
    expected = reference.run(graph, x[:2], steps=3).logits
    found = run("export", "a.net", "-o", "a.onnx", "--steps", "3", capsys=capsys)
    assert found["digest"] == graph.digest()
    assert found["bytes"] == Path("a.onnx").stat().st_size
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = onnxruntime.InferenceSession("a.onnx")
    np.testing.assert_array_equal(session.run(None, {session.get_inputs()[0].name: x[:2]})[0], expected)
    run("export", "a.net", "-o", "step.onnx", "--one-step", capsys=capsys)
    assert "step" in [a.name for a in onnxruntime.InferenceSession("step.onnx").get_inputs()]
    run("export", "a.net", "-o", "a.pt2", "--steps", "3", capsys=capsys)
    network = torch.export.load("a.pt2").module()
    np.testing.assert_array_equal(network(torch.tensor(x[:2])).numpy(), expected)
    of_c = run("export", "a.net", "-o", "a.c", capsys=capsys)
    assert of_c["written"] == ["a.c", "a.h"]
    assert isinstance(of_c["flash"], int)
    assert of_c["flash"] > sum(q.weight.size for p in graph.readouts for q in p.projections)


def test_nir_is_written_where_its_losses_are_taken(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nir", reason="nir is not installed")
    netx.write("a.net", small(Chain(), (6,))[0])
    assert "lossy" in said("export", "a.net", "-o", "a.nir", capsys=capsys)
    assert not Path("a.nir").exists()
    lost = run("export", "a.net", "-o", "a.nir", "--lossy", capsys=capsys)["lost"]
    assert any("negative spikes" in what for what in lost)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-o", "a.bin"], "a.bin: the ending .bin says not what to write; give one of .onnx, .pt2, .c, .nir"),
        (["-o", "a"], "a: the ending is missing, and says not what to write"),
        (["-o", "a.c", "--one-step"], "a.c: --one-step is of .onnx alone"),
        (["-o", "a.onnx", "--lossy"], "--lossy of .nir"),
        (["-o", "a.nir", "--steps", "4"], "a.nir: NIR knows no steps"),
        (["-o", "old.c"], "old.c: exists"),
    ],
)
def test_what_cannot_be_written_is_told(
    options: list[str], sentence: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    netx.write("a.net", small(Chain(), (6,))[0])
    Path("old.c").write_text("mine")
    assert sentence in said("export", "a.net", *options, capsys=capsys)
    assert sorted(p.name for p in place.iterdir()) == ["a.net", "old.c"]
    assert Path("old.c").read_text() == "mine"


def test_check_tells_time_where_it_has_images(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, x = small()
    netx.write("a.net", graph)
    assert run("check", "a.net", capsys=capsys)["runtime"] is None
    assert cli.main(["check", "a.net", "--quiet"]) == 0
    assert "the file remembers no images" in capsys.readouterr().out
    np.savez("data.npz", x_train=x, y_train=np.zeros(len(x), int), x_test=x, y_test=np.zeros(len(x), int))
    found = run("check", "a.net", "--data", "data.npz", capsys=capsys)["runtime"]
    assert isinstance(found, dict)
    assert found["images"] == 4
    assert found["frames_a_second"] == pytest.approx(1 / found["seconds"])
    sample = re.search(r"```json\n(.*?)```", (ROOT / "docs/energy.md").read_text(), re.DOTALL)
    assert sample is not None
    Path("rates.json").write_text(sample[1])
    assert cli.main(["check", "a.net", "--data", "data.npz", "--rates", "rates.json", "--quiet"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Our board: an answer after" in told
    assert "rates of words of synapse memory are unknown" in told


def test_another_simulator_verifies_and_prices(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sanafe", reason="sanafe is not installed")
    graph, x = small(Chain(), (6,), levels=1, lead=5)
    netx.write("a.net", graph)
    np.savez("data.npz", x_train=x, y_train=np.zeros(len(x), int), x_test=x, y_test=np.zeros(len(x), int))
    found = run("verify", "a.net", "--data", "data.npz", "--target", "sanafe", capsys=capsys)["equality"]
    assert [row["different"] for row in found] == [0]  # type: ignore[attr-defined,index]
    assert "SANA-FE" in json.dumps(found)
    costs = run("costs", "a.net", "--data", "data.npz", "--images", "2", "--replay", "sanafe", capsys=capsys)
    replayed = costs["replay"]
    assert isinstance(replayed, dict)
    assert replayed["images"] == 1
    assert replayed["joules_an_image"] > 0
    sentence = said(
        "costs",
        "a.net",
        "--data",
        "data.npz",
        "--images",
        "2",
        "--replay",
        "sanafe",
        "--replay-images",
        "3",
        capsys=capsys,
    )
    assert "--replay-images: 3 given of 2 images" in sentence
