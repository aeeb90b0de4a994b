"""Trained PyTorch ReLU networks as spiking networks with integers, verified on the Lava simulator."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# The public names stand in one list, `__init__.pyi`, which type checkers read too. Each is imported when it
# is first asked for: the
# core lives without torch. (As lazy-loader's `attach_stub`, which the other Python that runs Lava need not
# have.)
_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
_PUBLIC = {
    a.asname: (f.module, a.name)
    for f in _STUB.body
    if isinstance(f, ast.ImportFrom)
    for a in f.names
    if a.asname
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _PUBLIC[name]
    return getattr(importlib.import_module(str(module)), own)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
