"""Weights and images from strangers: a pickle with code in it is refused, says so, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dnisnm_lava import cli
from dnisnm_lava.data import datasets
from dnisnm_lava.data.models import load_weights
from dnisnm_lava.errors import BadFile


class Code:
    """When unpickled, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def infected(path: Path, how: str, code: Code) -> Path:
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps({"weight": code}, protocol=int(how[-1])))
    else:
        torch.save(
            {"weight": torch.ones(2, 3), "extra": code}, path, _use_new_zipfile_serialization=how == "torch"
        )
    return path


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.th", "a.bin", "a.npz"])
@pytest.mark.parametrize("how", ["torch", "torch of old", "pickle 0", "pickle 2", "pickle 4"])
def test_weights_with_code_are_refused_and_nothing_runs(tmp_path: Path, name: str, how: str) -> None:
    path = infected(tmp_path / name, how, Code(tmp_path / "made"))
    with pytest.raises(
        BadFile,
        match=r"weights_only=True \(its pickle names (posix|nt)\.mkdir, and a pickle that names code can "
        r"run it: refused",
    ):
        load_weights(torch.nn.Linear(3, 2), path)
    assert not (tmp_path / "made").exists()
    if how == "pickle 4":  # the file is what it seems: whoever unpickles it runs the code
        pickle.loads(path.read_bytes())
        assert (tmp_path / "made").exists()


def test_a_whole_model_is_told_by_its_class(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 2), tmp_path / "a.pt")
    with pytest.raises(BadFile, match=r"its pickle names torch\.nn\.modules\.linear\.Linear.*; save it anew"):
        load_weights(torch.nn.Linear(3, 2), tmp_path / "a.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_weights_load_or_are_one_sentence(tmp_path: Path, zipped: bool) -> None:
    path, rng = tmp_path / "a.pt", random.Random(0)
    refused: list[str] = []
    torch.save(torch.nn.Linear(3, 2).state_dict(), path, _use_new_zipfile_serialization=zipped)
    sound = path.read_bytes()
    for _ in range(400):
        data = bytearray(sound[: rng.randrange(len(sound))] if rng.random() < 0.2 else sound)
        for _ in range(rng.randint(1, 4) if data else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            load_weights(torch.nn.Linear(3, 2), path)
        except BadFile as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(sentence.startswith(f"{path}: ") for sentence in refused)


def test_help_says_which_files_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("file.py:factory (the file is run)") == 2  # --model and --data


def test_images_with_code_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    x, y = np.zeros((2, 1, 4, 4), np.float32), np.zeros(2, np.int64)
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.array([Code(tmp_path / "made")], object), y_train=y, x_test=x, y_test=y)
    with pytest.raises(
        BadFile,
        match=r"a\.npz: not an \.npz of plain arrays.* \(it holds pickled objects, which can run code: "
        r"refused\)",
    ):
        datasets.load_data(str(path))
    assert not (tmp_path / "made").exists()
    path.write_bytes(pickle.dumps(Code(tmp_path / "made")))  # what np.load takes for a pickle
    with pytest.raises(BadFile, match=r"it holds pickled objects, which can run code: refused"):
        datasets.load_data(str(path))
    assert not (tmp_path / "made").exists()


def test_damaged_images_load_or_are_one_sentence(tmp_path: Path) -> None:
    x, y = np.zeros((2, 1, 4, 4), np.float32), np.zeros(2, np.int64)
    path, rng = tmp_path / "a.npz", random.Random(0)
    refused: list[str] = []
    np.savez_compressed(path, x_train=x, y_train=y, x_test=x, y_test=y)
    sound = path.read_bytes()
    for _ in range(400):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            datasets.load_data(str(path))
        except BadFile as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(sentence.startswith(f"{path}: ") for sentence in refused)
