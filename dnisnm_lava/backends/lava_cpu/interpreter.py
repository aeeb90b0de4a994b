"""Lava in another Python: which one, whether it will do, and what it is handed.

Lava pins Python 3.10 and NumPy 1; this package does not. The other Python needs lava-nc 0.10, NumPy and h5py.
It imports this package from here, through links in the folder of the run, and no other package of this
Python; it gets the network and the images as files that any version reads, and hands back spikes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import dnisnm_lava
from dnisnm_lava import ir
from dnisnm_lava.backends.lava_cpu import installation
from dnisnm_lava.errors import BackendFailed, BackendMissing
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.system.files import temporary_folder

VARIABLE = "DNISNM_LAVA_PYTHON"
AUTO = "auto"
LAVA = "0.10"
NEEDED = ("numpy", "h5py", "lava-nc")
PATIENCE = 60.0  # seconds, for a Python to say what it has
PACKAGE = Path(__file__).resolve().parents[2]
PROBE = f"""
import json, os, sys
found = {{"python": "%d.%d.%d" % sys.version_info[:3]}}
try:
    from importlib import metadata
    for name in {NEEDED}:
        versions = [d.version for d in metadata.distributions(name=name)]
        if versions and versions[0]:
            found[name] = versions[0]
    import dnisnm_lava
    found.update({{"dnisnm-lava": dnisnm_lava.__version__, "folder": os.path.dirname(os.path.realpath(dnisnm_lava.__file__))}})
    import dnisnm_lava.ir
except Exception as error:
    found["error"] = repr(error)
print(json.dumps(found))
"""
KINDS = {
    kind.__name__: kind
    for kind in (
        SpikingGraph,
        ir.Input,
        ir.SNM,
        ir.Gate,
        ir.MaxPool,
        ir.ReadOut,
        ir.Projection,
        ir.Resample,
        ir.Curve,
        Window,
    )
}


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs Lava, and the versions of what it brings."""

    path: str
    versions: Mapping[str, str]


def chosen(given: str | Path | None) -> Interpreter | None:
    """The Python that is `given`, else named by DNISNM_LAVA_PYTHON; None: this one. `auto`: the one that
    `dnisnm lava-env` made. BackendMissing where it is no Python with Lava, or imports another version of this
    package."""
    name = str(given or os.environ.get(VARIABLE, ""))
    who = "--lava-python" if given else VARIABLE
    return _checked(str(installation.made()) if name == AUTO else name, who) if name else None


@cache
def _checked(name: str, who: str) -> Interpreter:
    path = shutil.which(os.path.expanduser(name))
    remedy = f"name a Python 3.10 that has lava-nc {LAVA} and h5py, or make one with `dnisnm lava-env`"
    if path is None:
        raise BackendMissing(f"{who}: {name} is no program that can be run; {remedy}")
    path = os.path.abspath(path)  # not resolved: a virtual environment is told by its link
    found = _versions(path)
    if found is None:
        raise BackendMissing(f"{who}: {path} does not answer as a Python; {remedy}")
    told = f"{who}: {path} is a Python {found['python']}"
    missing = [package for package in reversed(NEEDED) if package not in found]
    if missing:
        raise BackendMissing(f"{told} without {missing[0]}; {remedy}")
    if not found["lava-nc"].startswith(f"{LAVA}."):
        raise BackendMissing(f"{told} with lava-nc {found['lava-nc']}, and {LAVA} is needed; {remedy}")
    if found.get("folder") != str(PACKAGE) or "error" in found:
        other = found.get("folder", str(PACKAGE)) != str(PACKAGE)
        imported = (
            f"dnisnm-lava {found['dnisnm-lava']} from {found['folder']}"
            if other
            else f"none ({found['error']})"
        )
        raise BackendMissing(
            f"{told} that must import dnisnm-lava {dnisnm_lava.__version__} from {PACKAGE}, and imports "
            f"{imported}; let it heed PYTHONPATH"
        )
    return Interpreter(path, {key: found[key] for key in ("python", *NEEDED)})


def _versions(path: str) -> dict[str, str] | None:
    """What the program says of itself; None where it is no Python."""
    try:
        with tempfile.TemporaryDirectory(prefix="dnisnm-lava-") as folder:
            alone = environment(Path(folder))
            with contextlib.suppress(OSError, subprocess.TimeoutExpired, ValueError):
                done = subprocess.run(
                    [path, "-c", PROBE],
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE,
                    env=alone,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                )
                found = json.loads(done.stdout.splitlines()[-1] if done.stdout.strip() else "")
                return found if isinstance(found, dict) and "python" in found else None
    except OSError as error:
        raise not_started(error) from error
    return None


def not_started(error: OSError) -> BackendFailed:
    return BackendFailed(
        f"Lava: its process could not be started, or the folder for temporary files not be used "
        f"({error.strerror or error}); "
        f"free space in {temporary_folder()}, or set TMPDIR to another"
    )


def environment(folder: Path) -> dict[str, str]:
    """This process's, in which the other Python finds this package, linked in `folder`, and nothing else of
    this one's."""
    links = folder / "packages"
    links.mkdir()
    for name in (PACKAGE.name, "exporters"):
        (links / name).symlink_to(PACKAGE.parent / name)
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH")
    }
    return {**kept, "PYTHONPATH": str(links)}


# ---------------------------------------------------------------- what is handed over


def hand_over(folder: Path, job: Mapping[str, Any]) -> None:
    """network.net, or network.npz for a float graph, as netx holds integers alone; images.npy; job.json: all
    else."""
    from exporters import netx

    graph: SpikingGraph = job["graph"]
    if graph.is_integer:
        netx.write(folder / "network.net", graph)
    else:
        arrays: list[np.ndarray] = []
        told = json.dumps(_told(graph, arrays))
        np.savez(folder / "network.npz", told=np.array(told), **{str(i): a for i, a in enumerate(arrays)})
    np.save(folder / "images.npy", job["images"])
    (folder / "job.json").write_text(
        json.dumps({key: value for key, value in job.items() if key not in ("graph", "images")})
    )


def received(folder: Path) -> dict[str, Any]:
    """The job that `hand_over` left in `folder`."""
    from exporters import netx

    if (folder / "network.net").exists():
        graph = netx.read(folder / "network.net")
    else:
        with np.load(folder / "network.npz") as file:
            graph = _built(json.loads(str(file["told"])), {key: file[key] for key in file.files})
    return {
        "graph": graph,
        "images": np.load(folder / "images.npy"),
        **json.loads((folder / "job.json").read_text()),
    }


def _told(value: Any, arrays: list[np.ndarray]) -> Any:
    """A part of a graph for JSON; its arrays are appended to `arrays`, and told by their index."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": str(len(arrays) - 1)}
    if is_dataclass(value):
        return {
            "kind": type(value).__name__,
            "fields": {f.name: _told(getattr(value, f.name), arrays) for f in fields(value) if f.init},
        }
    if isinstance(value, tuple):
        return [_told(part, arrays) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def _built(told: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(told, list):
        return tuple(_built(part, arrays) for part in told)
    if not isinstance(told, dict):
        return told
    if "array" in told:
        return arrays[told["array"]]
    return KINDS[told["kind"]](**{name: _built(value, arrays) for name, value in told["fields"].items()})
