"""Names that a model gives its outputs: keys of a dict, fields of a named tuple or of a dataclass."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.utils import _pytree


def names_of(program: Any) -> list[str]:
    """The name of each output of torch.export's program, in its order: `boxes`, `heads.0`; '' where nothing
    names it, as in a tuple."""
    spec = program.call_spec.out_spec
    found = dict(_named(_pytree.tree_unflatten(range(spec.num_leaves), spec), "", named=False))
    return [found.get(i, "") for i in range(spec.num_leaves)]


def _named(value: Any, path: str, named: bool) -> Iterator[tuple[int, str]]:
    """(place, name) of what lies in `value`, whose own name is `path`; named: is some part of it a name?"""
    if isinstance(value, Mapping):
        parts, gives = {str(k): v for k, v in value.items()}, True
    elif is_dataclass(value):
        parts, gives = {f.name: getattr(value, f.name) for f in fields(value)}, True
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts, gives = dict(zip(value._fields, value, strict=True)), True
    elif isinstance(value, list | tuple):
        parts, gives = {str(i): v for i, v in enumerate(value)}, False
    elif isinstance(value, int):
        yield value, _printable(path) if named else ""
        return
    else:
        return
    for key, part in parts.items():
        yield from _named(part, f"{path}.{key}" if path else key, named or gives)


def _printable(name: str) -> str:
    """As files keep it."""
    return "".join(letter if letter.isprintable() else "_" for letter in name)[:200]


def register_dataclasses(model: torch.nn.Module, example: torch.Tensor) -> bool:
    """Tells torch of the dataclasses that the model returns, which torch.export else refuses; is there one
    that it did not know?"""
    with torch.no_grad(), contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of itself; what a forward raises, the trace tells
        unknown = {type(part) for part in _parts(model(example)) if type(part) not in _pytree.SUPPORTED_NODES}
        for kind in unknown:
            torch.export.register_dataclass(kind)
        return bool(unknown)
    return False


def beside_tensors(model: torch.nn.Module, example: torch.Tensor) -> str:
    """What a forward gives that is neither tensor nor number, as text; nothing where it does not run."""
    with torch.no_grad(), contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of itself
        leaves = _pytree.tree_leaves(model(example))
        others = [v for v in leaves if not isinstance(v, torch.Tensor | int | float | None)]
        return ", ".join(f"{str(v)[:40]!r} ({type(v).__name__})" for v in others[:3])
    return ""


def _parts(value: Any) -> Iterator[Any]:
    """The dataclasses in what a forward gives."""
    if is_dataclass(value) and not isinstance(value, type):
        yield value
        value = [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
