"""`dnisnm --version`: this package's, and those of what its results rest on, without importing any."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from typing import Any

import dnisnm_lava as dn

PACKAGES = ("lava-nc", "lava-dl", "torch", "torchvision", "numpy")


def told() -> str:
    """A line for each."""
    lines = [f"dnisnm {dn.__version__}", f"Python {platform.python_version()}"]
    return "\n".join([*lines, *(f"{package} {_version(package)}" for package in PACKAGES)])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


class Version(argparse.Action):
    """Looked up when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str, **_: Any) -> None:
        super().__init__(
            option_strings,
            dest=argparse.SUPPRESS,
            default=argparse.SUPPRESS,
            nargs=0,
            help="show versions, and exit",
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(told())
        parser.exit()
