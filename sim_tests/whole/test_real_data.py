"""ResNet-20 on CIFAR-10 and a LeNet on MNIST: the sizes that users bring. docs/accuracy.md has the full
figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NORMALIZATION = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]


def dnisnm(*argv: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "dnisnm_lava", *argv, "--json"],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def resnet20(shared: Path) -> list[str]:
    weights, data = shared / "weights/resnet20-12fca82f.th", shared / "cifar10-lossless-subset.npz"
    return [
        "--model",
        "examples/resnet20.py:resnet20",
        "--weights",
        str(weights),
        "--data",
        str(data),
        *NORMALIZATION,
    ]


def test_every_spike_of_resnet20_is_the_same_on_lava(shared: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    few = ["--calibration-images", "64", "--fit-images", "16", "--images", "2", "--steps", "8"]
    rows = dnisnm("verify", *resnet20(shared), *few)["equality"]
    assert [(r["images"], r["steps"], r["populations"], r["different"]) for r in rows] == [(2, 8, 20, 0)] * 3
    neurons = 7 * 16 * 32 * 32 + 6 * 32 * 16 * 16 + 6 * 64 * 8 * 8
    assert [r["spikes_compared"] for r in rows] == [2 * 8 * (neurons + 10)] * 3


def test_the_integers_cost_resnet20_less_than_a_point(shared: Path) -> None:
    """On 200 of the 1,000 lossless images, and 1,000 to calibrate on, to save time: 1 point is 2 images."""
    few = ["--images", "200", "--lava-images", "0", "--calibration-images", "1000"]
    accuracy = dnisnm("compare", *resnet20(shared), "--recipe", "paper", *few)["accuracy"]
    assert accuracy["integer"]["32"] >= accuracy["float"]["32"] - 0.01
    assert accuracy["integer"]["32"] >= accuracy["ann"] - 0.015
    assert accuracy["ann"] > 0.9


@pytest.mark.campaign
def test_a_lenet_on_mnist_loses_nothing_at_16_steps(shared: Path, tmp_path: Path) -> None:
    """One epoch of the example's training, to save time."""
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    pytest.importorskip("lava", reason="lava-nc is not installed")
    weights = str(tmp_path / "mnist.pt")
    command = [
        sys.executable,
        "examples/mnist.py",
        "--data",
        str(shared),
        "--weights",
        weights,
        "--epochs",
        "1",
    ]
    subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=ROOT, check=True)
    options = [
        "--model",
        "examples/mnist.py:lenet",
        "--weights",
        weights,
        "--data",
        f"mnist:{shared}",
        "--mean",
        "0.1307",
        "--std",
        "0.3081",
    ]
    result = dnisnm(
        "compare", *options, "--recipe", "paper", "--images", "2000", "--steps", "16", "--lava-images", "4"
    )
    assert result["accuracy"]["ann"] > 0.97
    assert abs(result["accuracy"]["integer"]["16"] - result["accuracy"]["ann"]) <= 0.003
    assert [r["different"] for r in result["equality"]] == [0, 0, 0]
