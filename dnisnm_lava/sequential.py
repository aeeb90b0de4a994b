"""Thresholds, biases and initial potentials from what each population really hears: population by population.

In topological order, each population gets the T currents that its already converted sources send on calibration images.
So discreteness, asynchronism and clipping are seen together, without a label and without training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends import neurons
from dnisnm_lava.backends.currents import channels_last, linear, max_pool
from dnisnm_lava.conversion import channel_max, per_channel
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, AnalogGraph, Input, MaxPool, Population, ReadOut, Rectifier, SpikingGraph, checked_images
from dnisnm_lava.simulation import Progress

SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the maximum, tried as thresholds
CURRENTS = 1 << 25  # bytes at once
BATCH = 64  # images of the ANN at once
NO_LIMIT = 1 << 62
States = Mapping[str, "_State"]
P = TypeVar("P", SNM, ReadOut)


@dataclass
class _State:
    """Of a population that is done, on all calibration images: `ann`, its activation (N, *shape); `levels`, what it
    sends, (N, T, *shape), or (N, 1, *shape) for the image; and what one level is worth, of `shape`."""

    ann: Tensor
    levels: Tensor
    worth: Tensor

    def sent(self, images: slice) -> Tensor:
        return self.levels[images] * self.worth


def fit(
    analog: AnalogGraph, spiking: SpikingGraph, images: np.ndarray, *, scales: tuple[float, ...] = SCALES,
    correct_bias: bool = True, correct_v_init: bool = True, progress: Progress | None = None,
) -> SpikingGraph:  # fmt: skip
    """`spiking`, the float network of `convert`, with what `images` (N, *input shape) tell; no labels.

    Of each rectifier, in this order: its bias is shifted, per channel, so that its mean current is the ANN's mean
    pre-activation; of `scales` times its thresholds the one is kept, per channel, whose mean spikes are nearest to the
    ANN's activation (squared error); v_init += T * mean error, per neuron, by at most half a threshold. Relays and
    read-outs get their biases. progress(done, of): in populations.
    """
    if spiking.is_integer:
        raise OutOfRange("fit: the graph holds integers already; give the float graph of convert, then quantize")
    if not scales or min(scales) <= 0:
        raise OutOfRange(f"scales: {scales} given; give numbers above 0")
    most = max((p.levels for p in spiking.of(SNM)), default=1)
    if most > 127:
        raise OutOfRange(f"fit: {most} levels a step, it keeps them in 8 bits; convert with 127 or fewer")
    x = torch.as_tensor(checked_images(spiking, images), dtype=torch.float32)
    states: dict[str, _State] = {}
    freed = spiking.last_readers()
    done: list[Population] = []
    with torch.inference_mode():
        for i, p in enumerate(spiking, 1):
            if isinstance(p, Input):
                states[p.name] = _State(channels_last(x), channels_last(x)[:, None], torch.ones(()))
            elif isinstance(p, MaxPool):
                states[p.name] = _pooled(p, states[p.source])
            elif isinstance(p, SNM):
                p, states[p.name] = _fitted(p, analog[p.name], states, spiking.steps, scales, correct_bias, correct_v_init)
            elif isinstance(p, ReadOut) and correct_bias:
                p = _shifted(p, _bias_shift(p, states, spiking.steps, _preactivation(p, states)), spiking.steps)
            done.append(p)
            for name in freed[p.name]:
                del states[name]
            if progress:
                progress(i, len(spiking.populations))
    return SpikingGraph(tuple(done), steps=spiking.steps)


def _fitted(
    p: SNM, own: Population, states: States, steps: int, scales: tuple[float, ...], correct_bias: bool, correct_v_init: bool
) -> tuple[SNM, _State]:
    z = _preactivation(p, states)
    ann = z + _tensor(np.broadcast_to(p.bias, p.shape))
    if correct_bias:
        p = _shifted(p, _bias_shift(p, states, steps, z), steps)
    if isinstance(own, Rectifier):
        ann = ann.clamp(0, own.ceiling)
        p = _scaled(p, _best_scales(p, ann, states, steps, scales), steps)
        if correct_v_init:
            gap = _mean_error(p, ann, states, steps)
            p = replace(p, v_init=p.v_init + np.clip(steps * gap, -p.vth / 2, p.vth / 2))
    levels = torch.cat([_run(p, current, steps) for _, current in _currents(p, states, steps)])
    return p, _State(ann, levels, _tensor(p.payload))


def _best_scales(p: SNM, ann: Tensor, states: States, steps: int, scales: tuple[float, ...]) -> np.ndarray:
    """(C,) of `scales`, with the least squared error of the mean spikes."""
    errors = np.zeros((len(scales), p.shape[0]))
    for images, current in _currents(p, states, steps):
        for error, scale in zip(errors, scales, strict=True):
            gap = _mean_spikes(_scaled(p, np.full(p.shape[0], scale), steps), current, steps) - ann[images]
            error += gap.square().movedim(1, 0).flatten(1).double().sum(1).numpy()
    return np.array(scales)[errors.argmin(axis=0)]


def _mean_error(p: SNM, ann: Tensor, states: States, steps: int) -> np.ndarray:
    """(*shape) mean of the ANN's activation less the mean spikes."""
    gap = np.zeros(p.shape)
    for images, current in _currents(p, states, steps):
        gap += (ann[images] - _mean_spikes(p, current, steps)).double().sum(0).numpy()
    return gap / len(ann)


def _scaled(p: SNM, scale: np.ndarray, steps: int) -> SNM:
    """With thresholds, payloads and initial potentials `scale` (C,) times as large. A neuron that reaches its lowered
    threshold's limit keeps the rest: its potential may go that much further."""
    by_channel = per_channel(scale, p.shape)
    beyond = channel_max(steps * p.levels * p.vth * np.maximum(1 - by_channel, 0))
    return replace(p, vth=p.vth * by_channel, payload=p.payload * by_channel, v_init=p.v_init * by_channel, v_range=p.v_range + beyond)


def _shifted(p: P, shift: np.ndarray, steps: int) -> P:
    """With `shift` (C,) added to its bias."""
    assert p.v_range is not None
    return replace(p, bias=p.bias + per_channel(shift, p.shape), v_range=p.v_range + steps * np.abs(shift))


def _bias_shift(p: SNM | ReadOut, states: States, steps: int, z: Tensor) -> np.ndarray:
    """(C,) mean of the ANN's `z` (N, *shape) less the mean current."""
    summed = sum((_channel_sum(current.mean(1)) for _, current in _currents(p, states, steps)), start=np.zeros(p.shape[0]))
    return (_channel_sum(z) - summed) / (z.numel() / p.shape[0])


def _channel_sum(x: Tensor) -> np.ndarray:
    """(N, C, ...) -> (C,)."""
    return x.movedim(1, 0).flatten(1).double().sum(1).numpy()


# ---------------------------------------------------------------- running a population


def _currents(p: SNM | ReadOut, states: States, steps: int) -> Iterator[tuple[slice, Tensor]]:
    """(images, their currents (n, T, *shape) without bias), some images at a time."""
    maps = [(q.source, linear(q, torch.float32, "cpu")) for q in p.projections]
    count = len(states[maps[0][0]].levels)
    some = max(1, CURRENTS // (4 * steps * int(np.prod(p.shape))))
    for start in range(0, count, some):
        images = slice(start, start + some)
        total: Tensor | None = None
        for name, project in maps:
            sent = states[name].sent(images)
            z = project(sent.flatten(0, 1))
            z = z.reshape(*sent.shape[:2], *z.shape[1:]).expand(-1, steps, *p.shape)
            total = z if total is None else total + z
        assert total is not None
        yield images, total


def _preactivation(p: SNM | ReadOut, states: States) -> Tensor:
    """The ANN's, (N, *shape), without bias."""
    total: Tensor | None = None
    for q in p.projections:
        project = linear(q, torch.float32, "cpu")
        z = torch.cat([project(part) for part in torch.split(states[q.source].ann, BATCH)])
        total = z if total is None else total + z
    assert total is not None
    return total


def _run(p: SNM, current: Tensor, steps: int) -> Tensor:
    """The levels (n, T, *shape) that are sent, as bytes."""
    ones, none = np.ones(p.shape), np.zeros(p.shape)
    flat = (np.moveaxis(np.broadcast_to(a, p.shape), 0, -1).ravel() for a in (p.bias, p.vth, ones, none, p.v_init))
    constants = neurons.neurons(
        *flat, dtype=np.dtype(np.float32), levels=p.levels, lead=p.lead, two_sided=p.two_sided, limit=NO_LIMIT, out=np.dtype(np.int8),
        offset=0,
    )  # fmt: skip
    x = current.movedim(2, -1).reshape(*current.shape[:2], -1).contiguous().numpy()
    levels = np.empty((len(x), steps, x.shape[2]), np.int8)
    neurons.run(constants, x, None, levels, torch.get_num_threads())
    channels, *pixels = p.shape
    return torch.from_numpy(levels).reshape(len(x), steps, *pixels, channels).movedim(-1, 2)


def _mean_spikes(p: SNM, current: Tensor, steps: int) -> Tensor:
    """(n, *shape) what is sent in a step, on average."""
    return _run(p, current, steps).sum(1, dtype=torch.float32) * _tensor(p.payload / steps)


def _pooled(p: MaxPool, source: _State) -> _State:
    sums = source.sent(slice(None)).cumsum(1)
    best = max_pool(sums.flatten(0, 1), p.window).reshape(*sums.shape[:2], *p.shape)
    change = torch.cat([best[:, :1], best[:, 1:] - best[:, :-1]], dim=1)
    return _State(max_pool(source.ann, p.window), change, torch.ones(()))


def _tensor(a: np.ndarray) -> Tensor:
    return torch.tensor(a, dtype=torch.float32)
