"""The same network on many images, in torch, on CPU or CUDA.

One population at a time over all its steps: the graph is a DAG and time is logical, so all its currents come
from one call of each projection, and its neurons go through their steps while they stay in cache. Images are
cut into chunks that fit a budget of memory. Every integer is exact on every way: `currents` says how.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.chunks import chunks, in_workers
from dnisnm_lava.backends.batched.device import checked_device, exact_sums, free_bytes
from dnisnm_lava.backends.batched.linear import pool_changes
from dnisnm_lava.backends.batched.planning import NUMPY, Plan, paths, planned
from dnisnm_lava.backends.batched.stepped import Tally, gated, saturate, stepped
from dnisnm_lava.backends.batched.storage import Code, channels_last, flat, laid_out, tensor, unflat
from dnisnm_lava.backends.observing import Observe, tell
from dnisnm_lava.backends.results import Run
from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, ReadOut, SpikingGraph, checked_images
from dnisnm_lava.ir.integers import encode_images, steps_of
from dnisnm_lava.system.progress import Progress
from dnisnm_lava.system.progress import tell as tell_progress

CURRENTS = 1 << 22  # bytes of currents between a projection and its neurons: few calls, and near caches


def run(
    graph: SpikingGraph,
    images: Images,
    *,
    steps: int | None = None,
    record: bool | Collection[str] = False,
    memory: int | None = None,
    device: Device = "cpu",
    synapses: str = "auto",
    neurons: str = "auto",
    observe: Observe | None = None,
    progress: Progress | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) for `steps` (default: the graph's).

    record: keep every spike (True) or those of the named populations. memory: bytes of spikes and currents
    held at once (default: a quarter of what is free); images are cut into chunks that fit, of one image at
    least. synapses: `auto`, or the way of `currents` that is to be taken where it can be (int8, float32,
    float64, triton). neurons: `auto`, `compiled`, `stepped` or `triton`. All give the same integers; the
    kernels of Triton are `auto`'s on CUDA, where they prove exact. Of a float network, `auto`
    and `compiled` run in float32, which are near to the reference; synapses=`float64`, or `stepped` neurons,
    in float64. observe(population, step, v, m, k): called after each step of each population, a chunk of
    images at a time, with arrays (n, *shape): `observing.Observe` tells what they hold. The integers are the
    reference's. Compiled neurons keep no v and m of each step, so a run that is watched is stepped, in one
    worker, and `auto` takes float64 for a float network; OutOfRange where compiled ones are asked for.
    progress(done, of): after each chunk, in images. Images of a graph that carries its state are frames of
    one stream: `backends.events` takes them one by one, or the reference, for floats, where numba is missing,
    or where the run is watched.
    """
    steps = steps_of(graph, steps)
    if graph.carry:
        return _stream(replace(graph, steps=steps), checked_images(graph, images), record, observe, progress)
    x, place = checked_images(graph, images), checked_device(device)
    memory = free_bytes(place) // 4 if memory is None else memory
    wanted = {p.name for p in graph if isinstance(p, SNM | Gate | MaxPool)}
    kept = {n for n in wanted if record is True or (record is not False and n in record)}
    plan = planned(graph, synapses, _stepped_if_watched(neurons, observe), place, steps)
    parts: dict[str, list[np.ndarray]] = {
        p.name: [] for p in graph if isinstance(p, ReadOut) or p.name in kept
    }
    tally = {p.name: Tally() for p in graph if not isinstance(p, Input)}
    chunk, workers = chunks(graph, steps, memory, len(x), _threads(plan, place, observe))
    clipped = 0

    def work(start: int) -> _Chunk:
        return _chunk(graph, plan, x[start : start + chunk], steps, kept, place, observe)

    with exact_sums(place):
        for done in in_workers(work, range(0, len(x), chunk), workers):
            clipped += done.clipped
            for name, values in done.recorded.items():
                parts[name].append(values)
            for name, counts in done.tally.items():
                tally[name].add(counts.up, counts.down, counts.saturated)
            tell_progress(progress, sum(map(len, parts[graph.readout.name])), len(x))
    logits, further = graph.outputs({p.name: np.concatenate(parts[p.name]) for p in graph.readouts})
    return Run(
        logits,
        {p.name: np.concatenate(parts[p.name]) for p in graph if p.name in kept},
        {name: (tally[name].up, tally[name].down) for name in tally if name in wanted},
        {p.name: tally[p.name].saturated for p in graph if isinstance(p, SNM | ReadOut)},
        clipped,
        further,
        graph.units,
        graph.functions,
    )


def _stream(
    graph: SpikingGraph,
    frames: np.ndarray,
    record: bool | Collection[str],
    observe: Observe | None,
    progress: Progress | None,
) -> Run:
    if observe is not None or not graph.is_integer or importlib.util.find_spec("numba") is None:
        from dnisnm_lava.backends import reference

        run = reference.run(graph, frames, observe=observe, progress=progress)
    else:
        from dnisnm_lava.backends import events

        run = events.follow(graph, frames, record=bool(record), progress=progress)[0]
    kept = {n: s for n, s in run.spikes.items() if record is True or (record is not False and n in record)}
    return replace(run, spikes=kept)


def _stepped_if_watched(neurons: str, observe: Observe | None) -> str:
    """The way of the neurons; OutOfRange where it keeps nothing of what is to be observed."""
    if observe is None:
        return neurons
    if neurons in ("compiled", "triton"):
        raise OutOfRange(
            f"neurons: {neurons} asked for, and observe; {neurons} ones keep no v and m of a step: choose "
            f"auto or stepped"
        )
    return "stepped"


def _threads(plan: Mapping[str, Plan], device: str, observe: Observe | None) -> int:
    """For `chunks`: whoever watches hears of one chunk after the other, and of no large ones, whose values
    are told in 8 bytes each. Triton's interpreter knows one thread."""
    if observe is not None:
        return 1
    launched = any("triton" in ways for ways in paths(plan).values())
    return torch.get_num_threads() if device == "cpu" and not launched else 0


@dataclass(frozen=True)
class _Chunk:
    """What a chunk of images gave."""

    recorded: dict[str, np.ndarray]
    tally: dict[str, Tally]
    clipped: int


def _chunk(
    graph: SpikingGraph,
    plan: dict[str, Plan],
    images: np.ndarray,
    steps: int,
    kept: set[str],
    device: str,
    observe: Observe | None = None,
) -> _Chunk:
    """Recorded: {population: (N, T, *shape)} of the read-outs, and of the populations in `kept`."""
    x, clipped = encode_images(graph, images)
    tally = {p.name: Tally() for p in graph}
    sent: dict[
        str, Tensor
    ] = {}  # population -> stored (N, T, *shape); (N, 1, *shape) for what is the same in each step
    recorded: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for p, heard in graph.flow(sent):
            own, done = plan[p.name], tally[p.name]
            if isinstance(p, Input):
                wide = torch.tensor(x, device=device).to(torch.int16 if graph.is_integer else own.dtype)
                sent[p.name] = channels_last(own.code.encode(wide))[:, None]
            elif isinstance(p, ReadOut):
                trace = _summed(p, own, _current(own, heard), steps, done).cpu().numpy()
                recorded[p.name] = trace.astype(np.int64 if graph.is_integer else np.float64)
            elif isinstance(p, MaxPool):
                pool = _pooled_bytes if own.way == "compiled" and own.code.dtype is torch.uint8 else _pooled
                sent[p.name] = pool(p, own.code, heard[p.source], steps, done)
            elif isinstance(p, Gate):
                sent[p.name] = gated(p, own.code, plan, heard, steps, done, observe)
            elif isinstance(p, SNM) and own.way == "compiled":
                sent[p.name] = _compiled(p, own, heard, steps, done)
            elif isinstance(p, SNM) and own.way == "triton":
                sent[p.name] = _fused(own, heard, steps, done)
            elif isinstance(p, SNM):
                sent[p.name] = stepped(p, own, _current(own, heard), steps, done, observe)
            if p.name in kept:
                spikes = _decoded(own.code, sent[p.name])
                recorded[p.name] = spikes.astype(np.int32) if graph.is_integer else spikes
            if observe is not None and isinstance(p, ReadOut):
                tell(observe, p, recorded[p.name])
            elif observe is not None and isinstance(p, Input | MaxPool):
                trace = _decoded(own.code, sent[p.name]).astype(np.int64 if graph.is_integer else np.float64)
                tell(observe, p, np.broadcast_to(trace, (len(x), steps, *p.shape)))
    return _Chunk(recorded, {name: tally[name] for name in tally if name != graph.input.name}, clipped)


def _decoded(code: Code, stored: Tensor) -> np.ndarray:
    """Stored values as floats that hold them exactly, in their shape."""
    wide = torch.float64 if code.dtype is torch.float64 else torch.float32
    return code.decode(stored, wide).cpu().numpy()


def _current(plan: Plan, sent: Mapping[str, Tensor]) -> Tensor:
    """What the projections bring, (N, T, *shape), or (N, 1, *shape) where it is the same in each step."""
    total: Tensor | None = None
    for name, projection in plan.projections:
        source = sent[name]
        z = projection.apply(source.flatten(0, 1)).to(plan.dtype)
        z = z.reshape(*source.shape[:2], *z.shape[1:])
        total = z if total is None else total.add_(z) if total.shape[1] >= z.shape[1] else total + z
    assert total is not None
    return total


def _compiled(p: SNM, plan: Plan, sent: dict[str, Tensor], steps: int, tally: Tally) -> Tensor:
    """All steps of the neurons at once, by numba, some images after the other, so that their currents stay in
    cache."""
    from dnisnm_lava.backends.batched import curve_neurons, neurons

    sources = {
        *(name for name, _ in plan.projections),
        *(() if plan.shortcut is None else (plan.shortcut[0],)),
    }
    count, size = len(sent[next(iter(sources))]), int(np.prod(p.shape))
    spikes = np.empty((count, steps, size), NUMPY[plan.code.dtype])
    block = max(1, CURRENTS // (plan.dtype.itemsize * steps * size))
    for start in range(0, count, block):
        part = {name: sent[name][start : start + block] for name in sources}
        shortcut = None if plan.shortcut is None else flat(part[plan.shortcut[0]])
        current, sent_now, threads = (
            flat(_current(plan, part)),
            spikes[start : start + block],
            torch.get_num_threads(),
        )
        if p.curve is not None:
            tally.add(*curve_neurons.run(plan.neurons, current, sent_now, threads))
        else:
            tally.add(*neurons.run(plan.neurons, current, shortcut, sent_now, threads))
    return unflat(spikes, p.shape)


def _fused(plan: Plan, sent: Mapping[str, Tensor], steps: int, tally: Tally) -> Tensor:
    """All steps of the neurons at once, by Triton."""
    from dnisnm_lava.backends.batched import triton_neurons

    shortcut = None if plan.shortcut is None else sent[plan.shortcut[0]]
    spikes, counts = triton_neurons.run(plan.neurons, _current(plan, sent), shortcut, steps)
    tally.add(*counts)
    return spikes


def _summed(p: ReadOut, plan: Plan, current: Tensor, steps: int, tally: Tally) -> Tensor:
    """The read-out's potentials (N, T, *shape)."""
    gains = (current + tensor(plan.bias, current.dtype, str(current.device))).expand(
        len(current), steps, *p.shape
    )
    if p.bias.dtype.kind == "i" and steps * int(gains.abs().max()) <= plan.limit:
        return gains.cumsum(1)  # cannot saturate
    v = torch.zeros_like(gains[:, 0])
    trace = []
    for gain in gains.unbind(1):
        v = v + gain
        if p.bias.dtype.kind == "i":
            tally.add(saturated=saturate(v, plan.limit))
        trace.append(v)
    return torch.stack(trace, dim=1)


def _pooled(p: MaxPool, code: Code, stored: Tensor, steps: int, tally: Tally) -> Tensor:
    """Changes of the windows' maxima of the running sums, which float64 holds."""
    change = pool_changes(code.decode(stored, torch.float64).expand(-1, steps, *stored.shape[2:]), p.window)
    tally.add(int(torch.count_nonzero(change > 0)), int(torch.count_nonzero(change < 0)))
    return laid_out(code.encode(change))


def _pooled_bytes(p: MaxPool, code: Code, stored: Tensor, steps: int, tally: Tally) -> Tensor:
    """The same by numba."""
    from dnisnm_lava.backends.batched import max_pool

    size = (p.shape[1], p.shape[2])
    changes, *counts = max_pool.max_pool(
        stored.movedim(2, -1).numpy(), code.offset, p.window, size, steps, torch.get_num_threads()
    )
    tally.add(*counts)
    return torch.from_numpy(changes).movedim(-1, 2)
