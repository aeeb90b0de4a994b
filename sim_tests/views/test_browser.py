"""The report in a real browser: Debian's Chromium, without a network. Screenshots go to $DNISNM_SCREENSHOTS,
or pytest's folder."""

from __future__ import annotations

import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: the report was not opened in a browser"
)
pytest.importorskip("jinja2", reason="jinja2 is not installed: the report was not opened in a browser")

from html_pages import EVIL, evil, evil_page, gathered  # noqa: E402
from PIL import Image  # noqa: E402
from stream_pages import page as stream_page  # noqa: E402
from stream_pages import rows_of  # noqa: E402

from dnisnm_lava.views.page import page  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("chromium is not installed: the report was not opened in a browser", allow_module_level=True)

DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
STEPS = [str(t) for t in evil().steps]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(evil_page())
    return path


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = os.environ.get("DNISNM_SCREENSHOTS")
    if not folder:
        return tmp_path_factory.mktemp("screenshots")
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder)


class Opened:
    """A page, with all that it complained of or asked for."""

    def __init__(self, browser: Any, file: Path, size: dict[str, int], **options: Any) -> None:
        self.context = browser.new_context(viewport=size, **options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.on(
            "request",
            lambda request: request.url == file.as_uri() or self.complaints.append(request.url[:100]),
        )
        self.page.goto(file.as_uri())

    def js(self, program: str) -> Any:
        return self.page.evaluate(program)

    def unfold(self) -> None:
        self.js("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


@pytest.fixture(scope="module")
def desktop(browser: Any, file: Path) -> Iterator[Opened]:
    opened = Opened(browser, file, DESKTOP, color_scheme="light")
    opened.unfold()
    yield opened
    opened.context.close()


def without(complaints: list[str]) -> list[str]:
    return [c for c in complaints if not c.startswith(("blob:", "data:"))]


# 4.5:1 is level AA of WCAG 2, 1.4.3
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
  };
  const worst = { ratio: 99, text: "" };
  for (const e of document.querySelectorAll("main *, header *, nav *, .bar *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest("svg, noscript, .drawing") || !e.getClientRects().length) continue;
    const a = light(channels(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst.ratio) Object.assign(worst, { ratio, text: e.outerHTML.slice(0, 80) });
  }
  return worst;
}"""


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [
        ("desktop", DESKTOP, "light"),
        ("desktop-dark", DESKTOP, "dark"),
        ("phone", PHONE, "light"),
        ("phone-dark", PHONE, "dark"),
    ],
)
def test_it_opens_without_a_complaint_and_fits(
    browser: Any, file: Path, artefacts: Path, name: str, size: dict[str, int], scheme: str
) -> None:
    opened = Opened(browser, file, size, color_scheme=scheme)
    assert without(opened.complaints) == []
    assert opened.js("document.documentElement.scrollWidth") == size["width"]
    assert opened.js("window.pwned") is None
    light = opened.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is (scheme == "light")
    worst = opened.js(CONTRAST)
    assert 4.5 <= worst["ratio"] < 99, worst
    opened.page.screenshot(path=artefacts / f"{name}.png", full_page=True)
    opened.context.close()


@pytest.mark.parametrize(("size", "most"), [(DESKTOP, 6), (PHONE, 10)])
def test_it_takes_few_screens_before_it_is_unfolded(
    browser: Any, tmp_path: Path, size: dict[str, int], most: int
) -> None:
    """With all that is open where something is wrong, as in this network."""
    file = tmp_path / "short.html"
    file.write_bytes(page.render(gathered()))
    opened = Opened(browser, file, size)
    assert opened.page.locator("details.chapter[open]").count() == 1
    assert opened.js("document.documentElement.scrollHeight") <= most * size["height"]
    opened.context.close()


CUT = """() => [...document.querySelectorAll('table')].flatMap((table) => {
  const room = (table.closest('.sheet') || table.parentElement).getBoundingClientRect();
  const cells = [...table.querySelectorAll('tbody th, tbody td')].filter((cell) => !table.matches('.confusion'));
  const cut = cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1);
  return [...(table.getBoundingClientRect().right > room.right + 1 ? [table.id] : []), ...cut.map((cell) => cell.textContent)];
})"""


@pytest.mark.parametrize("width", [1400, 1024, 768, 390])
def test_no_table_is_cut_and_none_scrolls(browser: Any, file: Path, width: int) -> None:
    opened = Opened(browser, file, {"width": width, "height": 900})
    opened.unfold()
    assert opened.js(CUT) == []
    assert opened.js("document.documentElement.scrollWidth") == width
    opened.context.close()


TOUCHING = """(drawing) => {
  const box = drawing.getBoundingClientRect();
  const all = [...drawing.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
  const beyond = all.filter(([, a]) => a.left < box.left - 1 || a.right > box.right + 1 || a.bottom > box.bottom + 1);
  return [...beyond.map(([name]) => name), ...all.flatMap(([name, a], i) => all.slice(i + 1).filter(([, b]) =>
    a.left + 1 < b.right && b.left + 1 < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom).map(([other]) => [name, other]))];
}"""


def test_no_words_touch_in_any_drawing(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "named.html"
    file.write_bytes(page.render(gathered()))
    opened = Opened(browser, file, DESKTOP)
    opened.unfold()
    drawings = opened.page.query_selector_all(".drawn, .drawing svg")
    assert len(drawings) == 12
    assert [d.evaluate(TOUCHING) for d in drawings if d.is_visible()] == [[]] * 10  # two rules are not shown
    opened.context.close()


APART = """() => {
  const boxes = [...document.querySelectorAll('.switch select, .save')].filter((e) => e.getClientRects().length)
    .map((e) => e.getBoundingClientRect());
  return boxes.filter((a, i) => boxes.slice(i + 1).some((b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)).length;
}"""


@pytest.mark.parametrize("width", [1400, 1180, 390])
def test_what_one_presses_lies_apart(browser: Any, file: Path, width: int) -> None:
    opened = Opened(browser, file, {"width": width, "height": 900})
    opened.unfold()
    assert opened.js(APART) == 0
    opened.context.close()


def test_another_rule_of_energy_is_a_choice_away(desktop: Opened) -> None:
    shown = [desktop.page.is_visible(f"#energy-{rule}") for rule in ("arithmetic", "paper", "chip")]
    assert shown == [True, False, False]
    desktop.page.select_option("#rule", "energy-paper")
    shown = [desktop.page.is_visible(f"#energy-{rule}") for rule in ("arithmetic", "paper", "chip")]
    assert shown == [False, True, False]
    desktop.page.select_option("#rule", "energy-arithmetic")


def test_pointing_at_a_curve_tells_its_numbers_and_a_press_chooses_its_t(desktop: Opened) -> None:
    result = desktop.js("JSON.parse(document.getElementById('result').textContent)")
    column = desktop.page.locator("#accuracy .hit[data-t='2']")
    column.hover()
    told = desktop.page.locator("#tip").inner_text()
    assert told.split("\n")[0] == "T = 2"
    assert f"integer SNN: {100 * result['accuracy']['integer']['2']:.2f} %" in told
    column.click()
    assert desktop.js("document.querySelector('input[name=steps]:checked').value") == "2"
    marks = desktop.js("[...document.querySelectorAll('.on[data-mark]')].map((m) => m.dataset.mark)")
    assert len(marks) == 8  # a line in six charts over T, a ring in two trade-offs
    assert set(marks) == {"2"}
    desktop.page.mouse.move(0, 0)
    assert desktop.page.locator("#tip").is_hidden()


def test_a_term_tells_what_it_is_to_who_points_and_to_who_tabs(desktop: Opened) -> None:
    term = desktop.page.locator("#card-lava .term").first
    term.focus()
    assert desktop.page.locator("#tip").inner_text().startswith("Lava: Intel's open framework")
    desktop.page.keyboard.press("Escape")
    assert desktop.page.locator("#tip").is_hidden()


def test_a_press_on_a_box_tells_of_its_population(desktop: Opened) -> None:
    nodes = desktop.js("JSON.parse(document.getElementById('nodes').textContent)")
    for i in (1, 2):
        desktop.page.locator(f".node[data-node='{i}']").click()
        assert desktop.page.locator("#node h3").inner_text() == nodes[i]["name"]
        words = desktop.page.locator("#node dt").all_inner_texts()
        assert words == [word for word, _ in nodes[i]["rows"]]
        rate = words.index("rate a step")
        for step in STEPS:
            desktop.page.check(f"input[name=steps][value='{step}']", force=True)
            texts = desktop.js(f"JSON.parse(document.getElementById('texts').textContent)['{step}']")
            assert desktop.page.locator("#node dd").nth(rate).inner_text() == texts[f"rate.{i}"]
    desktop.page.locator(".node[data-node='3']").focus()
    desktop.page.keyboard.press("Enter")
    assert desktop.page.locator("#node h3").inner_text() == nodes[3]["name"]


@pytest.mark.parametrize("name", ["accuracy", "trade-energy", "parts", "raster", "graph"])
def test_a_drawing_is_saved_as_svg_and_png(desktop: Opened, tmp_path: Path, name: str) -> None:
    for kind in ("SVG", "PNG"):
        with desktop.page.expect_download() as download:
            desktop.page.get_by_role("button", name=f"Save {name} as {kind}").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        assert saved.name == f"{name}.{kind.lower()}"
    root = ET.fromstring((tmp_path / f"{name}.svg").read_text())
    assert root.get("width") == root.get("viewBox", "").split()[2]
    assert not [e for e in root.iter() if "class" in e.attrib or "data-tip" in e.attrib]
    assert all("fill:" in e.get("style", "") for e in root.iter() if e is not root)
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.width == int(3 * float(root.get("width", "0")))
        assert len(image.convert("RGB").getcolors(1 << 24)) > 2  # not a blank sheet


def test_names_that_are_markup_are_shown_in_drawings_as_they_are(desktop: Opened) -> None:
    shown = desktop.js("[...document.querySelectorAll('#parts text')].map((t) => t.textContent)")
    assert shown.count("…" + EVIL[-19:]) == len(evil().explanation.populations)
    assert desktop.js("document.querySelectorAll('svg a, svg img').length") == 0


def test_a_chosen_t_changes_texts_marks_and_tables(desktop: Opened) -> None:
    texts = desktop.js("JSON.parse(document.getElementById('texts').textContent)")
    for step in STEPS:
        desktop.page.check(f"input[name=steps][value='{step}']", force=True)
        shown = desktop.js(
            "Object.fromEntries([...document.querySelectorAll('[data-at]')].map(e => [e.dataset.at, "
            "e.textContent]))"
        )
        assert shown == {key: texts[step][key] for key in shown}
        assert {
            "T",
            "verdict",
            "lost",
            "quality.integer",
            "spikes.1",
            "energy.arithmetic.times",
            "latency.steps",
        } <= set(shown)
    assert desktop.js("document.querySelector('#accuracy .mark.on').dataset.mark") == STEPS[-1]
    states = desktop.js(
        "Object.values(JSON.parse(document.getElementById('texts').textContent)).map((t) => t.state)"
    )
    assert desktop.js("document.querySelector('.verdict').dataset.state") == states[-1]
    shots = desktop.js(
        "[...document.querySelectorAll('[data-steps]:not([hidden])')].map((f) => f.dataset.steps)"
    )
    assert len(shots) > 0
    assert all(STEPS[-1] in shot.split(" ") for shot in shots)
    places = desktop.js(
        "[...document.querySelectorAll('[data-steps]:not([hidden])')].map((f) => +f.style.order)"
    )
    assert sorted(places) == list(range(len(shots)))
    desktop.page.focus(f"input[name=steps][value='{STEPS[-1]}']")
    desktop.page.keyboard.press("ArrowLeft")
    assert desktop.js("document.querySelector('input[name=steps]:checked').value") == STEPS[-2]


def test_a_heading_sorts_up_and_down(desktop: Opened) -> None:
    def column(index: int) -> list[float]:
        cells = desktop.js(
            f"[...document.querySelectorAll('#activity-table tbody tr')].map(r => "
            f"r.cells[{index}].textContent)"
        )
        return [float(cell.replace(",", "")) for cell in cells]

    head = desktop.page.locator("#activity-table thead th").nth(3)
    before = column(3)
    head.locator("button").click()
    assert (column(3), head.get_attribute("aria-sort")) == (sorted(before, reverse=True), "descending")
    desktop.page.keyboard.press("Enter")
    assert (column(3), head.get_attribute("aria-sort")) == (sorted(before), "ascending")
    names = desktop.page.locator("#rule-table thead th").first
    names.locator("button").click()
    rules = desktop.page.locator("#rule-table tbody th").all_text_contents()
    assert rules == sorted(rules)


def test_the_bar_covers_tables_that_scroll_below_it(desktop: Opened) -> None:
    desktop.js(
        "document.querySelector('#rule-table thead').scrollIntoView(); scrollBy(0, 48)"
    )  # from below the bar to behind it
    over = """() => {
      const box = document.querySelector('.bar').getBoundingClientRect();
      const shares = [...Array(20).keys()].map((i) => (i + 0.5) / 20);
      const places = shares.flatMap((a) => shares.map((b) => [box.left + box.width * a, box.top + box.height * b]));
      return places.filter(([x, y]) => !document.elementFromPoint(x, y).closest('.bar')).length;
    }"""
    assert desktop.js(over) == 0
    desktop.js("scrollTo(0, 0)")


def test_terms_are_explained_without_a_mouse_and_on_a_phone(browser: Any, file: Path) -> None:
    opened = Opened(browser, file, PHONE)
    opened.unfold()
    assert opened.page.locator(".sheet:has(#neuron-table) .terms").is_visible()
    assert "dead: threshold 0" in opened.page.locator(".sheet:has(#neuron-table) .terms").inner_text()
    assert opened.page.get_by_role("group", name="Time steps T").is_visible()
    legend = opened.js("document.querySelector('.steps legend').getBoundingClientRect().width")
    assert 0 < legend < 40  # T alone
    opened.context.close()


def test_the_box_filters(desktop: Opened) -> None:
    rules = desktop.page.locator("#rule-table tbody tr:visible")
    total = rules.count()
    desktop.page.fill("#rule-table-filter", "FIT state")
    shown = rules.all_inner_texts()
    assert 0 < len(shown) < total
    assert all("fit" in text and "state" in text for text in shown)
    assert (
        desktop.page.locator("#rule-table-filter ~ output").text_content() == f"{len(shown)} of {total} rows"
    )
    desktop.page.fill("#rule-table-filter", "")
    assert rules.count() == total


def test_dark_and_light(desktop: Opened) -> None:
    looks = (
        "[document.body, document.querySelector('#accuracy text')].map((e) => "
        "getComputedStyle(e)).map((s, i) => [s.backgroundColor, s.fill][i])"
    )
    light = desktop.js(looks)
    desktop.page.click("#theme")
    dark = desktop.js(looks)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    assert desktop.page.get_attribute("#theme", "aria-pressed") == "true"
    desktop.page.click("#theme")
    assert desktop.js(looks) == light


def test_numbers_can_be_saved(desktop: Opened, tmp_path: Path) -> None:
    with desktop.page.expect_download() as download:
        desktop.page.click("#save")
    download.value.save_as(tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text() == desktop.js(
        "document.getElementById('result').textContent"
    )


def test_it_prints(desktop: Opened, artefacts: Path) -> None:
    """Chromium writes a PDF."""
    desktop.page.pdf(path=artefacts / "report.pdf", format="A4")
    assert (artefacts / "report.pdf").read_bytes().startswith(b"%PDF")
    assert without(desktop.complaints) == []
    desktop.page.emulate_media(media="print")
    assert (
        desktop.js(
            "[...document.querySelectorAll('thead *')].filter(e => e.matches('button') && "
            "e.getClientRects().length).length"
        )
        == 0
    )
    assert (
        desktop.page.locator("#rule-table thead th").first.inner_text() == "rule"
    )  # and its heading stands on every sheet


def test_a_sheet_is_as_wide_as_what_stands_on_it(browser: Any, file: Path) -> None:
    """Nothing is cut at the right, and Chromium need not shrink the page: A4 less two margins of 14 mm is 688
    pixels."""
    opened = Opened(browser, file, {"width": 688, "height": 1000})
    opened.page.emulate_media(media="print")
    opened.unfold()
    names = (
        "(name) => [...document.querySelectorAll(name)].map((e) => "
        "Math.ceil(e.getBoundingClientRect().right))"
    )
    sheets = opened.page.evaluate(names, "table")
    assert 0 < max(sheets) <= 690
    assert opened.js("document.documentElement.scrollWidth") <= 690
    opened.context.close()


# ---------------------------------------------------------------- the page of a stream

OVERLAPS = """() => [...document.querySelectorAll('.chart svg')].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  const all = [...svg.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
  return all.flatMap(([name, a], i) => [
    ...(a.left < box.left - 1 || a.right > box.right + 1 ? [[name, 'cut']] : []),
    ...all.slice(i + 1).filter(([, b]) =>
      a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom
    ).map(([other]) => [name, other]),
  ]);
})"""


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_of_a_stream_fits_and_its_slider_chooses_a_frame(
    browser: Any, tmp_path: Path, artefacts: Path, width: int
) -> None:
    file = tmp_path / "stream.html"
    names = (EVIL, "conv", "fc")
    rows = rows_of([i // 9 % 2 for i in range(120)])
    file.write_text(stream_page(rows, classes=(EVIL, "bee"), names=names))
    opened = Opened(browser, file, {"width": width, "height": 900}, color_scheme="light")
    for is_log in (False, True):
        opened.page.set_checked("#log", is_log)
        assert opened.js("document.documentElement.scrollWidth") == width
        assert opened.js(OVERLAPS) == []
    heads = opened.js("[...document.querySelectorAll('.sheet thead')].map((h) => h.getClientRects().length)")
    assert (0 in heads) == (width == 390)  # of tables whose rows became blocks: their names stand in these
    opened.js("frame.value = 60; frame.dispatchEvent(new Event('input'))")
    assert opened.page.inner_text("#row caption") == "Frame 60"
    assert opened.page.inner_text("#chosen") == "60"
    told = opened.page.locator("#row tbody tr").first.locator("th, td").all_inner_texts()
    assert [told[0], told[2], told[3]] == ["the stream", "100", "10"]
    opened.page.locator(".shot").nth(1).click()
    assert opened.page.inner_text("#row caption") == "Frame 9"
    assert opened.js("document.querySelector('#row tbody td').textContent") == "bee"
    assert without(opened.complaints) == []
    assert opened.js("window.pwned") is None
    worst = opened.js(CONTRAST)
    assert 4.5 <= worst["ratio"] < 99, worst
    opened.page.screenshot(path=artefacts / f"stream-{width}.png", full_page=True)
    opened.context.close()
