"""Answers of images kept with a result; several results beside each other, paired; figures and tables of
them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import DATA, NET
from command_line import place as place
from graphs import ResidualPoolNet, randomized
from PIL import Image

import dnisnm_lava as dn
from dnisnm_lava import cli
from dnisnm_lava.backends import batched
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.evaluation import marks, several, tallies
from dnisnm_lava.evaluation.comparison import tallied
from dnisnm_lava.evaluation.intervals import newcombe
from dnisnm_lava.evaluation.several import Curve, Point
from dnisnm_lava.measures import asked
from dnisnm_lava.views import comparison as comparison_view
from dnisnm_lava.views import plots
from dnisnm_lava.views import several as views

FAST = ["--lava-images", "0", "--calibration-images", "20", "--fit-images", "8"]
NO_LAVA = dn.Lava(0)


@pytest.fixture(scope="module")
def nets() -> dn.Networks:
    rng = np.random.default_rng(1)
    return dn.build(
        randomized(ResidualPoolNet(), 0), rng.normal(size=(16, 2, 6, 6)).astype(np.float32), dn.BINARY
    )


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(37, 2, 6, 6)).astype(np.float32), rng.integers(0, 3, 37)


# ---------------------------------------------------------------- marks


def test_each_image_is_marked_as_its_answer_is_right(
    nets: dn.Networks, images: tuple[np.ndarray, ...]
) -> None:
    x, y = images
    found = dn.compare(nets, x, y, steps=(1, 3, 8), lava=NO_LAVA)
    assert found.marks is not None
    assert (found.marks.kind, found.marks.against) == ("right", "labels")
    run = batched.run(nets.integer, x)
    for t in (1, 3, 8):
        own = [int(run.predictions(t)[i] == y[i]) for i in range(len(y))]
        assert found.marks.of["integer"][t].tolist() == own
        assert sum(own) / len(own) == found.accuracy["integer"][t]  # type: ignore[index]
    assert found.marks.of["ann"][0].mean() == found.accuracy["ann"]


def test_marks_of_blocks_are_those_of_the_whole(nets: dn.Networks, images: tuple[np.ndarray, ...]) -> None:
    """Through JSON, as parts are kept, and in blocks of several sizes; counts add up without them."""
    x, y = images
    measure = asked(nets.analog, y, "auto")
    whole = tallied(nets, x, y, measure=measure, steps=(1, 8))
    cuts = [(0, 20), (20, 21), (21, 37)]
    parts = [
        json.loads(json.dumps(tallied(nets, x[a:b], y[a:b], measure=measure, steps=(1, 8)))) for a, b in cuts
    ]
    assert marks.joined(parts, measure) == marks.joined([whole], measure)
    assert tallies.total(parts) == tallies.total([whole])
    assert marks.joined([*parts, tallies.total([parts[0]])], measure) is None  # a part of an older version


def test_values_are_marked_by_their_squared_error_and_masks_by_their_share(nets: dn.Networks) -> None:
    measure = asked(nets.analog, None, "values")
    said, wanted = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, 0.0]])
    assert marks.mark(said, wanted, measure).tolist() == [np.float32(13 / 3)]
    kept = marks.Marks("share", "labels", {"ann": {0: np.array([0.25, 1.0], np.float32)}})
    assert marks.from_json(json.loads(json.dumps(marks.to_json(kept))), "x") == kept


def test_a_thousand_images_take_168_characters() -> None:
    """125 bytes in base64."""
    right = np.random.default_rng(0).integers(0, 2, 1000).astype(np.uint8)
    told = marks.to_json(marks.Marks("right", "labels", {"integer": {4: right}}))
    assert len(told["of"]["integer"]["4"]) == 168
    back = marks.from_json(told, "x")
    assert back is not None
    np.testing.assert_array_equal(back.of["integer"][4], right)


def test_a_difference_is_paired() -> None:
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 2, 50).astype(np.uint8) for _ in range(2))
    counts = [
        sum(int(x == i and y == j) for x, y in zip(a, b, strict=True))
        for i, j in ((1, 1), (1, 0), (0, 1), (0, 0))
    ]
    found = marks.difference("right", a, b)
    assert found.value == (counts[1] - counts[2]) / 50
    assert found.interval == newcombe(*counts)
    errors = [np.array([1.0, 2.0, 4.0], np.float32), np.array([2.0, 2.0, 1.0], np.float32)]
    less = marks.difference("squared error", *errors)
    each = [2.0 - 1.0, 0.0, 1.0 - 4.0]
    mean = sum(each) / 3
    spread = math.sqrt(sum((e - mean) ** 2 for e in each) / 2) / math.sqrt(3)
    assert less.value == pytest.approx(mean, rel=1e-15)  # three doubles added in another order
    assert less.interval == pytest.approx(
        (mean - 1.959963984540054 * spread, mean + 1.959963984540054 * spread)
    )


# ---------------------------------------------------------------- results, read


def test_what_a_comparison_says_is_what_its_result_says(
    nets: dn.Networks, images: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    found = dn.compare(nets, *images, steps=(1, 8), lava=NO_LAVA)
    told = json.loads(json.dumps(comparison_view.comparison_json(found, {"digests": {"images": "a"}})))
    (tmp_path / "net").mkdir()
    (tmp_path / "net/result.json").write_text(json.dumps(told))
    (curve,) = several.read(tmp_path / "net")
    own = several.of_comparison(found, "integer", "net")
    assert (curve.ann, curve.images, curve.paired, curve.name) == (own.ann, 37, True, "net")
    assert [(p.steps, p.score, p.interval, p.loss) for p in curve.points] == [
        (p.steps, p.score, p.interval, p.loss) for p in own.points
    ]
    for p in curve.points:
        assert p.loss is not None
        assert curve.ann is not None
        assert p.interval == (curve.ann + p.loss.interval[0], curve.ann + p.loss.interval[1])
        assert p.loss.value == pytest.approx(p.score - curve.ann, abs=1e-15)  # rounding of shares of 37
    (floats,) = several.read(tmp_path / "net", network="float")
    assert floats.points[-1].score == found.accuracy["float"][8]  # type: ignore[index]
    spikes = sum(p.spikes_up + p.spikes_down for p in found.populations) / 37
    assert curve.points[-1].spikes == spikes


def old(told: dict[str, Any]) -> None:
    del told["answers"]


def newer(told: dict[str, Any]) -> None:
    told["answers"]["version"] = 2


@pytest.mark.parametrize("change", [old, newer])
def test_results_of_other_versions_are_drawn_without_intervals_and_say_so(
    nets: dn.Networks,
    images: tuple[np.ndarray, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
) -> None:
    told = comparison_view.comparison_json(
        dn.compare(nets, *images, steps=(1, 8), lava=NO_LAVA), {"digests": {"images": "a"}}
    )
    change(told)
    (tmp_path / "net").mkdir()
    (tmp_path / "net/result.json").write_text(json.dumps(told))
    (curve,) = several.read(tmp_path / "net")
    assert [p.interval for p in curve.points] == [None, None]
    assert cli.main(["plot", str(tmp_path / "net"), "-o", str(tmp_path / "a.png")]) == 0
    assert "net: drawn without intervals, since its result does not tell" in capsys.readouterr().err


BROKEN: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("KeyError: 'accuracy'", lambda told: told.pop("accuracy")),
    ("nan is no score", lambda told: told["accuracy"]["integer"].update({"8": float("nan")})),
    (
        "its answers are none that compare wrote",
        lambda told: told["answers"]["of"]["integer"].update({"8": "AA=="}),
    ),
    ("its answers are none that compare wrote", lambda told: told["answers"].update(kind="wrong")),
    ("no result of compare", lambda told: told["answers"]["of"].pop("integer")),
]


@pytest.mark.parametrize(("sentence", "change"), BROKEN)
def test_a_result_that_compare_did_not_write_is_refused(
    nets: dn.Networks, images: tuple[np.ndarray, ...], tmp_path: Path, sentence: str, change: Any
) -> None:
    told = comparison_view.comparison_json(
        dn.compare(nets, *images, steps=(1, 8), lava=NO_LAVA), {"digests": {"images": "a"}}
    )
    told = json.loads(json.dumps(told))
    change(told)
    file = tmp_path / "result.json"
    file.write_text(json.dumps(told))
    with pytest.raises(BadFile, match=sentence) as error:
        several.read(file)
    assert str(file) in str(error.value)


def test_a_folder_without_results_and_a_file_without_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"no result\.json, here or in its folders"):
        several.read(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(BadFile, match="cannot be read as JSON"):
        several.read(tmp_path / "a.json")


# ---------------------------------------------------------------- figures and tables


def curve(name: str, *points: Point, ann: float | None = 0.987, **more: Any) -> Curve:
    return Curve(name, points, "accuracy, %", True, ann, 1000, "a", "right", {}, True, **more)


TWO = (
    curve(
        "a", Point(1, 0.975, (0.970, 0.980), None, 7, 100.0), Point(8, 0.985, (0.982, 0.988), None, 14, 800.0)
    ),
    curve(
        "b", Point(1, 0.972, (0.968, 0.976), None, 7, 50.0), Point(8, 0.986, (0.983, 0.989), None, 14, 400.0)
    ),
)


def test_the_axis_fits_the_data() -> None:
    """Data within 96.8 to 98.9 %: the axis shows that and little more, and no point or bar lies outside."""
    axes = plots.figure(TWO).axes[0]
    low, high = axes.get_ylim()
    assert 96.5 < low < 96.8
    assert 98.9 < high < 99.2
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "8"]
    (line,) = [a for a in axes.lines if a.get_label() == "ANN"]
    assert set(line.get_ydata()) == {98.7}


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("x", ["steps", "latency", "spikes"])
def test_the_legend_lies_on_no_line_and_all_within_the_figure(width: str, x: str) -> None:
    drawn = plots.figure(TWO, x=x, width=width, title="A title", notes=["a note"])
    plots.as_file(drawn, "png")
    (axes,) = drawn.axes
    panel, (legend,) = axes.get_window_extent(), drawn.legends
    assert legend.get_title().get_text() == "A title"
    assert not legend.get_window_extent().overlaps(panel)
    wide, high = drawn.get_size_inches()
    assert wide == plots.WIDTHS[width]
    pixel = 1 / 300  # letters are measured in whole ones
    inside = drawn.get_tightbbox()  # of all that is drawn, numbers at the axes too
    assert min(inside.x0, inside.y0) >= -pixel
    assert inside.x1 <= wide + pixel
    assert inside.y1 <= high + pixel


def test_networks_of_different_anns_have_a_line_each() -> None:
    other = curve("c", *TWO[0].points, ann=0.95)
    labels = plots.figure([TWO[0], other]).axes[0].get_legend_handles_labels()[1]
    assert labels == ["a", "c", "ANN of a", "ANN of c"]


def test_figures_are_the_same_bytes_and_of_their_kind(tmp_path: Path) -> None:
    for kind, head in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        first, again = (plots.as_file(plots.figure(TWO), kind) for _ in range(2))
        assert first == again
        assert first.startswith(head)
    assert Image.open(io.BytesIO(plots.as_file(plots.figure(TWO), "png"))).width == 1050  # 3.5 inches of 300


def test_names_of_points_lie_in_the_panel_and_on_no_other() -> None:
    drawn = plots.figure(TWO, width="page")
    axes = drawn.axes[0]
    named = [(1 + i % 4, 97 + i / 10, f"T{i} K31") for i in range(12)]
    plots.name_points(axes, named)
    boxes = [t.get_window_extent() for t in axes.texts]
    panel = axes.get_window_extent()
    assert len(boxes) >= 10
    assert all(panel.x0 < b.x0 and b.x1 < panel.x1 and panel.y0 < b.y0 and b.y1 < panel.y1 for b in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_points_over_a_cost_tell_their_steps() -> None:
    """Over T the axis does."""
    points = tuple(Point(t, 0.9 + t / 100, spikes=1000.0 * t) for t in (1, 2, 4))
    curves = [replace(TWO[0], points=points)]
    named = [t.get_text() for t in plots.figure(curves, x="spikes").axes[0].texts]
    assert [n for n in named if n] == ["T = 1", "T = 2", "T = 4"]
    assert not [t for t in plots.figure(curves).axes[0].texts if t.get_text().startswith("T =")]


def test_the_table_for_spreadsheets_has_every_number() -> None:
    found = list(csv.DictReader(io.StringIO(views.csv_of(TWO))))
    assert [(r["network"], int(r["T"]), float(r["score"])) for r in found] == [
        ("a", 1, 0.975),
        ("a", 8, 0.985),
        ("b", 1, 0.972),
        ("b", 8, 0.986),
    ]
    assert float(found[0]["low"]) == 0.970
    assert (found[0]["difference"], found[0]["energy_chip_pJ"]) == ("", "")


def test_the_latex_table_escapes_names_and_has_as_many_cells_as_columns() -> None:
    told = views.latex([curve("my_net & 50%", *TWO[0].points), TWO[1]])
    rows = [line for line in told.splitlines() if line.endswith(r"\\")]
    columns = len(re.search(r"begin{tabular}{(\w+)}", told)[1])  # type: ignore[index]
    assert r"my\_net \& 50\%" in told
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows if "multicolumn" not in row} == {columns}
    assert told.startswith("% bars: 95")


def test_a_table_names_the_rule_of_its_energies_and_has_no_exponents() -> None:
    energy = {"chip": 1_812e6, "arithmetic": 41.26e6, "paper": 0.01234e6}
    curves = [curve(name, Point(4, 0.9, None, None, 7, 100.0, energy)) for name in "ab"]
    for rule, cell in (("chip", "1,810"), ("arithmetic", "41.3"), ("paper", "0.0123")):
        told = views.latex(curves, rule)
        assert rf"energy ({rule}), \textmu J" in told
        assert told.count(f"& {cell} ") == 2


def test_a_network_that_is_read_early_is_told_from_one_made_for_each_t() -> None:
    told = views.read_early([TWO[0], replace(TWO[1], for_each=True)])
    assert told.startswith("a: one network, made for the last T and read earlier")
    assert f"% {told}" in views.latex([TWO[0], replace(TWO[1], for_each=True)])
    assert views.read_early([replace(c, for_each=True) for c in TWO]) == ""


def test_what_does_not_belong_together_is_not_drawn() -> None:
    with pytest.raises(OutOfRange, match="what was measured is not the same"):
        plots.figure([TWO[0], Curve("r", TWO[0].points, "R2", False)])
    with pytest.raises(OutOfRange, match="a: its result tells no energy; compare it with --cost-images 16"):
        plots.figure(TWO, x="energy")
    with pytest.raises(OutOfRange, match="no networks given"):
        plots.figure([])


# ---------------------------------------------------------------- the verbs


def test_compare_of_several_recipes_at_several_t_and_plot(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks made each for its T are what `compare` makes of that recipe and T alone; a curve a recipe."""
    (place / "mine.json").write_text(json.dumps({"recipe": {"levels": 3}}))
    command = ["compare", *NET, *DATA, *FAST, "--recipe", "mine.json", "--recipe", "paper", "--at", "1,4"]
    assert cli.main([*command, "--out", "all", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["networks"]
    assert list(told) == ["mine-T1", "mine-T4", "paper-T1", "paper-T4"]
    assert {p.name for p in Path("all").iterdir()} == {
        *told,
        "accuracy.png",
        "accuracy.pdf",
        "accuracy.csv",
        "accuracy.tex",
        "accuracy.html",
    }
    alone = [
        "compare",
        *NET,
        *DATA,
        *FAST,
        "--recipe",
        "mine.json",
        "--steps",
        "4",
        "--json",
        "--cost-images",
        "16",
    ]
    assert cli.main(alone) == 0
    one = json.loads(capsys.readouterr().out)
    assert told["mine-T4"].pop("made_together") == "mine"
    for found in (one, told["mine-T4"]):
        del found["provenance"]["command_line"]
    assert one == told["mine-T4"]
    curves = several.read(Path("all"))
    assert [(c.name, [p.steps for p in c.points]) for c in curves] == [("mine", [1, 4]), ("paper", [1, 4])]
    assert all(p.energy and p.spikes and p.latency and p.loss for c in curves for p in c.points)
    assert several.between(curves[1], curves[0]) is not None

    files = ["f.pdf", "f.svg", "f.png", "f.csv", "f.tex", "f.html"]
    assert cli.main(["plot", "all", "--x", "energy", "--rule", "paper", "-o", *files]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "paper at T = 4 less mine at T = 4" in said
    assert "paired on 16 images" in said
    assert all(Path(f).stat().st_size > 200 for f in files)
    assert Path("f.html").read_text().count("<svg") == 4
    assert cli.main(["plot", "all/mine-T4", "all/paper-T4", "--names", "x,y", "-o", "g.csv", "--json"]) == 0
    assert [n["name"] for n in json.loads(capsys.readouterr().out)["networks"]] == ["x", "y"]


def test_an_interrupted_comparison_of_several_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", *NET, *DATA, *FAST, "--recipe", "paper", "--at", "1,2", "--out", "all"]
    assert cli.main(command) == 0
    first = {p: p.read_bytes() for p in Path("all").rglob("*") if p.is_file()}
    time = Path("all/paper-T1/result.json").stat().st_mtime_ns
    for path in Path("all/paper-T2").iterdir():
        path.unlink()
    Path("all/paper-T2").rmdir()
    assert cli.main(command) == 1
    assert "exists already" in capsys.readouterr().err
    for name in ("png", "pdf", "csv", "tex", "html"):
        Path(f"all/accuracy.{name}").unlink()
    assert cli.main(command) == 1
    assert "all: networks of an unfinished comparison; go on with --resume, or" in capsys.readouterr().err
    assert cli.main([*command, "--resume"]) == 0
    assert Path("all/paper-T1/result.json").stat().st_mtime_ns == time
    assert {p: p.read_bytes() for p in Path("all").rglob("*") if p.is_file()} == first


REFUSED = [
    (["--at", "1,2", "--steps", "4"], "--at and --steps both say T"),
    (["--recipe", "paper", "--recipe", "paper"], "two recipes are called paper, paper"),
    (["--at", "0,2"], "steps"),
]


@pytest.mark.parametrize(("options", "told"), REFUSED)
def test_several_that_contradict_each_other_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert cli.main(["compare", *NET, *DATA, *FAST, *options]) == 1
    assert told in capsys.readouterr().err


def test_plot_refuses_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a").mkdir()
    assert cli.main(["plot", "a", "-o", "x.gif"]) == 1
    assert "the ending .gif says not what to write; give one of .pdf" in capsys.readouterr().err
    assert cli.main(["plot", "a", "-o", "x.pdf", "--names", "b,c"]) == 1
    assert "--names: 2 given for 1 results" in capsys.readouterr().err
