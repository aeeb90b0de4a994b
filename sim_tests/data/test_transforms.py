"""Weights in memory, and torchvision's sets of weights with the transforms that they were measured with."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from graphs import Chain, randomized
from PIL import Image
from torchvision.models import ResNet18_Weights, ResNet34_Weights, SqueezeNet1_1_Weights

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.frontend.coverage import Coverage


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that torchvision was to download; it is given weights made here."""
    asked: list[str] = []

    def download(url: str, *_: object, **__: object) -> object:
        asked.append(url)
        return torchvision.models.squeezenet1_1().state_dict()

    monkeypatch.setattr(sys.modules["torchvision.models._api"], "load_state_dict_from_url", download)
    return asked


# ---------------------------------------------------------------- weights in


def test_a_state_dict_goes_into_a_module_and_into_a_name() -> None:
    state = randomized(Chain(), 1).state_dict()
    for given in (state, {"state_dict": {f"module.{k}": v for k, v in state.items()}}):
        model = dn.load_model(Chain().train(), given)
        assert not model.training
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    own = torchvision.models.squeezenet1_1().state_dict()
    assert torch.equal(
        dn.load_model("torchvision:squeezenet1_1", own).state_dict()["features.0.weight"],
        own["features.0.weight"],
    )


def test_a_module_takes_a_file(tmp_path: Path) -> None:
    state = randomized(Chain(), 1).state_dict()
    torch.save(state, tmp_path / "w.pt")
    assert torch.equal(
        dn.load_model(Chain(), tmp_path / "w.pt").state_dict()["fc1.weight"], state["fc1.weight"]
    )


def test_a_set_of_weights_is_its_name(downloads: list[str]) -> None:
    for weights in (SqueezeNet1_1_Weights.DEFAULT, SqueezeNet1_1_Weights.IMAGENET1K_V1, "IMAGENET1K_V1"):
        dn.load_model("torchvision:squeezenet1_1", weights)
    assert len(downloads) == 3
    assert len(set(downloads)) == 1


@pytest.mark.parametrize(
    ("spec", "weights", "said"),
    [
        (
            Chain(),
            {"fc1.weight": torch.zeros(8, 6)},
            "weights: does not fit Chain: 5 missing (fc1.bias, fc2.weight, ...), 0 unexpected",
        ),
        (Chain(), {"fc1.weight": 3}, "weights: holds a dict, not a state_dict of tensors"),
        (
            Chain(),
            ResNet18_Weights.DEFAULT,
            "a set of torchvision's weights; name the network as torchvision:NAME, or give a state_dict",
        ),
        (
            "torchvision:resnet18",
            ResNet34_Weights.DEFAULT,
            "ResNet34_Weights.IMAGENET1K_V1: not of torchvision:resnet18; give one of",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told(spec: Any, weights: Any, said: str) -> None:
    with pytest.raises(BadFile, match=re.escape(said)):
        dn.load_model(spec, weights)


# ---------------------------------------------------------------- transforms


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of many sizes in class folders; the same image as bytes and as floats."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(4):
        place = tmp_path / "images" / f"class{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (260 + 8 * i, 300, 3)).astype(np.uint8)).save(place / f"{i}.png")
    x, y = rng.integers(0, 256, (2, 3, 256, 256)).astype(np.uint8), np.arange(2)
    np.savez(tmp_path / "bytes.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    floats = x.astype(np.float32) / 255
    np.savez(tmp_path / "floats.npz", x_train=floats, y_train=y, x_test=floats, y_test=y)
    return tmp_path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, downloads: list[str]) -> list[np.ndarray]:
    """The first image as `inspect` has it, in place of a trace."""
    images: list[np.ndarray] = []
    monkeypatch.setattr(
        "dnisnm_lava.frontend.walk.inspect", lambda model, _: Coverage("m", (), {}, 0, 0, 0, 0, 0, 0, ())
    )
    from dnisnm_lava.cli import looking

    data = looking._data

    def kept(args: Any) -> Any:
        found = data(args)
        images.append(found.train[0][0].numpy())
        return found

    monkeypatch.setattr(looking, "_data", kept)
    return images


def expected(folder: Path) -> np.ndarray:
    """By hand: the shorter side 256, the middle 224, then (x - mean) / std."""
    with Image.open(sorted((folder / "images/class0").iterdir())[0]) as picture:
        small = torchvision.transforms.functional.resize(picture, 256)
    pixels = (
        np.asarray(torchvision.transforms.functional.center_crop(small, 224), np.float32).transpose(2, 0, 1)
        / 255
    )
    mean, std = (
        np.array(v, np.float32)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return (pixels - mean) / std


MODEL = ["inspect", "torchvision:squeezenet1_1", "--weights", "DEFAULT"]


def test_named_weights_bring_their_transforms(
    folder: Path, seen: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*MODEL, "--data", "images"]) == 0
    np.testing.assert_allclose(seen[0], expected(folder), rtol=0, atol=1e-6)  # float32 of numbers below 3
    err = capsys.readouterr().err
    assert (
        "notice: images: prepared by the transforms of SqueezeNet1_1_Weights.IMAGENET1K_V1: "
        "ImageClassification crop_size=[224]" in err
    )
    assert cli.main([*MODEL, "--data", "bytes.npz"]) == 0
    assert seen[1].shape == (3, 224, 224)
    assert seen[1].min() < -1


def test_options_and_floats_keep_them_out(
    folder: Path, seen: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (["--data", "images", "--crop", "64"], ["--data", "bytes.npz", "--transforms", "none"]):
        assert cli.main([*MODEL, *options]) == 0
        assert "transforms" not in capsys.readouterr().err
    assert [(x.shape[1], x.min() >= 0) for x in seen] == [(64, True), (256, True)]
    assert cli.main([*MODEL, "--data", "floats.npz"]) == 0
    assert (
        "floats.npz: holds floats, which are taken as prepared; the transforms of SqueezeNet1_1_Weights"
        in capsys.readouterr().err
    )
    assert seen[2].shape == (3, 256, 256)


def test_transforms_may_be_named(
    folder: Path, seen: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    """As `simulate` of a file needs it, which knows no torchvision."""
    assert cli.main([*MODEL[:2], "--data", "images", "--transforms", "ResNet18_Weights.DEFAULT"]) == 0
    np.testing.assert_allclose(seen[0], expected(folder), rtol=0, atol=1e-6)
    capsys.readouterr()
    for options, said in (
        (
            ["--transforms", "ResNet18"],
            "ResNet18: no set of torchvision's weights; name one as ResNet18_Weights.DEFAULT",
        ),
        (
            ["--transforms", "ResNet18_Weights.DEFAULT", "--crop", "8"],
            "given beside --mean, --std, --resize, --crop, --grayscale or --range",
        ),
    ):
        assert cli.main([*MODEL[:2], "--data", "images", *options]) == 1
        assert said in capsys.readouterr().err


def test_a_result_says_which_transforms_it_rests_on(folder: Path) -> None:
    from dnisnm_lava.cli.making import Convert
    from dnisnm_lava.cli.reading import _data
    from dnisnm_lava.cli.shared import _provenance

    args = Convert(data="images", transforms="ResNet18_Weights.DEFAULT", layout="chw")
    with pytest.warns(UserWarning, match="prepared by"):
        data = _data(args)
    assert _provenance(args, data=data)["transforms"] == "ResNet18_Weights.IMAGENET1K_V1"


def test_in_python_a_transform_is_given(folder: Path) -> None:
    data = dn.load_data("images", transform=ResNet18_Weights.DEFAULT.transforms())
    np.testing.assert_allclose(data.test[0][0].numpy(), expected(folder), rtol=0, atol=1e-6)
    with pytest.raises(
        OutOfRange, match="transform: given beside mean, std, resize, crop, grayscale or range; give either"
    ):
        dn.load_data("images", transform=ResNet18_Weights.DEFAULT.transforms(), crop=8)
