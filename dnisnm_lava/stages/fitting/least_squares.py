"""Weights by least squares: what a projection's weights read, its second moments, and the ridge regression on
them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava.backends.batched.chunks import one_thread
from dnisnm_lava.backends.batched.linear import in_front
from dnisnm_lava.ir import Projection, Shape
from dnisnm_lava.stages.compensation import Reads
from dnisnm_lava.stages.fitting.shares import Share

PENALTIES = (0.01, 0.1, 1.0, 10.0)  # of the mean variance of what is read
HELD_BACK = 4  # one image in so many judges the penalty
COLUMNS = 1152  # of a row of weights at once: systems cost the cube
SAMPLES = 128  # places, over all images, for each number of a row: more tell nothing new, and cost the most


class Places:
    """Which places of a convolution's map are looked at: of each image as many others, drawn by the number of
    its chunk, as give SAMPLES for each number of a row over all `images`; all of a map that has no more."""

    def __init__(self, q: Projection, source: Shape, images: int) -> None:
        self.size = math.prod(q.given_shape(source)[1:])
        self.wanted = min(self.size, -(-SAMPLES * q.weight[0].size // images))

    def of(self, number: int, count: int) -> Tensor | None:
        """(count, places) of the `count` images of this chunk, in any order; None: all."""
        if self.wanted == self.size:
            return None
        random = torch.Generator().manual_seed(number)
        return torch.rand(count, self.size, generator=random).topk(self.wanted, dim=1).indices


def patches(q: Projection, x: Tensor, places: Tensor | None = None) -> Tensor:
    """(G, n * places, K) what each row of the weights, of K numbers in one of G groups, multiplies; of x (n,
    *source shape), at `places` (n, P) of the map that the weights give (default: all)."""
    x = in_front(q, torch.float32, "cpu")(x)
    if not q.is_conv:
        return x.flatten(1)[None]
    (top, bottom), (left, right) = q.padding
    x = F.pad(x, (left, right, top, bottom))
    if places is not None:
        return _gathered(q, x, places)
    unfolded = F.unfold(x, q.weight.shape[2:], dilation=q.dilation, stride=q.stride)
    images, count = unfolded.shape[0], unfolded.shape[2]
    return (
        unfolded.reshape(images, q.groups, -1, count)
        .permute(1, 0, 3, 2)
        .reshape(q.groups, images * count, -1)
    )


def _gathered(q: Projection, x: Tensor, places: Tensor) -> Tensor:
    """`patches` of x (n, C, H, W), its border with it."""
    n, channels, height, width = x.shape
    columns = q.window.output_size((height - sum(q.padding[0]), width - sum(q.padding[1])))[1]
    top = torch.div(places, columns, rounding_mode="floor") * q.stride[0] * width
    corner = top + places % columns * q.stride[1]  # (n, P)
    tap_rows, tap_columns = (torch.arange(k) * d for k, d in zip(q.weight.shape[2:], q.dilation, strict=True))
    taps = (tap_rows[:, None] * width + tap_columns).reshape(-1)
    at = (corner[:, :, None] + taps).reshape(n, 1, -1).expand(n, channels, -1)  # (n, C, P * taps)
    found = x.reshape(n, channels, -1).gather(2, at).reshape(n, q.groups, -1, places.shape[1], len(taps))
    return found.permute(1, 0, 3, 2, 4).reshape(q.groups, n * places.shape[1], -1)


def driven(q: Projection, z: Tensor, places: Tensor | None = None) -> Tensor:
    """(G, n * places, rows of a group): the parts of z (n, *target shape) that the rows of the weights
    drive."""
    if q.target_order is not None:
        z = z.flatten(1)[:, torch.tensor(q.target_order, dtype=torch.long)].reshape(len(z), len(q.weight), -1)
    if q.target_channels is not None:
        z = z.movedim(1, -1)[..., torch.tensor(q.target_channels, dtype=torch.long)].movedim(-1, 1)
    if not q.is_conv:
        return z.flatten(1)[None]
    if places is not None:
        z = z.flatten(2).gather(2, places[:, None].expand(-1, z.shape[1], -1))
    return z.movedim(1, -1).reshape(-1, q.groups, len(q.weight) // q.groups).movedim(0, 1)


@dataclass(frozen=True)
class Moments:
    """Sums over images and places: u (G, K) and t (G, O) themselves, and their products uu (G, K, K), ut (G,
    K, O)."""

    u: Tensor
    t: Tensor
    uu: Tensor
    ut: Tensor
    count: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.u + other.u,
            self.t + other.t,
            self.uu + other.uu,
            self.ut + other.ut,
            self.count + other.count,
        )

    def centred(self) -> tuple[Tensor, Tensor]:
        """Means of the products of what deviates from the means: (G, K, K), (G, K, O)."""
        u, t = self.u / self.count, self.t / self.count
        return self.uu / self.count - u[:, :, None] * u[:, None], self.ut / self.count - u[:, :, None] * t[
            :, None
        ]


def moments(u: Tensor, t: Tensor) -> Moments:
    products = u.transpose(1, 2) @ u, u.transpose(1, 2) @ t
    return Moments(
        u.double().sum(1), t.double().sum(1), products[0].double(), products[1].double(), u.shape[1]
    )


Half = Moments | None
Halves = tuple[Half, Half]  # of images that are learnt from, and of those that judge


def halves(
    q: Projection,
    share: Share,
    places: Places,
    columns: slice,
    samples: Iterable[tuple[Tensor, Tensor | None]],
) -> Halves:
    """Moments of `columns` of what q's weights read, over all images. samples, of each chunk here: mean
    spikes (n, *source shape), and what the target's current lacks (n, *target shape), or None."""

    def of(number: int, start: int, sample: tuple[Tensor, Tensor | None]) -> Halves:
        x, lacking = sample
        judges = torch.arange(start, start + len(x)) % HELD_BACK == HELD_BACK - 1
        at = places.of(number, len(x))
        learnt, judged = (
            _moments_of(
                q,
                x[chosen],
                lacking if lacking is None else lacking[chosen],
                at if at is None else at[chosen],
                columns,
            )
            for chosen in (~judges, judges)
        )
        return learnt, judged

    return share.summed(map(of, share.numbers, share.starts, samples), _both)


def _moments_of(q: Projection, x: Tensor, lacking: Tensor | None, at: Tensor | None, columns: slice) -> Half:
    if not len(x):
        return None
    u = patches(q, x, at)[:, :, columns]
    return moments(u, u[:, :, :0] if lacking is None else driven(q, lacking, at))


def _both(a: Halves, b: Halves) -> Halves:
    return _plus(a[0], b[0]), _plus(a[1], b[1])


def _plus(a: Half, b: Half) -> Half:
    return b if a is None else a if b is None else a + b


def together(both: Halves) -> Moments:
    found = _plus(both[1], both[0])
    assert found is not None  # of one image at least
    return found


def reads(both: Halves, columns: slice) -> Reads:
    """What `columns` read, of halves of it."""
    found = together(both)
    return Reads(columns, (found.u / found.count).numpy(), found.centred()[0].numpy())


def improved(q: Projection, both: Halves, columns: slice) -> np.ndarray:
    """q's weights, of which `columns` are moved so that their currents take up what is lacking, up to a
    constant for each row.

    D minimises mean |D u - r|^2 + penalty * mean variance of u * |D|^2; of PENALTIES and of leaving the
    weights as they are, what serves one held-back image in four best.
    """
    seen, judge = both
    assert seen is not None
    with one_thread():
        penalty = _penalty(seen, judge or seen)
        weight = np.array(q.weight)
        if penalty is None:
            return weight
        change = _solved(*together(both).centred(), penalty)
    rows = weight.reshape(len(weight), -1)
    rows[:, columns] += change.transpose(1, 2).reshape(len(weight), -1).numpy()
    return weight


def _solved(uu: Tensor, ut: Tensor, penalty: float) -> Tensor:
    """(G, K, O), of the centred moments (G, K, K) and (G, K, O)."""
    size = penalty * uu.diagonal(dim1=1, dim2=2).mean(1)
    size = torch.where(size > 0, size, torch.ones(()).double())  # nothing varies: nothing to learn
    return torch.linalg.solve(uu + size[:, None, None] * torch.eye(uu.shape[1], dtype=uu.dtype), ut)


def _penalty(seen: Moments, judge: Moments) -> float | None:
    (uu, ut), learnt = judge.centred(), seen.centred()
    gains: dict[float | None, float] = {None: 0.0}
    for penalty in PENALTIES:
        d = _solved(*learnt, penalty)
        gains[penalty] = float(
            (d * (uu @ d)).sum() - 2 * (d * ut).sum()
        )  # of the mean squared error, less what it was
    return min(gains, key=lambda penalty: gains[penalty])


def blocks(q: Projection) -> list[slice]:
    """The columns of q's weights, at most COLUMNS at once."""
    size = q.weight[0].size
    parts = -(-size // COLUMNS)
    edges = [size * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
