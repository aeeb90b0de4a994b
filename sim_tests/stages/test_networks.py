"""One door: Python and the command line build the same network, from images in every form; what the network
holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import digits_net
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.errors import OutOfRange, UnsupportedModel
from dnisnm_lava.stages.recipes import RECIPES
from exporters import netx

FEW = dn.Samples(calibration=200, fit=48)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    x, y = digits_net.pictures()
    return digits_net.prepared(x[:1200]), y[:1200]


@pytest.fixture(scope="module")
def best(images: tuple[np.ndarray, np.ndarray]) -> dn.Networks:
    return dn.build(digits_net.trained(), images, samples=FEW)


@pytest.mark.parametrize("recipe", RECIPES)
def test_python_and_the_command_line_build_the_same_network(
    recipe: str,
    images: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    digits_net.lay_out(tmp_path)
    command = [
        "convert",
        "--model",
        "net.py:network",
        "--weights",
        "weights.pt",
        "--data",
        "data.npz",
        *digits_net.GIVEN,
    ]
    few = ["--calibration-images", "200", "--fit-images", "48"]
    assert cli.main([*command, *few, "--recipe", recipe, "-o", "made.net", "--quiet"]) == 0, (
        capsys.readouterr().err
    )
    nets = dn.build(digits_net.trained(), images, RECIPES[recipe], samples=FEW)
    assert netx.read("made.net").digest() == nets.integer.digest()
    assert cli.main([*command, *few, "--recipe", recipe, "--seed", "1", "-o", "other.net", "--quiet"]) == 0
    assert (
        netx.read("other.net").digest()
        == dn.build(digits_net.trained(), images, RECIPES[recipe], replace(FEW, seed=1)).integer.digest()
    )
    assert netx.read("other.net").digest() != nets.integer.digest()  # the samples are the seed's


def batches(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((x[start : start + 70], y[start : start + 70]) for start in range(0, len(x), 70))


@pytest.mark.parametrize("form", ["array", "tensor", "dataset", "loader", "batches"])
def test_images_of_every_form_build_the_same_network(
    form: str, images: tuple[np.ndarray, np.ndarray], best: dn.Networks
) -> None:
    x, y = images
    tensors = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    forms: dict[str, Any] = {
        "array": x,
        "tensor": torch.from_numpy(x),
        "dataset": tensors,
        "loader": DataLoader(tensors, batch_size=64),
        "batches": batches(x, y),
    }
    nets = dn.build(digits_net.trained(), forms[form], samples=FEW)
    assert nets.integer.digest() == best.integer.digest()
    assert nets.available == 1200
    labelled = form in ("dataset", "loader", "batches")
    assert nets.statistics is not None
    assert (nets.statistics.answers is not None) == labelled


def test_the_networks_say_what_made_them(best: dn.Networks) -> None:
    assert best.recipe == dn.BEST
    assert (best.images, best.available) == (48, 1200)
    assert best.statistics is not None
    assert best.statistics.images == 200
    assert best.statistics.answers is not None
    assert best.statistics.answers.images == 200
    assert best.coverage is not None
    assert best.coverage.populations["ReadOut"] == 1
    assert not best.spiking.is_integer
    assert best.integer.is_integer


def test_a_traced_model_and_a_graph_are_not_traced_again(
    images: tuple[np.ndarray, np.ndarray], best: dn.Networks
) -> None:
    traced = dn.trace(digits_net.trained(), images[0][0])
    for model, coverage in ((traced, traced.coverage), (traced.graph, None)):
        nets = dn.build(model, images, samples=FEW)
        assert nets.integer.digest() == best.integer.digest()
        assert nets.coverage == coverage


def test_who_looks_before_anything_is_fitted_may_refuse(images: tuple[np.ndarray, np.ndarray]) -> None:
    seen: list[tuple[int, int]] = []

    def calibrated(analog: dn.AnalogGraph, statistics: dn.Statistics, fit_images: int) -> None:
        seen.append((statistics.images, fit_images))
        raise OutOfRange("not this one")

    for recipe, fitted in ((dn.BEST, 48), (dn.PAPER, 0)):
        with pytest.raises(OutOfRange, match="not this one"):
            dn.build(digits_net.trained(), images, recipe, calibrated=calibrated, samples=FEW)
        assert seen.pop() == (200, fitted)


def test_what_cannot_be_built_is_refused_before_it_costs_time(images: tuple[np.ndarray, np.ndarray]) -> None:
    for given, text in ((np.zeros((0, 1, 8, 8)), "0 images"), (iter(()), "0 given"), (images, "levels: 0")):
        recipe = replace(dn.BEST, levels=0) if text == "levels: 0" else dn.BEST
        with pytest.raises(OutOfRange, match=text):
            dn.build(digits_net.trained(), given, recipe)
    with pytest.raises(UnsupportedModel, match="group_norm"):
        dn.build(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.GroupNorm(1, 2)).eval(), images[0])


def test_a_trace_tells_all_that_is_refused_and_gives_no_graph(images: tuple[np.ndarray, np.ndarray]) -> None:
    traced = dn.trace(
        torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3), torch.nn.GroupNorm(1, 2), torch.nn.Softmax(2), torch.nn.ReLU()
        ).eval(),
        images[0][0],
    )
    assert len(traced.coverage.refused) >= 2
    assert traced.analog is None
    with pytest.raises(UnsupportedModel):
        _ = traced.graph


def test_one_model_is_traced_as_often_as_one_likes(images: tuple[np.ndarray, np.ndarray]) -> None:
    """Of the same object torch.export counts recompilations, and stops at eight."""
    model = digits_net.trained()
    assert len({dn.from_torch(model, images[0][0]).digest() for _ in range(20)}) == 1
