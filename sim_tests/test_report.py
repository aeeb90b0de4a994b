"""Coverage as a program and as a person reads it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from dnisnm_lava.coverage import Coverage, Row
from dnisnm_lava.report import coverage_json, coverage_table

ROWS = (
    Row("aten.convolution", "layer1.0.downsample.0", "/usr/lib/site-packages/torchvision/resnet.py:275 `return self._forward_impl(x)`",
        "projection into layer1.0.relu", "exact", ((64, 112, 112),), (64, 112, 112), 36_864, 462_422_016),
    Row("aten.hardtanh", "features.0.2", "mobilenetv2.py:166 `x = self.features[0](x)`", "rectifier features.0.2",
        "approximated", ((32, 112, 112),), (32, 112, 112), 0, 0),
    Row("aten.add", "add_7", "resnet.py:102 `out += identity`", "sum in layer1.0.relu",
        "exact", ((64, 7, 7), (64, 7, 7)), (64, 7, 7), 0, 0),
    Row("aten._softmax", "softmax", "net.py:9 `return torch.softmax(x, 1)`", "", "dropped", ((1000,),), (1000,), 0, 0),
)  # fmt: skip
COVERAGE = Coverage(
    "torchvision:resnet18", ROWS, {"Input": 1, "Rectifier": 17, "Relay": 2, "MaxPool": 1, "ReadOut": 1}, 29, 2_182_656,
    11_689_512, 1_814_073_344, 1_815_000_000, 19, ("softmax after the last layer dropped: the class is the same",),
)  # fmt: skip


def text(coverage: Coverage, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(coverage_table(coverage))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(width: int) -> None:
    lines = text(COVERAGE, width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    squeezed = "".join("".join(lines).split()).replace("│", "")
    for word in ("19synapses", "29projections", "11,689,512parameters", "17Rectifier", "2Relay", "1approximated"):
        assert word in squeezed


def test_a_hundred_columns_suffice_for_whole_words() -> None:
    shown = text(COVERAGE, 100)
    for word in ("convolution", "hardtanh", "approximated:", "dropped", "64x112x112", "36.9k", "462M", "resnet.py:275"):
        assert word in shown
    assert len(shown.splitlines()) < 40


def test_code_with_brackets_is_shown_as_it_is() -> None:
    assert "mobilenetv2.py:166 `x = self.features[0](x)`" in "".join(text(COVERAGE, 200).split("\n"))


def test_a_line_is_shown_without_its_folders() -> None:
    shown = text(COVERAGE, 200)
    assert "resnet.py:275 `return self._forward_impl(x)`" in shown
    assert "site-packages" not in shown
    assert coverage_json(COVERAGE)["rows"][0]["line"].startswith("/usr/lib/")


def test_totals_and_notices_stand_below_the_rows() -> None:
    shown = text(COVERAGE, 120)
    assert shown.index("softmax") < shown.index("4 operations: 2 exact, 1 approximated, 1 dropped") < shown.index("notice: softmax after")
    assert "1,814,073,344 MACs an image, 1,815,000,000 in the projections" in shown
    assert "notice" not in text(replace(COVERAGE, notices=()), 120)


def test_the_json_holds_every_row_and_total() -> None:
    found = json.loads(json.dumps(coverage_json(COVERAGE)))
    assert found == coverage_json(COVERAGE)
    assert [r["operation"] for r in found["rows"]] == [r.operation for r in ROWS]
    assert found["rows"][2]["inputs"] == [[64, 7, 7], [64, 7, 7]]
    assert found["operations"] == {"exact": 2, "approximated": 1, "dropped": 1}
    assert found["populations"]["Relay"] == 2
    assert (found["depth"], found["graph_macs"], found["notices"]) == (19, 1_815_000_000, list(COVERAGE.notices))
