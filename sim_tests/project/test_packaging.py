"""The wheel: what is in it, what it asks for, and that it works away from the sources. Nothing here needs a
network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import dnisnm_lava as dn
from dnisnm_lava.system import extras

ROOT = Path(__file__).resolve().parents[2]
HEAVY = [
    "torch",
    "torchvision",
    "h5py",
    "matplotlib",
    "rich",
    "numba",
    "sklearn",
    "lava",
    "scipy",
    "jinja2",
    "PIL",
    "onnx",
    "nir",
    "av",
    "aedat",
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's packages alone, as pip lays them out."""
    folder = tmp_path_factory.mktemp("site")
    options = [
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(folder),
    ]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, str(wheel)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return folder


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Distribution:
    (folder,) = installed.glob("*.dist-info")
    return PathDistribution(folder)


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    sources = [
        p.relative_to(ROOT).as_posix()
        for package in ("dnisnm_lava", "exporters")
        for p in (ROOT / package).rglob("*.py")
    ]
    info = f"dnisnm_lava-{dn.__version__}.dist-info/"
    assert {n for n in names if not n.startswith(info)} >= {*sources, "dnisnm_lava/py.typed"}
    assert {n.split("/")[0] + "/" for n in names} == {"dnisnm_lava/", "exporters/", info}
    assert {n.removeprefix(info) for n in names if n.startswith(info)} == {
        "METADATA",
        "WHEEL",
        "RECORD",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert "exporters/__init__.py" not in names


def test_the_version_comes_from_one_place(metadata: Distribution) -> None:
    assert metadata.version == dn.__version__
    told = [
        ROOT / "pyproject.toml",
        ROOT / "mkdocs.yml",
        *(ROOT / "dnisnm_lava").rglob("*.py"),
        *(ROOT / "exporters").glob("*.py"),
    ]
    versions = re.compile(
        r"""(?<=["' ])\d+\.\d+\.\d+(?=["'\n])"""
    )  # as values: sentences may tell of files of older ones
    assert [p.name for p in told if dn.__version__ in versions.findall(p.read_text())] == ["__init__.py"]


def test_the_installed_wheel_runs_without_the_sources(installed: Path, tmp_path: Path) -> None:
    """`-I`: neither the working folder nor PYTHONPATH; the folder goes in front of what the environment
    has."""
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import dnisnm_lava.ir, exporters.netx, dnisnm_lava.cli, json\n"
        "print(json.dumps([dnisnm_lava.__file__, exporters.netx.__file__]))\n"
        "dnisnm_lava.cli.main(['--version'])\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files, version = done.stdout.split("\n", 1)
    assert [Path(f).parents[1] for f in json.loads(files)] == [installed, installed]
    assert dn.__version__ in version


def test_the_core_imports_nothing_heavy(installed: Path) -> None:
    """So it takes a tenth of a second (docs/performance.md). What a verb needs, it imports when it is
    called."""
    program = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import dnisnm_lava, dnisnm_lava.backends.reference\n"
        "print(sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout
    assert "'numpy'" in loaded
    assert [name for name in HEAVY if repr(name) in loaded] == []


def test_the_extra_lava_brings_the_pinned_simulator_and_the_fast_executor(metadata: Distribution) -> None:
    wanted = [
        r.partition(";")[0].strip()
        for r in metadata.requires or []
        if re.search(r"extra == ['\"]lava['\"]", r)
    ]
    pinned = [line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    for package in ("lava-nc", "lava-dl", "torch", "torchvision"):
        assert next(p for p in pinned if p.startswith(f"{package}==")) in wanted
    assert any(r.startswith("numba") for r in wanted)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_extra_lava_can_be_installed_where_lava_cannot(metadata: Distribution, python: str) -> None:
    """pip would end in 'no matching distribution'; what is left is what the extra `torch` brings, in the same
    bounds."""

    def brought(extra: str) -> set[str]:
        found = [Requirement(r) for r in metadata.requires or []]
        wanted = (
            r
            for r in found
            if r.marker is not None and r.marker.evaluate({"extra": extra, "python_version": python})
        )
        return {f"{r.name} {r.specifier}" for r in wanted}

    assert brought("lava") == brought("torch")
    assert len(brought("lava")) == 3


# ---------------------------------------------------------------- what a message says of pip


def test_one_place_says_what_to_install() -> None:
    sources = [p for package in ("dnisnm_lava", "exporters") for p in (ROOT / package).rglob("*.py")]
    assert [p.name for p in sources if "pip install" in p.read_text()] == ["extras.py"]
    pages = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.py"),
        *(ROOT / "examples").rglob("*.py"),
    ]
    nowhere = "dnisnm-lava" + "["  # no index has it
    assert [p.name for p in [*sources, *pages] if nowhere in p.read_text()] == []


def test_what_is_installed_by_pip_is_in_the_extra_that_is_named(metadata: Distribution) -> None:
    brought: dict[str, set[str]] = {"": set()}
    for requirement in map(Requirement, metadata.requires or []):
        extras_of_it = re.findall(r"extra == ['\"](\w+)['\"]", str(requirement.marker or "")) or [""]
        for extra in extras_of_it:
            brought.setdefault(extra, set()).add(requirement.name)
    names = {"sklearn": "scikit-learn", "lava": "lava-nc"}
    assert {
        package: extra
        for package, extra in extras.EXTRAS.items()
        if names.get(package, package) not in brought[extra]
    } == {}
    assert {names.get(package, package) for package, extra in extras.EXTRAS.items() if not extra} == brought[
        ""
    ]


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (
            (3, 10, 4),
            "lava-nc is not installed in this Python; `pip install '.[lava]'` in a clone of the project "
            "brings it",
        ),
        (
            (3, 12, 0),
            "it takes no Python newer than 3.10, and this is 3.12; `dnisnm lava-env` makes one, which "
            "--lava-python auto uses",
        ),
    ],
)
def test_a_newer_python_is_told_of_lava_env(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], said: str
) -> None:
    monkeypatch.setattr(extras.sys, "version_info", version)
    assert extras.missing("lava-nc", "lava").endswith(said)
    assert (
        extras.missing("h5py", "")
        == "h5py is not installed in this Python; `pip install '.'` in a clone of the project brings it"
    )
