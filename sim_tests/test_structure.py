"""Imports go one way; the core lives without torch, h5py and Lava; the README's code runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dnisnm_lava"

# Later may import earlier, never the other way (docs/design.md, 2).
LAYERS = [
    ["errors", "extras", "interrupts"],
    ["inputs", "functions"], ["measures"],
    ["files", "fixedpoint", "simulation", "coverage", "machine", "ranks", "pictures"],
    ["exits", "rounding", "limits", "equalities", "sanity"], ["cores"], ["tallies", "pace"], ["shards"], ["journal", "synapses"], ["ir"],
    ["dynamics"], ["explanation", "calibration", "fanout", "energies", "resources", "pools", "weight_use"], ["conversion", "resampling"],
    ["units"], ["quantization"], ["checks", "counting", "weak_spots", "sanity_report", "recipes"], ["remedies"],
    ["neurobench_metrics"], ["costs"], ["frontend", "procs"],
    ["backends.lava_env"], ["backends.lava_python"],
    ["backends.currents", "backends.neurons", "backends.chunks", "backends.reference", "backends.lava_child", "backends.lava_cpu"],
    ["backends.pools", "backends.planning", "backends.ann"], ["backends.batched"], ["backends.early"],
    ["fitting.spool"], ["fitting.least_squares", "fitting.activity"], ["fitting.normal"], ["fitting.thresholds", "fitting.corrections"],
    ["fitting.without_images"],
    ["fitting.walk"], ["fitting.moments"], ["bitwidths", "predictions"],
    ["threshold_maps", "disagreements", "rates", "states", "findings"], ["observations"], ["attribution"],
    ["pareto"], ["search"], ["tuning"],
    ["comparison", "comparison_report", "tuning_report", "bitwidths_report", "check_report", "explanation_report", "costs_report",
     "predictions_report"],
    ["onnx_files", "weight_files"], ["drawing", "loading"], ["reporting"], ["data_files"], ["datasets", "demo"], ["cli"],
]  # fmt: skip
CORE = [
    "errors",
    "inputs",
    "interrupts",
    "measures",
    "files",
    "fixedpoint",
    "functions",
    "simulation",
    "coverage",
    "synapses",
    "ir",
    "dynamics",
    "calibration",
    "conversion",
    "quantization",
    "rounding",
    "costs",
    "recipes",
    "limits",
    "cores",
    "resources",
    "checks",
    "backends.reference",
]


def rank(module: str) -> int:
    for i, names in enumerate(LAYERS):
        if any(module == n or module.startswith(n + ".") for n in names):
            return i
    raise AssertionError(f"{module} has no place in LAYERS; give it one, here and in docs/design.md")


def imported(path: Path) -> list[str]:
    """Modules of the package that a file imports when it is imported itself."""
    found = []
    tree = ast.parse(path.read_text())
    lazy = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    typing = {id(n) for i in tree.body if isinstance(i, ast.If) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if id(node) in lazy or id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dnisnm_lava":
            inside = (node.module or "").removeprefix("dnisnm_lava").lstrip(".")
            found += [inside] if inside and (PACKAGE / f"{inside.replace('.', '/')}.py").exists() else [
                f"{inside}.{a.name}".lstrip(".") for a in node.names if (PACKAGE / inside.replace(".", "/") / f"{a.name}.py").exists()
            ]  # fmt: skip
        elif isinstance(node, ast.Import):
            found += [a.name.removeprefix("dnisnm_lava.") for a in node.names if a.name.startswith("dnisnm_lava.")]
    return found


def modules() -> list[Path]:
    return [p for p in PACKAGE.rglob("*.py") if p.name not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for other in imported(path):
        same_folder = own.rsplit(".", 1)[0] == other.rsplit(".", 1)[0] or {own.split(".")[0], other.split(".")[0]} == {"procs"}
        assert rank(other) < rank(own) or same_folder, f"{own} imports {other}"


def test_the_walk_over_imports_sees_them() -> None:
    assert "ir" in imported(PACKAGE / "conversion.py")
    assert set(imported(PACKAGE / "comparison.py")) >= {"backends.batched", "backends.lava_cpu", "errors"}


def test_the_core_lives_without_torch_h5py_and_lava() -> None:
    names = ", ".join(f"dnisnm_lava.{m}" for m in CORE)
    program = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'h5py', 'lava', 'rich', 'matplotlib', 'sklearn', 'threadpoolctl'):\n"
        "    sys.modules[name] = None\n"
        f"import dnisnm_lava, {names}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_exporters_is_a_namespace_package() -> None:
    """An __init__.py would overwrite another project's package of that name."""
    assert not (ROOT / "exporters/__init__.py").exists()


def test_rounding_happens_in_one_file() -> None:
    rounds = re.compile(r"np\.(rint|round|around|fix|trunc)\b|(?<![\w.])round\(")
    assert [p.name for p in [*modules(), *(ROOT / "exporters").glob("*.py")] if rounds.search(p.read_text())] == ["fixedpoint.py"]


def test_no_folder_is_called_tests() -> None:
    """lava-nc and lava-dl both install one."""
    assert not [p for p in ROOT.rglob("tests") if p.is_dir() and not any(part.startswith((".venv", ".uv")) for part in p.parts)]


def test_the_readmes_first_code_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path, env=_path())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "net.net").exists()


def _path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}
