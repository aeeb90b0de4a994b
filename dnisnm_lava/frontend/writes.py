"""Writes into part of a tensor: torch.export makes of each a part that is written and a whole that has it
scattered in. Circular padding is written so."""

from __future__ import annotations

import torch

from dnisnm_lava.frontend.call import Call, broadcast, shape_of
from dnisnm_lava.frontend.expression import Expression, Refusal, compact
from dnisnm_lava.frontend.layers import weighted
from dnisnm_lava.frontend.moves import as_images, constant, joined
from dnisnm_lava.frontend.nodes import has_expression
from dnisnm_lava.frontend.table import operation
from dnisnm_lava.frontend.trace import BATCH


@operation("slice_scatter", "select_scatter")
def scattered(call: Call) -> Expression:
    """aten.slice_scatter(x, part, dim, start, end, step), select_scatter(x, part, dim, index)."""
    whole, part = call.node.meta["val"].shape, call.node.args[1].meta["val"].shape
    if part == whole:  # y[:] = x
        return as_images(call.args[1])
    if call.get(2, "dim", 0) == 0:
        raise Refusal("it writes to some images of a batch; keep the batch axis first and apart")
    parts = [as_images(a) for a in call.args[:2]]
    return joined(parts, lambda t: call.node.target(*t, *call.args[2:], **call.kwargs))


@operation("copy", "fill")
def copy(call: Call) -> Expression:
    """aten.copy(x, y), fill(x, number): y, in the shape of x."""
    written, shape = call.args[1], shape_of(call)
    if isinstance(written, Expression):
        return broadcast(written, shape)
    return Expression((), compact(constant(written, shape)), shape)


@operation("index_put")
def index_put(call: Call) -> Expression:
    """aten.index_put(x, indices, values), where indices are constant: masks, rows."""
    x, indices, values = call.args[:3]
    put_at = call.node.target
    if has_expression(indices) or call.get(3, "accumulate", False):
        raise Refusal("it writes where the input says, or adds up what it writes; write to constant indices")
    if isinstance(values, Expression):
        return joined([as_images(x), values], lambda t: put_at(t[0], indices, t[1]))
    shape = shape_of(call)
    kept = put_at(torch.ones(BATCH, *shape), indices, torch.zeros(()))
    put = put_at(torch.zeros(BATCH, *shape).double(), indices, values.double())
    return weighted(call, (x, constant(kept, shape)), (put, constant(1.0, shape)))
