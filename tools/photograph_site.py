"""Every page of the site in Chromium, as a desk and as a phone shows it; a table that is cut there is told.

make site && python tools/photograph_site.py site FOLDER
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SIZES = ((1400, 900), (390, 844))  # pixels
CUT = """() => [...document.querySelectorAll('.md-typeset__scrollwrap')]
    .map(e => e.scrollWidth - e.clientWidth).filter(wider => wider > 1)"""


def photograph(page: Page, source: Path, folder: Path, width: int) -> list[int]:
    """Its first screen, as PNG. By how many pixels tables are cut."""
    page.goto(source.resolve().as_uri())
    page.wait_for_timeout(200)  # milliseconds, until wide tables are wrapped
    page.screenshot(path=folder / f"{source.stem}-{width}.png")
    cut: list[int] = page.evaluate(CUT)
    return cut


def main(site: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height in SIZES:
            page = browser.new_page(viewport={"width": width, "height": height})
            for source in sorted(site.glob("*.html")):
                cut = photograph(page, source, folder, width)
                if cut:
                    print(f"{source.stem} at {width} px: tables cut by {cut} px")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
