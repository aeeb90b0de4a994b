"""Spikes as events, one after the other, compiled by numba for the CPU.

Maps lie as (pixels, channels), a vector as one pixel. An event is a pixel, a channel and a value. Currents
add up in `acc`, exactly, in a float dtype that the sums fit; `touched` says at which pixels one arrived, so
that only they are looked at afterwards.
"""

from __future__ import annotations

import numba
import numpy as np

from dnisnm_lava.backends.batched.curve_neurons import at as curve_at
from dnisnm_lava.backends.batched.curve_neurons import toward

MOST_LEVELS = 1 << 24  # of one step: more is as good as this many, and fits 32 bits


@numba.njit(cache=True, nogil=True, error_model="numpy")
def convolve(pixel, channel, value, first, where, weight, rows, scale, geometry, base, target, acc, touched):  # type: ignore[no-untyped-def]
    """Add what events bring through a convolution. first, where: the places where each channel of the source
    is read, (C + 1,) and (I,). weight: (I, ky, kx, O / groups). rows: output rows of a group. geometry: width
    of the source; height and width of the output; strides; paddings; dilations. base: the output's first
    channel, where channels follow each other; else target (O,) says each."""
    width, height, out_width, sy, sx, py, px, dy, dx = geometry
    follows = target.size == 0
    kind = acc.dtype.type
    inputs = weight.shape[0] // rows.shape[0]
    for e in range(pixel.size):
        y, x = pixel[e] // width, pixel[e] % width
        amount = kind(value[e] * scale)
        for at in range(first[channel[e]], first[channel[e] + 1]):
            read = where[at]
            row = rows[read // inputs]
            for ky in range(weight.shape[1]):
                oy = y + py - ky * dy
                if oy < 0 or oy % sy != 0 or oy // sy >= height:
                    continue
                for kx in range(weight.shape[2]):
                    ox = x + px - kx * dx
                    if ox < 0 or ox % sx != 0 or ox // sx >= out_width:
                        continue
                    to = oy // sy * out_width + ox // sx
                    touched[to] = 1
                    w = weight[read, ky, kx]
                    if follows:
                        a = acc[to, base + row : base + row + w.size]
                        for o in range(w.size):
                            a[o] += amount * kind(w[o])
                    else:
                        for o in range(w.size):
                            acc[to, target[row + o]] += amount * kind(w[o])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply(pixel, channel, value, first, where, pixels, weight, scale, acc):  # type: ignore[no-untyped-def]
    """Add what events bring through a matrix, weight (I, O), whose rows are channels times `pixels`; acc:
    (O,)."""
    kind = acc.dtype.type
    for e in range(pixel.size):
        amount = kind(value[e] * scale)
        for at in range(first[channel[e]], first[channel[e] + 1]):
            w = weight[where[at] * pixels + pixel[e]]
            for o in range(w.size):
                acc[o] += amount * kind(w[o])


@numba.njit(cache=True, inline="always", error_model="numpy")
def _level(v, m, guard, vth, band, lower, levels, most, free, one, zero):  # type: ignore[no-untyped-def]
    """k of one neuron (design 1.1), as `batched.neurons` has it: products tell what a quotient of floats
    rounds. free: `most` where the neuron is two-sided, else 0. No branches, so that loops become vector
    code."""
    above = v > zero
    size = abs(v)
    whole = type(one)(np.int32(min(size / guard, type(one)(MOST_LEVELS))))
    whole -= one if whole * vth > size else zero
    whole += one if (whole + one) * guard <= size else zero
    further = one if size - whole * vth >= lower else zero
    up = min(min(whole, levels), most - m) if size >= guard + band else zero
    down = min(min(whole + further, levels), m + free) if size >= band else zero
    return up if above else -down


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fire(acc, touched, pending, v, m, table, levels, most, two_sided, limit, fires, pixel, channel, value):  # type: ignore[no-untyped-def]
    """Currents into potentials, and spikes out of them, where one arrived or a neuron has more to send.
    table: (5, pixels or 1, C): vth, guard, payload, band and lower. fires: may they, in this step? pixel,
    channel, value: room for all events. (events, up, down, saturated)."""
    kind = v.dtype.type
    one, zero = kind(1), kind(0)
    count, up, over = 0, 0, 0
    channels = v.shape[1]
    free = most if two_sided else zero
    settles = levels >= most + free  # a neuron never has more to send than it may at once
    k = np.empty(channels, v.dtype)
    for p in range(v.shape[0]):
        if not (touched[p] or pending[p]):
            continue
        q = p if table.shape[1] > 1 else 0
        vth, guard, payload, band, lower = table[0, q], table[1, q], table[2, q], table[3, q], table[4, q]
        vp, mp, ap = v[p], m[p], acc[p]
        clips, sends, left = False, False, False  # sums of floats would keep loops from vector code
        for c in range(channels):
            ap[c] += vp[c]
            vp[c] = min(max(ap[c], -limit), limit)
            clips |= vp[c] != ap[c]
        if clips:
            for c in range(channels):
                over += vp[c] != ap[c]
        ap[:] = zero
        touched[p] = 0
        if not fires:
            pending[p] = 1
            continue
        for c in range(channels):
            k[c] = _level(vp[c], mp[c], guard[c], vth[c], band[c], lower[c], levels, most, free, one, zero)
            vp[c] -= k[c] * vth[c]
            mp[c] += k[c]
            sends |= k[c] != zero
        if sends and not settles:
            for c in range(channels):
                left |= zero != _level(
                    vp[c], mp[c], guard[c], vth[c], band[c], lower[c], levels, most, free, one, zero
                )
        pending[p] = left
        if sends:
            for c in range(channels):
                if k[c] != zero:
                    pixel[count], channel[count], value[count] = p, c, k[c] * payload[c]
                    count += 1
                    up += k[c] > zero
    return count, up, count - up, over


@numba.njit(cache=True, nogil=True, error_model="numpy")
def follow(  # type: ignore[no-untyped-def]
    acc, touched, pending, v, m, table, lines, summed, levels, bounds, limit, fires, pixel, channel, value
):
    """As `fire`, of neurons that keep their running sum and send the change of a curve of it. table: (3,
    pixels or 1, C): vth, payload and band. lines: knots (rows, n), slopes and offsets (rows, n + 1), float64.
    summed: how many steps have been, t. bounds: of m."""
    kind = v.dtype.type
    knots, slopes, offsets = lines
    count, up, over = 0, 0, 0
    for p in range(v.shape[0]):
        if not (touched[p] or pending[p]):
            continue
        q = p if table.shape[1] > 1 else 0
        left = not fires
        for c in range(v.shape[1]):
            x = v[p, c] + acc[p, c]
            v[p, c] = min(max(x, -limit), limit)
            over += v[p, c] != x
            acc[p, c] = kind(0)
            if not fires:
                continue
            row, vth, band = c % len(slopes), table[0, q, c], table[2, q, c]
            before = np.float64(m[p, c])
            now = curve_at(np.float64(v[p, c]), summed, row, knots, slopes, offsets)
            k = toward(now, before, vth, band, bounds, levels)
            if k == 0:
                continue
            m[p, c] = before + k
            left |= toward(now, before + k, vth, band, bounds, levels) != 0
            pixel[count], channel[count], value[count] = p, c, k * table[1, q, c]
            count += 1
            up += k > 0
        touched[p] = 0
        pending[p] = left
    return count, up, count - up, over


@numba.njit(cache=True, nogil=True, error_model="numpy")
def arrive(pixel, channel, value, total, touched):  # type: ignore[no-untyped-def]
    """Events into running sums (pixels, C)."""
    for e in range(pixel.size):
        total[pixel[e], channel[e]] += value[e]
        touched[pixel[e]] = 1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gate(  # type: ignore[no-untyped-def]
    a, b, at, touched, touched_b, pending, m, table, gain, levels, bounds, pixel, channel, value
):
    """The changes of products of running sums, where one of them changed or a neuron has more to send. a, m:
    (pixels, C); b: (pixels or 1, C or 1), of which pixel p reads at[p]. table: as of `follow`; gain: (C,), of
    this step."""
    count, up = 0, 0
    for p in range(a.shape[0]):
        if not (touched[p] or touched_b[at[p]] or pending[p]):
            continue
        q = p if table.shape[1] > 1 else 0
        left = False
        for c in range(a.shape[1]):
            now = a[p, c] * b[at[p], c % b.shape[1]] * gain[c]
            vth, band, before = table[0, q, c], table[2, q, c], m[p, c]
            k = toward(now, before, vth, band, bounds, levels)
            if k == 0:
                continue
            m[p, c] = before + k
            left |= toward(now, before + k, vth, band, bounds, levels) != 0
            pixel[count], channel[count], value[count] = p, c, k * table[1, q, c]
            count += 1
            up += k > 0
        touched[p] = 0
        pending[p] = left
    touched_b[:] = 0
    return count, up, count - up


@numba.njit(cache=True, nogil=True, error_model="numpy")
def add_up(acc, touched, v, limit):  # type: ignore[no-untyped-def]
    """Currents into the potentials of a read-out; how many saturated."""
    zero, over = v.dtype.type(0), 0
    for p in range(v.shape[0]):
        if touched[p]:
            touched[p] = 0
            for c in range(v.shape[1]):
                x = v[p, c] + acc[p, c]
                v[p, c] = min(max(x, -limit), limit)
                over += x != v[p, c]
                acc[p, c] = zero
    return over


@numba.njit(cache=True, nogil=True, error_model="numpy")
def pool(pixel, channel, value, total, best, touched, geometry, kernel, room_pixel, room_channel, room_value):  # type: ignore[no-untyped-def]
    """Events into running sums, and the changes of their windows' maxima out. geometry: height and width of
    the source and of the output; strides; paddings; dilations. (events, up, down)."""
    rows, width, height, out_width, sy, sx, py, px, dy, dx = geometry
    for e in range(pixel.size):
        total[pixel[e], channel[e]] += value[e]
        y, x = pixel[e] // width, pixel[e] % width
        for ky in range(kernel[0]):
            oy = y + py - ky * dy
            if oy < 0 or oy % sy != 0 or oy // sy >= height:
                continue
            for kx in range(kernel[1]):
                ox = x + px - kx * dx
                if ox >= 0 and ox % sx == 0 and ox // sx < out_width:
                    touched[oy // sy * out_width + ox // sx] = 1
    count, up, channels = 0, 0, total.shape[1]
    new = np.empty(channels, total.dtype)
    for p in range(height * out_width):
        if not touched[p]:
            continue
        touched[p] = 0
        new[:] = -np.inf
        for ky in range(kernel[0]):
            for kx in range(kernel[1]):
                y = p // out_width * sy + ky * dy - py
                x = p % out_width * sx + kx * dx - px
                if 0 <= y < rows and 0 <= x < width:
                    for c in range(channels):
                        new[c] = max(new[c], total[y * width + x, c])
        for c in range(channels):
            if new[c] != best[p, c]:
                room_pixel[count], room_channel[count], room_value[count] = p, c, new[c] - best[p, c]
                up += new[c] > best[p, c]
                best[p, c] = new[c]
                count += 1
    return count, up, count - up


@numba.njit(cache=True, nogil=True, error_model="numpy")
def delivered(pixel, channel, fan):  # type: ignore[no-untyped-def]
    """How many synapses events go to; fan: (pixels, C)."""
    total = np.int64(0)
    for e in range(pixel.size):
        total += fan[pixel[e], channel[e]]
    return total
