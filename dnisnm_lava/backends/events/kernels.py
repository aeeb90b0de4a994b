"""Spikes as events, one after the other, compiled by numba for the CPU.

Maps lie as (pixels, channels), a vector as one pixel. An event is a pixel, a channel and a value. Currents
add up in `acc`, exactly, in a float dtype that the sums fit; `touched` says at which pixels one arrived, so
that only they are looked at afterwards.
"""

from __future__ import annotations

import numba
import numpy as np

MOST_LEVELS = 1 << 24  # of one step: more is as good as this many, and fits 32 bits


@numba.njit(cache=True, nogil=True, error_model="numpy")
def convolve(pixel, channel, value, first, where, weight, rows, scale, geometry, base, target, acc, touched):  # type: ignore[no-untyped-def]
    """Add what events bring through a convolution. first, where: the places where each channel of the source
    is read, (C + 1,) and (I,). weight: (I, ky, kx, O / groups). rows: output rows of a group. geometry: width
    of the source; height and width of the output; strides; paddings; dilations. base: the output's first
    channel, where channels follow each other; else target (O,) says each."""
    width, height, out_width, sy, sx, py, px, dy, dx = geometry
    follows = target.size == 0
    inputs = weight.shape[0] // rows.shape[0]
    for e in range(pixel.size):
        y, x = pixel[e] // width, pixel[e] % width
        amount = value[e] * scale
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
                            a[o] += amount * w[o]
                    else:
                        for o in range(w.size):
                            acc[to, target[row + o]] += amount * w[o]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply(pixel, channel, value, first, where, pixels, weight, scale, acc):  # type: ignore[no-untyped-def]
    """Add what events bring through a matrix, weight (I, O), whose rows are channels times `pixels`; acc:
    (O,)."""
    for e in range(pixel.size):
        amount = value[e] * scale
        for at in range(first[channel[e]], first[channel[e] + 1]):
            w = weight[where[at] * pixels + pixel[e]]
            for o in range(w.size):
                acc[o] += amount * w[o]


@numba.njit(cache=True, inline="always", error_model="numpy")
def _level(v, m, guard, vth, slack, lower, levels, most, two_sided, one, zero):  # type: ignore[no-untyped-def]
    """k of one neuron (design 1.1), as `batched.neurons` has it: products tell what a quotient of floats
    rounds."""
    above = v > zero
    size = max(v - slack, zero) if above else -v
    whole = type(one)(np.int32(min(size / guard, type(one)(MOST_LEVELS))))
    whole -= one if whole * vth > size else zero
    whole += one if (whole + one) * guard <= size else zero
    if above:
        return min(min(whole, levels), most - m)
    whole += one if size - whole * vth >= lower else zero
    return -min(min(whole, levels), (m + most) if two_sided else m)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fire(acc, touched, pending, v, m, table, levels, most, two_sided, limit, fires, pixel, channel, value):  # type: ignore[no-untyped-def]
    """Currents into potentials, and spikes out of them, where one arrived or a neuron has more to send.
    table: (5, pixels or 1, C): vth, guard, payload, slack and lower. fires: may they, in this step? pixel,
    channel, value: room for all events. (events, up, down, saturated)."""
    kind = v.dtype.type
    one, zero = kind(1), kind(0)
    count, up, over = 0, 0, 0
    channels = v.shape[1]
    k = np.empty(channels, v.dtype)
    more = np.empty(channels, v.dtype)
    for p in range(v.shape[0]):
        if not (touched[p] or pending[p]):
            continue
        q = p if table.shape[1] > 1 else 0
        vth, guard, payload, slack, lower = table[0, q], table[1, q], table[2, q], table[3, q], table[4, q]
        vp, mp, ap = v[p], m[p], acc[p]
        outside = zero
        for c in range(channels):
            x = vp[c] + ap[c]
            clipped = min(max(x, -limit), limit)
            outside += one if x != clipped else zero
            vp[c] = clipped
            ap[c] = zero
        over += int(outside)
        touched[p] = 0
        if not fires:
            pending[p] = 1
            continue
        some, left = zero, zero
        for c in range(channels):
            k[c] = _level(
                vp[c], mp[c], guard[c], vth[c], slack[c], lower[c], levels, most, two_sided, one, zero
            )
            vp[c] -= k[c] * vth[c]
            mp[c] += k[c]
            some += abs(k[c])
        if some == zero:
            pending[p] = 0
            continue
        for c in range(channels):
            more[c] = _level(
                vp[c], mp[c], guard[c], vth[c], slack[c], lower[c], levels, most, two_sided, one, zero
            )
            left += abs(more[c])
        pending[p] = 1 if left > zero else 0
        for c in range(channels):
            if k[c] != zero:
                pixel[count], channel[count], value[count] = p, c, k[c] * payload[c]
                count += 1
                up += k[c] > zero
    return count, up, count - up, over


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
