"""A folder with a network and its data, verbs run there, and the sentences that they refuse with."""

from __future__ import annotations

import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graphs import ResidualPoolNet, randomized
from PIL import Image

from dnisnm_lava import cli

ROOT = Path(__file__).resolve().parents[1]


NETWORK = """
import sys
sys.path.insert(0, {tests!r})
from graphs import ResidualPoolNet
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), ResidualPoolNet())

def normed():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.GroupNorm(1, 2), ResidualPoolNet())

def fails():
    return {{}}["missing"]

def number():
    return 7

class Pairs:
    def __len__(self):
        return 12
    def __getitem__(self, i):
        import torch
        return torch.full((3, 6, 6), i / 12), i % 3

def data():
    return Pairs()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder: net.py, weights.pt, data.npz and images/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NETWORK.format(tests=str(ROOT / "sim_tests")))
    model = randomized(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.ReLU(), ResidualPoolNet()), 0)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)
    np.savez(
        tmp_path / "data.npz",
        x_train=x[:24],
        y_train=np.arange(24) % 3,
        x_test=x[24:],
        y_test=np.arange(16) % 3,
    )
    for i in range(12):
        folder = tmp_path / "images" / ("train" if i < 6 else "test") / f"class{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i]).save(folder / f"{i}.png")
    return tmp_path


NET = ["--model", "net.py:net", "--weights", "weights.pt"]


DATA = ["--data", "data.npz", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2"]


def run(*argv: str, capsys: pytest.CaptureFixture[str]) -> Any:
    code = cli.main([*argv, "--json"])
    out, err = capsys.readouterr()
    skip_where_missing(err)
    assert code == 0, err
    return json.loads(out)  # the result alone


def skip_where_missing(said: str) -> None:
    """Where what a command needs is truly not installed in this Python, and it said so."""
    for package in ("lava-nc", "torchvision", "onnx"):
        if f"{package} is not installed" in said and not list(importlib.metadata.distributions(name=package)):
            pytest.skip(f"{package} is not installed")


def refused(*argv: str, capsys: pytest.CaptureFixture[str], before_work: bool = False) -> str:
    before = sorted(os.listdir())
    assert cli.main(list(argv)) == 1
    out, err = capsys.readouterr()
    said = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert out == ""
    assert len(said) == 1, err
    assert not before_work or err.splitlines() == said
    assert sorted(os.listdir()) == before
    return said[0]


LITTLE = ["--steps", "4", "--calibration-images", "20", "--fit-images", "8", "--seed", "3"]


def refused_last(*argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence, behind notices."""
    assert cli.main(list(argv)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]
