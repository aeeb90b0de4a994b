"""Imports go one way; the core lives without torch, h5py and Lava; the README's code runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dnisnm_lava"

CORE = (
    "errors",
    "system.interrupts",
    "system.files",
    "data.inputs",
    "ir",
    "ir.arithmetic",
    "ir.dynamics",
    "ir.fixedpoint",
    "ir.functions",
    "measures",
    "frontend.coverage",
    "backends.reference",
    "backends.results",
    "stages.calibration",
    "stages.conversion",
    "stages.quantization",
    "stages.recipes",
    "stages.compensation",
    "studies.costs.energy",
    "studies.loihi2.cores",
    "studies.loihi2.layers",
    "studies.loihi2.limits",
    "studies.loihi2.rules",
)
LINTER = Path(sys.executable).with_name("lint-imports")


def modules() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p.name not in ("__init__.py", "__main__.py")]


def test_tests_stand_in_folders_named_as_the_packages() -> None:
    """Beside them: what only a whole network or the whole project shows, and faults made on purpose."""
    folders = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    found = {p.parent.relative_to(ROOT / "sim_tests").as_posix() for p in ROOT.glob("sim_tests/**/test_*.py")}
    assert found == folders | {"exporters", "whole", "project", "faults"}


def test_every_folder_says_what_lives_there_and_what_may_enter() -> None:
    for path in PACKAGE.glob("*/**/__init__.py"):
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert "May import " in said, path.parent.relative_to(ROOT)


def test_docstrings_begin_with_what_the_thing_is() -> None:
    """Not with `Of a channel, ...`, which leaves it out."""
    named = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    texts = {p: p.read_text() for folder in (PACKAGE, ROOT / "exporters") for p in folder.rglob("*.py")}
    assert not [
        (path.relative_to(ROOT).as_posix(), getattr(node, "name", "the module"))
        for path, text in texts.items()
        if re.search(r'"""\s*Of ', text)  # a walk of every file takes seconds
        for node in ast.walk(ast.parse(text))
        if isinstance(node, named) and (ast.get_docstring(node) or "").startswith("Of ")
    ]


def test_nothing_lies_flat() -> None:
    assert {p.name for p in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py", "errors.py"}


def test_imports_go_one_way() -> None:
    """The contract of pyproject.toml, late imports included."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    done = subprocess.run([LINTER, "--no-cache"], capture_output=True, text=True, cwd=ROOT, env=_path())
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_names_every_folder_and_no_folder_comes_in_by_the_front_door() -> None:
    """What the linter cannot see: a folder that no layer is, and imports of the package's lazy names."""
    contract = (ROOT / "pyproject.toml").read_text().split("[[tool.importlinter.contracts]]")[1]
    layers = set(re.findall(r'"dnisnm_lava\.(\w+)"', contract))
    assert layers == {p.parent.name for p in PACKAGE.glob("*/__init__.py")} | {"errors"}
    other = "interpreter.py"  # which tells another Python where the package lies
    below = [p for p in modules() if p.parent.name != "cli" and p.name != other]
    below += (ROOT / "exporters").rglob("*.py")
    for path in below:
        for node in ast.walk(ast.parse(path.read_text())):
            names = {a.name for a in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            if isinstance(node, ast.Import):
                assert "dnisnm_lava" not in names, path.relative_to(ROOT)
            elif isinstance(node, ast.ImportFrom) and node.module == "dnisnm_lava":
                assert names <= layers, path.relative_to(ROOT)


def test_the_core_lives_without_torch_h5py_and_lava() -> None:
    names = ", ".join(f"dnisnm_lava.{m}" for m in CORE)
    program = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'h5py', 'lava', 'rich', 'matplotlib', 'sklearn', "
        "'threadpoolctl'):\n"
        "    sys.modules[name] = None\n"
        f"import dnisnm_lava, {names}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_exporters_is_a_namespace_package() -> None:
    """An __init__.py would overwrite another project's package of that name."""
    assert not (ROOT / "exporters/__init__.py").exists()


def test_rounding_happens_in_one_file() -> None:
    """And in the module of plain torch, which stands alone: there the image's codes."""
    rounds = re.compile(r"np\.(rint|round|around|fix|trunc)\b|\.round_?\(|(?<![\w.])round\(")
    assert [
        p.name for p in [*modules(), *(ROOT / "exporters").glob("*.py")] if rounds.search(p.read_text())
    ] == ["fixedpoint.py", "torch_module.py"]


def test_no_folder_is_called_tests() -> None:
    """lava-nc and lava-dl both install one."""
    assert not [
        p
        for p in ROOT.rglob("tests")
        if p.is_dir() and not any(part.startswith((".venv", ".uv")) for part in p.parts)
    ]


def test_the_readmes_first_code_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=_path()
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.net").exists()


def _path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
