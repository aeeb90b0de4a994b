"""Images and synapses as ONNX nodes: sums of integer products, which no runtime rounds.

float32 holds every integer up to 2**24, so a sum of integers whose magnitudes add up to no more is exact in
whatever order it is taken. Spikes are written as so many signed digits, and weights as bytes, as that asks
for; each product of digits is one Conv or MatMul, and they add up in 64 bits. ConvInteger, which ONNX has for
bytes, is not used: onnxruntime's (1.23, on Intel's AMX) gives numbers of no meaning for some shapes, and its
kernels of mixed signs saturate at 16 bits on other processors.
"""

from __future__ import annotations

import math

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import Input, Projection, Shape
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.fixedpoint import FixedPointFormat
from exporters.onnx.nodes import Nodes

BYTE = 256  # base of the digits of weights
EXACT = 1 << 24  # float32 holds every integer up to it
LARGEST_DIGIT = 1 << 10  # of spikes: what multiplies 11 bits alone (TF32) holds it, too
LEAST_BASE = 4  # whose digits are -2 to 1
NEVER = -(1 << 52)  # of a border that wins no maximum; float64 holds it


def image(g: Nodes, p: Input, x: str) -> str:
    """Integers (N, *shape) of images x (N, *image shape), float32: as `FixedPointFormat.rounded` in
    float64."""
    assert p.scale is not None
    if p.order is not None:
        x = g("Gather", g.shaped(x, -1, math.prod(p.shape)), g.constant(p.order.astype(np.int64)), axis=1)
    if p.order is not None or p.view:
        x = g.shaped(x, -1, *p.shape)
    limit = float(FixedPointFormat(p.bits).limit)
    wide = g("Cast", x, to=g.onnx.TensorProto.DOUBLE)
    scaled = g("Div", wide, g.constant(per_channel(p.scale, p.shape).astype(np.float64)))
    return g.number(g("Clip", g("Round", scaled), g.constant(-limit), g.constant(limit)))


def currents(g: Nodes, q: Projection, x: str, source: Shape, largest: int, who: str) -> str:
    """Currents (N, *output shape) of spikes x (N, *source), none beyond `largest`; both int64. OutOfRange, in
    the name of the population `who`, where sums of products are not exact in float32."""
    if q.source_channels is not None:
        x = g("Gather", x, g.constant(q.source_channels.astype(np.int64)), axis=1)
    read = q.read_shape(source)
    if q.sum_pool is not None:
        x, largest = _sums(g, x, (read[0], *source[1:]), q.sum_pool, largest, who)
    if q.resample is not None:
        x, largest = _resampled(g, q, x), largest * int(q.resample.gain)
    z = g.times(_products(g, q, x, largest, who), 1 << q.exponent)
    if q.target_order is not None:
        flat = g.shaped(z, -1, q.target_order.size)
        return g.shaped(_placed(g, flat, q.target_order, math.prod(q.target_shape), 2), -1, *q.target_shape)
    if q.target_channels is not None:
        return _placed(g, z, q.target_channels, q.targets, 4 if q.is_conv else 2)
    return g.shaped(z, -1, *q.target_shape) if q.target_shape else z


def digits(g: Nodes, x: str, largest: int, base: int) -> list[str]:
    """x, int64, none beyond `largest`, as float32 digits of an even base, -base / 2 to base / 2 - 1, the
    lowest first. base 0: x itself."""
    if (key := (x, largest, base)) not in g.known:
        half, parts = base // 2, []
        above = -(-(largest + half) // (base or 1))  # whole bases that make all positive: Div truncates
        for _ in range(_count(largest, base) - 1):
            raised = g("Add", x, g.constant(above * base + half))
            whole = g("Div", raised, g.constant(base))
            parts.append(g("Sub", raised, g("Add", g("Mul", whole, g.constant(base)), g.constant(half))))
            x = g("Sub", whole, g.constant(above))
        g.known[key] = [g("Cast", part, to=g.onnx.TensorProto.FLOAT) for part in (*parts, x)]
    return g.known[key]


def base_of(largest: int, weights: int) -> int:
    """The base of the digits of spikes of at most `largest`, so that digits times weights, whose magnitudes
    add up to `weights` in a row, are exact sums; 0 where spikes are so themselves."""
    most = min(LARGEST_DIGIT, EXACT // max(weights, 1))
    return 0 if largest <= most else 1 << most.bit_length()  # half of it is at most `most`


def _count(largest: int, base: int) -> int:
    """Digits that hold every integer up to `largest` either way."""
    count = 1
    while base and (base // 2 - 1) * (base**count - 1) // (base - 1) < largest:
        count += 1
    return count


def _bytes_of(weight: np.ndarray) -> list[np.ndarray]:
    """The digits of weights, int8, the lowest first."""
    rest, found = weight.astype(np.int64), []
    for _ in range(_count(int(np.abs(rest).max(initial=0)), BYTE)):
        digit = (rest + BYTE // 2) % BYTE - BYTE // 2
        found.append(digit.astype(np.int8))
        rest = (rest - digit) // BYTE
    return found


def _products(g: Nodes, q: Projection, x: str, largest: int, who: str) -> str:
    """Spikes times weights, before the exponent."""
    terms = []
    for j, weight in enumerate(_bytes_of(q.weight)):
        most = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max(initial=0)
        _check_sums(int(most), f"{who}: sums of weights from {q.source}")
        base = base_of(largest, int(most))
        for i, digit in enumerate(digits(g, x, largest, base)):
            terms.append(g.times(g.number(_of_digits(g, q, digit, weight)), base**i * BYTE**j))
    return _added(g, terms)


def _of_digits(g: Nodes, q: Projection, digit: str, weight: np.ndarray) -> str:
    if not q.is_conv:
        return g("MatMul", g.shaped(digit, -1, weight.shape[1]), g.floats(weight.T))
    window = {"strides": q.stride, "pads": _pads(q.window), "dilations": q.dilation, "group": q.groups}
    return g("Conv", digit, g.floats(weight), kernel_shape=weight.shape[2:], **window)


def _sums(g: Nodes, x: str, shape: Shape, pool: Window, largest: int, who: str) -> tuple[str, int]:
    """Sums of windows of maps x (N, *shape), and the largest that they can be: channels are images of one
    channel, and weights are 1."""
    most = math.prod(pool.kernel)
    _check_sums(most, f"{who}: sums of a pool of {pool.kernel}")
    base, ones = base_of(largest, most), g.floats(np.ones((1, 1, *pool.kernel), np.int8))
    window = {"kernel_shape": pool.kernel, "strides": pool.stride, "dilations": pool.dilation}
    terms = []
    for i, digit in enumerate(digits(g, x, largest, base)):
        maps = g.shaped(digit, -1, 1, *shape[1:])
        sums = g("Conv", maps, ones, pads=_pads(pool), **window)
        terms.append(g.times(g.number(sums), base**i))
    total = g.shaped(_added(g, terms), -1, shape[0], *pool.output_size((shape[1], shape[2])))
    return total, largest * most


def _resampled(g: Nodes, q: Projection, x: str) -> str:
    """In float64, which holds all sums below 2**53 in any order."""
    assert q.resample is not None
    rows, cols = (g.constant(a.astype(np.float64)) for a in (q.resample.rows, q.resample.cols.T))
    x = g("MatMul", g("MatMul", rows, g("Cast", x, to=g.onnx.TensorProto.DOUBLE)), cols)
    return g.number(x)


def _placed(g: Nodes, z: str, order: np.ndarray, targets: int, rank: int) -> str:
    """Along axis 1, of `rank` axes: the i-th element goes to order[i] of `targets`; others are 0."""
    where = np.full(targets, len(order), np.int64)
    where[order] = np.arange(len(order))
    if len(order) < targets:
        pads = np.zeros((2, rank), np.int64)
        pads[1, 1] = 1
        z = g("Pad", z, g.constant(pads.reshape(-1)), g.constant(0))
    return g("Gather", z, g.constant(where), axis=1)


def largest_of(g: Nodes, x: str, window: Window) -> str:
    """Maxima of windows of x (N, C, H, W), int64; the border never wins. In float64, which holds them."""
    if window.padding != NO_PADDING:
        (top, bottom), (left, right) = window.padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right])
        x = g("Pad", x, g.constant(pads), g.constant(NEVER))
    sizes = {"kernel_shape": window.kernel, "strides": window.stride, "dilations": window.dilation}
    return g.number(g("MaxPool", g("Cast", x, to=g.onnx.TensorProto.DOUBLE), **sizes))


def _pads(window: Window) -> tuple[int, int, int, int]:
    (top, bottom), (left, right) = window.padding
    return top, left, bottom, right


def _added(g: Nodes, terms: list[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = g("Add", total, term)
    return total


def _check_sums(weights: int, what: str) -> None:
    """OutOfRange where the smallest digits times weights of this sum may leave what float32 holds."""
    if weights * LEAST_BASE // 2 > EXACT:
        raise OutOfRange(
            f"{what} may reach {weights}, and float32 adds up exactly to {EXACT}; use fewer weight_bits, "
            f"or write the network with exporters.netx"
        )
