"""Mutation testing: change one expression of a module, and see whether its tests notice. docs/testing.md,
Mutation testing.

    python tools/mutate.py dynamics --sample 60 --seed 1 --out mutants.json

A mutant stands in a copy of the project, since Lava's processes run in children that read files; its tests
run in a fork of this process, in which torch and the like are loaded already. A mutant is killed by a test
that fails, or by three times the time that the tests take.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "dnisnm_lava",
    "exporters",
    "sim_tests",
    "hw_tests",
    "docs",
    "examples",
    "tools",
    "README.md",
    "pyproject.toml",
)
LOADED = (
    "numpy",
    "torch",
    "torchvision",
    "numba",
    "h5py",
    "hypothesis",
    "pytest",
    "rich.console",
    "matplotlib.figure",
    "PIL.Image",
)
STAGES = ("stages/test_stages.py", "stages/test_rounding.py", "frontend/test_composition.py")
READ = (
    "exporters/test_netx.py",
    "exporters/test_fuzz.py",
    "exporters/test_archive.py",
    "-k",
    "not thousand and not of_its_seed and not campaign and not renewed and not command",
)
LAVA = (
    "procs/test_windows.py",
    "backends/test_lava.py",
    "-k",
    "window or keeps or lava_fixed or floating or every_length or silence or saturations or hand",
)
TARGETS: dict[
    str, tuple[tuple[str, ...], tuple[str, ...]]
] = {  # files, and the tests that are to see their mutants
    "dynamics": (("dnisnm_lava/ir/dynamics.py",), ("ir/test_dynamics.py", "backends/test_executors.py")),
    "fixedpoint": (
        ("dnisnm_lava/ir/fixedpoint.py",),
        ("ir/test_fixedpoint.py", "ir/test_dynamics.py", "stages/test_stages.py"),
    ),
    "quantization": (("dnisnm_lava/stages/quantization.py",), (*STAGES, "backends/test_executors.py")),
    "netx": (("exporters/netx.py", "exporters/netx_reading.py", "exporters/hdf5.py"), READ),
    "procs": (
        tuple(f"dnisnm_lava/procs/{n}/models.py" for n in ("snm", "maxpool", "delay", "readout", "source")),
        LAVA,
    ),
    "im2col": (
        ("dnisnm_lava/procs/im2col.py", "dnisnm_lava/procs/stock_conv.py"),
        ("procs/test_fast_conv.py",),
    ),
    "ncmodels": (("dnisnm_lava/procs/snm/ncmodels.py",), ("procs/test_ncmodels.py",)),
}
COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
CALLED = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "any": "all",
    "all": "any",
    "floor": "ceil",
    "ceil": "floor",
}


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    was: str
    now: str
    text: str  # of the whole module


def mutants(file: str) -> list[Mutant]:
    """All of one file, in its order: types, docstrings, imports, messages of errors and what only a type
    checker reads stay."""
    tree = ast.parse((ROOT / file).read_text())
    idle = {id(inner) for node in ast.walk(tree) for part in _idle(node) for inner in ast.walk(part)}
    found = []
    for position, node in enumerate(ast.walk(tree)):
        for change in range(len(_changes(node)) if id(node) not in idle else 0):
            changed = copy.deepcopy(tree)
            other = next(n for i, n in enumerate(ast.walk(changed)) if i == position)
            new = _changes(other)[change]
            _replace(changed, other, new)
            text = ast.unparse(ast.fix_missing_locations(changed))
            found.append(Mutant(file, node.lineno, ast.unparse(node)[:100], ast.unparse(new)[:100], text))  # type: ignore[attr-defined]
    return sorted(found, key=lambda m: m.line)


def _idle(node: ast.AST) -> Iterator[ast.AST]:
    """Parts whose change nobody could see, or that are words."""
    if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert):
        yield node
    if isinstance(node, ast.FunctionDef):
        yield from (a.annotation for a in [*node.args.args, *node.args.kwonlyargs] if a.annotation)
        yield from filter(None, [node.returns])
    if isinstance(node, ast.AnnAssign):
        yield node.annotation
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "BadFile", "OutOfRange", "dataclass")
    ):
        yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        yield node
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.BinOp)
        and isinstance(node.value.op, ast.BitOr)
    ):
        yield node.value  # a type


def _changes(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [
            ast.Compare(
                node.left, [*node.ops[:i], COMPARED[type(op)](), *node.ops[i + 1 :]], node.comparators
            )
            for i, op in enumerate(node.ops)
        ]
    if isinstance(node, ast.BinOp) and type(node.op) in COMPUTED and not _is_text(node):
        return [ast.BinOp(node.left, COMPUTED[type(node.op)](), node.right)]
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return [ast.BoolOp(other, node.values)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        return [node.operand]
    if isinstance(node, ast.IfExp):
        return [ast.IfExp(node.test, node.orelse, node.body)]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [ast.Constant(not node.value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return [ast.Constant(node.value + 1)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name in CALLED:
            func = (
                ast.Name(CALLED[name], ast.Load())
                if isinstance(node.func, ast.Name)
                else ast.Attribute(node.func.value, CALLED[name], ast.Load())
            )
            return [ast.Call(func, node.args, node.keywords)]
    return []


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        for n in ast.walk(node)
    )


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list) and any(item is old for item in value):
                value[next(i for i, item in enumerate(value) if item is old)] = new


# ---------------------------------------------------------------- a run


def survives(folder: Path, tests: tuple[str, ...], seconds: float) -> bool:
    """Do the tests pass in `folder`? Run in a fork that leads a process group, which is ended with it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.alarm(max(1, int(seconds)))
        os._exit(_test(folder, tests))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return status == 0


def _test(folder: Path, tests: tuple[str, ...]) -> int:
    import pytest

    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder)
    sys.path.insert(0, str(folder))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    files = [f"sim_tests/{t}" if t.endswith(".py") else t for t in tests]
    return int(
        pytest.main(
            [
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                *[f for f in files if not f.endswith(".py") or Path(f).exists()],
            ]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--sample", type=int, default=0, help="how many, drawn by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="survivors, as JSON")
    args = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True
    for name in LOADED:
        importlib.import_module(name)
    files, tests = TARGETS[args.target]
    every = [m for file in files for m in mutants(file)]
    chosen = random.Random(args.seed).sample(every, args.sample) if 0 < args.sample < len(every) else every
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        for part in COPIED:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)  # type: ignore[operator]
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache)
        start = time.time()
        if not survives(folder, tests, 1200):
            raise SystemExit(f"{args.target}: its tests fail without a mutant")
        seconds = time.time() - start
        alive = [
            m
            for m in sorted(chosen, key=lambda m: (m.file, m.line))
            if _tried(m, folder, tests, 20 + 3 * seconds)
        ]
    print(
        f"{args.target}: {len(chosen) - len(alive)} of {len(chosen)} mutants killed ({len(every)} there "
        f"are), seed {args.seed}"
    )
    if args.out:
        args.out.write_text(
            json.dumps([{k: v for k, v in asdict(m).items() if k != "text"} for m in alive], indent=1) + "\n"
        )


def _tried(mutant: Mutant, folder: Path, tests: tuple[str, ...], seconds: float) -> bool:
    path = folder / mutant.file
    sound = path.read_text()
    path.write_text(mutant.text)
    alive = survives(folder, tests, seconds)
    path.write_text(sound)
    print(
        f"{'SURVIVES' if alive else 'killed  '} {mutant.file}:{mutant.line}  {mutant.was}  ->  {mutant.now}",
        flush=True,
    )
    return alive


if __name__ == "__main__":
    main()
