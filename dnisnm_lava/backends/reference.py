"""The specification: one image or frame, one population, one step at a time, in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dnisnm_lava.backends.observing import Observe, tell
from dnisnm_lava.backends.results import Run, count_spikes
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.data.inputs import Images
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, ReadOut, SpikingGraph, dynamics
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.integers import check_state, encode_images, steps_of
from dnisnm_lava.system.progress import Progress
from dnisnm_lava.system.progress import tell as tell_progress


def run(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    observe: Observe | None = None,
    progress: Progress | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) for `steps` (default: the graph's), recording every spike; the
    frames of one stream, where the graph carries its state. observe(population, step, v, m, k): called after
    each step of each population, one image at a time, with arrays (1, *shape): `backends.observing.Observe`
    tells what they hold. progress(done, of): called after each image."""
    return follow(graph, images, initial(graph), steps=steps, observe=observe, progress=progress)[0]


def follow(
    graph: SpikingGraph,
    images: Images,
    state: State,
    *,
    steps: int | None = None,
    observe: Observe | None = None,
    progress: Progress | None = None,
) -> tuple[Run, State]:
    """The same, from `state` on, and the state behind the last frame; each image begins at `state` where the
    graph carries none."""
    steps = steps_of(graph, steps)
    check_state(graph, "the reference")
    x, clipped = encode_images(graph, images)
    saturations = {p.name: 0 for p in graph if isinstance(p, SNM | ReadOut)}
    samples = []
    for image in x:
        sent, after = _sample(graph, image, state, steps, saturations, observe)
        state = after if graph.carry else state
        samples.append(sent)
        tell_progress(progress, len(samples), len(x))
    traces = {name: np.stack([s[name] for s in samples]) for name in samples[0]}
    logits, further = graph.outputs({p.name: traces.pop(p.name) for p in graph.readouts})
    counts = {name: count_spikes(trace) for name, trace in traces.items()}
    state = replace(state, saturated=state.saturated + sum(saturations.values()))
    run = Run(logits, traces, counts, saturations, clipped, further, graph.units, graph.functions)
    return run, state


def _sample(
    graph: SpikingGraph,
    image: np.ndarray,
    state: State,
    steps: int,
    saturations: dict[str, int],
    observe: Observe | None,
) -> tuple[dict[str, np.ndarray], State]:
    """{population: (T, *shape)} what it sends; for the read-out, its potential. And the state behind it."""
    sent: dict[str, np.ndarray] = {}
    after: dict[str, np.ndarray] = {}
    for p in graph:
        if isinstance(p, SNM):
            sent[p.name], saturated = _neurons(p, sent, steps, state, after, observe)
            saturations[p.name] += saturated
        elif isinstance(p, ReadOut):
            sent[p.name], saturated = _readout(p, sent, steps, state, after)
            saturations[p.name] += saturated
        elif isinstance(p, MaxPool):
            sent[p.name] = _max_pool(p, sent[p.source], state, after)
        elif isinstance(p, Gate):
            sent[p.name] = _gated(p, sent[p.source], sent[p.gate], state, after, observe)
        elif isinstance(p, Input):
            after[f"image {p.name}"] = image.astype(state.of("image", p.name).dtype)
            change = after[f"image {p.name}"] - state.of("image", p.name)
            sent[p.name] = np.repeat(change[None], steps, axis=0)
        if observe is not None and isinstance(p, Input | MaxPool | ReadOut):
            tell(observe, p, sent[p.name][None])
    traces = {name: trace for name, trace in sent.items() if not isinstance(graph[name], Input)}
    return traces, replace(state, frames=state.frames + 1, values=after)


def _currents(p: SNM | ReadOut, sent: dict[str, np.ndarray], t: int) -> np.ndarray:
    """What arrives at step t (counted from 0): (1, *shape), projections summed in their order."""
    z = p.projections[0](sent[p.projections[0].source][t : t + 1])
    for projection in p.projections[1:]:
        z = z + projection(sent[projection.source][t : t + 1])
    return z


def _bias(p: SNM | ReadOut, state: State) -> np.ndarray:
    """What acts: in the first frame alone."""
    return p.bias if state.is_new else np.zeros_like(p.bias)


def _summed(state: State, t: int, steps: int) -> int:
    """How many steps of a frame the running sums hold after step t (counted from 0)."""
    return min(t + 1, steps) if state.is_new else steps


def _neurons(
    p: SNM,
    sent: dict[str, np.ndarray],
    steps: int,
    state: State,
    after: dict[str, np.ndarray],
    observe: Observe | None,
) -> tuple[np.ndarray, int]:
    v, m, bias = state.of("v", p.name)[None], state.of("m", p.name)[None], _bias(p, state)
    lower, band = dynamics.lower_threshold(p.vth, p.down), dynamics.band_of(p.vth, p.band)
    saturations, spikes = 0, []
    k = np.zeros_like(m)  # what is sent before it may fire
    for t in range(steps + p.lead):
        if t < steps:
            v, saturated = dynamics.integrate(v, _currents(p, sent, t), bias)
            saturations += saturated
        if t >= p.lead:
            if p.curve is None:
                k, v, m = dynamics.fire(v, m, p.vth, p.levels, p.two_sided, lower, band, p.most)
            else:
                summed = _summed(state, t, steps)
                allowed = dynamics.Allowed(p.levels, p.two_sided, band, p.most)
                k, v, m = dynamics.follow(v, m, p.vth, p.curve, summed, allowed)
            spikes.append(k * p.payload)
        if observe is not None:
            observe(p, t + 1, v, m.astype(v.dtype, copy=False), k.astype(v.dtype, copy=False))
    after[f"v {p.name}"], after[f"m {p.name}"] = v[0], m[0]
    return np.concatenate(spikes), saturations


def _readout(
    p: ReadOut, sent: dict[str, np.ndarray], steps: int, state: State, after: dict[str, np.ndarray]
) -> tuple[np.ndarray, int]:
    v, bias, saturations, trace = state.of("v", p.name)[None], _bias(p, state), 0, []
    for t in range(steps):
        v, saturated = dynamics.integrate(v, _currents(p, sent, t), bias)
        saturations += saturated
        trace.append(v)
    after[f"v {p.name}"] = v[0]
    return np.concatenate(trace), saturations


def _max_pool(p: MaxPool, spikes: np.ndarray, state: State, after: dict[str, np.ndarray]) -> np.ndarray:
    total, before, trace = state.of("total", p.name)[None], state.of("best", p.name)[None], []
    for t in range(len(spikes)):
        total, best = dynamics.pool(total, spikes[t : t + 1], p.window)
        trace.append(best - before)
        before = best
    after[f"total {p.name}"], after[f"best {p.name}"] = total[0], before[0]
    return np.concatenate(trace)


def _gated(
    p: Gate,
    source: np.ndarray,
    gate: np.ndarray,
    state: State,
    after: dict[str, np.ndarray],
    observe: Observe | None,
) -> np.ndarray:
    a, b, m = (state.of(kind, p.name)[None] for kind in ("a", "b", "m"))
    gain, band = per_channel(p.gain, p.shape), dynamics.band_of(p.vth, p.band)
    allowed = dynamics.Allowed(p.levels, p.two_sided, band, p.most)
    trace, still = [], np.zeros(m.shape, a.dtype)
    for t in range(len(source)):
        a, b = a + source[t : t + 1], b + gate[t : t + 1]
        summed = _summed(state, t, len(source))
        k = dynamics.gate(a, b, m, p.vth, gain, summed, allowed)
        m = m + k
        trace.append(k * p.payload)
        if observe is not None:
            observe(p, t + 1, still, m.astype(a.dtype, copy=False), k.astype(a.dtype, copy=False))
    after[f"a {p.name}"], after[f"b {p.name}"], after[f"m {p.name}"] = a[0], b[0], m[0]
    return np.concatenate(trace)
