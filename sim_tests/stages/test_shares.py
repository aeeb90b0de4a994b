"""Sums over chunks that several processes share are those of one process, bit by bit."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from converting import converted
from processes import in_ranks

import dnisnm_lava as dn
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.stages.fitting import shares, thresholds, through
from dnisnm_lava.stages.fitting.fit import fit_and_read
from dnisnm_lava.system.ranks import Group


@pytest.mark.parametrize("chunks", [1, 2, 3, 15, 16, 17, 40])
@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_a_sum_is_the_same_bit_by_bit(chunks: int, size: int) -> None:
    """Numbers of very different sizes, whose sum depends on its order; by a loop over Python floats."""
    rng = np.random.default_rng(chunks)
    parts = (rng.normal(size=chunks) * 10.0 ** rng.integers(-12, 12, chunks)).tolist()
    lanes: dict[int, float] = {}
    for number, part in enumerate(parts):
        lane = int(f"{number % 16:04b}"[::-1], 2)
        lanes[lane] = lanes[lane] + part if lane in lanes else part
    expected: float | None = None
    for lane in sorted(lanes):
        expected = lanes[lane] if expected is None else expected + lanes[lane]

    def work(group: Group) -> float:
        share = shares.dealt([1] * chunks, group)
        return share.summed(parts[number] for number in share.numbers)

    assert in_ranks(size, work) == [expected] * size


def test_each_chunk_is_one_ranks_and_few_are_spread() -> None:
    for size in range(1, 17):
        own = [shares.dealt([5] * 21, Group(rank, size)).numbers for rank in range(size)]
        assert sorted(n for numbers in own for n in numbers) == list(range(21))
    for chunks in range(2, 17):
        counts = [len(shares.dealt([1] * chunks, Group(rank, 2)).numbers) for rank in range(2)]
        assert abs(counts[0] - counts[1]) <= 1
    assert shares.dealt([3, 4, 5], Group(1, 2)).starts == (3,)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_ranks_fit_the_network_of_one_process(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 images in six chunks: uneven, and some ranks of five have one."""
    monkeypatch.setattr(through, "MOST", 7)
    analog, spiking, x = converted()
    fitted, reads = fit_and_read(analog, spiking, x)
    integer = dn.quantize(fitted, readings=reads)
    for found, read in in_ranks(
        size, lambda group: fit_and_read(analog, spiking, x, passes=dn.Passes(group=group))
    ):
        assert found == fitted
        assert dn.quantize(found, readings=read) == integer
    for read in in_ranks(size, lambda group: dn.readings(fitted, x, group=group)):
        assert dn.quantize(fitted, readings=read) == integer


@pytest.mark.parametrize("threshold", sorted(thresholds.RULES))
@pytest.mark.parametrize("granularity", ["neuron", "channel", "layer"])
def test_every_rule_is_shared(threshold: str, granularity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through, "MOST", 7)
    monkeypatch.setattr(thresholds, "UPDATES", 20)
    analog, spiking, x = converted()

    def work(group: Group) -> Any:
        how = dn.Fitting(threshold=threshold, granularity=granularity, subset=9)
        return dn.fit(analog, spiking, x, how, dn.Passes(group=group))

    (alone,) = in_ranks(1, work)
    assert in_ranks(2, work) == [alone] * 2


def test_fewer_images_than_ranks() -> None:
    analog, spiking, x = converted()
    alone = dn.fit(analog, spiking, x[:2])
    assert (
        in_ranks(3, lambda group: dn.fit(analog, spiking, x[:2], passes=dn.Passes(group=group)))
        == [alone] * 3
    )
    for size in (1, 3):
        with pytest.raises((OutOfRange, threading.BrokenBarrierError)):
            in_ranks(size, lambda group: dn.fit(analog, spiking, [], passes=dn.Passes(group=group)))


def test_ranks_calibrate_as_one_process_does() -> None:
    analog, _, x = converted()
    labels = np.arange(len(x)) % 3
    batches = [(x[i : i + 9], labels[i : i + 9]) for i in range(0, len(x), 9)]
    alone = dn.calibrate(analog, batches)
    assert alone.answers is not None
    for size in (2, 3, 7):
        for found in in_ranks(size, lambda group: dn.calibrate(analog, batches, group=group)):
            assert found.images == alone.images
            assert found.answers is not None
            np.testing.assert_array_equal(found.answers.table, alone.answers.table)
            np.testing.assert_array_equal(found.input_magnitude, alone.input_magnitude)
            for name, high in alone.high.items():
                np.testing.assert_array_equal(found.high[name], high)
                np.testing.assert_array_equal(found.low[name], alone.low[name])
