"""The traced program against the model: what torch.export took down must be what forward computes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from dnisnm_lava.errors import UnsupportedModel

SEED = 0
FAR = 2.0**-7
"""Of the largest value of an output: the program repeats the model's own operations in the same precision, so
both are equal but for another kernel's order of sums; half precision has 2^-11."""


def hold(model: torch.nn.Module, program: Any, named: dict[str, Any], example: torch.Tensor) -> None:
    """UnsupportedModel where the program gives other values than the model, in eval mode, on two seeded
    random images. named: {placeholder: its tensor}, of all but the image. Where either does not run on
    these images, or says no number, nothing is held; nor where the model draws numbers, so that it differs
    from itself: the operation that does is refused by its name."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.rand(example.shape, generator=generator).to(example)
    wanted, found = _said(lambda: model(x.clone())), _said(lambda: _run(program, named, x.clone()))
    if len(wanted) != len(found):
        return
    for place, (a, b) in enumerate(zip(wanted, found, strict=True)):
        if a.shape == b.shape and not _all_far(a, b):
            continue
        if any(map(_all_far, wanted, _said(lambda: model(x.clone())))):
            return
        how = f"shape {tuple(b.shape)} for {tuple(a.shape)}" if a.shape != b.shape else "other values"
        raise UnsupportedModel(
            f"{type(model).__name__}: torch.export ({torch.__version__}) traces another network than forward "
            f"computes: output {place} has {how} on two random images; compute places of slices and shapes "
            f"in __init__, as plain integers, or try another release of torch"
        )


def _said(run: Callable[[], Any]) -> list[torch.Tensor]:
    """The tensors of what it gives; none where it fails, as a model may on random images."""
    with torch.no_grad(), contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [t for t in tree_leaves(run()) if isinstance(t, torch.Tensor) and t.is_floating_point()]
    return []


def _run(program: Any, named: dict[str, Any], x: torch.Tensor) -> Any:
    given = [named.get(n.name, x) for n in program.graph_module.graph.nodes if n.op == "placeholder"]
    return torch.fx.Interpreter(program.graph_module).run(*given)


def _all_far(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Does each image differ? One alone may stand at a step of a function that jumps."""
    if not a.ndim or not torch.isfinite(a).all():
        return False
    apart, scale = (t.double().abs().reshape(len(t), -1).amax(dim=1) for t in (a.double() - b.double(), a))
    return bool((apart > FAR * scale).all())
