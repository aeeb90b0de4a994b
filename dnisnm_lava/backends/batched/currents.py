"""Projections on many images and steps at once, in torch: (B, *source shape) -> (B, *target shape).

Three exact ways, the fastest that a static bound allows: bytes times 8-bit weights through oneDNN with float32 sums
(below 2**24), float32 (below 2**24), float64 (below 2**53).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnisnm_lava.data.inputs import Device
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Projection, Resample, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Pair, Window

EXACT_FLOAT32 = 1 << 24
BYTE = 255
WEIGHT = 127
THIN = 64  # multiplications
PROOFS = (  # weights (O, I / groups, ky, kx), pixels, stride, dilation, groups: each kind of kernel, sums up to 2**24
    ((16, 56, 3, 3), 4, 1, 1, 1), ((16, 518, 1, 1), 4, 1, 1, 1), ((10, 518, 1, 1), 1, 1, 1, 1),
    ((16, 56, 3, 3), 5, 2, 2, 2), ((32, 1, 3, 3), 5, 1, 1, 32),
)  # fmt: skip
WAYS = ("auto", "int8", "float32", "float64")
Map = Callable[[Tensor], Tensor]


def checked_device(device: Device) -> str:
    """Its name; OutOfRange for one that this torch, here, cannot compute on."""
    try:
        torch.zeros(1, device=device).cpu()  # there and back: `meta` has no numbers
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or "no message").splitlines()[0].partition(". ")[0]
        raise OutOfRange(f"device: {device} cannot be used here ({reason}); give cpu, or cuda where torch finds a GPU") from error
    return str(device)


def tensor(a: np.ndarray, dtype: torch.dtype, device: str) -> Tensor:
    return torch.tensor(a, dtype=dtype, device=device)


def channels_last(x: Tensor) -> Tensor:
    """A map (N, C, H, W) with its channels innermost in memory; anything else as it is."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@dataclass(frozen=True)
class Code:
    """How a population's spikes are stored: as value + offset, in `dtype`. Bytes hold +-offset around offset."""

    dtype: torch.dtype
    offset: int = 0

    def encode(self, spikes: Tensor) -> Tensor:
        return (spikes + self.offset).to(self.dtype) if self.offset else spikes.to(self.dtype)

    def decode(self, stored: Tensor, dtype: torch.dtype) -> Tensor:
        return stored.to(dtype).sub_(self.offset) if self.offset else stored.to(dtype)


def code_of(largest: int) -> Code:
    """The narrowest code of spikes up to +-largest."""
    if 2 * largest <= BYTE:
        return Code(torch.uint8, largest)
    return Code(torch.float32 if largest < EXACT_FLOAT32 else torch.float64)


@dataclass(frozen=True)
class Synapses:
    """A projection, ready: `apply` takes stored spikes to currents, displaced by `silence`, (*target shape): what comes
    out where nobody spikes. reach: the most that a displaced current can be."""

    apply: Map
    silence: np.ndarray | float
    reach: int
    way: str


def synapses(projection: Projection, code: Code, largest: int, source: Shape, asked: str, device: str) -> Synapses:
    """Of spikes up to +-largest, stored in `code`; OutOfRange where the way that is asked for would not be exact."""
    way = way_of(projection, code, largest, asked, device)
    if way != "int8":
        dtype = torch.float64 if way == "float64" else torch.float32
        plain = linear(projection, dtype, device)
        return Synapses(lambda x: plain(code.decode(x, dtype)), 0.0, projection.bound(largest), way)
    projection = _whole_rows(projection)
    apply = _between(_chosen(projection, device), _int8(projection, code.offset, source), projection, device)
    nobody = torch.full((1, *source), code.offset, dtype=torch.uint8)
    silence = apply(channels_last(nobody))[0].numpy()
    return Synapses(apply, silence, projection.bound(2 * code.offset), way)


def way_of(projection: Projection, code: Code, largest: int, asked: str, device: str) -> str:
    """How a projection is computed; OutOfRange where float32 is asked for and would not be exact."""
    exact = projection.bound(largest) < EXACT_FLOAT32
    if asked in ("auto", "int8"):
        suits = code.dtype is torch.uint8 and projection.bound(2 * code.offset) < EXACT_FLOAT32 and _fits_bytes(projection, code.offset)
        return "int8" if suits and device == "cpu" and int8_is_exact() else "float32" if exact else "float64"
    if asked == "float32" and not exact:
        reach = projection.bound(largest)
        raise OutOfRange(f"synapses: sums from {projection.source} may reach {reach}, beyond float32's 2**24; use float64 or auto")
    return asked


def _fits_bytes(projection: Projection, offset: int) -> bool:
    """Do its weights, and the sums of a pool in front of them, fit 8 bits?"""
    taps = 1 if projection.sum_pool is None else projection.sum_pool.kernel[0] * projection.sum_pool.kernel[1]
    small = int(np.abs(projection.weight).max(initial=0)) <= WEIGHT and 2 * taps * offset <= BYTE
    return small and projection.resample is None


def shortcut_weight(projection: Projection, code: Code, shape: Shape) -> np.ndarray | None:
    """(C,) weights of a projection that gives each neuron its own byte of the source times its channel's weight; else None."""
    w = projection.weight
    own = projection.is_conv and w.shape[1:] == (1, 1, 1) and projection.groups == w.shape[0] == shape[0] and projection.stride == (1, 1)
    moved = projection.spatial, projection.source_channels, projection.target_channels, projection.target_order
    if not own or any(part is not None for part in moved) or projection.padding != NO_PADDING or code.dtype is not torch.uint8:
        return None
    return w.reshape(-1).astype(np.int64) << projection.exponent


# ---------------------------------------------------------------- floats


@contextlib.contextmanager
def exact_sums(device: str) -> Iterator[None]:
    """Floats that sum integers exactly: no TF32 or bfloat16 inside products, whatever the user allows elsewhere; and on
    CUDA no cuDNN, whose Winograd and FFT convolutions round. What was set before comes back."""
    before = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.flags(enabled=False, allow_tf32=False) if device.startswith("cuda") else contextlib.nullcontext()
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def linear(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """The projection as a function of spikes (B, *source shape) of `dtype`, channels last in memory for maps."""
    return _between(in_front(projection, dtype, device), _weights(projection, dtype, device), projection, device)


def _between(chosen: Map, weights: Map, projection: Projection, device: str) -> Map:
    """`weights` between what is in front of them and the target's channels."""
    if projection.target_order is not None:
        return _placed(chosen, weights, projection.target_order, projection.target_shape, device)
    if projection.target_channels is None:
        return lambda x: weights(chosen(x))
    targets = torch.tensor(projection.target_channels, dtype=torch.long, device=device)

    def apply(x: Tensor) -> Tensor:
        z = weights(chosen(x))
        full = z.new_zeros(z.shape[0], *z.shape[2:], projection.targets).movedim(-1, 1)
        return full.index_copy_(1, targets, z)

    return apply


def _placed(chosen: Map, weights: Map, order: np.ndarray, shape: Shape, device: str) -> Map:
    """What the weights give, (B, elements), each to its neuron of a population of `shape`."""
    places = torch.tensor(order, dtype=torch.long, device=device)

    def apply(x: Tensor) -> Tensor:
        z = weights(chosen(x)).flatten(1)
        return channels_last(z.new_zeros(len(z), math.prod(shape)).index_copy_(1, places, z).reshape(-1, *shape))

    return apply


def _chosen(projection: Projection, device: str) -> Map:
    """The channels that the projection reads."""
    if projection.source_channels is None:
        return lambda x: x
    sources = torch.tensor(projection.source_channels, dtype=torch.long, device=device)
    return lambda x: x.movedim(1, -1)[..., sources].movedim(-1, 1)


def in_front(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """What happens to spikes (B, *source shape) before they meet the weights: choice of channels, pool, resampling."""
    chosen = _chosen(projection, device)
    if projection.resample is not None:
        resample = _resampling(projection.resample, dtype, device)
        return lambda x: resample(chosen(x))
    window = projection.sum_pool
    return chosen if window is None else lambda x: sum_pool(chosen(x), window)


def border(window: Window) -> list[int]:
    (top, bottom), (left, right) = window.padding
    return [left, right, top, bottom]


def sum_pool(x: Tensor, window: Window) -> Tensor:
    """Sums of windows, exact for integers that fit the dtype."""
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window))
    return F.avg_pool2d(x, window.kernel, window.stride, divisor_override=1)


def max_pool(x: Tensor, window: Window) -> Tensor:
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window), value=-torch.inf)
    return F.max_pool2d(x, window.kernel, window.stride, dilation=window.dilation)


def pool_changes(spikes: Tensor, window: Window) -> Tensor:
    """The change of the windows' maxima of the running sums of spikes (N, T, *source shape): (N, T, *shape)."""
    sums = spikes.cumsum(1)
    best = max_pool(sums.flatten(0, 1), window)
    best = best.reshape(*sums.shape[:2], *best.shape[1:])
    return torch.cat([best[:, :1], best[:, 1:] - best[:, :-1]], dim=1)


def innermost(a: np.ndarray) -> np.ndarray:
    """(C, H, W) -> (H, W, C), as currents lie in memory."""
    return np.moveaxis(a, 0, -1)


def flat(x: Tensor) -> np.ndarray:
    """(N, T, C, H, W) -> (N, T, H * W * C), as it lies in memory."""
    return x.movedim(2, -1).reshape(*x.shape[:2], -1).numpy()


def unflat(x: np.ndarray, shape: Shape) -> Tensor:
    """Back: (N, T, H * W * C) -> (N, T, C, H, W)."""
    channels, *pixels = shape
    return torch.from_numpy(x).reshape(*x.shape[:2], *pixels, channels).movedim(-1, 2)


def _resampling(resample: Resample, dtype: torch.dtype, device: str) -> Map:
    rows, cols = tensor(resample.rows, dtype, device), tensor(resample.cols.T, dtype, device)
    return lambda x: rows @ x @ cols


def _weights(projection: Projection, dtype: torch.dtype, device: str) -> Map:
    """Conv or dense."""
    weight = tensor(projection.weight, dtype, device) * 2.0**projection.exponent
    padding, ahead = _padding(projection)
    if projection.is_conv:
        weight = weight.contiguous(memory_format=torch.channels_last)

    def apply(x: Tensor) -> Tensor:
        if not projection.is_conv:
            z = x.flatten(1) @ weight.T
            return z.reshape(-1, *projection.target_shape) if projection.target_shape and projection.target_order is None else z
        if ahead:
            x = F.pad(x, ahead)
        return F.conv2d(x, weight, None, projection.stride, padding, projection.dilation, projection.groups)

    return apply


def _padding(projection: Projection) -> tuple[Pair, list[int]]:
    """What a convolution pads itself, and what is padded ahead of it: one of them is nothing."""
    (top, bottom), (left, right) = projection.padding
    return ((top, left), []) if top == bottom and left == right else ((0, 0), [left, right, top, bottom])


# ---------------------------------------------------------------- 8 bits through oneDNN


def _whole_rows(projection: Projection) -> Projection:
    """The same with a row for each of the target's channels, where its rows are thin: multiplying by a few zeros costs
    less than moving what comes out to its channels."""
    fan_in = projection.weight[0].size * projection.groups
    if projection.target_channels is None or not projection.is_conv or fan_in > THIN:
        return projection
    rows, inputs = projection.weight.shape[:2]
    weight = np.zeros((projection.targets, inputs * projection.groups, *projection.weight.shape[2:]), projection.weight.dtype)
    for row, (kernel, target) in enumerate(zip(projection.weight, projection.target_channels, strict=True)):
        first = row // (rows // projection.groups) * inputs
        weight[target, first : first + inputs] += kernel
    return replace(projection, weight=weight, groups=1, target_channels=None, targets=0)


def _int8(projection: Projection, offset: int, source: Shape) -> Map:
    """Sum-pool, then conv or dense, of bytes. A dense layer is a convolution of one pixel."""
    padding, ahead = _padding(projection)
    weight = projection.weight if projection.is_conv else _channels_innermost(projection, source)
    convolve = quantized(
        tensor(weight, torch.int8, "cpu"), 2.0**projection.exponent, projection.stride, padding, projection.dilation, projection.groups
    )

    def apply(x: Tensor) -> Tensor:
        if projection.sum_pool is not None:
            x = _pooled_bytes(x, projection.sum_pool, offset)
        if not projection.is_conv:
            z = convolve(x.movedim(1, -1).reshape(len(x), -1, 1, 1)).reshape(len(x), -1)
            return z.reshape(-1, *projection.target_shape) if projection.target_shape and projection.target_order is None else z
        return convolve(F.pad(x, ahead) if ahead else x)

    return apply


def _channels_innermost(projection: Projection, source: Shape) -> np.ndarray:
    """(O, I, 1, 1) weights of a dense layer, for a source that is flattened as it lies in memory."""
    weight = projection.weight.reshape(-1, *projection.read_shape(source))
    return np.ascontiguousarray(np.moveaxis(weight, 1, -1)).reshape(len(weight), -1, 1, 1)


def _pooled_bytes(x: Tensor, window: Window, offset: int) -> Tensor:
    """Sums of bytes over each window, which fit bytes; the border holds spikes of 0."""
    if window.padding != NO_PADDING:
        x = F.pad(x, border(window), value=offset)
    rows, cols = replace(window, padding=NO_PADDING).output_size((x.shape[2], x.shape[3]))
    total: Tensor | None = None
    for y in range(0, window.kernel[0] * window.dilation[0], window.dilation[0]):
        for z in range(0, window.kernel[1] * window.dilation[1], window.dilation[1]):
            (sy, sx) = window.stride
            tap = x[:, :, y : y + (rows - 1) * sy + 1 : sy, z : z + (cols - 1) * sx + 1 : sx]
            total = tap.clone(memory_format=torch.channels_last) if total is None else total.add_(tap)
    assert total is not None
    return total


def quantized(weight: Tensor, scale: float, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Map:
    """`scale` times oneDNN's convolution of (B, I, y, x) bytes with 8-bit weights, into float32 sums; borders are bytes of 0."""
    scales, zeros = torch.full((len(weight),), scale), torch.zeros(len(weight), dtype=torch.int)
    geometry = (list(stride), list(padding), list(dilation), groups)
    onednn = torch.ops.onednn  # type: ignore[attr-defined]
    convolve = onednn.qconv2d_pointwise.default

    @cache
    def packed(shape: tuple[int, ...]) -> Tensor:
        return onednn.qconv_prepack(weight, scales, 1.0, 0, *geometry, list(shape))

    def apply(x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return convolve(x, 1.0, 0, packed(tuple(x.shape)), scales, zeros, None, *geometry, 1.0, 0, torch.float32, "none", [], "")

    return apply


@cache
def int8_is_exact() -> bool:
    """Is oneDNN's 8-bit convolution there, and exact on the worst operands that a float32 sum can hold? CPUs without
    VNNI may saturate sums of two products at 16 bits. Tried once per process, and no version is asked for."""
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):  # type: ignore[attr-defined]
        return False
    try:
        return all(_is_exact(*case) for case in PROOFS)
    except (RuntimeError, TypeError, AttributeError):  # another torch, with another signature
        return False


def _is_exact(shape: tuple[int, int, int, int], pixels: int, stride: int, dilation: int, groups: int) -> bool:
    """On the largest bytes and on all of them, times the largest weights of either sign, beside float64's sums."""
    weight = torch.full(shape, WEIGHT, dtype=torch.int8)
    weight[len(weight) // 2 :] = -WEIGHT
    padding, size = shape[2] // 2 * dilation, (1, shape[1] * groups, pixels, pixels)
    mixed = torch.arange(math.prod(size)).remainder(BYTE + 1).to(torch.uint8).reshape(size)
    convolve = quantized(weight, 1.0, (stride, stride), (padding, padding), (dilation, dilation), groups)
    images = torch.full(size, BYTE, dtype=torch.uint8), mixed
    wide = weight.double()
    return all(torch.equal(convolve(x).double(), F.conv2d(x.double(), wide, None, stride, padding, dilation, groups)) for x in images)
