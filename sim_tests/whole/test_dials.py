"""The equalities of docs/design.md, 1.4, with every dial of a recipe drawn."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import oracle
import pytest
from drawn_recipes import drawn
from graphs import ResidualPoolNet, images, randomized
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import assert_same
from threadpoolctl import threadpool_limits

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.results import difference
from dnisnm_lava.ir.integers import encode_images
from dnisnm_lava.stages.networks import Networks, follow
from dnisnm_lava.stages.recipes import Recipe
from exporters import netx

lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


@cache
def prepared(seed: int) -> tuple[dn.AnalogGraph, dn.Statistics, np.ndarray]:
    x = images(16, (2, 6, 6), seed)
    analog = dn.from_torch(randomized(ResidualPoolNet(), seed), x[0])
    return analog, dn.calibrate(analog, [x]), x


def made(recipe: Recipe, seed: int) -> tuple[Networks, np.ndarray]:
    analog, stats, x = prepared(seed)
    return follow(recipe, analog, stats, x), x[:3] * np.float32(1.1)  # some pixels clip


@settings(max_examples=50)
@given(recipe=drawn(), seed=st.integers(0, 2))
def test_integers_are_the_same_in_python_in_every_executor_and_in_a_file(recipe: Recipe, seed: int) -> None:
    networks, x = made(recipe, seed)
    integer = networks.integer
    exact = reference.run(integer, x)
    assert_same(exact, batched.run(integer, x, record=True))
    codes, _ = encode_images(integer, x)
    by_hand = oracle.simulate(integer, codes[0], recipe.steps)
    for name, trace in exact.spikes.items():
        np.testing.assert_array_equal(trace[0], by_hand[name], err_msg=name)
    np.testing.assert_array_equal(exact.logits[0].ravel(), by_hand[integer.readout.name].ravel())
    with tempfile.TemporaryDirectory() as folder:
        read = netx.read(netx.write(Path(folder) / "a.net", integer))
    assert read == integer
    assert_same(exact, batched.run(read, x, record=True))


@lava_needed
@settings(max_examples=6)
@given(recipe=drawn(), seed=st.integers(0, 2))
def test_lava_fixed_point_has_the_same_integers(recipe: Recipe, seed: int) -> None:
    networks, x = made(recipe, seed)
    rows = difference(
        "batched", batched.run(networks.integer, x, record=True), "lava", lava_cpu.run(networks.integer, x)
    )
    assert rows.different == 0, rows.first


@lava_needed
@settings(max_examples=4)
@given(recipe=drawn(), seed=st.integers(0, 2))
def test_lava_floating_point_has_the_same_floats(recipe: Recipe, seed: int) -> None:
    networks, x = made(replace(recipe, rounding="nearest"), seed)
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(networks.spiking, x)
    rows = difference("reference", expected, "lava", lava_cpu.run(networks.spiking, x))
    assert rows.different == 0, rows.first


@settings(max_examples=15)
@given(recipe=drawn(), seed=st.integers(0, 2))
def test_the_float_executors_agree_on_every_class(recipe: Recipe, seed: int) -> None:
    """Float batched sums in another order than the float reference: spikes may flip at a tie, and almost
    never do."""
    networks, x = made(replace(recipe, rounding="nearest"), seed)
    a, b = reference.run(networks.spiking, x), batched.run(networks.spiking, x, record=True)
    assert a.spike_counts == b.spike_counts
