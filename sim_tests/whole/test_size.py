"""What a large network takes is told before time is spent on it, and is what it takes."""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from graphs import ResidualPoolNet, images, randomized, small
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.cli import sizes
from dnisnm_lava.ir import SNM, SpikingGraph
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from dnisnm_lava.stages.recipes import Recipe
from exporters import netx

CHANNEL = replace(recipes.BEST, granularity="channel", share="channel")
NOTHING_OWN = replace(CHANNEL, correct=())
SHAPE = (2, 6, 6)


def test_a_large_network_s_size_is_told_and_a_small_one_s_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    analog = dn.from_torch(nn.Linear(3, 1000), images(1, (3,), 0)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes._tell_size("net.py:net", analog, recipes.PAPER, 100)
    monkeypatch.setattr(sizes, "MANY_NEURONS", 1000)
    monkeypatch.setattr(sizes, "FILE_BYTES", {"theta": 8_000, "payload": 0, "v_init": 4_000})
    with pytest.warns(
        UserWarning,
        match=r"^net.py:net: 1,000 neurons: about 0\.0 GB .* of 100 images to fit on; a file takes 12 MB",
    ) as told:
        sizes._tell_size("net.py:net", analog, replace(CHANNEL, granularity="neuron"), 100)
    assert len(told) == 1
    with pytest.warns(
        UserWarning,
        match=r"maxima; a file takes 12 MB .* take less, and --granularity channel --share channel$",
    ):
        sizes._tell_size("net.py:net", analog, recipes.PAPER, 0)
    with pytest.warns(UserWarning, match="a file takes 4 MB .* take less$"):
        sizes._tell_size("net.py:net", analog, CHANNEL, 100)
    with pytest.warns(UserWarning, match="a file takes 0 MB"):
        sizes._tell_size("net.py:net", analog, NOTHING_OWN, 100)


def test_a_large_network_s_time_is_told_by_what_calibration_took(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images(4, (3,), 0)
    analog = dn.from_torch(nn.Linear(3, 1000), x[0])
    stats = dn.calibrate(analog, [x[:2], x[2:]])
    assert 0 < stats.seconds < 60
    stats = replace(stats, seconds=0.5)
    recipe = replace(recipes.BEST, steps=8, threshold="sequential", rounding="compensated")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes._tell_time("net.py:net", analog, recipe, stats, 10)
        monkeypatch.setattr(sizes, "MANY_NEURONS", 1000)
        sizes._tell_time("net.py:net", analog, recipes.PAPER, stats, 0)
    with pytest.warns(
        UserWarning,
        match=r"took 0\.5 s an image; fitting and rounding make 16 or more of each of 10 images: at "
        r"least 1.3 min; ",
    ):
        sizes._tell_time("net.py:net", analog, recipe, stats, 10)


@pytest.mark.parametrize(
    ("recipe", "runs"),
    [
        (recipes.PAPER, 0),
        (replace(recipes.PAPER, rounding="compensated"), 1),
        (replace(recipes.PAPER, correct=("bias",)), 1),
        (replace(recipes.PAPER, threshold="mmse"), 0),
        (replace(recipes.PAPER, threshold="mmse", rounding="compensated"), 1),
        (replace(recipes.PAPER, correct=("bias",), rounding="compensated"), 1),
        (replace(recipes.PAPER, threshold="sequential"), 2),
    ],
)
def test_the_runs_of_a_recipe_are_those_that_fit_makes(
    recipe: Recipe, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last rectifier's currents of all steps, as `activity` computes them."""
    from dnisnm_lava.stages.fitting import activity

    heard, currents = [], activity.currents
    monkeypatch.setattr(activity, "currents", lambda p, *rest: heard.append(p.name) or currents(p, *rest))
    x = images(6, SHAPE, 0)
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), x[0])
    follow(replace(recipe, steps=2), analog, dn.calibrate(analog, [x]), x)
    assert heard.count("conv3") == runs == recipe.runs


def test_a_file_grows_by_as_many_bytes_a_neuron_as_is_told(tmp_path: Path) -> None:
    graph = small()[0]
    neurons = sum(prod(p.shape) for p in graph.of(SNM))
    told = sum(sizes.FILE_BYTES[key] for key in sizes._own_constants(recipes.PAPER)) * neurons
    assert held(graph) == told
    assert netx.write(tmp_path / "network.net", graph).stat().st_size >= told


@pytest.mark.parametrize(("recipe", "own"), [(CHANNEL, {"v_init"}), (NOTHING_OWN, set())])
def test_what_channels_share_takes_memory_once(recipe: Recipe, own: set[str]) -> None:
    x = images(6, SHAPE, 0)
    analog = dn.from_torch(randomized(ResidualPoolNet(), 0), x[0])
    made = follow(replace(recipe, steps=2), analog, dn.calibrate(analog, [x]), x)
    assert set(sizes._own_constants(recipe)) == own
    for p in (*made.spiking.of(SNM), *made.integer.of(SNM)):
        assert not any(p.vth.strides[1:] + p.payload.strides[1:])
        assert any(p.v_init.strides[1:]) == (bool(own) and not p.two_sided)


def held(graph: SpikingGraph) -> int:
    """Bytes of constants in memory: of those that are shared, of one."""
    arrays = (a for p in graph.of(SNM) for a in (p.vth, p.payload, p.v_init))
    return sum(
        a.itemsize * prod(n for n, stride in zip(a.shape, a.strides, strict=True) if stride) for a in arrays
    )


def test_a_payload_is_its_threshold_in_memory_and_maxima_are_floats_of_the_ann() -> None:
    graph = small(quantize=False)[0]
    assert all(np.shares_memory(p.vth, p.payload) for p in graph.of(SNM))
    own = replace(recipes.BEST, granularity="neuron", share="neuron")
    assert sizes._own_constants(own) == ["theta", "payload", "v_init"]
    assert sizes._own_constants(replace(own, correct=())) == ["theta", "v_init"]
    x = images(4, (3,), 0)
    stats = dn.calibrate(dn.from_torch(nn.Linear(3, 5), x[0]), [x])
    assert {a.dtype for a in (*stats.high.values(), *stats.low.values())} == {np.dtype(np.float32)}
