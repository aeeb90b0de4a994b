"""Calibration without a single image: mean and variance of every pre-activation, from batch norm where there
is one, else propagated.

Elements of a tensor are taken as independent, and pre-activations as normal, as data-free quantization does
(Nagel et al., ICCV 2019, arXiv 1906.04721): a projection gives the mean W mean and the variance W^2 variance,
a rectifier the closed form of a clipped normal number, a max-pool that of the largest of independent ones,
pair by pair (Clark 1961), another function a quadrature, a product of two that of independent ones. Pixels of
pictures depend on one another, so what is propagated through sums of them is too narrow or too wide; batch
norm has seen training images, and each one sets it right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dnisnm_lava.backends.batched import curves
from dnisnm_lava.backends.batched.curves import activated
from dnisnm_lava.backends.batched.linear import linear
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import (
    SNM,
    Activation,
    AnalogGraph,
    Input,
    MaxPool,
    Population,
    Product,
    Projection,
    ReadOut,
    Rectifier,
    Relay,
    Resample,
    Shape,
    SpikingGraph,
)
from dnisnm_lava.ir.arithmetic import Window, max_pool, taps
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.stages.calibration import Statistics, checked_granularity
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting import least_squares, normal, thresholds
from dnisnm_lava.stages.fitting.gaps import groups_of
from dnisnm_lava.stages.fitting.normal import Moments
from dnisnm_lava.stages.quantization import Readings

DEVIATIONS = 6  # from the mean to what counts as the largest, as in data-free quantization
OF_PIXELS = 3  # the same of pixels, which have an end: those of normalised photographs lie within 2.7
CPU = "cpu"
MomentsOf = tuple[np.ndarray, np.ndarray]  # mean and variance, (*shape)


@dataclass(frozen=True)
class Sent:
    """Mean and variance, (1, *shape), of what a population sends: of its pre-activation, and how that is
    clipped: not at all, or to 0 ... `ceiling`, (1, *shape) or ()."""

    moments: Moments
    rectifies: bool = False
    ceiling: Tensor | None = None

    @property
    def told(self) -> Moments:
        return normal.clipped(*self.moments, self.ceiling) if self.rectifies else self.moments

    def pooled(self, window: Window) -> Sent:
        """The largest in each window: of the pre-activations, since clipping keeps their order; of the
        ceilings, too."""
        ceiling = self.ceiling
        if ceiling is not None and ceiling.ndim:
            ceiling = torch.tensor(max_pool(ceiling.numpy(), window))
        return replace(self, moments=_largest(self.moments, window), ceiling=ceiling)


def calibrate_without_images(
    analog: AnalogGraph,
    *,
    image_mean: ArrayLike = 0.0,
    image_std: ArrayLike = 1.0,
    image_magnitude: ArrayLike | None = None,
) -> Statistics:
    """Statistics of `analog` as batch norm and the weights alone tell them: `moments` of each pre-activation,
    and for its extrema the mean and 6 standard deviations either way.

    image_mean, image_std: of the network's input, one number or one for each of its channels; those of
    normalised images by default. image_magnitude: the largest |pixel|, likewise (default: |mean| and 3
    standard deviations). OutOfRange for what is none of that, or where moments overflow.
    """
    channels = analog.input.shape[0]
    mean, std = (
        _of_channels(image_mean, channels, "image_mean"),
        _of_channels(image_std, channels, "image_std"),
    )
    largest = np.abs(mean) + OF_PIXELS * std if image_magnitude is None else image_magnitude
    magnitude = _of_channels(largest, channels, "image_magnitude")
    if (std < 0).any() or (magnitude < 0).any():
        raise OutOfRange("image_std, image_magnitude: negative numbers given; give 0 or more")
    high, low, moments = {}, {}, {}
    with torch.inference_mode():
        for name, (m, v) in _preactivations(analog, mean, std):
            if not bool((torch.isfinite(m) & torch.isfinite(v)).all()):
                raise OutOfRange(
                    f"{name}: its mean or variance overflows; scale the weights, or the image's moments, down"
                )
            moments[name] = (m.numpy()[0], v.numpy()[0])
            if name != analog.input.name:
                reach = DEVIATIONS * v.sqrt()
                high[name], low[name] = (m + reach).numpy()[0], (m - reach).numpy()[0]
    return Statistics(high, low, magnitude, 0, moments=moments)


def fit_without_images(
    analog: AnalogGraph, spiking: SpikingGraph, stats: Statistics, *, granularity: str = "channel"
) -> SpikingGraph:
    """`spiking`, the float network of `convert`, with the thresholds of the rule `gauss` of `fit`, by the
    moments that `stats` holds.

    granularity: who shares a threshold: neuron, channel or layer. OutOfRange for statistics of images, which
    hold no moments.
    """
    checked_granularity(granularity)
    moments = _moments(stats, "fit_without_images", "fit")
    done = []
    for p in spiking:
        own = analog[p.name]
        if isinstance(p, SNM) and isinstance(own, Rectifier):
            theta = _theta(p, moments[p.name], own.ceiling, spiking.steps, granularity)
            p = thresholds.with_thresholds(p, theta, spiking.steps)
        elif isinstance(p, SNM) and isinstance(own, Activation):
            reach = _reach_of(own, moments[p.name], spiking.steps * p.levels)
            p = thresholds.of_reach(p, own.function, reach, spiking.steps)
        done.append(p)
    return SpikingGraph(tuple(done), steps=spiking.steps)


def _sent(p: Population, sent: Mapping[str, Sent], moments: Mapping[str, MomentsOf]) -> Sent:
    """What a population of a spiking network sends: at most K thresholds a step, where it is not
    two-sided."""
    if isinstance(p, MaxPool):
        return sent[p.source].pooled(p.window)
    told = _tensors(moments[p.name])
    if isinstance(p, SNM) and p.curve is not None:
        curve = p.curve
        return Sent(normal.of_function(lambda z: curves.at(curve, z), *told))
    if isinstance(p, SNM) and not p.two_sided:
        return Sent(told, True, torch.tensor(p.levels * p.vth[None]))
    return Sent(told)


def _moments(stats: Statistics, who: str, other: str) -> Mapping[str, MomentsOf]:
    if stats.moments is None:
        raise OutOfRange(
            f"{who}: the statistics hold no moments; make them by calibrate_without_images, or use {other}"
        )
    return stats.moments


def _tensors(moments: MomentsOf) -> Moments:
    mean, variance = moments
    return torch.tensor(mean[None], dtype=torch.float64), torch.tensor(variance[None], dtype=torch.float64)


def readings_without_images(spiking: SpikingGraph, stats: Statistics) -> Readings:
    """What each projection's weights read, as `readings` tells it for `quantize`, by the moments that `stats`
    holds: means, and the variances of elements that are independent. So rounding moves the mean of what
    weights lose into the biases (as data-free quantization does), and dead channels decide no unit; there is
    no correlation by which weights could take up what others lose."""
    moments = _moments(stats, "readings_without_images", "readings")
    sent: dict[str, Sent] = {}
    found = {}
    with torch.inference_mode():
        for p in spiking:
            if isinstance(p, SNM | ReadOut):
                found[p.name] = tuple(_reads(q, sent[q.source].told) for q in p.projections)
            sent[p.name] = _sent(p, sent, moments)
    return found


def _reads(q: Projection, moments: Moments) -> tuple[Reads, ...]:
    """Over the places of a kernel: the mean, and the covariance of the means with the mean variance on its
    diagonal."""
    mean, variance = (
        least_squares.patches(x, m.float()).double() for x, m in zip((q, _squared(q)), moments, strict=True)
    )
    blocks = []
    for columns in least_squares.blocks(q):
        m, v = mean[:, :, columns], variance[:, :, columns]
        centred = m - m.mean(1, keepdim=True)
        covariance = centred.transpose(1, 2) @ centred / m.shape[1] + torch.diag_embed(v.mean(1))
        blocks.append(Reads(columns, m.mean(1).numpy(), covariance.numpy()))
    return tuple(blocks)


def origins(analog: AnalogGraph) -> dict[str, str]:
    """{population: where calibrate_without_images has its mean and variance from}: `batch norm`,
    `propagated`, or `both`, as of a batch norm's output and a shortcut that are added up."""
    found = {}
    for p in analog:
        if isinstance(p, Rectifier | Relay | Activation | ReadOut):
            norm = None if isinstance(p, ReadOut) else p.batch_norm
            found[p.name] = (
                "propagated"
                if norm is None
                else "batch norm"
                if len(norm.projections) == len(p.projections)
                else "both"
            )
    return found


def _of_channels(given: ArrayLike, channels: int, who: str) -> np.ndarray:
    """One number, or one a channel, as (C,)."""
    values = np.asarray(given, np.float64)
    if values.shape not in ((), (1,), (channels,)) or not np.isfinite(values).all():
        raise OutOfRange(
            f"{who}: {values.tolist()} given; give one finite number, or one for each of {channels} channels"
        )
    return np.broadcast_to(values.reshape(-1), (channels,))


def _preactivations(analog: AnalogGraph, mean: np.ndarray, std: np.ndarray) -> Iterator[tuple[str, Moments]]:
    """(name, mean and variance (1, *shape)) of the image, of the pre-activations of each Rectifier, Relay,
    Activation and ReadOut, and of each Product, in order."""
    shape = analog.input.shape
    with np.errstate(over="ignore"):  # infinity is refused
        variance = std**2
    image = _constant(per_channel(mean, shape), shape), _constant(per_channel(variance, shape), shape)
    sent: dict[str, Sent] = {}
    for p, heard in analog.flow(sent):
        if isinstance(p, Input):
            yield p.name, image
            sent[p.name] = Sent(image)
        elif isinstance(p, MaxPool):
            sent[p.name] = heard[p.source].pooled(p.window)
        elif isinstance(p, Product):
            sent[p.name] = Sent(_multiplied(heard[p.source].told, heard[p.gate].told))
            yield p.name, sent[p.name].moments
        else:
            assert isinstance(p, Rectifier | Relay | Activation | ReadOut)
            moments = _summed(p, {name: s.told for name, s in heard.items()})
            yield p.name, moments
            sent[p.name] = _said(p, moments)


def _said(p: Rectifier | Relay | Activation | ReadOut, moments: Moments) -> Sent:
    """What it makes of a pre-activation with these moments."""
    if isinstance(p, Activation):
        return Sent(normal.of_function(lambda z: activated(p, z), *moments))
    return _rectified(moments, p.ceiling) if isinstance(p, Rectifier) else Sent(moments)


def _multiplied(a: Moments, b: Moments) -> Moments:
    """The moments of a product of independent numbers."""
    squares = [variance + mean.square() for mean, variance in (a, b)]
    mean = a[0] * b[0]
    return mean, (squares[0] * squares[1] - mean.square()).clamp(min=0)


def _rectified(moments: Moments, ceiling: float) -> Sent:
    return Sent(moments, True, None if ceiling == np.inf else torch.tensor(ceiling, dtype=torch.float64))


def _constant(a: np.ndarray, shape: Shape) -> Tensor:
    """(1, *shape), float64."""
    return torch.tensor(np.broadcast_to(a, (1, *shape)), dtype=torch.float64)


def _summed(p: Rectifier | Relay | Activation | ReadOut, sent: dict[str, Moments]) -> Moments:
    """Moments of p's pre-activation: batch norm's for what it covers, and what the other projections
    bring."""
    norm = None if isinstance(p, ReadOut) else p.batch_norm
    mean = _constant(p.bias if norm is None else norm.mean, p.shape)
    variance = _constant(np.zeros(1) if norm is None else norm.variance, p.shape)
    for i, q in enumerate(p.projections):
        if norm is None or i not in norm.projections:
            mean = mean + linear(q, torch.float64, CPU)(sent[q.source][0])
            variance = variance + linear(_squared(q), torch.float64, CPU)(sent[q.source][1])
    return mean, variance


def _squared(q: Projection) -> Projection:
    """What the projection does to variances of independent elements."""
    resample = None if q.resample is None else Resample(q.resample.rows**2, q.resample.cols**2)
    return replace(q, weight=q.weight**2, resample=resample)


def _largest(moments: Moments, window: Window) -> Moments:
    """Moments of the largest in each window, pair by pair; the border never wins."""
    mean, variance = (m.numpy() for m in moments)
    seen = taps(np.ones((1, 1, *mean.shape[2:])), window)
    views = zip(taps(mean, window), taps(variance, window), seen, strict=True)
    (m, v, is_seen) = (torch.tensor(a) for a in next(views))
    for views_of in views:
        n, w, sees = (torch.tensor(a) for a in views_of)
        both = normal.larger((m, v), (n, w))
        m, v = (
            torch.where(sees == 0, a, torch.where(is_seen == 0, b, c))
            for a, b, c in ((m, n, both[0]), (v, w, both[1]))
        )
        is_seen = torch.maximum(is_seen, sees)
    return m, v


def _reach_of(p: Activation, moments: MomentsOf, levels: int) -> np.ndarray:
    """(C,): K theta at the cheapest clip of a channel's |f|, were it the rectified part of a normal number
    with the mean and the spread that a quadrature tells of it."""
    mean, variance = normal.of_function(lambda z: activated(p, z), *_tensors(moments))
    first, second = (a[0].reshape(p.shape[0], -1) for a in (mean, variance + mean.square()))
    shared = first.mean(1)
    spread = (second.mean(1) - shared.square()).clamp(min=0).sqrt()
    return normal.cheapest(shared.abs(), spread, levels).numpy()


def _theta(
    p: SNM, moments: tuple[np.ndarray, np.ndarray], ceiling: float, steps: int, granularity: str
) -> np.ndarray:
    """(*shape): K theta at the cheapest clip of what is shared within neuron, channel or layer."""
    groups = groups_of(p.shape, granularity)
    mean, variance = (torch.tensor(a, dtype=torch.float64).reshape(groups, -1) for a in moments)
    shared = mean.mean(1)
    spread = (variance + (mean - shared[:, None]).square()).mean(1).sqrt()
    return thresholds.of_moments(p, shared, spread, ceiling, steps, granularity)
