"""The specification: one sample, one population, one step at a time, in NumPy."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.backends.observing import Observe, tell
from dnisnm_lava.backends.results import Run, count_spikes
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, Input, MaxPool, ReadOut, SpikingGraph, checked_steps, dynamics
from dnisnm_lava.ir.integers import check_state, encode_images
from dnisnm_lava.system.progress import Progress


def run(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    observe: Observe | None = None,
    progress: Progress | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) for `steps` (default: the graph's), recording every spike.
    observe(population, step, v, m, k): called after each step of each population, one image at a time, with
    arrays (1, *shape): `backends.observing.Observe` tells what they hold. progress(done, of): called after
    each image."""
    steps = checked_steps(graph.steps if steps is None else steps)
    check_state(graph, "the reference")
    x, clipped = encode_images(graph, images)
    saturations = {p.name: 0 for p in graph if isinstance(p, SNM | ReadOut)}
    samples = []
    for image in x:
        samples.append(_sample(graph, image[None], steps, saturations, observe))
        if progress:
            progress(len(samples), len(x))
    traces = {name: np.stack([s[name] for s in samples]) for name in samples[0]}
    logits, further = graph.outputs({p.name: traces.pop(p.name) for p in graph.readouts})
    counts = {name: count_spikes(trace) for name, trace in traces.items()}
    return Run(logits, traces, counts, saturations, clipped, further, graph.units, graph.functions)


def _sample(
    graph: SpikingGraph,
    image: np.ndarray,
    steps: int,
    saturations: dict[str, int],
    observe: Observe | None = None,
) -> dict[str, np.ndarray]:
    """{population: (T, *shape)} what it sends; for the read-out, its potential."""
    sent: dict[str, np.ndarray] = {}
    for p in graph:
        if isinstance(p, SNM):
            sent[p.name], saturated = _neurons(p, sent, steps, image.dtype.kind, observe)
            saturations[p.name] += saturated
        elif isinstance(p, ReadOut):
            sent[p.name], saturated = _readout(p, sent, steps, image.dtype.kind)
            saturations[p.name] += saturated
        elif isinstance(p, MaxPool):
            sent[p.name] = _max_pool(p, sent[p.source])
        elif isinstance(p, Input):
            sent[p.name] = np.repeat(image, steps, axis=0)
        if observe is not None and isinstance(p, Input | MaxPool | ReadOut):
            tell(observe, p, sent[p.name][None])
    return {name: trace for name, trace in sent.items() if not isinstance(graph[name], Input)}


def _currents(p: SNM | ReadOut, sent: dict[str, np.ndarray], t: int) -> np.ndarray:
    """What arrives at step t (counted from 0): (1, *shape), projections summed in their order."""
    z = p.projections[0](sent[p.projections[0].source][t : t + 1])
    for projection in p.projections[1:]:
        z = z + projection(sent[projection.source][t : t + 1])
    return z


def _initial(v_init: np.ndarray, kind: str) -> np.ndarray:
    return v_init[None].astype(np.float64 if kind == "f" else np.int64)


def _neurons(
    p: SNM, sent: dict[str, np.ndarray], steps: int, kind: str, observe: Observe | None
) -> tuple[np.ndarray, int]:
    v, m, saturations, spikes = _initial(p.v_init, kind), np.zeros((1, *p.shape), np.int64), 0, []
    lower = dynamics.lower_threshold(p.vth, p.down)
    k = np.zeros_like(m)  # what is sent before it may fire
    for t in range(steps + p.lead):
        if t < steps:
            v, saturated = dynamics.integrate(v, _currents(p, sent, t), p.bias)
            saturations += saturated
        if t >= p.lead:
            k, v, m = dynamics.fire(v, m, p.vth, p.levels, p.two_sided, lower)
            spikes.append(k * p.payload)
        if observe is not None:
            observe(p, t + 1, v, m.astype(v.dtype, copy=False), k.astype(v.dtype, copy=False))
    return np.concatenate(spikes), saturations


def _readout(p: ReadOut, sent: dict[str, np.ndarray], steps: int, kind: str) -> tuple[np.ndarray, int]:
    v, saturations, trace = _initial(np.zeros(p.shape), kind), 0, []
    for t in range(steps):
        v, saturated = dynamics.integrate(v, _currents(p, sent, t), p.bias)
        saturations += saturated
        trace.append(v)
    return np.concatenate(trace), saturations


def _max_pool(p: MaxPool, spikes: np.ndarray) -> np.ndarray:
    spikes = spikes.astype(
        np.int64 if spikes.dtype.kind == "i" else np.float64
    )  # an image's 8 bits hold no running sum
    total, before, trace = np.zeros_like(spikes[:1]), np.zeros((1, *p.shape), spikes.dtype), []
    for t in range(len(spikes)):
        total, best = dynamics.pool(total, spikes[t : t + 1], p.window)
        trace.append(best - before)
        before = best
    return np.concatenate(trace)
