"""Weights by least squares: what a projection's weights read, its second moments, and the ridge regression on
them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
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
JUDGED = 64  # of the rows of each group, evenly spread
COLUMNS = 1152  # of a row of weights at once: systems cost the cube
WIDE, PARTS = 128, 4  # columns from which on a product is taken in parts
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


def driven(q: Projection, z: Tensor) -> Tensor:
    """(G, n * places, rows of a group): the parts that the rows of the weights drive of z, (n, *target shape)
    or, at some places of its map, (n, C, places)."""
    if q.target_order is not None:
        z = z.flatten(1)[:, torch.tensor(q.target_order, dtype=torch.long)].reshape(len(z), len(q.weight), -1)
    if q.target_channels is not None:
        z = z.movedim(1, -1)[..., torch.tensor(q.target_channels, dtype=torch.long)].movedim(-1, 1)
    if not q.is_conv:
        return z.flatten(1)[None]
    return z.movedim(1, -1).reshape(-1, q.groups, len(q.weight) // q.groups).movedim(0, 1)


def heard(q: Projection, u: Tensor, images: int, channels: int) -> Tensor:
    """(n, channels, places) of a population: the currents where q's weights multiply `u`, as of `patches`."""
    weight = torch.tensor(q.weight, dtype=torch.float32).reshape(q.groups, -1, u.shape[2])
    rows = (u @ weight.transpose(1, 2)).movedim(0, 1).reshape(images, -1, len(q.weight)).movedim(2, 1)
    if q.target_channels is None:
        return rows
    found = rows.new_zeros(images, channels, rows.shape[2])
    return found.index_copy_(1, torch.tensor(q.target_channels, dtype=torch.long), rows)


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
    return Moments(
        u.sum(1).double(), t.sum(1).double(), gram(u).double(), (u.transpose(1, 2) @ t).double(), u.shape[1]
    )


def gram(u: Tensor) -> Tensor:
    """u.T @ u, (G, K, K): of a wide one the parts on and above the diagonal alone, since it is symmetric."""
    size = u.shape[2]
    if size < WIDE:
        return u.transpose(1, 2) @ u
    found = u.new_empty(len(u), size, size)
    edges = [size * i // PARTS for i in range(PARTS + 1)]
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    for i, rows in enumerate(parts):
        for columns in parts[i:]:
            found[:, rows, columns] = u[:, :, rows].transpose(1, 2) @ u[:, :, columns]
            found[:, columns, rows] = found[:, rows, columns].transpose(1, 2)
    return found


Lacking = Callable[[Tensor, "Tensor | None"], Tensor]
Sample = tuple[Tensor, Lacking]
Half = Moments | None
Halves = tuple[Half, Half]  # of images that are learnt from, and of those that judge


def halves(q: Projection, share: Share, places: Places, columns: slice, samples: Iterable[Sample]) -> Halves:
    """Moments of `columns` of what q's weights read, over all images. samples: of each chunk here, mean
    spikes (n, *source shape), and of what q reads there, as of `patches`, at which places, what its rows
    lack, as of `driven`."""

    def of(number: int, start: int, sample: Sample) -> Halves:
        x, lacking = sample
        at = places.of(number, len(x))
        u = patches(q, x, at)
        t = lacking(u, at)
        judges = torch.arange(start, start + len(x)) % HELD_BACK == HELD_BACK - 1
        learnt, judged = (
            _moments_of(_chosen(u[:, :, columns], chosen), _chosen(t, chosen)) for chosen in (~judges, judges)
        )
        return learnt, judged

    return share.summed(map(of, share.numbers, share.starts, samples), _both)


def nothing_lacks(u: Tensor, at: Tensor | None) -> Tensor:
    return u[:, :, :0]


def _chosen(a: Tensor, images: Tensor) -> Tensor:
    """(G, n * places, ...) of some of n images."""
    return a.reshape(len(a), len(images), a.shape[1] // len(images), a.shape[2])[:, images].flatten(1, 2)


def _moments_of(u: Tensor, t: Tensor) -> Half:
    return moments(u, t) if u.shape[1] else None


def _both(a: Halves, b: Halves) -> Halves:
    return _plus(a[0], b[0]), _plus(a[1], b[1])


def _plus(a: Half, b: Half) -> Half:
    return b if a is None else a if b is None else a + b


def together(both: Halves) -> Moments:
    found = _plus(both[1], both[0])
    assert found is not None  # of one image at least
    return found


def reads(both: Halves, columns: slice) -> Reads:
    """What `columns` read, of halves of it: in float32, as its products were summed."""
    found = together(both)
    return Reads(columns, (found.u / found.count).numpy(), found.centred()[0].float().numpy())


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


def change(q: Projection, better: Projection, columns: slice) -> Tensor:
    """(G, columns, rows of a group) by which `columns` of the weights differ."""
    both = (torch.tensor(w.weight.reshape(q.groups, len(w.weight) // q.groups, -1)) for w in (q, better))
    before, after = both
    return (after - before)[:, :, columns].float().transpose(1, 2)


def _solved(uu: Tensor, ut: Tensor, penalty: float) -> Tensor:
    """(G, K, O), of the centred moments (G, K, K) and (G, K, O)."""
    size = penalty * uu.diagonal(dim1=1, dim2=2).mean(1)
    size = torch.where(size > 0, size, torch.ones_like(size))  # nothing varies: nothing to learn
    matrix = uu + size[:, None, None] * torch.eye(uu.shape[1], dtype=uu.dtype)
    root, lost = torch.linalg.cholesky_ex(matrix)
    if lost.any():  # rounding of what hardly varies beside its mean has left no positive definite matrix
        return torch.linalg.solve(matrix, ut)
    return torch.cholesky_solve(ut, root)


def _penalty(seen: Moments, judge: Moments) -> float | None:
    """In float32 and by JUDGED rows, which tell penalties apart as well as all."""
    (uu, ut), learnt = (
        (a.float(), b[:, :, :: -(-b.shape[2] // JUDGED)].float())
        for a, b in (half.centred() for half in (judge, seen))
    )
    gains: dict[float | None, float] = {None: 0.0}
    for penalty in PENALTIES:
        d = _solved(*learnt, penalty)
        gains[penalty] = float(
            (d * (uu @ d)).double().sum() - 2 * (d * ut).double().sum()
        )  # of the mean squared error, less what it was
    return min(gains, key=lambda penalty: gains[penalty])


def blocks(q: Projection) -> list[slice]:
    """The columns of q's weights, at most COLUMNS at once."""
    size = q.weight[0].size
    parts = -(-size // COLUMNS)
    edges = [size * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
