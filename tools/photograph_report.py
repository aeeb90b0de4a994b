"""A report in Chromium, without its lower half, as docs/report.png.

dnisnm report ... --title "ResNet-20 on CIFAR-10 (lossless subset)" -o report.html
python tools/photograph_report.py report.html
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs/report.png"
SIZE = {"width": 1180, "height": 1020}  # pixels


def photograph(report: Path) -> bytes:
    """The first screen, PNG of 256 colours."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("#accuracy svg")
        whole = page.screenshot()
        browser.close()
    shown = io.BytesIO()
    Image.open(io.BytesIO(whole)).convert("RGB").quantize(256).save(shown, "PNG", optimize=True)
    return shown.getvalue()


if __name__ == "__main__":
    PICTURE.write_bytes(photograph(Path(sys.argv[1])))
