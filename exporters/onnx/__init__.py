"""The integer network as one ONNX file: of images over T steps, of a stream's frame, or of one time step.

`write` puts all T steps into one file. Images are (N, *image shape), float32 and finite, N is free; of each
read-out there are its running sums after each step, (N, T, *shape of the model's output), int64, under its
name: what `backends.reference.run` gives, integer for integer, by any runtime that knows the opset and keeps
64 bits, since nothing but integers below their bounds is added and multiplied (float64 holds some of them).
Functions behind the last layer are not applied: `metadata_props` holds, as JSON, what makes values of sums.
A sequence (C, L) is a map (C, 1, L).

Of a stream's network, and of one step (`write_step`), the state goes in and comes out: what goes in as
`v conv1` comes out as `after v conv1`, and all of it is 0 at the beginning. So the file needs no code:

    session = onnxruntime.InferenceSession("step.onnx")
    image, *state = session.get_inputs()
    gives = [a.name for a in session.get_outputs()]
    sizes = {a.name: [len(x) if n == "N" else n for n in a.shape] for a in state}
    given = {f"after {name}": numpy.zeros(size, numpy.int64) for name, size in sizes.items()}
    for _ in range(int(session.get_modelmeta().custom_metadata_map["calls"])):
        kept = {name: given[f"after {name}"] for name in sizes}
        given = dict(zip(gives, session.run(None, {image.name: x, **kept})))

`initial(graph, N)` is that state. A stream's file takes the next frame each time. One of a step takes the
same images, and counts its steps (`step`), which all populations have in common: where one leads, those
behind it begin later. `calls` says how many steps there are, `first` in which of them, counted from 0, a
population sends its first spike and a read-out has its first sum; T of them follow one another.

net.py: what is written; whole.py: all steps, layer by layer; step.py: one step. synapses.py, neurons.py: of
each population; nodes.py: nodes, loops, the file.
"""

from __future__ import annotations

import json
from pathlib import Path

from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.integers import check_images
from dnisnm_lava.ir.populations import lead
from exporters.onnx import step, whole
from exporters.onnx.net import began, initial, starts, states, written
from exporters.onnx.nodes import OPSET

__all__ = ["OPSET", "initial", "starts", "states", "write", "write_step"]


def write(
    path: str | Path, graph: SpikingGraph, *, steps: int | None = None, overwrite: bool = False
) -> Path:
    """Write an integer graph over `steps` (default: the graph's), whole or not at all; of a stream's network,
    one frame of N streams.

    OutOfRange for a float graph, for sums of products beyond 32 bits, and for more than 2 GB. BackendMissing
    where the package onnx is not installed; BadFile where `path` exists and `overwrite` is false.
    """
    net = began(Path(path), graph, steps, overwrite, states(graph) if graph.carry else {})
    for p in graph:
        whole.add(net, p)
    return written(net, {}, overwrite)


def write_step(
    path: str | Path, graph: SpikingGraph, *, steps: int | None = None, overwrite: bool = False
) -> Path:
    """Write one time step of a network of images for `steps` (default: the graph's), as `write`: images and
    the state to the read-outs' potentials, (N, *shape of the model's output), what each other population
    sends, (N, *shape), and the state behind it, all int64. OutOfRange for a stream's network, too."""
    check_images(graph, "write_step")
    net = began(Path(path), graph, steps, overwrite, states(graph))
    begins = starts(graph)
    for p in graph:
        step.add(net, p, begins)
    step.keep_late(net)
    first = {p.name: begins[p.name] + lead(p) for p in graph}
    calls = max(first.values()) + net.steps
    return written(net, {"calls": json.dumps(calls), "first": json.dumps(first)}, overwrite)
