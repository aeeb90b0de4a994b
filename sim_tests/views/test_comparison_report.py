"""Coverage as a program and as a person reads it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from graphs import readout, small, snm, weights
from rich.console import Console, RenderableType

from dnisnm_lava.frontend import walk  # noqa: F401, it fills the table
from dnisnm_lava.frontend.coverage import Coverage, Row
from dnisnm_lava.frontend.table import TABLE
from dnisnm_lava.ir import SNM, Input, Projection, SpikingGraph
from dnisnm_lava.views.coverage import coverage_json, coverage_table
from dnisnm_lava.views.network import network_json, network_table

ROWS = (
    Row(
        "aten.convolution",
        "layer1.0.downsample.0",
        "/usr/lib/site-packages/torchvision/resnet.py:275 `return self._forward_impl(x)`",
        "projection into layer1.0.relu",
        "exact",
        ((64, 112, 112),),
        (64, 112, 112),
        36_864,
        462_422_016,
    ),
    Row(
        "aten.hardtanh",
        "features.0.2",
        "mobilenetv2.py:166 `x = self.features[0](x)`",
        "rectifier features.0.2",
        "approximated",
        ((32, 112, 112),),
        (32, 112, 112),
        0,
        0,
    ),
    Row(
        "aten.add",
        "add_7",
        "resnet.py:102 `out += identity`",
        "sum in layer1.0.relu",
        "exact",
        ((64, 7, 7), (64, 7, 7)),
        (64, 7, 7),
        0,
        0,
    ),
    Row(
        "aten._softmax",
        "softmax",
        "net.py:9 `return torch.softmax(x, 1)`",
        "",
        "dropped",
        ((1000,),),
        (1000,),
        0,
        0,
    ),
)
COVERAGE = Coverage(
    "torchvision:resnet18",
    ROWS,
    {"Input": 1, "Rectifier": 17, "Relay": 2, "MaxPool": 1, "ReadOut": 1},
    29,
    2_182_656,
    11_689_512,
    1_814_073_344,
    1_815_000_000,
    19,
    ("softmax after the last layer dropped: the class is the same",),
)


def text(coverage: Coverage, width: int) -> str:
    return shown(coverage_table(coverage), width)


def shown(renderable: RenderableType, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(width: int) -> None:
    lines = text(COVERAGE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    squeezed = "".join("".join(lines).split()).replace("│", "")
    for word in (
        "19synapses",
        "29projections",
        "11,689,512parameters",
        "17Rectifier",
        "2Relay",
        "1approximated",
    ):
        assert word in squeezed


def test_a_hundred_columns_suffice_for_whole_words() -> None:
    said = text(COVERAGE, 100)
    for word in (
        "convolution",
        "hardtanh",
        "approximated:",
        "dropped",
        "64x112x112",
        "36.9k",
        "462M",
        "resnet.py:275",
    ):
        assert word in said
    assert len(said.splitlines()) < 40


def test_code_with_brackets_is_shown_as_it_is() -> None:
    assert "mobilenetv2.py:166 `x = self.features[0](x)`" in "".join(text(COVERAGE, 200).split("\n"))


def test_a_line_is_said_without_its_folders() -> None:
    said = text(COVERAGE, 200)
    assert "resnet.py:275 `return self._forward_impl(x)`" in said
    assert "site-packages" not in said
    assert coverage_json(COVERAGE)["rows"][0]["line"].startswith("/usr/lib/")


def test_operations_are_called_as_in_torch() -> None:
    """Where ATen's own names say less; the JSON keeps those."""
    for aten, name in ((o.name, o.shown) for o in TABLE.values() if o.shown):
        assert hasattr(torch.nn.functional, name)
        said = text(
            replace(COVERAGE, rows=(replace(ROWS[0], operation=f"aten.{aten}", called=name),), notices=()),
            200,
        )
        assert name in said.split()
        assert aten not in said.split()


def test_totals_and_notices_stand_below_the_rows() -> None:
    said = text(COVERAGE, 120)
    assert (
        said.index("softmax")
        < said.index("4 operations: 2 exact, 1 approximated, 1 dropped")
        < said.index("notice: softmax after")
    )
    assert "1,814,073,344 MACs an image, 1,815,000,000 in the projections" in said
    assert "notice" not in text(replace(COVERAGE, notices=()), 120)


def test_the_json_holds_every_row_and_total() -> None:
    found = json.loads(json.dumps(coverage_json(COVERAGE)))
    assert found == coverage_json(COVERAGE)
    assert [r["operation"] for r in found["rows"]] == [r.operation for r in ROWS]
    assert found["rows"][2]["inputs"] == [[64, 7, 7], [64, 7, 7]]
    assert found["operations"] == {"exact": 2, "approximated": 1, "dropped": 1, "refused": 0}
    assert found["populations"]["Relay"] == 2
    assert (found["depth"], found["graph_macs"], found["notices"]) == (
        19,
        1_815_000_000,
        list(COVERAGE.notices),
    )


# ---------------------------------------------------------------- a network in integers


def loud() -> SpikingGraph:
    """Known bits: weights of 3 and of 8, payloads up to 31, potentials up to 70,000, an image of 8 bits."""
    rng = np.random.default_rng(0)
    narrow, wide = np.full((4, 2), 3, np.int8), np.full((4, 2), -127, np.int8)
    a = snm(
        "layer3.2.conv2",
        (4,),
        (Projection("input", narrow), Projection("input", wide)),
        rng,
        levels=4,
        lead=2,
    )
    a = replace(
        a,
        vth=np.array([0, 7, 131071, 50], np.int32),
        payload=np.array([0, 1, 31, 2], np.int32),
        v_range=np.full(4, 7e4),
    )
    out = readout("out", (3,), (Projection("layer3.2.conv2", weights(rng, 3, 4)),), rng)
    return SpikingGraph((Input("input", (2,), np.ones(2), 8), a, out), steps=5)


def test_a_networks_figures_are_those_of_its_arrays() -> None:
    facts = network_json(loud())
    image, neurons, out = facts["populations"]
    assert (image["bits"], image["depth"]) == (8, 0)
    assert (neurons["weight_bits"], neurons["payload_bits"], neurons["state_bits"]) == (
        [3, 8],
        5,
        18,
    )  # 2**17 > 70,000 >= 2**16
    assert (neurons["vth"], neurons["payload"], neurons["dead_neurons"]) == ([7, 131071], [1, 31], 1)
    assert (neurons["levels"], neurons["lead"], neurons["depth"], out["depth"]) == (4, 2, 1, 4)
    assert (facts["steps"], facts["latency"], facts["digest"]) == (5, 9, loud().digest())
    assert "payload_bits" not in out
    assert json.loads(json.dumps(facts)) == facts


def test_bits_hold_what_they_count() -> None:
    """Two's complement of so many bits holds the codes, of one bit less it does not."""
    graph = small()[0]
    entries = {e["name"]: e for e in network_json(graph)["populations"]}
    for p in graph.of(SNM):
        for q, bits in zip(p.projections, entries[p.name]["weight_bits"], strict=True):
            largest = max(abs(int(w)) for w in q.weight.reshape(-1))
            assert 2 ** (bits - 2) - 1 < largest <= 2 ** (bits - 1) - 1
        largest = max(int(a) for a in p.payload.reshape(-1))
        assert 2 ** (entries[p.name]["payload_bits"] - 1) <= largest < 2 ** entries[p.name]["payload_bits"]


def test_a_networks_table_fits_a_hundred_columns() -> None:
    said = shown(network_table(loud(), "a.net"), 100)
    assert max(map(len, said.splitlines())) <= 100
    rows = {line.split()[1]: line.split()[1:-1] for line in said.splitlines() if len(line.split()) > 2}
    assert rows["input"] == ["input", "Input", "2", "0", "-/8/-"]
    assert rows["layer3.2.conv2"] == [
        "layer3.2.conv2",
        "SNM",
        "4",
        "1",
        "4",
        "2",
        "16",
        "3,8/5/18",
        "3.5,8.8",
        "7-131k",
        "1",
    ]
    assert rows["out"] == ["out", "ReadOut", "3", "4", "12", "5/-/2", "4.4"]
    for sentence in (
        f"digest {loud().digest()}",
        "T = 5 steps; the read-outs are done 9 steps after an image arrives",
    ):
        assert sentence in said
    assert "…" not in said
