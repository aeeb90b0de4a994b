"""The report as a file: whole, alone, the same twice; names are text, and its numbers are those of its
JSON."""

from __future__ import annotations

import json
import os
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import DATA, NET, refused, run
from command_line import place as place
from graphs import ResidualPoolNet, images, randomized

import dnisnm_lava as dn
from dnisnm_lava import cli, measures
from dnisnm_lava.data import datasets
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.measures import Quality, Share
from dnisnm_lava.studies.explain.values import PARTS
from dnisnm_lava.studies.loihi2.rules import RULES, Violation
from dnisnm_lava.system.extras import missing

pytest.importorskip("jinja2", reason="jinja2 is not installed: the report was not tested")

from html_pages import EVIL, evil, evil_page, gathered

from dnisnm_lava.evaluation import intervals
from dnisnm_lava.evaluation.sanity import Alarm
from dnisnm_lava.studies import overview
from dnisnm_lava.views import costs
from dnisnm_lava.views.page import charts, page, pictures, pieces, rasters
from dnisnm_lava.views.page.glossary import GLOSSARY

LINKS = {
    "src",
    "href",
    "xlink:href",
    "srcset",
    "action",
    "formaction",
    "poster",
    "data",
    "background",
    "ping",
}
SECTIONS = [
    "summary",
    "over-time",
    "apart",
    "why",
    "network",
    "chip",
    "checks",
    "glossary",
    "provenance",
]
LIMIT = 400_000  # bytes of this small network's page; 2 MB of ResNet-20's and larger ones (issue 26)


class Page(HTMLParser):
    """Elements with their attributes; tables as {id: rows of texts}; raw scripts and styles; all other
    text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.captions: dict[str, str] = {}
        self.raw: list[tuple[dict[str, str], str]] = []
        self.texts: list[str] = []
        self.table, self.inside = "", ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.elements.append((tag, named))
        if tag == "table":
            self.table = named["id"]
            self.tables[self.table], self.captions[self.table] = [], ""
        elif tag == "tr":
            self.tables[self.table].append([])
        elif tag in ("td", "th"):
            self.tables[self.table][-1].append("")
        if tag in ("td", "th", "caption", "script", "style"):
            self.inside = tag
        if tag in ("script", "style"):
            self.raw.append((named, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style"):
            self.raw[-1] = (self.raw[-1][0], self.raw[-1][1] + data)
            return
        self.texts.append(data)
        if self.inside in ("td", "th"):
            self.tables[self.table][-1][-1] += data
        elif self.inside == "caption":
            self.captions[self.table] += data

    def json(self, element: str) -> Any:
        return json.loads(next(text for attrs, text in self.raw if attrs.get("id") == element))


def joules(picojoules: float) -> str:
    return costs.joules(picojoules).replace("u", "µ")


@pytest.fixture(scope="module")
def read() -> Page:
    return Page(evil_page().decode())


@pytest.fixture(scope="module")
def result(read: Page) -> Any:
    return read.json("result")


# ---------------------------------------------------------------- a file


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = randomized(ResidualPoolNet(), 0), images(6, (2, 6, 6), 0)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=2)
    job = (tmp_path / "a.html", dn.Networks(analog, spiking, dn.quantize(spiking)), x, np.zeros(6, int))
    few = {"cost_images": 1, "explain_images": 2}
    options: dict[str, Any] = {"lava": dn.Lava(images=0), "about": dn.About(**few)}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(BadFile, match=r"could not be written \(No space left on device\)"):
            dn.report(*job, **options)
    assert list(tmp_path.iterdir()) == []
    found = dn.report(*job, **options)
    assert (tmp_path / "a.html").read_bytes() == page.render(found)
    assert found.coverage is None
    assert "only its graph" in (tmp_path / "a.html").read_text()
    assert set(found.provenance["digests"]) == {"analog", "float", "integer", "images"}
    with pytest.raises(BadFile, match="exists already"):
        dn.report(*job, **options)
    for none in ("cost_images", "explain_images"):
        with pytest.raises(OutOfRange, match="give 1 or more of each"):
            dn.report(tmp_path / "b.html", *job[1:], **{**options, "about": dn.About(**{**few, none: 0})})
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_images_are_tensors_or_bring_their_labels(tmp_path: Path) -> None:
    model, x, y = randomized(ResidualPoolNet(), 0), images(6, (2, 6, 6), 0), np.zeros(6, int)
    analog = dn.from_torch(model, x[0])
    spiking = dn.convert(analog, dn.calibrate(analog, [x]), steps=2)
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    for name, given in (
        ("arrays", (x, y)),
        ("tensors", tensors),
        ("dataset", (torch.utils.data.TensorDataset(*tensors),)),
    ):
        dn.report(
            tmp_path / name,
            dn.Networks(analog, spiking, dn.quantize(spiking)),
            *given,
            lava=dn.Lava(images=0),
            about=dn.About(cost_images=1, explain_images=2),
        )
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_the_same_data_give_the_same_bytes() -> None:
    assert page.render(gathered()) == page.render(gathered())


def test_the_same_model_in_another_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    found = gathered()
    rows = [replace(row, line=f"{tmp_path}/somebody/{row.line}") for row in found.coverage.rows]
    moved = page.render(replace(found, coverage=replace(found.coverage, rows=tuple(rows))))
    assert b"somebody" not in moved
    assert moved == page.render(found)


def test_the_page_fetches_nothing(read: Page) -> None:
    for tag, attributes in read.elements:
        for name in LINKS & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name, attributes[name])
    style = " ".join(text for attrs, text in read.raw if not attrs)
    assert "@import" not in style
    assert not re.findall(r"url\(", next(text for _, text in read.raw))
    policy = next(
        a["content"]
        for t, a in read.elements
        if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data: blob:; ")
    assert "http" not in policy


def test_it_is_small_enough() -> None:
    assert len(evil_page()) < LIMIT


# ---------------------------------------------------------------- text is text


def test_markup_in_names_is_shown_and_does_nothing(read: Page) -> None:
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == 4  # three of JSON, and the page's own
    assert {a["src"].split(",")[0] for t, a in read.elements if t == "img"} == {"data:image/png;base64"}
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    shown = "".join(read.texts)
    for before in ("A page of", "conv1", "notice", "dnisnm "):
        assert f"{before}{EVIL}" in shown
    assert read.tables["coverage-table"][1][2].endswith(f"`x{EVIL.partition(';')[0]}`")
    assert read.tables["activity-table"][2][0].strip() == f"conv1{EVIL}"
    assert f"conv1{EVIL}=2, fc=0" in shown
    assert "7*7" in shown
    assert "49" not in read.tables["activity-table"][2][0]


def test_markup_in_names_stays_text_in_scripts(read: Page, result: Any) -> None:
    assert result["title"] == f"A page of{EVIL}"
    assert result["costs"]["1"]["populations"][1]["name"] == f"conv1{EVIL}"
    assert read.json("nodes")[1]["name"] == f"conv1{EVIL}"


def test_markup_in_names_stays_text_in_the_drawing(read: Page) -> None:
    drawn = [i for i, (tag, _) in enumerate(read.elements) if tag == "svg"]
    start = drawn[-1]  # the graph comes last
    assert [tag for tag, _ in read.elements[start:]].count("img") == 0
    assert [tag for tag, _ in read.elements[drawn[0] :]].count("a") == [
        "term" in a.get("class", "") for t, a in read.elements[drawn[0] :] if t == "a"
    ].count(True)
    assert f"conv1{EVIL}" in [text.strip() for text in read.texts]


# ---------------------------------------------------------------- what it tells


def test_all_sections_are_there_and_linked(read: Page) -> None:
    assert [a["id"] for t, a in read.elements if t == "section"] == SECTIONS
    links = [a["href"] for t, a in read.elements if t == "a" and "term" not in a.get("class", "")]
    assert links[1:] == [f"#{s}" for s in SECTIONS]
    ids = [a["id"] for _, a in read.elements if "id" in a]
    for _, attributes in read.elements:
        for name in ("aria-labelledby", "aria-controls", "for"):
            assert name not in attributes or attributes[name] in ids
    assert {tag for tag, _ in read.elements} >= {
        "main",
        "nav",
        "header",
        "fieldset",
        "legend",
        "caption",
        "figcaption",
    }


def test_pictures_have_words_and_tables_have_captions(read: Page) -> None:
    for tag, attributes in read.elements:
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20
    assert all(read.captions.values())
    drawn = [a for tag, a in read.elements if tag == "svg" and "aria-label" in a]
    assert len(drawn) == len(pictures.pictures(evil()))


def test_what_is_measured_stands_in_the_summary() -> None:
    found = gathered()
    assert str(found.comparison.measure).removeprefix("measured: ").encode() in page.render(found)


def test_accuracies_are_those_of_the_json(read: Page, result: Any) -> None:
    head, *rows = read.tables["accuracy-table"]
    assert [h.strip() for h in head] == ["T", "ANN, %", "float SNN, %", "integer SNN, %", "integer, 95 %"]
    assert [row[0] for row in rows] == list(result["accuracy"]["integer"]) == ["1", "2", "3", "4"]
    for t, ann, floats, integers, span in rows:
        shares = result["accuracy"]
        told = [shares["ann"], shares["float"][t], shares["integer"][t]]
        assert [ann, floats, integers] == [f"{100 * share:.2f}" for share in told]
        low, high = (float(v) for v in span.split(" to "))
        assert low <= float(integers) <= high
    for t, floats, integers in read.tables["agreement-table"][1:]:
        assert [floats, integers] == [
            f"{100 * result['agreement'][key][t]:.2f}" for key in ("float", "integer")
        ]
    assert any(float(row[2]) < 100 for row in read.tables["agreement-table"][1:])


def test_texts_of_each_t_are_those_of_the_json(read: Page, result: Any) -> None:
    texts, chosen = read.json("texts"), str(result["suggested_steps"])
    checked = next(a["value"] for t, a in read.elements if t == "input" and "checked" in a)
    assert checked == chosen
    for t, told in texts.items():
        populations = result["costs"][t]["populations"]
        assert told["spikes"] == f"{sum(p['spikes'] for p in populations[1:]):,.0f}"
        for i, p in enumerate(populations):
            assert told[f"rate.{i}"] == f"{p['spikes'] / p['neurons'] / int(t):.4f}"
            assert told[f"operations.{i}"] == f"{p['ACs'] + p['MACs']:,.0f}"
        chip, arithmetic = result["costs"][t]["chip"], result["costs"][t]["quantized"]
        assert told["energy.chip"] == joules(chip["total"])
        assert told["energy.arithmetic"] == joules(arithmetic["snn"])
        assert told["energy.arithmetic.ann"] == joules(arithmetic["ann"])
        assert told["energy.arithmetic.times"] == f"{arithmetic['snn'] / arithmetic['ann']:.2f} times"
        assert told["latency.steps"] == f"{result['runtime'][t]['steps']} steps"
        assert told["verdict"] == result["verdict"][t]["sentence"]
        assert told["state"] == result["verdict"][t]["state"]
        assert told["quality.integer"] == f"{100 * result['accuracy']['integer'][t]:.2f} %"
    row = read.tables["activity-table"][2]
    assert [row[3], row[4]] == [texts[chosen]["spikes.1"], texts[chosen]["rate.1"]]


def test_errors_and_neurons_are_those_of_the_json(read: Page, result: Any) -> None:
    explained = result["explanation"]["populations"]
    assert len(read.tables["error-table"]) == len(explained) + 1
    for row, p in zip(read.tables["error-table"][1:], explained, strict=True):
        assert row[-1] == f"{100 * p['total']['mean_squared']:.3f}"
        sizes = [
            *(p["parts"][part]["mean_squared"] for part in PARTS[:-1]),
            p["parts"]["integers"]["contribution"],
        ]
        assert row[2 : 2 + len(PARTS)] == [f"{100 * size:.3f}" for size in sizes]
        assert row[2 + len(PARTS)] == f"{100 * p['spiking']['mean_squared']:.3f}"
    for row, p in zip(read.tables["neuron-table"][1:], explained, strict=True):
        assert row[1] == f"{p['neurons']:,}"
        assert row[9] == f"{p['saturations']:,}"
        assert row[6:9] == (
            [""] * 3 if p["kind"] == "ReadOut" else [f"{p[k]:,}" for k in ("dead", "silent", "inactive")]
        )
        assert (row[10] == "") == (p["headroom"] is None)
    assert result["explanation"]["sentence"] in "".join(read.texts)
    pixels = [a["alt"] for t, a in read.elements if t == "img"]
    shown = {i for parting in result["apart"].values() for i in parting["shown"]}
    assert {int(a.removeprefix("Image ")) for a in pixels if a.startswith("Image ")} == shown != set()
    assert len(pixels) - len(shown) == 2 * sum(p["map"] is not None for p in explained)


def test_cores_rules_and_equalities_are_those_of_the_json(read: Page, result: Any) -> None:
    cores = sum(
        int(row[4].replace(",", "")) for row in read.tables["resource-table"][1:] if row[4] != "no fit"
    )
    assert cores == result["check"]["cores"]
    broken = {v["rule"] for v in result["check"]["violations"]}
    assert len(read.tables["rule-table"]) == len(RULES) + 1
    assert {row[0] for row in read.tables["rule-table"][1:] if row[1] != "holds"} == broken
    assert read.tables["equality-table"][1][3:5] == ["12,345", "6"]
    assert "6 of 12,345" in " ".join("".join(read.texts).split())
    assert len(read.tables["coverage-table"]) == len(result["coverage"]["rows"]) + 1


def test_what_is_lost_and_where_they_part_are_those_of_all_images(read: Page, result: Any) -> None:
    """Counted once more, of the comparison's own answers."""
    texts = read.json("texts")
    for t, parting in result["apart"].items():
        shares, loss = result["accuracy"], result["lost_to_ann"]["integer"][t]
        assert loss["lost"] == pytest.approx(shares["ann"] - shares["integer"][t], abs=1e-12)
        assert loss["worse"] - loss["better"] == 30 * loss["lost"]
        assert (loss["worse"], loss["better"]) == (parting["ann_right"], parting["integer_right"])
        assert loss["interval"][0] < loss["lost"] < loss["interval"][1]
        assert parting["apart"] == 30 - 30 * result["agreement"]["integer"][t] > 0
        assert parting["apart"] == sum(pair["count"] for pair in parting["confusion"])
        cells = {
            key: text for key, text in texts[t].items() if re.fullmatch(r"apart\.\d+\.\d+", key) and text
        }
        assert cells == {f"apart.{p['ann']}.{p['integer']}": str(p["count"]) for p in parting["confusion"]}
        assert texts[t]["apart.told"].startswith(f"{parting['apart']} of 30 images get another class")
        for i in parting["shown"]:
            assert texts[t][f"said.{i}"].endswith("…")  # of a name as long as these


def test_curves_stand_where_their_numbers_are(read: Page, result: Any) -> None:
    """Places of points, by two of them, tell the numbers of the others."""
    for name, wanted in (
        ("quality", [100 * share for share in result["accuracy"]["integer"].values()]),
        ("energy-chip", [c["chip"]["total"] / 1e6 for c in result["costs"].values()]),
        ("spikes", [sum(p["spikes"] for p in c["populations"][1:]) for c in result["costs"].values()]),
    ):
        drawn = ET.fromstring(pictures.pictures(evil())[name].drawing)
        points = [r for r in drawn.iter("rect") if r.get("class") == "point c-integer"][
            1:
        ]  # the first: legend
        heights = np.array([float(r.get("y", 0)) for r in points])
        slope, start = np.polyfit(wanted, heights, 1)
        np.testing.assert_allclose(heights, start + slope * np.array(wanted), atol=0.011)  # of a hundredth
        assert slope < 0
        tips = [r.get("data-tip", "") for r in drawn.iter("rect") if r.get("class") == "hit"]
        assert [tip.split("\n")[0] for tip in tips] == ["T = 1", "T = 2", "T = 3", "T = 4"]
        marks = [r.get("data-mark") for r in drawn.iter("line") if r.get("class") == "mark on"]
        assert marks == [str(result["suggested_steps"])]


def test_bars_add_up_to_their_mark(result: Any) -> None:
    drawn = ET.fromstring(pictures.pictures(gathered())["parts"].drawing)
    tips = [r.get("data-tip", "").split("\n") for r in drawn.iter("rect") if r.get("class") == "hit"]
    assert len(tips) == len(gathered().explanation.populations)
    for tip in tips:
        whole, *parts = (float(re.findall(r"-?[\d.]+ %", line)[0][:-2]) for line in tip[1:])
        assert sum(parts) == pytest.approx(whole, abs=0.0005 * (len(PARTS) + 1))  # each rounded to 0.001


def test_terms_lead_to_ten_lines(read: Page) -> None:
    ids = [a["id"] for _, a in read.elements if a.get("id", "").startswith("term-")]
    assert len(ids) == len(GLOSSARY) == 10
    terms = [a for t, a in read.elements if t == "a" and a.get("class") == "term"]
    assert {a["href"].removeprefix("#") for a in terms} == set(ids)  # each is met somewhere
    assert all(len(a["data-tip"]) > 20 for a in terms)


def test_a_box_of_the_graph_tells_shapes_bits_thresholds_cores_rates_and_error(read: Page) -> None:
    nodes, texts = read.json("nodes"), read.json("texts")
    assert [n["name"] for n in nodes] == [p.name for p in evil().integer]
    conv = dict(nodes[1]["rows"])
    assert {"shape", "weights", "thresholds", "state", "cores", "rate a step", "error"} <= set(conv)
    assert texts["1"][conv["rate a step"]["at"]] == texts["1"]["rate.1"]
    boxes = [a["data-node"] for _, a in read.elements if "data-node" in a]
    assert boxes == [str(i) for i in range(len(nodes))]


def test_why_opens_only_where_something_is_wrong() -> None:
    def opened(found: Any) -> bool:
        pages = Page(page.render(found).decode())
        return next("open" in a for t, a in pages.elements if t == "details" and a.get("class") == "chapter")

    found = gathered()
    assert found.explanation.first is not None
    assert opened(found)
    well = replace(
        found, explanation=replace(found.explanation, first=None, sentence="All is well.", alarms=())
    )
    assert not found.comparison.alarms
    assert not opened(well)
    alarmed = replace(well, comparison=replace(found.comparison, alarms=(Alarm("chance", "It guesses"),)))
    assert opened(alarmed)


def test_a_network_of_one_t_has_tables_for_curves() -> None:
    found = gathered()
    one = {4: found.costs[4]}
    qualities = {k: {t: own for t, own in v.items() if t in (0, 4)} for k, v in found.qualities.items()}
    only = replace(found, costs=one, comparison=_read_once(found.comparison, 4), qualities=qualities)
    shown = Page(page.render(only).decode())
    assert "accuracy-table" in shown.tables
    assert not [a for _, a in shown.elements if "data-t" in a]
    assert "T = 4 step" in " ".join("".join(shown.texts).split())


def _read_once(comparison: Any, t: int) -> Any:
    scores = {k: v if not isinstance(v, dict) else {t: v[t]} for k, v in comparison.scores.items()}
    return replace(
        comparison, scores=scores, agreements={k: {t: v[t]} for k, v in comparison.agreements.items()}
    )


def test_a_rule_that_many_break_takes_one_row_until_it_is_unfolded() -> None:
    found = gathered()
    own = [Violation("groups fit", f"conv{i}", 128 + i, 127, "split it") for i in range(5)]
    alone = Violation("cores fit", "", 200, 128, "take two")
    broken = replace(found, checked=replace(found.checked, violations=(*own, alone)))
    shown = Page(page.render(broken).decode()).tables
    assert [[c.strip() for c in row] for row in shown["broken-table"][1:]] == [
        ["groups fit", "conv4, worst of 5", "132", "127", "split it"],
        ["cores fit", "all", "200", "128", "take two"],
    ]
    assert len(shown["violation-table"]) == 1 + 6
    few = replace(found, checked=replace(found.checked, violations=(alone,)))
    assert "violation-table" not in Page(page.render(few).decode()).tables


@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.97, 1.0), (0.0, 0.0), (0.5, 0.50001)])
def test_axes_of_percents_keep_within_them(shares: tuple[float, float]) -> None:
    series = [charts.Series("integer", "integer SNN", dict(enumerate((100 * s for s in shares), 1)))]
    drawn = ET.fromstring(charts.over_steps(series, "%", "", chosen=1, told=str, is_share=True))
    texts = [t.text for t in drawn.iter("text") if t.get("text-anchor") == "end"]
    assert texts
    assert all(0 <= float(text or "") <= 100 for text in texts)
    for point in drawn.iter("circle"):
        assert 0 < float(point.get("cy", 0)) < charts.HEIGHT - charts.BOTTOM


# ---------------------------------------------------------------- on the command line


def test_the_command_writes_what_it_prints(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title = "[bold]<i>my net</i>"
    few = [
        "--steps",
        "4",
        "--lava-images",
        "0",
        "--cost-images",
        "2",
        "--explain-images",
        "4",
        "--title",
        title,
    ]
    said = run("report", *NET, *DATA, *few, "-o", "a.html", capsys=capsys)
    read = Page((place / "a.html").read_text())
    assert read.json("result") == said
    assert said["provenance"]["command_line"].startswith("dnisnm report --model net.py:net")
    assert said["provenance"]["command_line"] in "".join(read.texts)
    assert set(said["provenance"]["digests"]) == {"analog", "float", "integer", "images"}
    assert (said["images"]["integer"], said["explanation"]["images"], said["costs"]["4"]["images"]) == (
        16,
        4,
        2,
    )
    assert said["coverage"]["model"] == "net.py:net"
    run("report", *NET, "--data", str(place / DATA[1]), *few[:-2], "-o", "b.html", capsys=capsys)
    assert (
        f"<title>net.py:net on {DATA[1]}</title>" in (place / "b.html").read_text()
    )  # the folder is in the provenance
    compared = run("compare", *NET, *DATA, "--steps", "4", "--lava-images", "0", capsys=capsys)
    for t in ("1", "2", "4"):
        assert said["accuracy"]["integer"][t] == compared["accuracy"]["integer"][t]
    assert said["populations"] == compared["populations"]
    assert "a.html: exists already" in refused("report", *NET, *DATA, *few, "-o", "a.html", capsys=capsys)
    assert cli.main(["report", *NET, "--data", "images", *few, "-o", "a.html", "--overwrite"]) == 0
    out = capsys.readouterr().out
    assert "written to a.html, " in out
    assert f"suggested T = {Page((place / 'a.html').read_text()).json('result')['suggested_steps']}" in out
    assert datasets.class_names(datasets.load_data("images").test) == ("class0", "class1", "class2")
    assert datasets.class_names(datasets.load_data("data.npz").test) == ()


def test_a_missing_library_is_named_with_its_extra(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("page", "shell"):
        monkeypatch.delitem(sys.modules, f"dnisnm_lava.views.page.{name}", raising=False)
        monkeypatch.delattr(f"dnisnm_lava.views.page.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    said = refused("report", *NET, *DATA, capsys=capsys)
    assert said == f"dnisnm: {missing('jinja2', 'report')}"


# ---------------------------------------------------------------- how sure, and which T


@pytest.mark.parametrize(
    ("right", "images"), [(0, 1), (1, 1), (7, 10), (915, 1000), (1000, 1000), (3, 10_000)]
)
def test_intervals_are_wilsons(right: int, images: int) -> None:
    """As the two shares p for which the observed one lies exactly z standard errors of p away: his
    definition."""
    low, high = measures.wilson(right / images, images)
    for bound in (low, high):
        distance = abs(right / images - bound) * images**0.5
        assert distance == pytest.approx(measures.Z * (bound * (1 - bound)) ** 0.5, abs=1e-6)
    assert 0 <= low <= right / images <= high <= 1


def test_the_suggested_t_is_the_first_within_one_standard_error() -> None:
    def of(shares: dict[int, float], images: int) -> int:
        told = {t: Share(round(images * p), images, images) for t, p in shares.items()}
        return intervals.suggested(
            {t: Quality(s.quality, s.interval, s.standard_error) for t, s in told.items()}
        )

    # best 0.9 of 100 images: a standard error of 0.03
    assert of({1: 0.5, 2: 0.86, 4: 0.87, 8: 0.9, 16: 0.89}, 100) == 4
    assert of({1: 0.5, 2: 0.8699, 4: 0.8701, 8: 0.9, 16: 0.89}, 10_000) == 8
    assert of({4: 1.0, 2: 0.98, 8: 1.0}, 50) == 4


def test_the_front_is_what_no_other_beats() -> None:
    assert intervals.front([0.5, 0.7, 0.7, 0.6, 0.9], [1, 2, 3, 4, 5]) == [True, True, False, False, True]
    assert intervals.front([0.5, 0.5], [1, 1]) == [True, True]


# ---------------------------------------------------------------- pixels and words


def test_images_are_seen_as_they_were_before_normalization() -> None:
    x = np.random.default_rng(0).uniform(size=(3, 4, 4))
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.4])
    normalized = (x - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(overview.viewable(normalized, mean, std), x, atol=1e-12)
    stretched = overview.viewable(normalized, (), ())
    assert (stretched.min(), stretched.max()) == (0, 1)
    assert not overview.viewable(np.full((1, 2, 2), 7.0), (), ()).any()


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 5, 7), (2, 5, 7), (6,), (3, 300, 200)])
def test_any_image_has_a_thumbnail(shape: tuple[int, ...]) -> None:
    import base64
    import io

    from PIL import Image

    pixels = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    made = Image.open(io.BytesIO(base64.b64decode(rasters.thumbnail(pixels).partition(",")[2])))
    assert max(made.size) <= rasters.MOST
    assert made.mode == ("RGB" if shape[0] == 3 and len(shape) == 3 else "L")
    if shape == (1, 5, 7):
        np.testing.assert_allclose(np.asarray(made), 255 * pixels[0], atol=2)  # of 256 greys


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (1.2345, "1.23"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits(number: float, said: str) -> None:
    assert pieces.digits(number) == said


def test_the_result_holds_everything_but_pixels(result: Any) -> None:
    told = page.result(evil())
    assert set(told["explanation"]) >= {*asdict(evil().explanation)} - {"scores", "agreements"}
    assert not [p for p in told["explanation"]["populations"] if "raster" in p]
    assert json.loads(json.dumps(told, allow_nan=False)) == result
