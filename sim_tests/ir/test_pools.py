"""A sum-pool and the weights behind it as one projection, against the two of them on random spikes."""

from __future__ import annotations

import graphs
import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from dnisnm_lava.backends import reference
from dnisnm_lava.ir import Projection
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.ir.pools import composed, without_pools

SOURCE = (2, 7, 9)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)
windows = st.builds(Window, pairs, pairs, paddings, pairs)


@st.composite
def pooled(draw: st.DrawFn) -> Projection:
    rng, pool = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(windows)
    height, width = pool.output_size(SOURCE[1:])
    assume(height > 0 and width > 0)
    if draw(st.booleans()):
        return Projection("x", graphs.weights(rng, 3, 2 * height * width), sum_pool=pool)
    kernel = graphs.weights(rng, 4, 1, *draw(pairs))
    q = Projection(
        "x",
        kernel,
        draw(pairs),
        draw(st.one_of(st.just(NO_PADDING), paddings)),
        draw(pairs),
        2,
        sum_pool=pool,
    )
    assume(min(q.output_shape(SOURCE)) > 0)
    return q


@given(pooled())
def test_what_is_composed_gives_the_same_currents(q: Projection) -> None:
    one = composed(q, SOURCE)
    event("composed" if one.sum_pool is None else "kept")
    assert one is q or one.sum_pool is None
    assert one.sum_pool is None or q.padding != NO_PADDING or q.sum_pool.padding != NO_PADDING  # type: ignore[union-attr]
    x = np.random.default_rng(0).integers(-9, 10, (2, *SOURCE))
    assert one.output_shape(SOURCE) == q.output_shape(SOURCE)
    np.testing.assert_array_equal(one(x), q(x))


def test_padding_is_even_where_it_can_be() -> None:
    """A 3x3 kernel padded by 1 behind means over 2x2: 6x6, padded by 2, in steps of 2."""
    q = Projection(
        "x", np.ones((1, 1, 3, 3), np.int8), padding=((1, 1), (1, 1)), sum_pool=Window((2, 2), (2, 2))
    )
    one = composed(q, (1, 8, 8))
    assert (one.weight.shape, one.stride, one.padding) == ((1, 1, 6, 6), (2, 2), ((2, 2), (2, 2)))
    assert (one.weight == 1).all()


def test_a_border_that_would_see_the_image_is_kept() -> None:
    """Means over 2x2 at each pixel: what stands for the padding of the kernel behind would overlap the
    image."""
    q = Projection(
        "x", np.ones((1, 1, 3, 3), np.int8), padding=((1, 1), (1, 1)), sum_pool=Window((2, 2), (1, 1))
    )
    assert composed(q, (1, 8, 8)) is q


@pytest.mark.parametrize("levels", [1, 3])
def test_a_network_without_pools_sends_the_same(levels: int) -> None:
    graph, x = graphs.small(levels=levels)
    plain = without_pools(graph)
    assert any(q.sum_pool for q in graph.readout.projections)
    assert not any(q.sum_pool for q in plain.readout.projections)
    a, b = reference.run(graph, x[:3]), reference.run(plain, x[:3])
    np.testing.assert_array_equal(a.logits, b.logits)
