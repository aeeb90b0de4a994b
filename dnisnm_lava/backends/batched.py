"""The same network on many images, in torch, on CPU or CUDA.

One population at a time over all its steps: the graph is a DAG and time is logical, so all its currents come from one
call of each projection, and its neurons go through their steps while they stay in cache. Images are cut into chunks
that fit a budget of memory. Every integer is exact on every way: `currents` says how.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava import synapses as bounds
from dnisnm_lava.backends.currents import EXACT_FLOAT32, OFFSET, WAYS, Map, border, linear, tensor, way_of
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.fixedpoint import STATE
from dnisnm_lava.ir import (
    SNM,
    AnalogGraph,
    Input,
    MaxPool,
    ReadOut,
    Rectifier,
    Relay,
    SpikingGraph,
    checked_images,
    checked_steps,
)
from dnisnm_lava.quantization import encode_images, largest_spikes
from dnisnm_lava.simulation import Progress, Run
from dnisnm_lava.synapses import NO_PADDING, Window

MEMORY = 1 << 28  # bytes of spikes and currents that a chunk of images may hold


# ---------------------------------------------------------------- the ANN


def preactivations(analog: AnalogGraph, x: np.ndarray, device: str = "cpu") -> Iterator[tuple[str, np.ndarray]]:
    """(name, (N, *shape)) of each Rectifier, Relay and ReadOut, before its ReLU, in float32."""
    values: dict[str, Tensor] = {}
    freed = analog.last_readers()
    with torch.no_grad():
        for p in analog:
            if isinstance(p, Input):
                values[p.name] = torch.as_tensor(x, dtype=torch.float32, device=device)
            elif isinstance(p, MaxPool):
                values[p.name] = _max_pool(values[p.source], p.window)
            elif isinstance(p, Rectifier | Relay | ReadOut):
                z = sum(linear(q, "float32", device)(values[q.source]) for q in p.projections)
                z = (z + tensor(p.bias, torch.float32, device)).expand(len(x), *p.shape)
                yield p.name, z.cpu().numpy()
                values[p.name] = z.clamp(0, p.ceiling) if isinstance(p, Rectifier) else z
            for name in freed[p.name]:
                del values[name]


def ann(analog: AnalogGraph, images: np.ndarray, *, batch: int = 100, device: str = "cpu", progress: Progress | None = None) -> np.ndarray:
    """The ANN's first outputs (N, *their shape) in float32; `progress(done, of)` after each batch."""
    x = checked_images(analog, images)
    outputs = []
    for start in range(0, len(x), batch):
        outputs.append(dict(preactivations(analog, x[start : start + batch], device))[analog.readout.name])
        if progress:
            progress(min(start + batch, len(x)), len(x))
    return np.concatenate(outputs).reshape(len(x), *(analog.readout.view or analog.readout.shape))


# ---------------------------------------------------------------- the SNN


@dataclass
class _Tally:
    up: int = 0
    down: int = 0
    saturated: int = 0

    def add(self, up: int = 0, down: int = 0, saturated: int = 0) -> None:
        self.up, self.down, self.saturated = self.up + up, self.down + down, self.saturated + saturated


def run(
    graph: SpikingGraph,
    images: np.ndarray,
    *,
    steps: int | None = None,
    record: bool | Collection[str] = False,
    memory: int = MEMORY,
    device: str = "cpu",
    synapses: str = "auto",
    progress: Progress | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) for `steps` (default: the graph's).

    record: keep every spike (True) or those of the named populations. memory: bytes of spikes and currents held at
    once; images are cut into chunks that fit. synapses: `auto`, or the way of `currents` that is to be taken where
    it can be (int8, float32, float64); all give the same integers. progress(done, of): after each chunk, in images.
    """
    steps = checked_steps(graph.steps if steps is None else steps)
    if synapses not in WAYS:
        raise OutOfRange(f"synapses: {synapses!r} given; choose {', '.join(WAYS)}")
    x, clipped = encode_images(graph, images)
    wanted = {p.name for p in graph if isinstance(p, SNM | MaxPool)}
    kept = {n for n in wanted if record is True or (record is not False and n in record)}
    plan = {p.name: _planned(graph, p, synapses, device) for p in graph if isinstance(p, SNM | ReadOut)}
    parts: dict[str, list[np.ndarray]] = {p.name: [] for p in graph if isinstance(p, ReadOut) or p.name in kept}
    tally = {p.name: _Tally() for p in graph if not isinstance(p, Input)}
    chunk = chunk_size(graph, steps, memory)
    for start in range(0, len(x), chunk):
        for name, values in _chunk(graph, plan, x[start : start + chunk], steps, kept, tally, device).items():
            parts[name].append(values)
        if progress:
            progress(min(start + chunk, len(x)), len(x))
    logits, further = graph.outputs({p.name: np.concatenate(parts[p.name]) for p in graph.readouts})
    return Run(
        logits,
        {p.name: np.concatenate(parts[p.name]) for p in graph if p.name in kept},
        {name: (tally[name].up, tally[name].down) for name in tally if name in wanted},
        {p.name: tally[p.name].saturated for p in graph if isinstance(p, SNM | ReadOut)},
        clipped,
        further,
    )


def chunk_size(graph: SpikingGraph, steps: int, memory: int) -> int:
    """How many images fit: the most spikes alive at once, and the largest population's currents, in bytes."""
    width = 1 if graph.is_integer else 8
    alive = most = 0
    freed = graph.last_readers()
    sizes = {p.name: int(np.prod(p.shape)) * steps for p in graph}
    for p in graph:
        alive += sizes[p.name] * width
        most = max(most, alive + 8 * sizes[p.name])
        alive -= sum(sizes[name] * width for name in freed[p.name])
    return max(1, memory // most)


@dataclass(frozen=True)
class _Plan:
    """A population ready to run: `dtype` holds its sums exactly; `maps` are its projections; `spikes`: its own dtype."""

    dtype: torch.dtype
    maps: tuple[Map, ...]
    spikes: torch.dtype


def _planned(graph: SpikingGraph, p: SNM | ReadOut, asked: str, device: str) -> _Plan:
    if not graph.is_integer:
        return _Plan(torch.float64, tuple(linear(q, "float64", device) for q in p.projections), torch.float64)
    sent = largest_spikes(graph)
    bound = sum(q.bound(sent[q.source]) for q in p.projections) + int(np.abs(p.bias.astype(np.int64)).max())
    bounds.require_exact(bound + STATE.limit, p.name)
    ways = [way_of(q, sent[q.source], asked, device) for q in p.projections]
    wide = bound >= EXACT_FLOAT32 or asked == "float64"
    spikes = torch.int8 if sent.get(p.name, 0) < OFFSET else torch.float32
    maps = tuple(linear(q, way, device) for q, way in zip(p.projections, ways, strict=True))
    return _Plan(torch.float64 if wide else torch.float32, maps, spikes)


def _chunk(
    graph: SpikingGraph, plan: dict[str, _Plan], x: np.ndarray, steps: int, kept: set[str],
    tally: dict[str, _Tally], device: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """{population: (N, T, *shape)} of the read-outs, and of the populations in `kept`."""
    sent: dict[str, Tensor] = {}  # population -> (T, N, *shape); (1, N, *shape) for what is the same in each step
    recorded: dict[str, np.ndarray] = {}
    freed = graph.last_readers()
    store = np.int32 if graph.is_integer else np.float64
    with torch.no_grad():
        for p in graph:
            if isinstance(p, Input):
                sent[p.name] = _channels_last(torch.tensor(x, device=device))[None]
            elif isinstance(p, ReadOut):
                trace = _summed(p, _current(p, plan[p.name], sent), steps, tally[p.name]).transpose(0, 1).cpu().numpy()
                recorded[p.name] = trace.astype(np.int64) if graph.is_integer else trace
            elif isinstance(p, MaxPool):
                sent[p.name] = _pooled(p, sent[p.source].expand(steps, *sent[p.source].shape[1:]), tally[p.name])
            elif isinstance(p, SNM):
                current = _current(p, plan[p.name], sent)
                fast = graph.is_integer and device == "cpu" and importlib.util.find_spec("numba") is not None
                sent[p.name] = (_compiled if fast else _stepped)(p, plan[p.name], current, steps, tally[p.name])
            if p.name in kept:
                recorded[p.name] = sent[p.name].transpose(0, 1).cpu().numpy().astype(store)
            for name in freed[p.name]:
                del sent[name]
    return recorded


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _current(p: SNM | ReadOut, plan: _Plan, sent: dict[str, Tensor]) -> Tensor:
    """What the projections bring, (T, N, *shape), or (1, N, *shape) where it is the same in each step."""
    total: Tensor | None = None
    for project, q in zip(plan.maps, p.projections, strict=True):
        source = sent[q.source]
        z = project(source.flatten(0, 1)).to(plan.dtype)
        z = z.reshape(*source.shape[:2], *z.shape[1:])
        total = z if total is None else total.add_(z) if len(total) >= len(z) else total + z
    assert total is not None
    return total


def _compiled(p: SNM, plan: _Plan, current: Tensor, steps: int, tally: _Tally) -> Tensor:
    """All steps of the neurons at once, by numba."""
    from dnisnm_lava.backends import neurons

    dtype = np.float64 if plan.dtype is torch.float64 else np.float32
    bias, vth, payload, v_init = (
        _pixels_first(np.broadcast_to(a, p.shape)).ravel().astype(dtype) for a in (p.bias, p.vth, p.payload, p.v_init)
    )
    flat = current.movedim(2, -1).reshape(*current.shape[:2], -1).numpy()
    spikes, up, down, saturated = neurons.run(
        flat, bias, vth, payload, v_init, steps=steps, levels=p.levels, lead=p.lead, two_sided=p.two_sided,
        limit=float(STATE.limit), spikes=np.int8 if plan.spikes is torch.int8 else np.float32,
        threads=torch.get_num_threads(),
    )  # fmt: skip
    tally.add(up, down, saturated)
    channels, *pixels = p.shape
    return torch.from_numpy(spikes).reshape(*spikes.shape[:2], *pixels, channels).movedim(-1, 2)


def _pixels_first(a: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H, W, C), as the currents lie in memory."""
    return np.moveaxis(a, 0, -1)


def _stepped(p: SNM, plan: _Plan, current: Tensor, steps: int, tally: _Tally) -> Tensor:
    """One step of the neurons after the other, in torch."""
    integer = p.vth.dtype.kind == "i"
    device = str(current.device)
    vth, payload, v_init, bias = (tensor(a, plan.dtype, device) for a in (p.vth, p.payload, p.v_init, p.bias))
    v = v_init.expand(current.shape[1], *p.shape).clone()
    m = torch.zeros_like(v)
    spikes: list[Tensor] = []
    guard = torch.where(vth == 0, torch.inf, vth)  # a dead neuron's threshold is never reached
    for t in range(steps + p.lead):
        if t < steps:
            v += current[min(t, len(current) - 1)] + bias
            if integer:
                tally.add(saturated=_saturate(v))
        if t >= p.lead:
            rise, fall = _both_sides(v, guard, p.levels) if p.two_sided else _levels(v, guard, m, p.levels)
            k = rise - fall
            m += k
            v -= k * vth
            tally.add(int(torch.count_nonzero(rise)), int(torch.count_nonzero(fall)))
            spikes.append((k * payload).to(plan.spikes))
    return torch.stack(spikes)


def _levels(v: Tensor, vth: Tensor, m: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Levels up and down: how many of vth, 2 vth, ... levels * vth are reached; down is gated by m."""
    rise, fall = (v >= vth).to(v.dtype), (v <= -vth).to(v.dtype)
    for level in range(2, levels + 1):
        rise += v >= level * vth
        fall += v <= -level * vth
    return rise, torch.minimum(fall, m)


def _both_sides(v: Tensor, vth: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Levels up and down with no gate. Exact: torch's floor division goes through fmod, as NumPy's does."""
    whole = torch.div(v.abs(), vth, rounding_mode="floor").clamp_(max=levels)
    return whole * (v > 0), whole * (v < 0)


def _saturate(v: Tensor) -> int:
    """Clip to the 24-bit state in place; how many neurons were outside."""
    outside = int(torch.count_nonzero(v.abs() > STATE.limit))
    if outside:
        v.clamp_(-STATE.limit, STATE.limit)
    return outside


def _summed(p: ReadOut, current: Tensor, steps: int, tally: _Tally) -> Tensor:
    """The read-out's potentials (T, N, *shape)."""
    bias = tensor(p.bias, current.dtype, str(current.device))
    v = torch.zeros_like(current[0])
    trace = []
    for t in range(steps):
        v = v + (current[min(t, len(current) - 1)] + bias)
        if p.bias.dtype.kind == "i":
            tally.add(saturated=_saturate(v))
        trace.append(v)
    return torch.stack(trace)


def _pooled(p: MaxPool, spikes: Tensor, tally: _Tally) -> Tensor:
    """Changes of the windows' maxima of the running sums, which float64 holds."""
    sums = spikes.to(torch.float64).cumsum(0)
    best = _max_pool(sums.flatten(0, 1), p.window).reshape(*spikes.shape[:2], *p.shape)
    change = torch.cat([best[:1], best[1:] - best[:-1]])
    tally.add(int(torch.count_nonzero(change > 0)), int(torch.count_nonzero(change < 0)))
    return change.to(spikes.dtype)


def _max_pool(x: Tensor, window: Window) -> Tensor:
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window), value=-torch.inf)
    return F.max_pool2d(x, window.kernel, window.stride, dilation=window.dilation)
