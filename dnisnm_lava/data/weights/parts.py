"""Weights that torch stores in parts, as one tensor again: weight_norm (magnitude and direction), pruning
(weights and mask).

With the arithmetic of torch itself, so that the values are those that the trained network had. What is
computed by a layer of its own (orthogonal, spectral) or belongs to two networks (adapters) is told, not
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import torch

ORIGINAL = re.compile(r"^(?P<layer>.*?)parametrizations\.(?P<name>\w+)\.original(?P<part>[01])$")
AFTER = {"_orig": "_mask", "_v": "_g"}  # of one weight's parts: how the one and the other end


def whole(state: dict[str, torch.Tensor], own: Collection[str]) -> tuple[dict[str, torch.Tensor], int]:
    """`state` with one tensor for each weight that is stored in parts, and how many those are. own: the
    model's names; where the model itself has parts, nothing is put together."""
    if any(name.endswith(("_orig", "_v")) or "parametrizations." in name for name in own):
        return state, 0
    made = {**_pruned(state), **_normed(state)}
    parts = {part for names in made.values() for part in names}
    values = {name: _joined(state, *names) for name, names in made.items()}
    return {**{k: v for k, v in state.items() if k not in parts}, **values}, len(made)


def _pruned(state: dict[str, torch.Tensor]) -> dict[str, tuple[str, str]]:
    """torch.nn.utils.prune: {weight: (weight_orig, weight_mask)}."""
    names = (k.removesuffix("_orig") for k in state if k.endswith("_orig"))
    return {name: (f"{name}_orig", f"{name}_mask") for name in names if f"{name}_mask" in state}


def _normed(state: dict[str, torch.Tensor]) -> dict[str, tuple[str, str]]:
    """torch.nn.utils.weight_norm: {weight: (weight_v, weight_g)}, as a hook or as a parametrization."""
    old = (k.removesuffix("_v") for k in state if k.endswith("_v"))
    found = {name: (f"{name}_v", f"{name}_g") for name in old if f"{name}_g" in state}
    for key in state:
        part = ORIGINAL.match(key)
        if part and part["part"] == "1" and f"{key[:-1]}0" in state:
            found[part["layer"] + part["name"]] = (key, f"{key[:-1]}0")
    return found


def _joined(state: dict[str, torch.Tensor], first: str, second: str) -> torch.Tensor:
    values, other = state[first], state[second]
    return values * other if second.endswith("_mask") else _scaled(values, other)


def _scaled(direction: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
    """w = g v / |v|, the norm being over all axes but the one that g has."""
    axes = [axis for axis, n in enumerate(magnitude.shape) if n > 1]
    if len(axes) == 1:
        return torch._weight_norm(direction, magnitude, axes[0])
    return direction * (magnitude / torch.linalg.vector_norm(direction))


def unresolved(names: Collection[str]) -> str:
    """What is told of weights that are still in parts; nothing where there are none."""
    adapters = [k for k in names if re.search(r"(^|\.)lora_|\.(adapter|adapters)\.", k)]
    if adapters:
        return (
            f"holds adapters (LoRA: {adapters[0]}) beside the weights; merge them first "
            f"(merge_and_unload in peft), and save the whole"
        )
    computed = [k for k in names if "parametrizations." in k or k.endswith(("_orig", "weight_u", "weight_v"))]
    if computed:
        return (
            f"holds weights that are computed from {computed[0]} in each call; before saving, call "
            f"torch.nn.utils.parametrize."
            "remove_parametrizations(layer, 'weight'), remove_spectral_norm or prune.remove"
        )
    return ""
