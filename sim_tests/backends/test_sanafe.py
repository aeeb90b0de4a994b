"""SANA-FE: binary spikes neuron for neuron, what is refused, its process, and a count that it publishes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from graphs import Chain, curved, gated, readout, small, snm, weights

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.results import difference
from dnisnm_lava.backends.sanafe import neurons, parent, verify, windows
from dnisnm_lava.errors import BackendFailed, BackendMissing, OutOfRange
from dnisnm_lava.evaluation.equalities import told
from dnisnm_lava.ir import SNM, Input, Projection, SpikingGraph
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.system.machine import free_memory

ROOT = Path(__file__).resolve().parents[2]
installed = pytest.mark.skipif(
    importlib.util.find_spec("sanafe") is None, reason="sanafe is not installed: nothing ran on SANA-FE"
)
AROUND = ((1, 1), (1, 1))


def binary(seed: int, lead: int = 0) -> tuple[SpikingGraph, np.ndarray]:
    """Groups, shortcuts that arrive early, the image late, a lead, a sum-pool, own thresholds and payloads,
    dead neurons, some channels alone, two read-outs; and images on which nothing is taken back."""
    rng = np.random.default_rng(seed)
    a = snm("a", (4, 5, 5), (Projection("input", weights(rng, 4, 2, 3, 3), padding=AROUND),), rng)
    grouped = Projection("a", weights(rng, 4, 2, 3, 3), padding=AROUND, groups=2)
    b = snm("b", (4, 5, 5), (grouped,), rng, lead=lead)
    late = Projection("input", weights(rng, 4, 2, 2, 2))
    early = Projection(
        "a",
        weights(rng, 2, 3, 2, 2),
        source_channels=np.array([3, 0, 1]),
        target_channels=np.array([2, 0]),
        targets=4,
    )
    c = snm("c", (4, 4, 4), (Projection("b", weights(rng, 4, 4, 2, 2), exponent=1), early, late), rng)
    pooled = Projection("c", weights(rng, 3, 36), sum_pool=Window((2, 2), (1, 1), NO_PADDING))
    out = readout("out", (3,), (pooled, Projection("a", weights(rng, 3, 100))), rng)
    pixels = readout("map", (2, 4, 4), (Projection("c", weights(rng, 2, 4, 1, 1)),), rng)
    graph = SpikingGraph((Input("input", (2, 5, 5), np.ones(2), 8), a, b, c, out, pixels), steps=6)
    images = rng.normal(size=(60, 2, 5, 5)) * 30
    run = reference.run(graph, images)
    up = [not any((run.spikes[name][i] < 0).any() for name in run.spikes) for i in range(len(images))]
    return graph, images[up]


@installed
@pytest.mark.parametrize(("seed", "lead"), [(1, 0), (2, 2), (3, 5)])
def test_every_spike_and_sum_is_ours(seed: int, lead: int) -> None:
    graph, images = binary(seed, lead)
    assert len(images) >= 3
    run = reference.run(graph, images[:3])
    assert all(up > 20 for up, _ in run.spike_counts.values())
    found = verify(graph, images[:3])
    assert (found.different, found.first, found.images, found.steps) == (0, "", 3, 6)
    sums = 3 * 6 * (3 + 2 * 4 * 4)
    assert found.spikes_compared == sum(a.size for a in run.spikes.values()) + sums
    assert told([found]) == ["✓ spikes equal, 3 images, 6 steps: integer reference = SANA-FE"]


@installed
def test_a_converted_network_of_one_level_runs_there() -> None:
    graph, x = small(Chain(), (6,))
    run = reference.run(graph, x)
    alone = [i for i in range(len(x)) if not any((a[i] < 0).any() for a in run.spikes.values())]
    assert len(alone) >= 2
    found = verify(graph, x[alone[:2]], steps=4)
    assert (found.different, found.steps) == (0, 4)


@installed
def test_a_network_that_hears_all_before_it_fires_takes_nothing_back() -> None:
    """With a lead of T - 1 currents are over when it fires, so every image may be verified."""
    graph, x = small(Chain(), (6,), lead=5)
    found = verify(graph, x)
    assert (found.different, found.images) == (0, len(x))
    assert all(up for up, _ in reference.run(graph, x).spike_counts.values())


@installed
def test_a_neuron_that_starts_elsewhere_is_found() -> None:
    graph, images = binary(1)
    a = graph["a"]
    assert isinstance(a, SNM)
    lower = replace(a, v_init=a.v_init - 1)  # type: ignore[type-var, union-attr]
    other = replace(graph, populations=tuple(lower if p.name == "a" else p for p in graph))
    ours, theirs = reference.run(graph, images[:4]), neurons.run(other, images[:4])
    found = difference("reference", ours, "SANA-FE", theirs)
    assert found.different > 0
    assert found.first.startswith("a, image ")


@installed
def test_a_spike_that_is_taken_back_would_differ_so_it_is_refused() -> None:
    graph, _ = binary(1)
    images = np.random.default_rng(0).normal(size=(20, 2, 5, 5)) * 30
    ours = reference.run(graph, images)
    back = [i for i in range(20) if any((a[i] < 0).any() for a in ours.spikes.values())]
    image = images[back[:1]]
    count = sum(down for _, down in reference.run(graph, image).spike_counts.values())
    assert count > 0
    with pytest.raises(OutOfRange, match=r"^[abc]: takes back \d+ spikes on .* --lead 5, with which"):
        verify(graph, image)
    assert difference("ours", reference.run(graph, image), "SANA-FE", neurons.run(graph, image)).different > 0


# ---------------------------------------------------------------- refused by name


def changed(**fields: object) -> SpikingGraph:
    """`binary(1)` with other fields of its second population."""
    graph, _ = binary(1)
    b = replace(graph["b"], **fields)  # type: ignore[type-var]
    return replace(graph, populations=tuple(b if p.name == "b" else p for p in graph))


@installed
@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (lambda: changed(two_sided=True), "b: is two-sided, and sends values below 0, and SANA-FE's neurons"),
        (lambda: changed(levels=3), "b: sends up to 3 levels in a step, and"),
        (lambda: changed(band=0.5), "b: has a dead band, and"),
        (lambda: changed(most=4), "b: holds 4 levels at most, and"),
        (lambda: changed(state_bits=20), "b: has a state of 20 bits, and SANA-FE knows 24"),
        (lambda: replace(binary(1)[0], carry=True), "SANA-FE: the network is a stream's"),
        (lambda: small()[0], "conv2.pool: is a MaxPool, whose values go up and down, and"),
        (lambda: small(quantize=False)[0], "SANA-FE: the graph holds floats"),
        (lambda: curved()[0], "conv1: has a curve, and"),
        (lambda: gated()[0], "conv: has a curve, and"),
    ],
)
def test_what_its_neurons_have_not_is_refused_by_name(graph: object, sentence: str) -> None:
    given = graph()  # type: ignore[operator]
    with pytest.raises(OutOfRange) as error:
        verify(given, np.zeros((1, *given.input.image_shape)))
    assert str(error.value).startswith(sentence)


@installed
def test_potentials_that_saturate_are_refused() -> None:
    large = Projection("input", np.full((1, 1), 100, np.int8), exponent=16)
    rng = np.random.default_rng(0)
    a = snm("a", (1,), (large,), rng)
    a = replace(a, vth=np.array([1 << 22], np.int32), payload=np.array([1], np.int32))
    out = readout("out", (1,), (Projection("a", np.ones((1, 1), np.int8)),), rng)
    graph = SpikingGraph((Input("input", (1,), np.ones(1), 8), a, out), steps=3)
    with pytest.raises(OutOfRange, match=r"a: 3 potentials saturate at 24 bits on these images"):
        verify(graph, np.array([[100.0]]))


@installed
def test_weights_that_float32_would_round_are_refused() -> None:
    graph, images = binary(1)
    c = graph["c"]
    first = replace(c.projections[0], exponent=20)  # type: ignore[union-attr]
    c = replace(c, projections=(first, *c.projections[1:]))  # type: ignore[type-var, union-attr]
    graph = replace(graph, populations=tuple(c if p.name == "c" else p for p in graph))
    with pytest.raises(OutOfRange, match=r"c: a spike of b is worth \d+, and SANA-FE takes weights below"):
        neurons.run(graph, images[:1])


@installed
def test_too_many_synapses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MOST_SYNAPSES", 1000)
    graph, images = binary(1)
    with pytest.raises(
        OutOfRange, match=r"SANA-FE: \d,\d{3} synapses, for which it takes some 0.0 GB; give a"
    ):
        neurons.run(graph, images[:1])


# ---------------------------------------------------------------- its process


def test_where_it_is_missing_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent.importlib.util, "find_spec", lambda name: None)
    graph, images = binary(1)
    with pytest.raises(BackendMissing, match=r"sanafe is not installed in this Python; .*\.\[sanafe\]"):
        verify(graph, images[:1])


@installed
def test_its_deadline_ends_it() -> None:
    graph, images = binary(1)
    with pytest.raises(BackendFailed, match=r"SANA-FE: no result after the deadline of 0\.05 s"):
        verify(graph, images[:1], deadline=0.05)


@installed
def test_what_its_process_says_last_is_in_the_error() -> None:
    with pytest.raises(BackendFailed, match=r"SANA-FE: the simulator's process failed .*KeyError: 'nothing'"):
        parent.in_child({"ask": "nothing"})


@installed
def test_progress_is_told_in_steps_of_the_chip() -> None:
    graph, images = binary(2, 2)
    seen: list[tuple[int, int]] = []
    verify(graph, images[:2], progress=lambda done, of: seen.append((done, of)))
    start = graph.window_starts()
    last = (6 + 2) + max(start[name] + 6 for name in ("out", "map", "c"))
    assert seen[-1] == (last, last)
    assert seen == sorted(seen)


# ---------------------------------------------------------------- the installation

# SANA-FE's own example: gestures of an event camera, whose weights its package brings. Its tutorial says how
# many firings there are in 1,000 steps, and so does nothing of ours.
PUBLISHED = 365_277
GESTURES = """
import sys
from importlib.resources import files
from pathlib import Path
import numpy as np, sanafe
from dnisnm_lava.backends.sanafe import preset

given = np.load(files("sanafe.examples") / "dvs_challenge.npz")
architecture, chip = preset.chip_of(preset.installed(), 42, 1, Path(sys.argv[1]))
net, cores = sanafe.Network(), iter(architecture.cores())
threshold = [{"threshold": int(value)} for value in given["thresholds"]]

def placed(group, count):
    each = len(group) // count
    taken = [next(cores) for _ in range(count)]
    for i, neuron in enumerate(group):
        neuron.map_to_core(taken[min(i // each, count - 1)])
    return group

before, size, channels = placed(net.create_neuron_group("0", 1024, model_attributes=threshold[0]), 1), 32, 1
for neuron, bias in zip(before, given["inputs"]):
    neuron.set_attributes(model_attributes={"bias": float(bias)})
for i, (stride, count) in enumerate(((2, 4), (1, 16), (1, 16), (1, 4)), start=1):
    kernel = given[f"conv{i}"]
    width, rows, after = kernel.shape[0], (size - kernel.shape[0]) // stride + 1, kernel.shape[3]
    group = placed(net.create_neuron_group(str(i), rows * rows * after, model_attributes=threshold[i]), count)
    before.connect_neurons_conv2d(
        group, {"w": kernel.ravel()}, size, size, channels, width, width, after, stride, stride
    )
    before, size, channels = group, rows, after
last = placed(net.create_neuron_group("5", 11, model_attributes=threshold[5]), 1)
before.connect_neurons_dense(last, {"w": given["dense1"].ravel()})
chip.load(net)
print("fired", chip.sim(1000)["neurons_fired"])
"""


@installed
@pytest.mark.campaign
@pytest.mark.skipif(free_memory() < 6 << 30, reason="SANA-FE's own example takes 3 GB of memory")
def test_its_own_example_fires_as_often_as_it_publishes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", GESTURES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.stdout.splitlines()[-1:] == [f"fired {PUBLISHED}"], done.stderr[-400:]


def test_nothing_of_its_sources_or_presets_is_here() -> None:
    """It is GPL-3: no file of its, and no energy of its preset, which is read where it is installed."""
    here = "\n".join(p.read_text() for p in (ROOT / "dnisnm_lava/backends/sanafe").glob("*.py"))
    here += (ROOT / "dnisnm_lava/studies/costs/replay.py").read_text()
    assert "University of Texas" not in here
    assert not [price for price in ("e-12", "e-9", "35.5", "69.3", "111.0", "51.2") if price in here]
