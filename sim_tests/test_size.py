"""What a large network takes is told before time is spent on it, and is what it takes."""

from __future__ import annotations

import warnings
from argparse import Namespace
from math import prod
from pathlib import Path

import pytest
from graphs import images, small
from torch import nn

import dnisnm_lava as dn
from dnisnm_lava import recipes
from dnisnm_lava.cli import shared
from dnisnm_lava.ir import SNM
from exporters import netx


def test_a_large_network_s_size_is_told_and_a_small_one_s_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    analog = dn.from_torch(nn.Linear(3, 1000), images(1, (3,), 0)[0])
    args = Namespace(model="net.py:net", fit_images=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared._tell_size(args, analog, recipes.BEST)
    monkeypatch.setattr(shared, "MANY_NEURONS", 1000)
    monkeypatch.setattr(shared, "FILE_BYTES", 12_000)
    with pytest.warns(
        UserWarning, match=r"^net.py:net: 1,000 neurons: about 0\.0 GB .* of 100 images to fit on; a file takes 12 MB"
    ) as told:
        shared._tell_size(args, analog, recipes.BEST)
    assert len(told) == 1
    with pytest.warns(UserWarning, match=r"maxima; a file takes"):
        shared._tell_size(args, analog, recipes.PAPER)


def test_a_file_grows_by_as_many_bytes_a_neuron_as_is_told(tmp_path: Path) -> None:
    graph = small()[0]
    neurons = sum(prod(p.shape) for p in graph.of(SNM))
    assert sum(a.nbytes for p in graph.of(SNM) for a in (p.vth, p.payload, p.v_init)) == shared.FILE_BYTES * neurons
    assert netx.write(tmp_path / "network.net", graph).stat().st_size >= shared.FILE_BYTES * neurons
