"""Two's complement integers, code by code, against Python's own integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.fixedpoint import MESSAGE_BITS, STATE, WEIGHT_BITS, FixedPointFormat


def test_the_widths_are_lavas() -> None:
    """Their sources stand in fixedpoint.py and limits.py."""
    assert (STATE.limit, WEIGHT_BITS, MESSAGE_BITS) == (8_388_607, 8, 24)


@pytest.mark.parametrize("bits", range(2, 33))
def test_a_format_holds_its_limit_and_no_more(bits: int) -> None:
    format = FixedPointFormat(bits)
    largest = int("1" * (bits - 1), 2)
    assert format.limit == largest
    assert np.iinfo(format.dtype).max >= largest
    assert np.dtype(format.dtype).itemsize == next(n for n in (1, 2, 4) if 8 * n >= bits)
    codes, clipped = format.rounded([largest, -largest, largest + 1, -largest - 1, 0])
    assert codes.tolist() == [largest, -largest, largest, -largest, 0]
    assert clipped == 2


@pytest.mark.parametrize("bits", [1, 0, -3, 33, 64])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(OutOfRange, match=f"fixed-point format: {bits} bits asked for; choose 2 to 32"):
        FixedPointFormat(bits)


def test_the_nearest_integer_and_of_two_the_even_one() -> None:
    values = [n / 8 for n in range(-40, 41)]
    assert FixedPointFormat(8).rounded(values)[0].tolist() == [round(Fraction(v)) for v in values]


def test_what_does_not_fit_is_told_with_its_size() -> None:
    assert FixedPointFormat(4).rounded_within([7, -7, 7.5 - 2**-40], "a").tolist() == [7, -7, 7]
    with pytest.raises(OutOfRange, match=r"a: 2 value\(s\) up to 9.25 exceed 7 \(4 bits\)"):
        FixedPointFormat(4).rounded_within([1, -9.25, 8], "a")
