"""Compiled neurons beside integers of Python, one neuron and one step after the other."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dnisnm_lava.backends.batched import neurons

LIMIT = (1 << 23) - 1


def _by_hand(
    current: np.ndarray, own: dict[str, int], levels: int, lead: int, two_sided: bool, lower: int
) -> tuple[list[int], int, int, int]:
    """Levels of one neuron in each step, and how often it rose, fell, and saturated."""
    v, m, sent, up, down, over = own["v_init"], 0, [], 0, 0, 0
    vth = own["vth"]
    for t in range(len(current) + lead):
        if t < len(current):
            v += int(current[t]) + own["bias"]
            over += abs(v) > LIMIT
            v = max(-LIMIT, min(LIMIT, v))
        if t < lead:
            continue
        k = 0
        if vth and v > 0:
            k = min(Fraction(v, vth).__floor__(), levels)
        elif vth and v < 0:
            whole, rest = divmod(-v, vth)
            whole = min(whole + (0 < lower < vth and rest >= lower), levels)
            k = -(whole if two_sided else min(whole, m))
        v, m = v - k * vth, m + k
        sent.append(k)
        up, down = up + (k > 0), down + (k < 0)
    return sent, up, down, over


CASES = [  # levels, lead, two-sided, lower threshold by vth, steps, dtype
    (1, 0, False, 1.0, 8, np.float32),
    (1, 3, False, 0.5, 8, np.float64),
    (4, 0, False, 1.0, 5, np.float32),
    (4, 2, True, 0.5, 5, np.float32),
    (15, 0, False, 1.0, 1, np.float32),
    (15, 0, False, 0.5, 1, np.float64),
    (15, 0, True, 1.0, 1, np.float32),
    (1, 0, False, 1.0, 1, np.float32),
    (15, 1, False, 1.0, 1, np.float32),
]


@pytest.mark.parametrize(("levels", "lead", "two_sided", "down", "steps", "dtype"), CASES)
@pytest.mark.parametrize("size", [1, 31, 32, 70, 1100])
@pytest.mark.parametrize("reach", [2_000, 8_000_000])
def test_compiled_neurons_equal_integers_of_python(
    levels: int, lead: int, two_sided: bool, down: float, steps: int, dtype: type, size: int, reach: int
) -> None:
    """Of a few lanes, of all of them, and of more than a slice; with and without saturation; some dead."""
    rng, images, channels = np.random.default_rng(size), 2, 5
    shared = rng.integers(1, 3, channels) * rng.integers(1, reach // 4, channels)
    shared[0] = 0
    vth = shared[np.arange(size) % channels]
    bias, v_init = rng.integers(-reach // 9, reach // 9, (2, size))
    lower = np.floor(vth * down).astype(int)
    own = neurons.neurons(
        bias,
        vth,
        (vth > 0) * 3,
        np.full(size, 7),
        lower,
        v_init,
        dtype=np.dtype(dtype),
        levels=levels,
        lead=lead,
        two_sided=two_sided,
        limit=LIMIT,
        out=np.dtype(np.uint8),
        offset=3 * levels,
        channels=channels,
    )
    current = rng.integers(-reach, reach, (images, steps, size))
    byte = rng.integers(0, 200, (images, 1, size)).astype(np.uint8)
    for shortcut in (None, byte):
        whole = current if shortcut is None else current + 7 * byte.astype(int)
        sent = np.empty((images, steps, size), np.uint8)
        counts = neurons.run(own, current.astype(dtype), shortcut, sent, threads=2)
        expected = [
            [
                _by_hand(
                    whole[i, :, q],
                    {"bias": bias[q], "vth": int(vth[q]), "v_init": int(v_init[q])},
                    levels,
                    lead,
                    two_sided,
                    int(lower[q]),
                )
                for q in range(size)
            ]
            for i in range(images)
        ]
        levels_sent = np.array([[one[0] for one in image] for image in expected]).transpose(0, 2, 1)
        np.testing.assert_array_equal(sent.astype(int) - 3 * levels, 3 * levels_sent)
        assert counts == tuple(sum(one[i] for image in expected for one in image) for i in (1, 2, 3))
        assert counts[2] > 0 or reach == 2_000 or size < 70
