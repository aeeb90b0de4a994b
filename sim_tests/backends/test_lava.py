"""Lava: spike for spike, for every sample of a stream."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import (
    Chain,
    curved,
    curved_graphs,
    gated,
    gated_graphs,
    integer_graphs,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits
from torch import nn

from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.lava_cpu import parent
from dnisnm_lava.backends.results import Run, difference
from dnisnm_lava.errors import BackendFailed, BackendMissing, OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, Projection, SpikingGraph
from dnisnm_lava.ir.curves import through
from dnisnm_lava.stages.streaming import streaming
from dnisnm_lava.system.extras import missing

ROOT = Path(__file__).resolve().parents[2]
lava_needed = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


class Shared(nn.Module):
    """A linear tensor that two layers read, and a layer behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (
            nn.Conv2d(4, 1, 1),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Conv2d(1, 8, 3, padding=1),
        )
        self.d, self.fc = nn.Conv2d(8, 6, 3), nn.Linear(54, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        x = torch.relu(self.b(x)) + torch.relu(self.c(x))
        return self.fc(torch.relu(self.d(x)).flatten(1))


def assert_equal(a: Run, b: Run) -> None:
    rows = difference("a", a, "b", b)
    assert rows.different == 0, rows.first
    assert a.saturations == b.saturations
    assert any(trace.any() for trace in a.spikes.values())


# ---------------------------------------------------------------- equality


@lava_needed
@pytest.mark.parametrize(
    "options",
    [{}, {"levels": 3}, {"lead": 2}, {"lead": {"conv1": 2, "conv2": 0, "conv3": 3}, "levels": 2}],
    ids=["paper", "levels", "lead", "uneven leads"],
)
def test_lava_fixed_point_equals_batched(options: dict[str, object]) -> None:
    graph, x = small(**options)
    assert_equal(batched.run(graph, x[:4], record=True), lava_cpu.run(graph, x[:4]))


@lava_needed
@pytest.mark.parametrize("options", [{}, {"levels": 2, "lead": 1}], ids=["paper", "levels and lead"])
def test_lava_floating_point_equals_the_reference(options: dict[str, object]) -> None:
    graph, x = small(quantize=False, **options)
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(graph, x[:3])
    assert_equal(expected, lava_cpu.run(graph, x[:3]))


@lava_needed
@settings(max_examples=8)
@given(graph=integer_graphs(), seed=st.integers(0, 1000))
def test_lava_equals_the_reference_on_any_graph(graph: SpikingGraph, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-127, 128, (2, *graph.input.shape)).astype(float)
    rows = difference("reference", reference.run(graph, x), "Lava", lava_cpu.run(graph, x))
    assert rows.different == 0, rows.first


@lava_needed
@pytest.mark.parametrize("integers", [True, False], ids=["fixed_pt", "floating_pt"])
@pytest.mark.parametrize("down", [0.0, 0.3])
def test_lower_thresholds_of_relays_and_rectifiers(integers: bool, down: float) -> None:
    """A relay that two rectifiers read, all with the same share, and both kinds take back."""
    graph, x = small(Shared(), (4, 5, 5), quantize=integers)
    graph = replace(
        graph, populations=tuple(replace(p, down=down) if isinstance(p, SNM) else p for p in graph)
    )
    assert [p.two_sided for p in graph.of(SNM)].count(True) == 1
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(graph, x[:3])
    run = lava_cpu.run(graph, x[:3])
    assert sum((trace < 0).any() for trace in run.spikes.values()) >= 2
    assert_equal(expected, run)


@lava_needed
@pytest.mark.parametrize("integers", [True, False], ids=["fixed_pt", "floating_pt"])
def test_neurons_with_curves(integers: bool) -> None:
    """A leaky rectifier of each channel's slope, and SiLU; several levels and a lead, on three images."""
    graph, x = curved(steps=4, levels=2, lead=1, quantize=integers)
    assert [p.curve is not None and p.curve.is_exact for p in graph.of(SNM)] == [True, False]
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(graph, x[:3])
    assert sum((trace < 0).any() for trace in expected.spikes.values()) >= 2
    assert_equal(expected, lava_cpu.run(graph, x[:3], period=7))


@lava_needed
@pytest.mark.parametrize("integers", [True, False], ids=["fixed_pt", "floating_pt"])
def test_a_stream_of_neurons_with_curves(integers: bool) -> None:
    """Steps are counted in the first frame, and all summed in the next ones; with a dead band and a lead."""
    graph, x = curved(levels=7, lead=1, quantize=integers)
    graph = streaming(graph, steps=2, hysteresis=0.5, levels=4)
    frames = np.repeat(x[:2], 2, axis=0)
    frames[3] = frames[0]
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(graph, frames)
    assert_equal(expected, lava_cpu.run(graph, frames))


@lava_needed
@settings(max_examples=4)
@given(graph=curved_graphs(), seed=st.integers(0, 1000))
def test_lava_equals_the_reference_on_any_curves(graph: SpikingGraph, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-127, 128, (2, *graph.input.shape)).astype(float)
    expected, run = reference.run(graph, x), lava_cpu.run(graph, x)
    rows = difference("reference", expected, "Lava", run)
    assert rows.different == 0, rows.first
    assert expected.saturations == run.saturations


@lava_needed
@pytest.mark.parametrize("integers", [True, False], ids=["fixed_pt", "floating_pt"])
def test_gates(integers: bool) -> None:
    """Squeeze and excitation, whose map waits for its gate; in windows with silence between them, then as a
    stream."""
    graph, x = gated(steps=3, levels=7, lead=1, quantize=integers)
    assert [graph[p.gate].shape for p in graph.of(Gate)] == [(4, 1, 1)]
    stream = streaming(graph, steps=2, hysteresis=0.5)
    with threadpool_limits(1, user_api="blas"):
        expected = reference.run(graph, x[:3]), reference.run(stream, x[:3])
    gates = [run.spikes[graph.of(Gate)[0].name] for run in expected]
    assert all(spikes.any() for spikes in gates)
    assert_equal(expected[0], lava_cpu.run(graph, x[:3], period=7))
    assert_equal(expected[1], lava_cpu.run(stream, x[:3]))


@lava_needed
@settings(max_examples=4)
@given(graph=gated_graphs(), seed=st.integers(0, 1000))
def test_lava_equals_the_reference_on_any_gates(graph: SpikingGraph, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-127, 128, (2, *graph.input.shape)).astype(float)
    rows = difference("reference", reference.run(graph, x), "Lava", lava_cpu.run(graph, x))
    assert rows.different == 0, rows.first


@lava_needed
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"gate_shape": (2, 3)}, r"Gate: a gate of \(2, 3\) does not broadcast to \(2, 2\)"),
        ({"gate_shape": (1,)}, r"Gate: a gate of \(1,\) does not broadcast to \(2, 2\)"),
        ({"gain": 3}, r"Gate: gain has shape \(\); give one for each of 2 channels"),
        ({"period": 3}, "Gate: steps 4, levels 1, period 3, offset 0; .* the period >= steps"),
        ({"levels": 0}, "Gate: steps 4, levels 0, period 4, offset 0; steps and levels must be >= 1"),
    ],
)
def test_a_gate_refuses_what_cannot_be(options: dict[str, object], match: str) -> None:
    from dnisnm_lava.procs.gate.process import Gate

    sound = {"shape": (2, 2), "gate_shape": (2, 1), "vth": 4, "payload": 1, "gain": [1, 2], "steps": 4}
    with pytest.raises(ValueError, match=match):
        Gate(**{**sound, **options})


@lava_needed
def test_a_period_longer_than_the_window_leaves_silence_between() -> None:
    graph, x = small(lead=1)
    assert_equal(batched.run(graph, x[:3], record=True), lava_cpu.run(graph, x[:3], period=16))


@lava_needed
def test_paths_of_every_length_are_aligned() -> None:
    """A shortcut over two populations with leads, and one from the image: delays of several steps."""
    rng = np.random.default_rng(3)
    first = snm("a", (5,), (Projection("input", weights(rng, 5, 4)),), rng, lead=1)
    second = snm("b", (5,), (Projection("a", weights(rng, 5, 5)),), rng, lead=2)
    third = snm(
        "c",
        (5,),
        (
            Projection("b", weights(rng, 5, 5)),
            Projection("a", weights(rng, 5, 5)),
            Projection("input", weights(rng, 5, 4)),
        ),
        rng,
    )
    last = readout(
        "out", (3,), (Projection("c", weights(rng, 3, 5)), Projection("a", weights(rng, 3, 5))), rng
    )
    graph = SpikingGraph((Input("input", (4,), np.ones(4), 8), first, second, third, last), steps=7)
    x = rng.integers(-127, 128, (4, 4)).astype(float)
    assert_equal(reference.run(graph, x), lava_cpu.run(graph, x))


@lava_needed
def test_saturations_are_counted_in_lava_too() -> None:
    rng = np.random.default_rng(4)
    heavy = Projection("input", np.full((2, 64), -127, np.int8), exponent=3)
    graph = SpikingGraph(
        (
            Input("input", (64,), np.ones(64), 8),
            snm("a", (2,), (heavy,), rng),
            readout("out", (1,), (Projection("a", weights(rng, 1, 2)),), rng),
        ),
        steps=5,
    )
    x = np.full((2, 64), 127.0)
    expected, run = batched.run(graph, x, record=True), lava_cpu.run(graph, x)
    assert run.saturations == expected.saturations
    assert run.saturations["a"] > 0
    assert difference("batched", expected, "Lava", run).different == 0


@lava_needed
def test_only_what_is_asked_for_is_recorded() -> None:
    graph, x = small(Chain(), (6,))
    run = lava_cpu.run(graph, x[:2], record=["fc2"])
    assert list(run.spikes) == ["fc2"]
    np.testing.assert_array_equal(run.logits, batched.run(graph, x[:2]).logits)


# ---------------------------------------------------------------- an SNM of one's own


@lava_needed
def test_the_example_that_wires_snm_by_hand_is_equal() -> None:
    done = subprocess.run(
        [sys.executable, "examples/snm_in_lava.py"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        start_new_session=True,
    )
    assert done.stdout.splitlines()[-1] == "equal", done.stdout + done.stderr


@lava_needed
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"vth": [3, -1]}, "SNM: 1 of 2 thresholds are negative"),
        ({"down": 1.5}, "SNM: down 1.5; give 0 to 1, a share of the threshold"),
        ({"down": float("nan")}, "SNM: down nan; give 0 to 1"),
        ({"steps": 0}, "steps 0, levels 1"),
        ({"period": 3, "lead": 1}, "period 3 is shorter than steps \\+ lead = 5"),
        ({"curve": through("leaky", [0.0], [0.1, 1.0])}, "SNM: a curve of float64 and thresholds of int64"),
        (
            {"vth": [3.0, 4.0], "curve": through("leaky", [0.0], [np.ones(3), 1.0])},
            "SNM: a curve of 3 rows, 1 knots",
        ),
        (
            {"vth": [3.0, 4.0], "curve": through("leaky", [0.0], [0.1, 1.0]), "channels": 1},
            r"SNM: channels 1 given; give an axis of \(2,\)",
        ),
    ],
)
def test_snm_refuses_what_cannot_be(options: dict[str, object], match: str) -> None:
    from dnisnm_lava.procs.snm.process import SNM

    with pytest.raises(ValueError, match=match):
        SNM(**{"shape": (2,), "vth": [3, 4], "steps": 4, **options})


def test_each_process_stands_alone_in_its_folder() -> None:
    """Lava executes every file beside a Process. That for neuro cores defines nothing where their extension
    is not installed."""
    for folder in (ROOT / "dnisnm_lava/procs").iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert {f.name for f in folder.iterdir() if f.is_file()} - {"ncmodels.py"} == {
                "models.py",
                "process.py",
            }


# ---------------------------------------------------------------- the child that fails (sim_tests/faults: in
# every other way)


@lava_needed
def test_the_childs_error_reaches_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lava").mkdir()
    (tmp_path / "lava/__init__.py").write_text("raise OSError('this Lava is broken')")
    monkeypatch.setattr(parent, "require_lava", lambda: None)
    graph, x = small(Chain(), (6,))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from dnisnm_lava.backends.lava_cpu import child\n"
        "child.main(child.Path(sys.argv[2]))\n"
    )
    original = parent.run_child

    def run_child(command: list[str], folder: str, *rest: object) -> None:
        original([sys.executable, "-c", program, str(tmp_path), folder], folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(parent, "run_child", run_child)
    with pytest.raises(BackendFailed, match="Its last words: OSError: this Lava is broken"):
        lava_cpu.run(graph, x[:1], deadline=30)


# ---------------------------------------------------------------- bad input


def test_lava_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, x = small(Chain(), (6,))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match=re.escape(missing("lava-nc", "lava"))):
        lava_cpu.run(graph, x[:1])


def test_windows_that_would_overlap_are_refused() -> None:
    graph, x = small(Chain(), (6,), lead=2)
    with pytest.raises(OutOfRange, match="period: 7 steps given; windows of 8 steps would overlap"):
        lava_cpu.run(graph, x[:1], period=7)


def test_currents_beyond_lavas_int32_are_refused_before_they_wrap() -> None:
    rng = np.random.default_rng(0)
    wide = Projection("input", np.full((1, 4096), 127, np.int8), exponent=6)
    graph = SpikingGraph(
        (
            Input("input", (4096,), np.ones(4096), 8),
            snm("a", (1,), (wide,), rng),
            readout("out", (1,), (Projection("a", weights(rng, 1, 1)),), rng),
        ),
        steps=1,
    )
    with pytest.raises(OutOfRange, match="a: currents may reach 4228120576, beyond Lava's int32 channels"):
        lava_cpu.run(graph, np.zeros((1, 4096)))


@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_are_refused_by_every_executor(steps: int) -> None:
    graph, x = small(Chain(), (6,))
    for run in (reference.run, batched.run, lava_cpu.run):
        with pytest.raises(OutOfRange, match=f"steps: {steps} given; give 1 or more"):
            run(graph, x[:1], steps=steps)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((2, 5)), r"images: shape \(2, 5\) given, \(N, 6\) needed"),
        (np.zeros((0, 6)), "images: 0 given"),
        (np.array([[0, 1, np.inf, 0, 0, 0]]), "images: 1 of 6 values are NaN or infinite"),
    ],
)
def test_bad_images_are_refused_by_every_executor(images: np.ndarray, match: str) -> None:
    graph, _ = small(Chain(), (6,))
    for run in (reference.run, batched.run, lava_cpu.run):
        with pytest.raises(OutOfRange, match=match):
            run(graph, images)


def test_the_last_line_of_an_ended_child_is_waited_for(tmp_path: Path) -> None:
    """On a busy machine it comes when the child is gone already."""
    (tmp_path / "stderr.txt").touch()
    told: list[tuple[int, int]] = []
    command = ["sh", "-c", "(sleep 0.7; echo step 3 4; echo done) & exit 0"]
    parent.run_child(command, str(tmp_path), 20.0, lambda done, of: told.append((done, of)))
    assert told == [(3, 4)]
