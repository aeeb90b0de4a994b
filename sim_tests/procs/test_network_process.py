"""A whole network as one Lava process: beside stock processes, in a user's own network, from `lava-env`'s
Python."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import ROOT, in_child, main
from graphs import curved, gated, randomized, small
from outputs import Both

from dnisnm_lava.backends import batched, reference
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.integers import encode_images
from exporters import netx

EXAMPLE = ROOT / "examples/network_in_lava.py"
SAMPLES, PERIOD, OFFSET = 3, 11, 2
MADE = {"residual": small, "gated": gated, "curved": curved}
OPTIONS: dict[str, dict[str, Any]] = {"residual": {"levels": 2, "lead": 1}, "gated": {}, "curved": {}}


def network(kind: str) -> tuple[SpikingGraph, np.ndarray]:
    graph, x = MADE[kind](**OPTIONS[kind])
    return graph, x[:SAMPLES]


def in_lava(graph: SpikingGraph, images: np.ndarray, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """A stock source, the network, and a stock sink for each of its ports; two sources at one port add up."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    from dnisnm_lava.procs.network.process import Network

    codes, _ = encode_images(graph, images)
    dtype = np.int32 if graph.is_integer else float
    process = Network(graph=graph, period=PERIOD, offset=OFFSET, also=also)
    steps = process.answer(SAMPLES - 1) + 2
    sent = np.zeros((*codes.shape[1:], steps), dtype)
    for n, image in enumerate(codes):
        begin = OFFSET + n * PERIOD
        sent[..., begin : begin + graph.steps] = image[..., None]
    halves = [sent // 2, sent - sent // 2] if graph.is_integer else [sent / 2, sent / 2]
    sinks = {name: Sink(shape=graph[name].shape, buffer=steps) for name in (graph.readout.name, *also)}
    for half in halves:
        Source(data=half).s_out.connect(process.a_in)
    for name, sink in sinks.items():
        process.out(name).connect(sink.a_in)
    tag = "fixed_pt" if graph.is_integer else "floating_pt"
    process.run(condition=RunSteps(num_steps=steps), run_cfg=Loihi2SimCfg(select_tag=tag))
    found = {
        "sent": {name: np.moveaxis(sink.data.get(), -1, 0).tolist() for name, sink in sinks.items()},
        "saturations": {
            name: int(process.saturations_of(name).get()[0]) for name in (graph.readout.name, *also)
        },
        "answers": [process.answer(n) for n in range(SAMPLES)],
    }
    process.stop()
    return found


def residual() -> dict[str, Any]:
    return in_lava(*network("residual"), also=("conv2",))


def two_outputs() -> tuple[SpikingGraph, np.ndarray]:
    graph, x = small(randomized(Both(), 0), (6,))
    return graph, x[:SAMPLES]


def outputs() -> dict[str, Any]:
    graph, x = two_outputs()
    return in_lava(graph, x, also=tuple(p.name for p in graph.readouts[1:]))


def gates() -> dict[str, Any]:
    return in_lava(*network("gated"))


def functions() -> dict[str, Any]:
    return in_lava(*network("curved"))


def floats() -> dict[str, Any]:
    graph, x = small(levels=2, lead=1, quantize=False)
    return in_lava(graph, x[:SAMPLES])


def page() -> list[list[int]]:
    """The page's program, on a network beside it."""
    graph, _ = network("residual")
    netx.write("network.net", graph)
    program = (ROOT / "docs/lava.md").read_text().split("```python\n")[2].partition("```")[0]
    told: dict[str, Any] = {}
    exec(program, told)
    return [told["answers"].tolist(), reference.run(graph, told["images"]).logits[:, -1].tolist()]


# ---------------------------------------------------------------- here


CASES = [("residual", residual, ("conv2",)), ("gated", gates, ()), ("curved", functions, ())]


@pytest.mark.parametrize(("kind", "function", "also"), CASES, ids=[kind for kind, *_ in CASES])
def test_it_sends_what_the_specification_says(
    tmp_path: Path, kind: str, function: Any, also: tuple[str, ...]
) -> None:
    """Every step of every window of the read-out and of a population, of samples with silence between them;
    shortcuts, max-pools, leads, gates and curves among them."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    graph, x = network(kind)
    found = in_child(__file__, function.__name__, tmp_path, 90)
    expected = reference.run(graph, x)
    starts = graph.window_starts()
    for n in range(SAMPLES):
        begin = OFFSET + starts[graph.readout.name] + n * PERIOD
        heard = np.array(found["sent"][graph.readout.name], np.int64)
        np.testing.assert_array_equal(heard[begin : begin + graph.steps], expected.logits[n])
        np.testing.assert_array_equal(heard[found["answers"][n] - 1], expected.logits[n, -1])
        assert found["answers"][n] == begin + graph.steps
        for name in also:
            first = OFFSET + starts[name] + graph[name].lead + n * PERIOD
            spikes = np.array(found["sent"][name], np.int64)[first : first + graph.steps]
            np.testing.assert_array_equal(spikes, expected.spikes[name][n])
            assert spikes.any()
    assert any((expected.logits[n, -1] != expected.logits[n, -2]).any() for n in range(SAMPLES))
    counted = batched.run(graph, x).saturations
    assert found["saturations"] == {name: counted[name] for name in (graph.readout.name, *also)}


def test_each_output_has_a_port(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    graph, x = two_outputs()
    found = in_child(__file__, "outputs", tmp_path, 90)
    expected = reference.run(graph, x)
    assert len(graph.readouts) == 2
    logits = {graph.readout.name: expected.logits, **expected.further}
    for name, sums in logits.items():
        heard = np.array(found["sent"][name], np.int64)
        for n, answer in enumerate(found["answers"]):
            np.testing.assert_array_equal(heard[answer - 1].reshape(-1), sums[n, -1].reshape(-1))


def test_floats_run_as_floating_pt(tmp_path: Path) -> None:
    """The same order of sums, but two halves of an image instead of the image: both are halves exactly, and
    their sum is the image."""
    pytest.importorskip("lava", reason="lava-nc is not installed")
    graph, x = small(levels=2, lead=1, quantize=False)
    found = in_child(__file__, "floats", tmp_path, 90)
    heard = np.array(found["sent"][graph.readout.name])
    for n, answer in enumerate(found["answers"]):
        np.testing.assert_array_equal(heard[answer - 1], reference.run(graph, x[n : n + 1]).logits[0, -1])


def test_the_program_of_the_page_gives_the_specifications_sums(tmp_path: Path) -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    by_lava, by_numpy = in_child(__file__, "page", tmp_path, 90)
    assert by_lava == by_numpy


def test_the_example_runs_in_the_python_of_lava_env(other_python: str, tmp_path: Path) -> None:
    """With nothing but a file, the clone on PYTHONPATH, and lava-nc, NumPy and h5py there: what else a Python
    of tests has is hidden."""
    graph, _ = network("gated")
    netx.write(tmp_path / "network.net", graph)
    hidden = ("torch", "numba", "rich", "matplotlib", "threadpoolctl", "shtab", "tomli", "onnx", "plotly")
    (tmp_path / "program.py").write_text(
        f"import runpy, sys\nsys.modules.update(dict.fromkeys({hidden}))\n"
        f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [other_python, "program.py", "network.net"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "equal"
    assert int(done.stdout.splitlines()[1].split()[-1]) > 0


def test_what_lava_would_not_compute_is_refused() -> None:
    pytest.importorskip("lava", reason="lava-nc is not installed")
    from dnisnm_lava.errors import OutOfRange
    from dnisnm_lava.procs.network.process import Network

    graph, _ = network("residual")
    with pytest.raises(
        ValueError, match="period 4, offset 0; a sample takes 7 steps: give a period of as many"
    ):
        Network(graph=graph, period=4)
    with pytest.raises(ValueError, match="nothing: no populations that send spikes"):
        Network(graph=graph, also=["nothing"])
    narrow = replace(
        graph, populations=tuple(replace(p, state_bits=16) if p.name == "conv2" else p for p in graph)
    )
    with pytest.raises(OutOfRange, match="conv2: has a state of 16 bits, and Lava knows 24"):
        Network(graph=narrow)
    made = Network(graph=graph, also=["conv2"])
    assert made.out("conv2").shape == graph["conv2"].shape
    with pytest.raises(ValueError, match=r"conv1 has no port; give .*, conv2, or name it in `also`"):
        made.out("conv1")
    with pytest.raises(ValueError, match="input has no potentials"):
        made.saturations_of("input")


if __name__ == "__main__":
    main(residual, outputs, gates, functions, floats, page)
