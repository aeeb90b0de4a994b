"""Triton's kernels: products of 8-bit integers with 32-bit sums, and a population's neurons over all steps.

Nothing rounds: all arithmetic is that of integers, and whoever launches them holds that it fits. Every branch
depends on constants of the compiler, so that Triton's interpreter takes the same way as a GPU. Maps lie with
their channels innermost.
"""

# Annotations are values here: Triton 2.3's interpreter takes a string for no constexpr.
import triton
import triton.language as tl

# Arguments that get no code of their own where they are 1 or multiples of 16, so that few variants are
# compiled; those that addresses are made of do.
PLACES = ("top", "left", "height", "width", "out_height", "out_width", "kernel_height", "kernel_width")
MOVES = ("stride_y", "stride_x", "dilation_y", "dilation_x", "exponent", "groups", "column_tiles")
GEOMETRY = PLACES + MOVES
COUNTS = ("blocks", "programs", "steps", "head", "levels", "limit", "offset")


@triton.jit
def _corner(m, out_height, out_width, stride_y, stride_x, top, left):
    """The sample of the batch's pixel m, and the first row and column of what it reads."""
    return (
        m // (out_height * out_width),
        m // out_width % out_height * stride_y - top,
        m % out_width * stride_x - left,
    )


@triton.jit(do_not_specialize=GEOMETRY)
def products(
    x,
    weight,
    out,
    pixels,
    height,
    width,
    channels,
    out_height,
    out_width,
    groups,
    rows,
    inputs,
    depth,
    kernel_width,
    stride_y,
    stride_x,
    top,
    left,
    dilation_y,
    dilation_x,
    exponent,
    column_tiles,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """A convolution as a product of matrices that are gathered on the way: out (pixels, groups * rows), int32
    = x (B, height, width, channels), int8, seen through (rows, depth) weights of each group, int8, <<
    exponent. depth: ky * kx * inputs, the channels of a group innermost. A program takes BM pixels of the
    batch and BN rows of a group."""
    pid = tl.program_id(0)
    group = pid // column_tiles % groups
    m = pid // (column_tiles * groups) * BM + tl.arange(0, BM)
    n = pid % column_tiles * BN + tl.arange(0, BN)
    sample, first_y, first_x = _corner(m, out_height, out_width, stride_y, stride_x, top, left)
    read = x + sample * height * width * channels + group * inputs
    row = weight + (group * rows + n) * depth
    total = tl.zeros((BM, BN), dtype=tl.int32)
    for start in range(0, depth, BK):
        k = start + tl.arange(0, BK)
        tap = k // inputs
        y = first_y[:, None] + (tap // kernel_width * dilation_y)[None, :]
        z = first_x[:, None] + (tap % kernel_width * dilation_x)[None, :]
        inside = (
            (y >= 0) & (y < height) & (z >= 0) & (z < width) & (m < pixels)[:, None] & (k < depth)[None, :]
        )
        a = tl.load(read[:, None] + (y * width + z) * channels + (k % inputs)[None, :], mask=inside, other=0)
        b = tl.load(row[None, :] + k[:, None], mask=(n < rows)[None, :] & (k < depth)[:, None], other=0)
        total += tl.dot(a, b)
    place = m[:, None] * (groups * rows) + (group * rows + n)[None, :]
    tl.store(out + place, total << exponent, mask=(m < pixels)[:, None] & (n < rows)[None, :])


@triton.jit(do_not_specialize=GEOMETRY)
def taps(
    x,
    weight,
    out,
    count,
    height,
    width,
    channels,
    out_height,
    out_width,
    groups,
    rows,
    inputs,
    kernel_height,
    kernel_width,
    stride_y,
    stride_x,
    top,
    left,
    dilation_y,
    dilation_x,
    exponent,
    BLOCK: tl.constexpr,
):
    """The same for groups of few channels, as depthwise ones: a neuron's sum by one lane, tap by tap."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    neuron = at % (groups * rows)
    m = at // (groups * rows)
    sample, first_y, first_x = _corner(m, out_height, out_width, stride_y, stride_x, top, left)
    read = x + sample * height * width * channels + neuron // rows * inputs
    row = weight + neuron * (kernel_height * kernel_width * inputs)
    total = tl.zeros((BLOCK,), dtype=tl.int32)
    for tap_y in range(kernel_height):
        for tap_x in range(kernel_width):
            y = first_y + tap_y * dilation_y
            z = first_x + tap_x * dilation_x
            inside = (y >= 0) & (y < height) & (z >= 0) & (z < width) & (at < count)
            for i in range(inputs):
                a = tl.load(read + (y * width + z) * channels + i, mask=inside, other=0)
                b = tl.load(row + ((tap_y * kernel_width + tap_x) * inputs + i), mask=inside, other=0)
                total += a.to(tl.int32) * b.to(tl.int32)
    tl.store(out + at, total << exponent, mask=at < count)


@triton.jit
def _summed(v, z, limit):
    """v + z, clipped to +-limit (19); 1 where it was outside."""
    x = v + z
    clipped = tl.where(x > limit, limit, tl.where(x < -limit, -limit, x))
    return clipped, tl.where(x != clipped, 1, 0)


@triton.jit
def _fired(v, m, vth, lower, levels, ONCE: tl.constexpr, TWO_SIDED: tl.constexpr):
    """The levels that are sent (21), as `ir.dynamics.fire` says it; lower thresholds are at most vth. ONCE:
    `levels` is 1, and needs no division."""
    size = tl.where(v < 0, -v, v)
    if ONCE:  # noqa: SIM108 (a branch of the compiler)
        whole = tl.where(size >= vth, 1, 0).to(v.dtype)
    else:
        whole = size // tl.where(vth > 0, vth, 1)
    rest = size - whole * vth
    back = whole + tl.where((rest > 0) & (rest >= lower), 1, 0).to(v.dtype)
    if TWO_SIDED:
        back = tl.where(back > levels, levels, back)
    else:
        most = tl.where(m > levels, levels, m)
        back = tl.where(back > most, most, back)
    rise = tl.where(whole > levels, levels, whole)
    k = tl.where(v > 0, rise, tl.where(v < 0, -back, 0))
    return tl.where(vth > 0, k, 0).to(v.dtype)


@triton.jit(do_not_specialize=COUNTS)
def neurons(
    current,
    extra,
    table,
    out,
    counts,
    size,
    blocks,
    programs,
    current_image,
    current_step,
    extra_image,
    extra_step,
    steps,
    head,
    levels,
    limit,
    offset,
    SHORTCUT: tl.constexpr,
    ONCE: tl.constexpr,
    TWO_SIDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """BLOCK neurons of one image through all steps, v and m in registers: out (N, steps, size), the stored
    spikes k * payload + offset, and counts (3, programs), int32: how often they rose, fell, and saturated.

    current: what arrives, that of an image every `current_image` elements and that of a step every
    `current_step`. extra: likewise the stored spikes of a shortcut. table (6, size), int32 or int64: bias,
    vth, payload, lower threshold, the shortcut's weight, v_init. In its integers all is computed. head: steps
    that integrate before the first one fires, at most `steps`."""
    pid = tl.program_id(0)
    q = pid % blocks * BLOCK + tl.arange(0, BLOCK)
    own = q < size
    bias = tl.load(table + q, mask=own, other=0)
    vth = tl.load(table + size + q, mask=own, other=0)
    payload = tl.load(table + 2 * size + q, mask=own, other=0)
    lower = tl.load(table + 3 * size + q, mask=own, other=0)
    own_weight = tl.load(table + 4 * size + q, mask=own, other=0)
    v = tl.load(table + 5 * size + q, mask=own, other=0)
    m = tl.zeros_like(v)
    up = tl.zeros((BLOCK,), dtype=tl.int32)
    down = tl.zeros((BLOCK,), dtype=tl.int32)
    over = tl.zeros((BLOCK,), dtype=tl.int32)
    image = (pid // blocks).to(tl.int64)
    arriving = current + image * current_image + q
    beside = extra + image * extra_image + q
    sent = out + image * steps * size + q
    for _ in range(head):
        z = tl.load(arriving, mask=own, other=0).to(v.dtype) + bias
        arriving += current_step
        if SHORTCUT:
            z += tl.load(beside, mask=own, other=0).to(v.dtype) * own_weight
            beside += extra_step
        v, outside = _summed(v, z, limit)
        over += outside
    for _ in range(head, steps):
        z = tl.load(arriving, mask=own, other=0).to(v.dtype) + bias
        arriving += current_step
        if SHORTCUT:
            z += tl.load(beside, mask=own, other=0).to(v.dtype) * own_weight
            beside += extra_step
        v, outside = _summed(v, z, limit)
        over += outside
        k = _fired(v, m, vth, lower, levels, ONCE, TWO_SIDED)
        v -= k * vth
        m += k
        up += tl.where(k > 0, 1, 0)
        down += tl.where(k < 0, 1, 0)
        tl.store(sent, k * payload + offset, mask=own)
        sent += size
    for _ in range(steps - head, steps):
        k = _fired(v, m, vth, lower, levels, ONCE, TWO_SIDED)
        v -= k * vth
        m += k
        up += tl.where(k > 0, 1, 0)
        down += tl.where(k < 0, 1, 0)
        tl.store(sent, k * payload + offset, mask=own)
        sent += size
    tl.store(counts + pid, tl.sum(up, axis=0))
    tl.store(counts + programs + pid, tl.sum(down, axis=0))
    tl.store(counts + 2 * programs + pid, tl.sum(over, axis=0))
