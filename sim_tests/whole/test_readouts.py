"""A read-out's sums mean one thing: one unit for all its channels, whatever made it; old files with several
are weighed."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from drawn_recipes import drawn
from graphs import images, randomized
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava.backends import batched, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.evaluation import early, exits
from dnisnm_lava.ir import ReadOut
from dnisnm_lava.stages import recipes
from dnisnm_lava.stages.networks import follow
from exporters import netx


class ThreeOutputs(nn.Module):
    """A class, a map and a vector that has another shape than its sums; channels of very different ranges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head, self.fc = nn.Conv2d(4, 3, 1), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        a = torch.relu(self.conv1(x))
        b = torch.relu(a + self.conv2(a))
        pooled = nn.functional.adaptive_avg_pool2d(b, 2).flatten(1)
        return self.fc(pooled), self.head(b), self.head(a).reshape(-1, 3 * 36)


@cache
def prepared(seed: int) -> tuple[dn.AnalogGraph, dn.Statistics, np.ndarray]:
    model, x = randomized(ThreeOutputs(), seed), images(12, (2, 6, 6), seed)
    with torch.no_grad():  # classes whose weights and biases are of very different size
        spread = 4.0 ** torch.arange(-1, 3)
        model.fc.weight *= spread[:, None]
        model.fc.bias *= spread.flip(0) ** 2
    analog = dn.from_torch(model, x[0])
    return analog, dn.calibrate(analog, x), x


def assert_one_unit(integer: dn.SpikingGraph) -> None:
    assert len(integer.readouts) == 3
    for p in integer.readouts:
        assert p.unit is not None
        np.testing.assert_array_equal(p.unit, np.full_like(p.unit, p.unit[0]))
        assert integer.units[p.name].shape == ()


@settings(max_examples=25)
@given(recipe=drawn(names=()), seed=st.integers(0, 1), state_bits=st.sampled_from([24, 14, 10]))
def test_whatever_makes_a_read_out_gives_it_one_unit(
    recipe: recipes.Recipe, seed: int, state_bits: int
) -> None:
    """With few bits of state the range of a channel decides its unit. The classes from worths are those from
    integers."""
    analog, stats, x = prepared(seed)
    made = follow(replace(recipe, steps=2), analog, stats, x)
    integer = dn.quantize(
        made.spiking,
        weight_bits=recipe.weight_bits,
        payload_bits=recipe.payloads,
        spikes=recipe.spikes,
        state_bits=state_bits,
        readings=made.readings,
    )
    for graph in (made.integer, integer):
        assert_one_unit(graph)
    run = batched.run(made.integer, x)
    for t in (1, 2):
        np.testing.assert_array_equal(run.predictions(t), run.values(t).argmax(axis=1))


def test_the_range_decides_in_a_channel_of_the_default_recipe() -> None:
    """Without a common unit, channels would differ here: the property above is not an empty one."""
    analog, stats, x = prepared(0)
    made = follow(recipes.BEST, analog, stats, x)
    readout = made.spiking.readout
    least = np.maximum(readout.v_range, np.abs(readout.bias)) * 1.25 / (2.0**9 - 1)
    integer = dn.quantize(made.spiking, readings=dn.readings(made.spiking, x), state_bits=10)
    assert integer.readout.unit is not None
    assert integer.readout.unit[0] >= least.max() > 2 * least.min()


def test_several_units_are_refused_where_a_graph_is_built() -> None:
    analog, stats, _ = prepared(0)
    integer = dn.quantize(dn.convert(analog, stats, steps=2))
    with pytest.raises(
        OutOfRange,
        match=r"a read-out of 4 units, whose largest sum is not the class; give all channels one unit",
    ):
        replace(integer, populations=(*integer.populations[:-3], *_of_several_units(integer, weighed=False)))


def _of_several_units(graph: dn.SpikingGraph, weighed: bool) -> list[ReadOut]:
    """The read-outs with a unit of its own for each channel of the first: the classes of its sums and of its
    worths differ."""
    first, *others = graph.readouts
    assert first.unit is not None
    unit = first.unit * np.array([1.0, 5.0, 50.0, 0.01])
    return [replace(first, unit=unit, weighed=weighed), *others]


@pytest.fixture(scope="module")
def old() -> tuple[dn.SpikingGraph, np.ndarray, Path]:
    """What a file of 0.1.0 may hold, images, and such a file."""
    analog, stats, x = prepared(1)
    integer = dn.quantize(dn.convert(analog, stats, steps=4))
    graph = replace(
        integer, populations=(*integer.populations[:-3], *_of_several_units(integer, weighed=True))
    )
    path = Path(tempfile.mkdtemp()) / "old.net"
    netx.write(path, integer)
    with h5py.File(path, "r+") as file:
        neurons = [
            file[f"layer/{i}/neuron"] for i in range(len(file["layer"])) if "neuron" in file[f"layer/{i}"]
        ]
        (group,) = [g for g in neurons if "readout" in g and g["unit"].shape == (4,)]
        group["unit"][...] = graph.readout.unit
    return graph, x, path


def test_an_old_file_is_read_with_a_warning(old: tuple[dn.SpikingGraph, np.ndarray, Path]) -> None:
    graph, _, path = old
    with pytest.warns(
        UserWarning, match=r"counts in 4 units, as files of 0.1.0 may: .* convert the network anew"
    ):
        read = netx.read(path)
    assert read == graph
    again = path.with_name("again.net")
    netx.write(again, read)
    with pytest.warns(UserWarning, match="4 units"):
        assert netx.read(again) == graph


def test_an_old_files_classes_are_those_of_its_worths(old: tuple[dn.SpikingGraph, np.ndarray, Path]) -> None:
    """Oracle: the sums of the reference times the units, by hand; and the ANN is met more often than by the
    sums alone."""
    graph, x, _ = old
    exact, fast = reference.run(graph, x), batched.run(graph, x)
    np.testing.assert_array_equal(exact.logits, fast.logits)
    worth = exact.logits * graph.readout.unit
    for t in range(1, 5):
        for run in (exact, fast):
            np.testing.assert_array_equal(run.predictions(t), worth[:, t - 1].argmax(axis=1))
            np.testing.assert_array_equal(run.values(t), exact.logits[:, t - 1] * graph.readout.unit / t)
    assert (worth.argmax(axis=2) != exact.logits.argmax(axis=2)).any()


def test_an_old_files_early_exits_go_by_worths(old: tuple[dn.SpikingGraph, np.ndarray, Path]) -> None:
    graph, x, _ = old
    run = batched.run(graph, x)
    bounds = exits.calibrate(run.scores, 0.9)
    steps = exits.exit_steps(run.scores, bounds)
    stopped = early.run(graph, x, bounds)
    np.testing.assert_array_equal(stopped.steps, steps)
    first_two = np.sort(run.logits * graph.readout.unit, axis=2)[:, :, -2:]
    reached = (first_two[:, :, 1] - first_two[:, :, 0]) >= bounds.bounds
    np.testing.assert_array_equal(steps, reached.argmax(axis=1) + 1)
    np.testing.assert_array_equal(
        stopped.classes, (run.logits * graph.readout.unit)[np.arange(len(x)), steps - 1].argmax(axis=1)
    )


@pytest.mark.parametrize("name", [None, 1, 2])
def test_values_have_the_models_shapes_and_approach_it(name: int | None) -> None:
    """Quantized, T = 32: within a tenth of the output's own spread; a unit forgotten is off by far more."""
    analog, stats, x = prepared(0)
    integer = dn.quantize(dn.convert(analog, stats, steps=32, levels=4))
    run, outputs = batched.run(integer, x), analog.outputs(x)
    readout = integer.readouts[name or 0].name
    wanted = outputs[readout]
    found = run.values(32, None if name is None else readout)
    assert found.shape == wanted.shape
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.1 * wanted.std()
    with pytest.raises(IndexError, match="step 33 asked for; the run has steps 1 to 32"):
        run.values(33)
    with pytest.raises(KeyError, match="read-out 'nobody' asked for"):
        run.values(1, "nobody")
