"""Neurons through all their steps, 32 at a time, in registers: written for LLVM, which numba brings, so that
it is compiled for the machine that it runs on, whatever that has.

A loop that numba vectorizes goes over neurons within a step, and reads and writes every constant and state in
each; here the steps are innermost, so that a step costs one read of currents and one write of spikes.
`run` stands in this file because numba keeps compiled code as long as its file is unchanged.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32  # 16 would wait for each other's results
SLICE = 1024  # neurons whose constants stay in the first-level cache from image to image
INT = ir.VectorType(ir.IntType(32), LANES)
SHY = 1 << 16  # levels
BIAS, V_INIT = range(2)
VTH, PAYLOAD, SHORTCUT, LOWER, INVERSE = range(5)


class Code:
    """What writes instructions on vectors: `b` is llvmlite's builder."""

    def __init__(self, context: Any, builder: Any, kind: types.Float) -> None:
        self.context, self.b = context, builder
        self.scalar = context.get_value_type(kind)
        self.vector = ir.VectorType(self.scalar, LANES)

    def pointer(self, kind: types.Array, array: Any, *at: Any) -> Any:
        """The pointer to an element of a contiguous array; at: offsets that add up, in elements."""
        place = self.context.make_array(kind)(self.context, self.b, array).data
        for offset in at:
            place = self.b.gep(place, [offset])
        return place

    def load(self, pointer: Any, element: Any) -> Any:
        value = self.b.load(self.b.bitcast(pointer, ir.VectorType(element, LANES).as_pointer()))
        value.align = 1
        return value

    def store(self, vector: Any, pointer: Any) -> None:
        self.b.store(vector, self.b.bitcast(pointer, vector.type.as_pointer()), align=1)

    def all(self, scalar: Any) -> Any:
        """The scalar in each lane."""
        kind = ir.VectorType(scalar.type, LANES)
        one = self.b.insert_element(kind(ir.Undefined), scalar, ir.IntType(32)(0))
        return self.b.shuffle_vector(one, kind(ir.Undefined), INT([0] * LANES))

    def number(self, value: float) -> Any:
        return self.vector([self.scalar(value)] * LANES)

    def variable(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self.b, value)

    def count(self, variable: Any, where: Any) -> None:
        """Add to an integer how many lanes are true."""
        bits = self.b.ctpop(self.b.bitcast(where, ir.IntType(LANES)))
        self.b.store(self.b.add(self.b.load(variable), self.b.zext(bits, ir.IntType(64))), variable)

    def any(self, where: Any) -> Any:
        return self.b.icmp_unsigned("!=", self.b.bitcast(where, ir.IntType(LANES)), ir.IntType(LANES)(0))

    def trunc(self, x: Any) -> Any:
        """Toward 0, as floats."""
        name = f"llvm.trunc.v{LANES}f{32 if self.scalar == ir.FloatType() else 64}"
        return self.b.call(
            cgutils.get_or_insert_function(self.b.module, ir.FunctionType(self.vector, [self.vector]), name),
            [x],
        )

    def minimum(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered("<", x, y), x, y)

    def maximum(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", x, y), x, y)


@intrinsic
def advance(  # type: ignore[no-untyped-def]
    typing,
    current,
    current_at,
    current_apart,
    extra,
    extra_at,
    extra_apart,
    own,
    own_at,
    own_apart,
    shared,
    shared_at,
    shared_apart,
    sent,
    sent_at,
    sent_apart,
    totals,
    steps,
    lead,
    levels,
    two_sided,
    limit,
    offset,
):
    """Neurons of all lanes through `steps` steps and their lead. `*_at`: the first lane's element of an array
    that is contiguous there; `*_apart`: elements between two steps, or between two rows of constants. own:
    bias and v_init. shared: vth, payload, the shortcut's weight (read where `extra` has elements), the lower
    threshold, and 1 / vth, 0 of the dead. totals (3,): how often they rose, fell and saturated is added to
    it. limit and offset are of the currents' kind, levels an integer."""
    signature = types.void(
        current,
        types.intp,
        types.intp,
        extra,
        types.intp,
        types.intp,
        own,
        types.intp,
        types.intp,
        shared,
        types.intp,
        types.intp,
        sent,
        types.intp,
        types.intp,
        totals,
        types.intp,
        types.intp,
        types.intp,
        types.boolean,
        current.dtype,
        current.dtype,
    )
    return signature, _advance


def _advance(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kinds = signature.args
    code = Code(context, builder, kinds[0].dtype)
    b = builder
    current, current_at, current_apart, extra, extra_at, extra_apart = args[:6]
    own, own_at, own_apart, shared, shared_at, shared_apart, sent, sent_at, sent_apart = args[6:15]
    totals, steps, lead, levels, two_sided, limit, offset = args[15:]
    index = steps.type
    extras = context.make_array(kinds[3])(context, b, extra).nitems

    def constant(array: Any, kind: Any, at: Any, apart: Any, row: int) -> Any:
        return code.load(code.pointer(kind, array, at, b.mul(apart, index(row))), code.scalar)

    bias, v_init = (constant(own, kinds[6], own_at, own_apart, r) for r in (BIAS, V_INIT))
    vth, payload, weight, lower, inverse = (
        constant(shared, kinds[9], shared_at, shared_apart, r)
        for r in (VTH, PAYLOAD, SHORTCUT, LOWER, INVERSE)
    )
    zero, one = code.number(0.0), code.number(1.0)
    guard = b.select(b.fcmp_ordered(">", vth, zero), vth, code.number(float("inf")))
    high, low, base = code.all(limit), code.all(b.fneg(limit)), code.all(offset)
    v, m, most, least = (code.variable(x) for x in (v_init, zero, zero, zero))
    up, down, over = (code.variable(index(0)) for _ in range(3))

    def gain(t: Any) -> Any:
        """Current and bias of step t."""
        z = code.load(code.pointer(kinds[0], current, current_at, b.mul(t, current_apart)), code.scalar)
        z = b.fadd(z, bias)
        ahead = b.block
        with b.if_then(b.icmp_signed(">", extras, index(0))):
            stored = code.load(code.pointer(kinds[3], extra, extra_at, b.mul(t, extra_apart)), ir.IntType(8))
            more = b.fadd(z, b.fmul(b.uitofp(stored, code.vector), weight))
            there = b.block
        both = b.phi(code.vector)
        both.add_incoming(z, ahead)
        both.add_incoming(more, there)
        return both

    def integrate(t: Any) -> None:
        """v + current + bias, of which the extrema are kept."""
        x = b.fadd(b.load(v), gain(t))
        b.store(code.maximum(x, b.load(most)), most)
        b.store(code.minimum(x, b.load(least)), least)
        b.store(x, v)

    def saturate(t: Any) -> None:
        """The same clipped to +-limit; counts what was outside."""
        x = b.fadd(b.load(v), gain(t))
        clipped = code.minimum(code.maximum(x, low), high)
        code.count(over, b.fcmp_unordered("!=", x, clipped))
        b.store(clipped, v)

    element = context.get_value_type(kinds[12].dtype)

    def stored(value: Any) -> Any:
        """In the kind of `sent`."""
        if isinstance(kinds[12].dtype, types.Integer):
            return b.trunc(b.fptosi(value, INT), ir.VectorType(element, LANES))
        if element == code.scalar:
            return value
        change = b.fpext if element == ir.DoubleType() else b.fptrunc
        return change(value, ir.VectorType(element, LANES))

    def write(value: Any, t: Any) -> None:
        code.store(value, code.pointer(kinds[12], sent, sent_at, b.mul(b.sub(t, lead), sent_apart)))

    lowest = b.fneg(code.minimum(guard, lower))
    higher, nothing, lesser = (stored(x) for x in (b.fadd(base, payload), base, b.fsub(base, payload)))

    def once(t: Any) -> None:
        """One level up or down, down only what m holds (Eq. 21 to 23)."""
        now, held = b.load(v), b.load(m)
        rise = b.fcmp_ordered(">=", now, guard)
        fall = b.and_(b.fcmp_ordered("<=", now, lowest), b.fcmp_ordered(">", held, zero))
        held = b.select(rise, b.fadd(held, one), held)
        b.store(b.select(fall, b.fsub(held, one), held), m)
        now = b.select(rise, b.fsub(now, guard), now)
        b.store(b.select(fall, b.fadd(now, guard), now), v)
        code.count(up, rise)
        code.count(down, fall)
        write(b.select(fall, lesser, b.select(rise, higher, nothing)), t)

    top = code.all(b.sitofp(levels, code.scalar))
    beyond = b.fadd(top, one)
    free = b.select(code.all(two_sided), top, zero)

    def several(t: Any) -> None:
        """Up to `levels`. The quotient's estimate may be off by one: the products, exact below 2**24, tell,
        since |v| and vth are below 2**23; beyond `levels` nobody asks. So what the whole thresholds leave of
        |v| is exact too, and tells whether the lower threshold takes one level more."""
        now = b.load(v)
        negative = b.fcmp_ordered("<", now, zero)
        size = b.select(negative, b.fneg(now), now)
        whole = code.trunc(code.minimum(b.fmul(size, inverse), beyond))
        whole = b.select(b.fcmp_ordered(">", b.fmul(whole, vth), size), b.fsub(whole, one), whole)
        more = b.fadd(whole, one)
        whole = b.select(b.fcmp_ordered("<=", b.fmul(more, guard), size), more, whole)
        rest = b.fsub(size, b.fmul(whole, vth))
        further = b.and_(negative, b.fcmp_ordered(">=", rest, lower))
        whole = code.minimum(b.select(further, b.fadd(whole, one), whole), top)
        back = code.minimum(whole, code.maximum(b.load(m), free))
        k = b.select(negative, b.fneg(back), whole)
        b.store(b.fsub(now, b.fmul(k, vth)), v)
        b.store(b.fadd(b.load(m), k), m)
        code.count(up, b.fcmp_ordered(">", k, zero))
        code.count(down, b.fcmp_ordered("<", k, zero))
        write(stored(b.fadd(b.fmul(k, payload), base)), t)

    def all_steps(take: Any, send: Any) -> None:
        with cgutils.for_range(b, b.add(steps, lead)) as loop:
            with b.if_then(b.icmp_signed("<", loop.index, steps)):
                take(loop.index)
            with b.if_then(b.icmp_signed(">=", loop.index, lead)):
                send(loop.index)

    shy = b.fmul(inverse, code.number(1 - 2.0**-20))

    def straight(_: Any, send: Any) -> None:
        """The only step of neurons that hold nothing, and so take nothing back. Up to SHY levels, a quotient
        that is made smaller by 2**-20 is the whole one or one less, which the product tells."""
        integrate(index(0))
        x = b.load(v)
        whole = code.trunc(code.maximum(code.minimum(b.fmul(x, shy), beyond), zero))
        more = b.fadd(whole, one)
        whole = b.select(b.fcmp_ordered("<=", b.fmul(more, guard), x), more, whole)
        code.count(up, b.fcmp_ordered(">=", x, guard))
        write(stored(b.fadd(b.fmul(code.minimum(whole, top), payload), base)), index(0))

    def checked(send: Any, run: Any = all_steps) -> None:
        """Without a thought of the limit, and once more where it was exceeded, which is rare."""
        run(integrate, send)
        outside = b.or_(b.fcmp_ordered(">", b.load(most), high), b.fcmp_ordered("<", b.load(least), low))
        with b.if_then(code.any(outside), likely=False):
            for variable, start in ((v, v_init), (m, zero), (up, index(0)), (down, index(0))):
                b.store(start, variable)
            all_steps(saturate, send)

    single = b.and_(b.icmp_signed("==", levels, index(1)), b.not_(two_sided))
    only = b.and_(b.icmp_signed("==", b.add(steps, lead), index(1)), b.icmp_signed("<=", levels, index(SHY)))
    with b.if_else(b.and_(only, b.not_(two_sided))) as (first, further):
        with first:
            checked(several, straight)
        with further, b.if_else(single) as (alone, rest):
            with alone:
                checked(once)
            with rest:
                checked(several)
    for i, counter in enumerate((up, down, over)):
        place = code.pointer(kinds[15], totals, index(i))
        b.store(b.add(b.load(place), b.load(counter)), place)
    return context.get_dummy_value()


@numba.njit(cache=True, nogil=True, error_model="numpy")
def run(current, extra, own, shared, levels, lead, two_sided, limit, offset, out, first, jobs):  # type: ignore[no-untyped-def]
    """Jobs `first` to `first + jobs` of slices x images, images innermost: how many rose, fell, and
    saturated."""
    count, steps, size = out.shape
    totals = np.zeros(3, np.int64)
    apart = size if current.shape[1] > 1 else 0  # what is the same in each step stands there once
    extra_apart = size if extra.shape[1] > 1 else 0
    # the last lanes, where they do not divide the size
    x, e = (
        np.zeros((1, steps, LANES), current.dtype),
        np.zeros((1, steps, LANES if extra.size else 0), np.uint8),
    )
    k = np.zeros((1, steps, LANES), out.dtype)
    for job in range(first, min(first + jobs, count * ((size + SLICE - 1) // SLICE))):
        start, image = job // count * SLICE, job % count
        for q in range(start, min(start + SLICE, size), LANES):
            row = q % shared.shape[1]
            if q + LANES <= size:
                advance(
                    current,
                    image * current.shape[1] * size + q,
                    apart,
                    extra,
                    image % extra.shape[0] * extra.shape[1] * size + q,
                    extra_apart,
                    own,
                    q,
                    own.shape[1],
                    shared,
                    row,
                    shared.shape[1],
                    out,
                    image * steps * size + q,
                    size,
                    totals,
                    steps,
                    lead,
                    levels,
                    two_sided,
                    limit,
                    offset,
                )
            else:
                for t in range(steps):
                    x[0, t, : size - q] = current[image, min(t, current.shape[1] - 1), q:]
                    if extra.size:
                        e[0, t, : size - q] = extra[image, min(t, extra.shape[1] - 1), q:]
                advance(
                    x,
                    0,
                    LANES,
                    e,
                    0,
                    LANES,
                    own,
                    q,
                    own.shape[1],
                    shared,
                    row,
                    shared.shape[1],
                    k,
                    0,
                    LANES,
                    totals,
                    steps,
                    lead,
                    levels,
                    two_sided,
                    limit,
                    offset,
                )
                out[image, :, q:] = k[0, :, : size - q]
    return totals
