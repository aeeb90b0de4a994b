"""A stream in the torch module that is exported: every spike, to be held against our executors."""

from __future__ import annotations

import numpy as np
import torch

from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import SpikingGraph
from exporters import torch_module


def follow(graph: SpikingGraph, frames: np.ndarray) -> Run:
    """The frames (N, *image shape) of one stream of integers, one after the other."""
    module = torch_module.module(graph)
    assert isinstance(module, torch_module.Kept)
    state, taken = module.stream.initial(1), []
    with torch.no_grad():
        for frame in torch.from_numpy(np.ascontiguousarray(frames, np.float32)):
            sent, state = module.stream.sent(frame[None], *state)
            taken.append({name: values[0].numpy() for name, values in sent.items()})
    traces = {p.name: np.stack([sent[p.name] for sent in taken]) for p in graph.populations[1:]}
    sums = {p.name: traces.pop(p.name) for p in graph.readouts}
    first = graph.readout.name
    further = {name: trace for name, trace in sums.items() if name != first}
    return Run(sums[first], traces, further=further, units=graph.units, functions=graph.functions)
