"""Where a result comes from: versions of what computed it, digests of what it was computed from."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform

import numpy as np

from dnisnm_lava.backends.lava_cpu.interpreter import Interpreter

PACKAGES = ("dnisnm-lava", "numpy", "torch", "torchvision", "h5py", "lava-nc", "lava-dl")


def versions(other: Interpreter | None = None) -> dict[str, str]:
    """Versions of Python and of the packages that decide a result; `absent` for those not installed. With
    another Python for Lava, `lava-python` and `lava-python numpy`, and its lava-nc."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    if other is not None:
        found |= {
            "lava-python": other.versions["python"],
            "lava-python numpy": other.versions["numpy"],
            "lava-nc": other.versions["lava-nc"],
        }
    return found


def array_digest(*arrays: np.ndarray) -> str:
    """SHA-256 over dtypes, shapes and values, hex."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
