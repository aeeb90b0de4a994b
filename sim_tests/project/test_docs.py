"""The documentation site builds without a warning and fetches nothing; its pictures are what the neuron
does."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import dnisnm_lava

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_pictures", ROOT / "tools/draw_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw_pictures = _tool()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python", "latex2mathml"):
        pytest.importorskip(module, reason=f"{module.split('.')[0]} is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    built = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stdout + built.stderr
    return folder


def test_every_page_is_built_and_every_equation_drawn(site: Path) -> None:
    sources = sorted(p.stem for p in (ROOT / "docs").glob("*.md"))
    assert sorted(p.stem for p in site.glob("*.html") if p.stem != "404") == sources
    assert (site / "how.html").read_text().count("<math ") == (ROOT / "docs/how.md").read_text().count(
        "```math"
    )


def test_the_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")
    assert [p.name for p in site.glob("*.html") if fetched.search(p.read_text())] == []


def test_the_reference_tells_signatures_and_docstrings(site: Path) -> None:
    page = (site / "api.html").read_text()
    for name in (
        "frontend.walk.from_torch",
        "stages.conversion.convert",
        "stages.quantization.quantize",
        "backends.batched.run",
        "ir.SpikingGraph",
    ):
        assert f'id="dnisnm_lava.{name}"' in page
    assert 'id="exporters.netx.write"' in page
    named = set(re.findall(r'doc-object-name[^"]*">dn\.(\w+)<', page))
    assert named <= set(dnisnm_lava.__all__)
    assert {"build", "compare", "report", "OutOfRange", "AnalogGraph"} <= named
    assert "Signed neurons with memory (Wang et al. 2024" in page


def test_the_pictures_are_those_that_the_pages_show(tmp_path: Path) -> None:
    draw_pictures.main([str(tmp_path)])
    drawn = sorted(p.name for p in tmp_path.iterdir())
    shown = {
        name
        for page in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"\(pictures/([\w.]+)\)", page.read_text())
    }
    assert drawn == sorted(p.name for p in (ROOT / "docs/pictures").iterdir()) == sorted(shown)
    for name in drawn:
        old, new = (
            ElementTree.parse(folder / name).getroot() for folder in (ROOT / "docs/pictures", tmp_path)
        )
        assert [e.tag for e in old.iter()] == [e.tag for e in new.iter()], (
            f"{name}: python tools/draw_pictures.py"
        )


@pytest.mark.parametrize("levels", [1, 4])
def test_the_staircase_is_the_rounded_clipped_activation(levels: int) -> None:
    """In integers, against a closed form: theta = 16, T = 4, currents of one size."""
    for current in range(-20, 16 * levels + 40):
        sent = draw_pictures.neuron([current] * 4, 16, levels).k.sum()
        assert sent == min(max((4 * current + 8) // 16, 0), 4 * levels)


def test_the_memory_takes_back_what_came_too_early() -> None:
    early = draw_pictures.EARLY
    signed, plain = (draw_pictures.neuron(early, 8, signed=signed) for signed in (True, False))
    assert (signed.k.sum(), plain.k.sum()) == ((sum(early) + 4) // 8, 2)
    np.testing.assert_array_equal(signed.m, np.cumsum(signed.k))
    assert signed.m.min() >= 0
