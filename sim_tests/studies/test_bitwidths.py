"""Bits of one population alone, in `quantize` and in the batched run; the study over bits, and its
command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType
from searched import MINE
from searched import analog as analog
from searched import images as images
from searched import place as place

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, ReadOut
from dnisnm_lava.ir.integers import with_state_bits
from dnisnm_lava.measures import chosen, classes
from dnisnm_lava.studies import precision
from dnisnm_lava.studies.precision import Alone, Cell, Outcome, Precision
from dnisnm_lava.views import precision as precision_report
from exporters import netx, torch_module

STEPS = 4


@pytest.fixture(scope="module")
def spiking(analog: dn.AnalogGraph, images: np.ndarray) -> dn.SpikingGraph:
    return dn.convert(analog, dn.calibrate(analog, [images]), steps=STEPS)


def test_the_same_bits_for_each_are_those_bits_for_all(spiking: dn.SpikingGraph, images: np.ndarray) -> None:
    everyone = {p.name: 6 for p in spiking}
    assert dn.quantize(spiking, weight_bits=everyone).digest() == dn.quantize(spiking, weight_bits=6).digest()
    few = dict.fromkeys(everyone, 3)
    assert dn.quantize(spiking, payload_bits=few).digest() == dn.quantize(spiking, payload_bits=3).digest()
    narrow = dn.quantize(spiking, state_bits=14)
    assert dn.quantize(spiking, state_bits=dict.fromkeys(everyone, 14)).digest() == narrow.digest()
    runs = [batched.run(with_state_bits(narrow, bits), images) for bits in (12, dict.fromkeys(everyone, 12))]
    np.testing.assert_array_equal(runs[0].logits, runs[1].logits)
    assert runs[0].saturations == runs[1].saturations


def test_bits_of_one_population_are_its_own(spiking: dn.SpikingGraph) -> None:
    whole, mixed = dn.quantize(spiking), dn.quantize(spiking, weight_bits={"a": 3}, payload_bits={"b": 2})
    a, b = mixed["a"], mixed["b"]
    assert isinstance(a, SNM)
    assert isinstance(b, SNM)
    assert max(np.abs(q.weight).max() for q in a.projections) == 3  # 2 ** (3 - 1) - 1
    assert b.payload.max() == 3  # 2 ** 2 - 1
    assert a.payload.max() == 31
    for name in ("a", "b"):
        p, q = whole[name], mixed[name]
        assert isinstance(p, SNM)
        assert isinstance(q, SNM)
        assert (p.projections == q.projections) == (name == "b")


def test_one_population_saturates_alone(spiking: dn.SpikingGraph, images: np.ndarray) -> None:
    """Ten bits for `b`, in units made for 24."""
    run = batched.run(with_state_bits(dn.quantize(spiking), {"b": 10}), images)
    assert run.saturations["b"] > 0
    assert {name for name, n in run.saturations.items() if n} == {"b"}


@pytest.mark.parametrize("option", ["weight_bits", "payload_bits", "state_bits"])
def test_bits_of_nobody_are_refused(spiking: dn.SpikingGraph, option: str) -> None:
    with pytest.raises(OutOfRange, match="no population is called nobody; there are"):
        dn.quantize(spiking, **{option: {"nobody": 4}})


def nets(spiking: dn.SpikingGraph) -> dn.Networks:
    """Precision reads the float network alone."""
    return dn.Networks(
        dn.AnalogGraph((spiking.input, *spiking.readouts[:0], ReadOut("none", (1,), (), bias=np.zeros(1)))),
        spiking,
        spiking,
    )


@pytest.fixture(scope="module")
def found(analog: dn.AnalogGraph, spiking: dn.SpikingGraph, images: np.ndarray) -> Precision:
    labels = classes(analog.ann(images))
    return dn.precision(
        nets(spiking),
        images,
        labels,
        tolerance=1.0,
        bits=dn.Tried(weights=(2, 8), payloads=(1, 5), state=(12, 24)),
    )


def test_the_grid_is_every_combination_as_quantize_makes_it(
    found: Precision, analog: dn.AnalogGraph, spiking: dn.SpikingGraph, images: np.ndarray
) -> None:
    assert [c.bits for c in found.grid] == [(w, p, s) for w in (2, 8) for p in (1, 5) for s in (12, 24)]
    assert found.finest.bits == (8, 5, 24)
    labels = classes(analog.ann(images))
    for cell in found.grid:
        w, p, s = cell.bits
        run = batched.run(dn.quantize(spiking, weight_bits=w, payload_bits=p, state_bits=s), images)
        assert cell.outcome.accuracy == run.accuracy(labels, STEPS)
        assert cell.outcome.saturations == sum(run.saturations.values())
    assert found.spiking == batched.run(spiking, images).accuracy(labels, STEPS)


def test_each_population_is_tried_alone(
    found: Precision, spiking: dn.SpikingGraph, images: np.ndarray
) -> None:
    own = batched.run(spiking, images).predictions(STEPS)
    names = [p.name for p in spiking.of(SNM)] + [spiking.readout.name]
    expected = {(n, k) for n in names for k in precision.KINDS} - {(spiking.readout.name, "payloads")}
    assert {(a.population, a.kind) for a in found.alone} == expected
    for a in found.alone:
        bits = {"weights": {a.population: a.bits}} if a.kind == "weights" else {}
        if bits:
            run = batched.run(dn.quantize(spiking, weight_bits=bits["weights"]), images)
            assert a.outcome.agreement == np.mean(run.predictions(STEPS) == own)
            assert a.loss == 100 * (found.finest.outcome.agreement - a.outcome.agreement)  # type: ignore[operator]


def alone(population: str, bits: int, loss: float) -> Alone:
    return Alone(population, "weights", bits, Outcome(0.5, 0.5), loss)


def test_the_first_to_break_breaks_at_the_most_bits() -> None:
    """`e` loses at 6 bits and not at 4: that was chance."""
    rows = (
        alone("a", 2, 50.0),
        alone("b", 4, 3.0),
        alone("c", 4, 5.0),
        alone("d", 6, 2.0 + 1e-14),
        alone("e", 4, 0.0),
        alone("e", 6, 9.0),
    )
    study = Precision(0.9, (Cell(8, 5, 24, Outcome(0.9, 0.9)),), rows, 2.0, 10, chosen({"out": (10,)}))
    assert study.first("weights") == rows[2]
    assert study.first("state") is None
    assert replace(study, tolerance=60.0).first("weights") is None


def test_bits_that_do_not_hold_the_network_are_told(
    spiking: dn.SpikingGraph, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(graph: dn.SpikingGraph, *, payload_bits: Any, **options: Any) -> dn.SpikingGraph:
        if payload_bits == 3 or (isinstance(payload_bits, dict) and payload_bits["a"] == 3):
            raise OutOfRange("three is too few")
        return dn.quantize(graph, payload_bits=payload_bits, **options)

    monkeypatch.setattr(precision, "quantize", picky)
    study = dn.precision(
        nets(spiking), images, np.zeros(len(images)), bits=dn.Tried(weights=[8], payloads=[3, 5], state=[24])
    )
    assert study.grid[0].outcome == Outcome(None, None, refused="three is too few")
    first = study.first("payloads")
    assert first is not None
    assert (first.population, first.outcome.refused) == ("a", "three is too few")
    assert "a breaks first, at 3 bits (three is too few)" in " ".join(
        rendered(precision_report.precision_table(study, "x")).split()
    )
    assert precision_report.precision_picture(study, "x").startswith(b"\x89PNG")


def test_bits_of_which_the_most_do_not_do_are_refused(spiking: dn.SpikingGraph, images: np.ndarray) -> None:
    with pytest.raises(OutOfRange, match="does not fit the most bits"):
        dn.precision(
            nets(spiking),
            images,
            np.zeros(len(images)),
            bits=dn.Tried(weights=[8], payloads=[5, 40], state=[24]),
        )


def rendered(text: RenderableType) -> str:
    with (console := Console(width=120)).capture() as shown:
        console.print(text)
    return shown.get()


def test_no_bits_are_refused(spiking: dn.SpikingGraph, images: np.ndarray) -> None:
    with pytest.raises(OutOfRange, match="no bits given for payloads"):
        dn.precision(nets(spiking), images, np.zeros(len(images)), bits=dn.Tried(payloads=()))


def test_the_defaults_of_the_command_are_those_of_the_function() -> None:
    tried = {kind: cli._range(text) for kind, text in cli.BITS_TRIED.items()}
    assert tried == {
        "weight": tuple(precision.WEIGHTS),
        "payload": tuple(precision.PAYLOADS),
        "state": tuple(precision.STATE),
    }
    assert cli.TOLERANCE == precision.TOLERANCE


def test_the_command_writes_figures_and_a_picture(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "precision",
        *MINE,
    ]
    words += [
        "--try-weight-bits",
        "2-4",
        "--try-payload-bits",
        "1,5",
        "--try-state-bits",
        "16,24",
        "--images",
        "12",
        "-o",
        "out",
    ]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "bits of payloads" in shown
    written = json.loads((place / "out" / cli.PRECISION).read_text())
    assert len(written["grid"]) == 3 * 2 * 2
    assert written["images"] == 12
    assert set(written["first_to_break"]) == set(precision.KINDS)
    assert (place / "out" / cli.BITS).read_bytes().startswith(b"\x89PNG")


def test_a_study_where_nothing_breaks_can_be_drawn(found: Precision) -> None:
    assert precision_report.precision_picture(replace(found, tolerance=200.0), "none").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "bits", "told"),
    [
        ("--try-state-bits", "30", "state_bits: 30 given; choose 2 to 24"),
        ("--try-payload-bits", "0-3", "payload_bits: 0 given"),
    ],
)
def test_bits_that_cannot_be_are_refused_before_anything_is_fitted(
    place: Path, capsys: pytest.CaptureFixture[str], option: str, bits: str, told: str
) -> None:
    assert cli.main(["precision", "--model", "mine.py:net", "--data", "data.npz", option, bits]) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "calibrate" not in said


def test_a_range_of_nothing_is_a_usage_error(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        cli.main(["precision", "--model", "mine.py:net", "--data", "data.npz", "--try-weight-bits", "9-3"])
    assert error.value.code == 2
    assert "'9-3' is not a range" in capsys.readouterr().err


def test_a_narrow_state_is_the_graphs_own_and_batched_alone_runs_it(
    spiking: dn.SpikingGraph, images: np.ndarray, tmp_path: Path
) -> None:
    """Forgotten, it would be another run; so nothing is carried beside the graph, and who knows 24 bits alone
    refuses."""
    narrow, wide = dn.quantize(spiking, state_bits=12), dn.quantize(spiking)
    assert {p.state_bits for p in narrow if isinstance(p, SNM | ReadOut)} == {12}
    assert narrow.digest() != with_state_bits(narrow, 24).digest()
    assert wide == with_state_bits(wide, 24)
    batched.run(narrow, images)
    for refuse in (
        lambda: reference.run(narrow, images),
        lambda: lava_cpu.run(narrow, images),
        lambda: torch_module.module(narrow),
        lambda: netx.write(tmp_path / "a.net", narrow),
        lambda: dn.energy(narrow, images),
    ):
        with pytest.raises(OutOfRange, match=r"has a state of 12 bits, and .* knows 24"):
            refuse()
    assert not list(tmp_path.iterdir())
