"""What a model's forward takes: one image, or something else, which is told with a wrapper that makes it
one."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from dnisnm_lava.errors import UnsupportedModel

BATCH = 3  # images: a network that takes a batch for one image is then seen by the number of its answers
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def runs_on(model: torch.nn.Module, image: torch.Tensor) -> bool:
    """Does the model give one answer for each of a batch of such images?"""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    batch = image[None].expand(BATCH, *image.shape).to(like.device, like.dtype)
    found = _said(model, batch) or []
    return bool(found) and all(t.ndim > 0 and len(t) == BATCH for t in found)


def check_arguments(model: torch.nn.Module) -> None:
    """UnsupportedModel for a forward that needs several inputs, or takes none."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # of a forward in C
        return
    positional = [p for p in parameters if p.kind in POSITIONAL]
    needed = [p.name for p in positional if p.default is p.empty]
    named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if len(needed) > 1 or (named and needed):
        _refuse(
            model,
            f"takes {len(needed) + len(named)} inputs ({', '.join([*needed, *named])})",
            f"(x, {(needed[1:] + named)[0]}=...)",
        )
    if named:
        _refuse(model, f"takes its input by name alone ({named[0]})", f"({named[0]}=x)")
    if not positional and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        some = parameters[0].name if parameters else "x"
        _refuse(model, "takes no input by place", f"({some}=x)")


def refuse_other_inputs(model: torch.nn.Module, example: torch.Tensor) -> None:
    """UnsupportedModel where the model does not run on a batch of images, but on a dict or a list of them."""
    asked = _Asked(example)
    if _runs(model, example):
        return
    if _runs(model, asked) and asked.keys_read:
        keys = list(dict.fromkeys(asked.keys_read))
        more = f", and {', '.join(map(repr, keys[1:]))} of a constant," if len(keys) > 1 else ""
        _refuse(model, f"takes a dict (it reads {', '.join(map(repr, keys))})", f"({{{keys[0]!r}: x}})", more)
    for kind, made in (
        ("a list of batches", [example]),
        ("a list of images", list(example)),
        ("a tuple", (example,)),
    ):
        if _runs(model, made):
            _refuse(
                model,
                f"takes {kind}",
                "(list(x))" if "images" in kind else "((x,))" if kind == "a tuple" else "([x])",
            )


def _refuse(model: torch.nn.Module, what: str, call: str, more: str = "") -> None:
    raise UnsupportedModel(
        f"{type(model).__name__}: forward {what}, and one batch of images is given; wrap it in a Module with "
        f"`def forward(self, x): return self.net{call}`{more} and give that (of a dict or several "
        f"outputs, return the tensor that counts)"
    )


class _Asked(dict):
    """A dict that has the images under whichever key is asked for, and keeps what was asked."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        self.images, self.keys_read = images, list[Any]()

    def __missing__(self, key: Any) -> torch.Tensor:
        self.keys_read.append(key)
        return self.images

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True


def _runs(model: torch.nn.Module, value: Any) -> bool:
    return _said(model, value) is not None


def _said(model: torch.nn.Module, value: Any) -> list[torch.Tensor] | None:
    """The tensors that the model gives of `value`, in eval mode, which is left as it was; None where it
    fails."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            found = tree_leaves(model(value))
    except Exception:  # of the user's own code, any
        return None
    finally:
        for module, training in modes.items():
            module.training = training
    return [t for t in found if isinstance(t, torch.Tensor)]
