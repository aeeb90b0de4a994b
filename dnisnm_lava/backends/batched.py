"""The same network on many images, in torch, on CPU or CUDA.

One population at a time over all its steps: the graph is a DAG and time is logical. Integers travel as
floats that hold them exactly: float32 while every sum stays below 2**24, float64 below 2**53.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava import synapses
from dnisnm_lava.fixedpoint import STATE
from dnisnm_lava.ir import (
    SNM,
    AnalogGraph,
    Input,
    MaxPool,
    Projection,
    ReadOut,
    Rectifier,
    Relay,
    Resample,
    SpikingGraph,
    checked_images,
    checked_steps,
)
from dnisnm_lava.quantization import encode_images, largest_spikes
from dnisnm_lava.simulation import Progress, Run
from dnisnm_lava.synapses import NO_PADDING, Window

EXACT_FLOAT32 = 1 << 24
MEMORY = 1 << 30  # bytes of spikes that a chunk of images may hold


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
                z = sum(_linear(q, torch.float32, device)(values[q.source]) for q in p.projections)
                z = (z + _tensor(p.bias, torch.float32, device)).expand(len(x), *p.shape)
                yield p.name, z.cpu().numpy()
                values[p.name] = z.clamp(0, p.ceiling) if isinstance(p, Rectifier) else z
            for name in freed[p.name]:
                del values[name]


def ann(analog: AnalogGraph, images: np.ndarray, *, batch: int = 100, device: str = "cpu", progress: Progress | None = None) -> np.ndarray:
    """The ANN's first outputs (N, *readout shape) in float32; `progress(done, of)` after each batch."""
    x = checked_images(analog, images)
    outputs = []
    for start in range(0, len(x), batch):
        outputs.append(dict(preactivations(analog, x[start : start + batch], device))[analog.readout.name])
        if progress:
            progress(min(start + batch, len(x)), len(x))
    return np.concatenate(outputs)


# ---------------------------------------------------------------- the SNN


@dataclass(frozen=True)
class _Tally:
    up: int = 0
    down: int = 0
    saturated: int = 0


def run(
    graph: SpikingGraph,
    images: np.ndarray,
    *,
    steps: int | None = None,
    record: bool | Collection[str] = False,
    memory: int = MEMORY,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Run:
    """Simulate `images` (N, *input shape) for `steps` (default: the graph's).

    record: keep every spike (True) or those of the named populations. memory: bytes of spikes held at
    once; images are cut into chunks that fit. progress(done, of): called after each chunk, in images.
    """
    steps = checked_steps(graph.steps if steps is None else steps)
    x, clipped = encode_images(graph, images)
    wanted = {p.name for p in graph if isinstance(p, SNM | MaxPool)}
    kept = {n for n in wanted if record is True or (record is not False and n in record)}
    plan = _compile(graph, device)
    spikes: dict[str, list[np.ndarray]] = {name: [] for name in kept}
    outputs: dict[str, list[np.ndarray]] = {p.name: [] for p in graph.readouts}
    tally: dict[str, _Tally] = {}
    chunk = chunk_size(graph, steps, memory)
    for start in range(0, len(x), chunk):
        for name, values in _chunk(graph, plan, x[start : start + chunk], steps, kept, tally, device).items():
            (outputs if name in outputs else spikes)[name].append(values)
        if progress:
            progress(min(start + chunk, len(x)), len(x))
    logits, *others = (np.concatenate(parts) for parts in outputs.values())
    return Run(
        logits,
        {p.name: np.concatenate(spikes[p.name]) for p in graph if p.name in kept},
        {name: (t.up, t.down) for name, t in tally.items() if name in wanted},
        {name: t.saturated for name, t in tally.items() if not isinstance(graph[name], MaxPool)},
        clipped,
        dict(zip(list(outputs)[1:], others, strict=True)),
    )


def chunk_size(graph: SpikingGraph, steps: int, memory: int) -> int:
    """How many images fit: the most spikes alive at once, in bytes, into `memory`."""
    width = 4 if graph.is_integer else 8
    alive = most = 0
    freed = graph.last_readers()
    sizes = {p.name: int(np.prod(p.shape)) * steps * width for p in graph}
    for p in graph:
        alive += sizes[p.name]
        most = max(most, alive)
        alive -= sum(sizes[name] for name in freed[p.name])
    return max(1, memory // most)


@dataclass(frozen=True)
class _Plan:
    """A population ready to run: `dtype` holds its sums exactly; `maps` are its projections."""

    dtype: torch.dtype
    maps: tuple[Callable[[Tensor], Tensor], ...]


def _compile(graph: SpikingGraph, device: str) -> dict[str, _Plan]:
    sent = largest_spikes(graph) if graph.is_integer else {}
    plan = {}
    for p in graph:
        if isinstance(p, SNM | ReadOut):
            dtype = torch.float64
            if graph.is_integer:
                bound = sum(q.bound(sent[q.source]) for q in p.projections) + int(np.abs(p.bias.astype(np.int64)).max())
                synapses.require_exact(bound + STATE.limit, p.name)
                dtype = torch.float32 if bound < EXACT_FLOAT32 else torch.float64
            plan[p.name] = _Plan(dtype, tuple(_linear(q, dtype, device) for q in p.projections))
    return plan


def _chunk(
    graph: SpikingGraph, plan: dict[str, _Plan], x: np.ndarray, steps: int, kept: set[str],
    tally: dict[str, _Tally], device: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """{population: (N, T, *shape)} of the read-outs, and of the populations in `kept`."""
    sent: dict[str, list[Tensor]] = {}  # population -> T tensors (N, *shape)
    recorded: dict[str, np.ndarray] = {}
    freed = graph.last_readers()
    store = np.int32 if graph.is_integer else np.float64
    with torch.no_grad():
        for p in graph:
            if isinstance(p, Input):
                sent[p.name] = [_tensor(x, torch.float32 if graph.is_integer else torch.float64, device)] * steps
            elif isinstance(p, ReadOut):
                trace = torch.stack(_readout(p, plan[p.name], sent, steps, len(x), tally, device), dim=1).cpu().numpy()
                recorded[p.name] = trace.astype(np.int64) if graph.is_integer else trace
            elif isinstance(p, SNM | MaxPool):
                sent[p.name] = _spikes(p, plan, sent, steps, tally, device)
                if p.name in kept:
                    recorded[p.name] = torch.stack(sent[p.name], dim=1).cpu().numpy().astype(store)
            for name in freed[p.name]:
                del sent[name]
    return recorded


def _spikes(
    p: SNM | MaxPool, plan: dict[str, _Plan], sent: dict[str, list[Tensor]], steps: int, tally: dict[str, _Tally], device: str
) -> list[Tensor]:
    if isinstance(p, MaxPool):
        return _pooled(p, sent[p.source], tally)
    return _neurons(p, plan[p.name], sent, steps, tally, device)


def _currents(p: SNM | ReadOut, plan: _Plan, sent: dict[str, list[Tensor]], bias: Tensor) -> Callable[[int], Tensor]:
    """t -> z + b at step t. A source that sends the same tensor in each step is projected once."""
    sources = [sent[q.source] for q in p.projections]
    constant: dict[int, Tensor] = {}

    def at(t: int) -> Tensor:
        z = bias
        for i, (linear, source) in enumerate(zip(plan.maps, sources, strict=True)):
            if source[0] is source[-1]:
                if i not in constant:
                    constant[i] = linear(source[0].to(plan.dtype))
                z = z + constant[i]
            else:
                z = z + linear(source[t].to(plan.dtype))
        return z

    return at


def _neurons(p: SNM, plan: _Plan, sent: dict[str, list[Tensor]], steps: int, tally: dict[str, _Tally], device: str) -> list[Tensor]:
    integer = p.vth.dtype.kind == "i"
    vth, payload, v_init, bias = (_tensor(a, plan.dtype, device) for a in (p.vth, p.payload, p.v_init, p.bias))
    current = _currents(p, plan, sent, bias)
    count = len(next(iter(sent.values()))[0])
    v = v_init.expand(count, *p.shape).clone()
    m = torch.zeros_like(v)
    spikes: list[Tensor] = []
    before = tally.get(p.name, _Tally())
    up = down = saturated = 0
    dead = vth == 0
    guard = torch.where(dead, torch.inf, vth)  # a dead neuron's threshold is never reached
    for t in range(steps + p.lead):
        if t < steps:
            v += current(t)
            if integer:
                saturated += _saturate(v)
        if t >= p.lead:
            rise, fall = _both_sides(v, guard, p.levels) if p.two_sided else _levels(v, guard, m, p.levels)
            k = rise - fall
            m += k
            v -= k * vth
            up += int(torch.count_nonzero(rise))
            down += int(torch.count_nonzero(fall))
            spikes.append(k * payload if plan.dtype is not torch.float64 or not integer else (k * payload).float())
    tally[p.name] = _Tally(before.up + up, before.down + down, before.saturated + saturated)
    return spikes


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


def _readout(
    p: ReadOut, plan: _Plan, sent: dict[str, list[Tensor]], steps: int, count: int, tally: dict[str, _Tally], device: str
) -> list[Tensor]:
    current = _currents(p, plan, sent, _tensor(p.bias, plan.dtype, device))
    v = torch.zeros(count, *p.shape, dtype=plan.dtype, device=device)
    trace, saturated = [], 0
    for t in range(steps):
        v = v + current(t)
        if p.bias.dtype.kind == "i":
            saturated += _saturate(v)
        trace.append(v)
    tally[p.name] = _Tally(saturated=tally.get(p.name, _Tally()).saturated + saturated)
    return trace


def _pooled(p: MaxPool, spikes: list[Tensor], tally: dict[str, _Tally]) -> list[Tensor]:
    total = torch.zeros_like(spikes[0], dtype=torch.float64)  # running sums may pass 2**24
    before = torch.zeros((), dtype=torch.float64, device=total.device)
    trace, up, down = [], 0, 0
    for spike in spikes:
        total += spike
        best = _max_pool(total, p.window)
        change = (best - before).to(spike.dtype)
        trace.append(change)
        up += int(torch.count_nonzero(change > 0))
        down += int(torch.count_nonzero(change < 0))
        before = best
    old = tally.get(p.name, _Tally())
    tally[p.name] = _Tally(old.up + up, old.down + down)
    return trace


# ---------------------------------------------------------------- linear maps and windows


def _tensor(a: np.ndarray, dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(a, dtype=dtype, device=device)


def _border(window: Window) -> list[int]:
    (top, bottom), (left, right) = window.padding
    return [left, right, top, bottom]


def _max_pool(x: Tensor, window: Window) -> Tensor:
    if window.padding != NO_PADDING:
        x = F.pad(x, _border(window), value=-torch.inf)
    return F.max_pool2d(x, window.kernel, window.stride, dilation=window.dilation)


def _sum_pool(x: Tensor, window: Window) -> Tensor:
    """Sums of windows: a depthwise convolution with ones, exact for integers that fit the dtype."""
    if window.padding != NO_PADDING:
        x = F.pad(x, _border(window))
    return F.avg_pool2d(x, window.kernel, window.stride, divisor_override=1)


def _resampling(resample: Resample, dtype: torch.dtype, device: str) -> Callable[[Tensor], Tensor]:
    rows, cols = _tensor(resample.rows, dtype, device), _tensor(resample.cols.T, dtype, device)
    return lambda x: rows @ x @ cols


def _linear(projection: Projection, dtype: torch.dtype, device: str) -> Callable[[Tensor], Tensor]:
    """The projection as a function of (N, *source shape)."""
    weights = _weights(projection, dtype, device)
    sources, targets = (
        None if a is None else torch.tensor(a, dtype=torch.long, device=device)
        for a in (projection.source_channels, projection.target_channels)
    )
    resample = None if projection.resample is None else _resampling(projection.resample, dtype, device)

    def apply(x: Tensor) -> Tensor:
        if sources is not None:
            x = x[:, sources]
        if resample is not None:
            x = resample(x)
        z = weights(x)
        if targets is None:
            return z
        return z.new_zeros(z.shape[0], projection.targets, *z.shape[2:]).index_copy_(1, targets, z)

    return apply


def _weights(projection: Projection, dtype: torch.dtype, device: str) -> Callable[[Tensor], Tensor]:
    """Sum-pool, then conv or dense."""
    weight = _tensor(projection.weight, dtype, device) * 2.0**projection.exponent
    (top, bottom), (left, right) = projection.padding
    symmetric = top == bottom and left == right

    def apply(x: Tensor) -> Tensor:
        if projection.sum_pool is not None:
            x = _sum_pool(x, projection.sum_pool)
        if not projection.is_conv:
            z = x.flatten(1) @ weight.T
            return z.reshape(-1, *projection.target_shape) if projection.target_shape else z
        if not symmetric:
            x = F.pad(x, [left, right, top, bottom])
        padding = (top, left) if symmetric else (0, 0)
        return F.conv2d(x, weight, None, projection.stride, padding, projection.dilation, projection.groups)

    return apply
