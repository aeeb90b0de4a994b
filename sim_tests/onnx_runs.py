"""ONNX files of networks, run by onnxruntime, against the reference: to be imported where it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

from dnisnm_lava.backends import reference
from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import SpikingGraph
from exporters import onnx


def session(path: Path) -> onnxruntime.InferenceSession:
    """One thread; a warning of the runtime is printed, and none is expected."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def sums_of(graph: SpikingGraph, run: Run) -> dict[str, np.ndarray]:
    """{read-out: running sums} of a run."""
    return {graph.readout.name: run.logits, **run.further}


def fed(graph: SpikingGraph, x: np.ndarray) -> dict[str, np.ndarray]:
    """Images as the file takes them: float32, a sequence as a map of one row."""
    return {graph.input.name: x.astype(np.float32).reshape(-1, *graph.input.image_shape)}


def over_steps(
    graph: SpikingGraph, x: np.ndarray, folder: Path, steps: int | None = None
) -> dict[str, np.ndarray]:
    """{read-out: running sums} of a file of all steps."""
    running = session(onnx.write(folder / "whole.onnx", graph, steps=steps, overwrite=True))
    names = [a.name for a in running.get_outputs()]
    return dict(zip(names, running.run(names, fed(graph, x)), strict=True))


def assert_is_the_reference(
    graph: SpikingGraph, x: np.ndarray, folder: Path, steps: int | None = None
) -> None:
    """Each running sum of each read-out, in the model's order, and its dtype."""
    expected = sums_of(graph, reference.run(graph, x, steps=steps))
    found = over_steps(graph, x, folder, steps)
    assert list(found) == list(expected)
    for name, sums in found.items():
        assert sums.dtype == np.int64
        np.testing.assert_array_equal(sums, expected[name], err_msg=name)


def assert_steps_are_the_reference(
    graph: SpikingGraph, x: np.ndarray, folder: Path, steps: int | None = None
) -> None:
    """Every spike of every population and every running sum, each in its step, and none outside of them."""
    running = session(onnx.write_step(folder / "step.onnx", graph, steps=steps, overwrite=True))
    told = running.get_modelmeta().custom_metadata_map
    first, count = json.loads(told["first"]), json.loads(told["steps"])
    names, state, given = [a.name for a in running.get_outputs()], onnx.initial(graph, len(x)), []
    for _ in range(json.loads(told["calls"])):
        given.append(dict(zip(names, running.run(names, fed(graph, x) | state), strict=True)))
        state = {name: given[-1][f"after {name}"] for name in state}
    run = reference.run(graph, x, steps=steps)
    for name, expected in {**run.spikes, **sums_of(graph, run)}.items():
        found, start = np.stack([each[name] for each in given], axis=1), first[name]
        np.testing.assert_array_equal(found[:, start : start + count], expected, err_msg=name)
        if name in run.spikes:
            assert not found[:, :start].any()
            assert not found[:, start + count :].any()
        else:
            assert found.shape[1] >= start + count
    assert len(given) == count + max(first.values())


def assert_stream_is_the_reference(graph: SpikingGraph, frames: np.ndarray, folder: Path) -> None:
    """Running sums of all frames, and the state behind each, as `backends.state` has it."""
    running = session(onnx.write(folder / "stream.onnx", graph, overwrite=True))
    names, state = [a.name for a in running.get_outputs()], onnx.initial(graph, 1)
    kept = reference.initial(graph)
    for i, frame in enumerate(frames[:, None]):
        given = dict(zip(names, running.run(names, fed(graph, frame) | state), strict=True))
        run, kept = reference.follow(graph, frame, kept)
        for name, sums in sums_of(graph, run).items():
            np.testing.assert_array_equal(given[name], sums, err_msg=f"{name}, frame {i}")
        state = {name: given[f"after {name}"] for name in state}
        assert state["frames"] == i + 1
        assert set(state) == {"frames", *kept.values}
        for name, values in kept.values.items():
            np.testing.assert_array_equal(state[name][0], values, err_msg=f"{name}, frame {i}")
