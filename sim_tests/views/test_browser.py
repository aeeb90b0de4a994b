"""The report in a real browser: Debian's Chromium, without a network. Screenshots go to $DNISNM_SCREENSHOTS,
or pytest's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: the report was not opened in a browser"
)
pytest.importorskip("jinja2", reason="jinja2 is not installed: the report was not opened in a browser")
pytest.importorskip("plotly", reason="plotly is not installed: the report was not opened in a browser")

from html_pages import EVIL, evil, evil_page  # noqa: E402
from stream_pages import page as stream_page  # noqa: E402
from stream_pages import rows_of  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("chromium is not installed: the report was not opened in a browser", allow_module_level=True)

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
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

    def seen(self) -> None:
        """Every part has been on the screen, so that all curves are drawn."""
        self.js("document.querySelectorAll('.plot').forEach((plot) => plot.scrollIntoView())")
        for plot in self.page.query_selector_all(".plot:not([hidden] .plot)"):
            plot.scroll_into_view_if_needed()
            self.page.wait_for_function("(plot) => plot.dataset.drawn", arg=plot)
        self.js("scrollTo(0, 0)")


@pytest.fixture(scope="module")
def desktop(browser: Any, file: Path) -> Iterator[Opened]:
    opened = Opened(browser, file, DESKTOP, color_scheme="light")
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
    opened.seen()
    assert without(opened.complaints) == []
    assert opened.js("document.documentElement.scrollWidth") == size["width"]
    assert opened.js("window.pwned") is None
    light = opened.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is (scheme == "light")
    worst = opened.js(CONTRAST)
    assert 4.5 <= worst["ratio"] < 99, worst
    opened.page.screenshot(path=artefacts / f"{name}.png", full_page=True)
    opened.context.close()


def test_every_curve_is_drawn(desktop: Opened) -> None:
    desktop.seen()
    figures = set(desktop.js("Object.keys(JSON.parse(document.getElementById('figures').textContent))"))
    drawn = desktop.js(
        "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('svg.main-svg')).map(p => "
        "p.dataset.figure)"
    )
    assert figures - set(drawn) == {"energy-arithmetic", "energy-paper"}  # of the other rules
    desktop.page.select_option("#rule", "energy-paper")
    assert desktop.js("Boolean(document.querySelector('[data-figure=energy-paper] svg.main-svg'))")
    assert [
        desktop.page.is_visible(f"[data-figure=energy-{rule}]") for rule in ("chip", "arithmetic", "paper")
    ] == [False, False, True]


def test_hovering_tells_the_numbers(desktop: Opened) -> None:
    result = desktop.js("JSON.parse(document.getElementById('result').textContent)")
    plot = desktop.page.locator("[data-figure=accuracy]")
    plot.scroll_into_view_if_needed()
    desktop.page.wait_for_function("document.querySelector('[data-figure=accuracy]').dataset.drawn")
    plot.locator(".nsewdrag").hover()
    desktop.page.wait_for_selector("[data-figure=accuracy] .hoverlayer .legendtext")
    told = plot.locator(".hoverlayer").text_content()
    shares = {f"{100 * share:.2f} %" for share in result["accuracy"]["integer"].values()}
    assert any(share in told for share in shares)
    assert "integer SNN" in told
    desktop.page.mouse.move(0, 0)


def test_names_that_are_markup_are_shown_in_curves_as_they_are(desktop: Opened) -> None:
    desktop.seen()
    shown = desktop.js(
        "[...document.querySelectorAll('[data-figure=parts] .ytick text')].map(t => t.textContent.trim())"
    )
    assert shown == ["…" + EVIL[-33:]] * len(evil().explanation.populations)
    assert desktop.js("document.querySelectorAll('.plot a, .plot img, svg a').length") == 0


def test_a_chosen_t_changes_texts_marks_and_tables(desktop: Opened) -> None:
    texts = desktop.js("JSON.parse(document.getElementById('texts').textContent)")
    for step in STEPS:
        desktop.page.check(f"input[name=steps][value='{step}']", force=True)
        shown = desktop.js(
            "Object.fromEntries([...document.querySelectorAll('[data-at]')].map(e => [e.dataset.at, "
            "e.textContent]))"
        )
        assert shown == {key: texts[step][key] for key in shown}
        assert {"T", "accuracy.integer", "spikes.1", "energy.chip", "drop"} <= set(shown)
    desktop.seen()
    assert desktop.js("document.querySelector('[data-figure=accuracy]').layout.shapes.at(-1).x0") == int(
        STEPS[-1]
    )
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
    desktop.seen()
    looks = (
        "[getComputedStyle(document.body).backgroundColor, document.querySelector('.xtick text').style.fill]"
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
    """Chromium writes a PDF: curves as wide as a page, and back again."""
    before = desktop.js("document.querySelector('[data-figure=accuracy]').dataset.drawn")
    desktop.page.pdf(path=artefacts / "report.pdf", format="A4")
    assert (artefacts / "report.pdf").read_bytes().startswith(b"%PDF")
    assert desktop.js("document.querySelector('[data-figure=accuracy]').dataset.drawn") == before
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
    opened.seen()
    opened.page.emulate_media(media="print")
    opened.js("window.dispatchEvent(new Event('beforeprint'))")
    names = (
        "(name) => [...document.querySelectorAll(name)].map((e) => "
        "Math.ceil(e.getBoundingClientRect().right))"
    )
    sheets = opened.page.evaluate(names, "table")
    assert 0 < max(sheets) <= 690
    assert opened.js("document.documentElement.scrollWidth") <= 690
    over = (
        "[...document.querySelectorAll('.plot[data-drawn]')].filter((p) => +p.dataset.drawn > "
        "p.clientWidth && p.clientWidth).length"
    )
    assert opened.js(over) == 0
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
