"""What is seen of one population, summed over chunks of images, and what is told of it in the end."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from dnisnm_lava.backends.results import count_spikes
from dnisnm_lava.ir import SNM, Gate, MaxPool, Population, Product, ReadOut, Rectifier, sources
from dnisnm_lava.ir.integers import StateRange
from dnisnm_lava.studies.explain import threshold_maps
from dnisnm_lava.studies.explain.rates import Rates
from dnisnm_lava.studies.explain.values import (
    PARTS,
    Explained,
    Headroom,
    Part,
    Raster,
    ThresholdMap,
    Thresholds,
)

SHOWN = 64  # neurons of a raster
BYTE = 127


@dataclass
class Observed:
    """One population in the ANN, the float SNN and the integer SNN, and what was seen of it so far.

    sums: of d^2, d and what d contributes, (8, 3): of PARTS, of r5 - r0, and of r4 - r0. power: of a^2.
    sounded, active: which neurons sent, or were above 0 in the ANN. maxima: (2, *shape), over the even and
    the odd images.
    """

    own: Population
    spiking: Population
    integer: Population
    count: int = 0
    power: float = 0.0
    sums: np.ndarray = field(default_factory=lambda: np.zeros((len(PARTS) + 2, 3)))
    up: int = 0
    down: int = 0
    saturations: int = 0
    largest_v: int = 0
    largest_m: int = 0
    raster: Raster | None = None

    def __post_init__(self) -> None:
        self.sounded, self.active = (np.zeros(self.own.shape, bool) for _ in range(2))
        self.maxima = np.zeros((2, *self.own.shape))

    def add_rates(self, rates: Rates, first: int) -> None:
        """Add the rates of images from index `first` on."""
        r0, *_, r4, r5 = rates
        spiking, whole = r4 - r0, r5 - r0
        differences = [b - a for a, b in itertools.pairwise(rates)]
        weights = [spiking] * (len(PARTS) - 1) + [
            whole + spiking
        ]  # (r5 - r4) (r5 + r4 - 2 r0) is the difference of the squares
        pairs = [*zip(differences, weights, strict=True), (whole, whole), (spiking, spiking)]
        self.sums += [[float(d.square().sum()), float(d.sum()), float((d * w).sum())] for d, w in pairs]
        self.power += float(r0.square().sum())
        self.count += r0.numel()
        a = r0.cpu().numpy()
        self.active |= (a != 0).any(axis=0)
        for half in range(2):
            part = a[(half - first) % 2 :: 2]
            if len(part):
                np.maximum(self.maxima[half], part.max(axis=0), out=self.maxima[half])

    def add_spikes(self, spikes: np.ndarray) -> None:
        """(n, T, *shape) of the integer SNN."""
        up, down = count_spikes(spikes)
        self.up, self.down = self.up + up, self.down + down
        self.sounded |= (spikes != 0).any(axis=(0, 1))

    def add_state(self, largest_v: int, largest_m: int, saturations: int) -> None:
        self.largest_v, self.largest_m = max(self.largest_v, largest_v), max(self.largest_m, largest_m)
        self.saturations += saturations

    def draw(self, spikes: np.ndarray) -> None:
        """The raster, of one image's spikes (T, *shape): neurons evenly spaced from the most to the least
        active that fired."""
        flat = spikes.reshape(len(spikes), -1)
        events = np.count_nonzero(flat, axis=0)
        firing = int(np.count_nonzero(events))
        chosen = np.argsort(-events, kind="stable")[
            np.arange(min(SHOWN, events.size)) * max(firing, SHOWN) // SHOWN
        ]
        if isinstance(self.integer, SNM | Gate):
            payload = np.maximum(self.integer.payload.reshape(-1)[chosen], 1)
            levels = np.clip(flat[:, chosen] // payload, -BYTE, BYTE)
        else:
            levels = np.sign(flat[:, chosen])
        self.raster = Raster(chosen, levels.astype(np.int8), firing, events.size)


def explained(
    o: Observed, steps: int, images: int, ranges: dict[str, StateRange], train: np.ndarray | None
) -> Explained:
    """train: largest ANN activations (*shape) on calibration images; without them, the even images' stand
    against the odd ones'."""
    size = int(np.prod(o.own.shape))
    fires = not isinstance(o.own, ReadOut)
    parts = [_part(row, o.power, o.count) for row in o.sums]
    events = images * steps * size
    return Explained(
        name=o.own.name,
        kind=type(o.own).__name__,
        shape=o.own.shape,
        neurons=size,
        sources=sources(o.own),
        levels=o.integer.levels if isinstance(o.integer, SNM | Gate) else 0,
        lead=o.integer.lead if isinstance(o.integer, SNM) else 0,
        power=o.power / o.count,
        parts=dict(zip(PARTS, parts[: len(PARTS)], strict=True)),
        total=parts[-2],
        spiking=parts[-1],
        rate_up=o.up / events,
        rate_down=o.down / events,
        dead=int(np.count_nonzero(o.integer.vth == 0)) if isinstance(o.integer, SNM | Gate) else 0,
        silent=size - int(np.count_nonzero(o.sounded)) if fires else 0,
        inactive=size - int(np.count_nonzero(o.active)) if fires else 0,
        saturations=o.saturations,
        headroom=None if isinstance(o.own, MaxPool | Product) else _headroom(o, ranges[o.own.name]),
        thresholds=_thresholds(o.spiking),
        map=_map(o, images, train),
        raster=o.raster,
    )


def _part(sums: np.ndarray, power: float, count: int) -> Part:
    """From sums of d^2, d and contributions over `count` numbers whose squared activations sum to `power`."""
    squared, plain, shared = sums / count
    mean_power = power / count or 1.0
    return Part(float(squared / mean_power), float(plain / mean_power**0.5), float(shared / mean_power))


def _headroom(o: Observed, own: StateRange) -> Headroom:
    return Headroom(o.largest_v, o.largest_m, own.expected, own.current, own.limit)


def _thresholds(p: Population) -> Thresholds | None:
    if not isinstance(p, SNM | Gate):
        return None
    alive = p.vth[p.vth > 0]
    return (
        Thresholds(float(alive.min()), float(np.median(alive)), float(alive.max()))
        if alive.size
        else Thresholds(0.0, 0.0, 0.0)
    )


def _map(o: Observed, images: int, train: np.ndarray | None) -> ThresholdMap | None:
    if not isinstance(o.own, Rectifier) or (train is None and images < 2):
        return None
    if train is None:
        return threshold_maps.compared(*o.maxima)
    return threshold_maps.compared(np.minimum(train, o.own.ceiling), o.maxima.max(axis=0))
