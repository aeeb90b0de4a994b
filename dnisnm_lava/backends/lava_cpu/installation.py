"""A Python 3.10 with Lava in the user's cache folder, for a package that lives in a newer one. Made on
request, and never otherwise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dnisnm_lava.errors import BackendFailed, BackendMissing
from dnisnm_lava.system.files import unwritable

PYTHON = "3.10"
PINNED = ("lava-nc==0.10.0", "numpy==1.26.4", "h5py==3.16.0")
IS_PYTHON = f"import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '{PYTHON}')"


def home() -> Path:
    """The folder of the environment, whether it is made or not."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "dnisnm-lava" / "lava-0.10.0"


def made() -> Path:
    """Its Python; BackendMissing where `make` has not made it."""
    python = home() / "bin/python"
    if not python.exists():
        raise BackendMissing(
            f"--lava-python auto: no Lava environment in {home()}; make it with `dnisnm lava-env`, in "
            f"about a minute"
        )
    return python


def make() -> Path:
    """Make it, whole or not at all, and return its Python. An environment that is there is replaced.

    BackendMissing where there is no Python 3.10, and neither uv nor pyenv makes one; BackendFailed where pip
    fails.
    """
    base = next(_found(), None) or next(_installed(), None)
    if base is None:
        raise BackendMissing(
            f"lava-env: Lava needs Python {PYTHON}, and neither python{PYTHON}, pyenv nor uv has or can "
            f"make one here; install one of them"
        )
    try:
        home().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{home().name}.", dir=home().parent))
    except OSError as error:
        raise unwritable(home(), error) from error
    try:
        _run([base, "-m", "venv", str(part)])
        _run(
            [
                str(part / "bin/python"),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *PINNED,
            ]
        )
        shutil.rmtree(home(), ignore_errors=True)
        os.rename(part, home())  # `python -m` needs no path of its own, unlike a venv's scripts
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made()


def _found() -> Iterator[str]:
    """Pythons 3.10 that are here: on the path, pyenv's, uv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    candidates = [
        f"python{PYTHON}",
        "python3",
        *map(str, sorted(pyenv.glob(f"versions/{PYTHON}.*/bin/python"))),
    ]
    uv = _uv()
    for candidate in [*candidates, _said([*uv, "python", "find", "--no-project", PYTHON]) if uv else ""]:
        if candidate and shutil.which(candidate) and _succeeds([candidate, "-c", IS_PYTHON]):
            yield candidate


def _installed() -> Iterator[str]:
    """Pythons 3.10 that uv brings, or that pyenv compiles."""
    uv = _uv()
    for command in (
        [*uv, "python", "install", PYTHON] if uv else [],
        ["pyenv", "install", "--skip-existing", PYTHON],
    ):
        if command and shutil.which(command[0]) and _succeeds(command):
            yield from _found()


def _uv() -> list[str]:
    """The command `uv`, or this Python's module of that name."""
    if shutil.which("uv"):
        return ["uv"]
    return [sys.executable, "-m", "uv"] if _succeeds([sys.executable, "-m", "uv", "--version"]) else []


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return done.stdout.strip() if done.returncode == 0 else ""


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _run(command: list[str]) -> None:
    """BackendFailed, with its last words, where the command fails."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=kept)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "(none)").splitlines()[-1]
        raise BackendFailed(
            f"lava-env: {' '.join(command[:4])} failed, and nothing was made; mend that and try again. "
            f"Its last words: {words}"
        )
