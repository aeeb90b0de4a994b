"""The ANN itself on many images, in float32, in torch, on CPU or CUDA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dnisnm_lava.backends.batched.curves import activated
from dnisnm_lava.backends.batched.device import checked_device
from dnisnm_lava.backends.batched.linear import linear, max_pool
from dnisnm_lava.backends.batched.storage import tensor
from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.ir import (
    Activation,
    AnalogGraph,
    Input,
    MaxPool,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    checked_images,
)
from dnisnm_lava.system.progress import Progress, tell


def preactivations(
    analog: AnalogGraph, x: np.ndarray, device: Device = "cpu"
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, (N, *shape)) of each Rectifier, Relay, Activation and ReadOut, before its function, and of each
    Product, in float32."""
    place = checked_device(device)
    values: dict[str, Tensor] = {}
    with torch.no_grad():
        for p, heard in analog.flow(values):
            if isinstance(p, Input):
                values[p.name] = torch.as_tensor(p.arranged(x), dtype=torch.float32, device=place)
            elif isinstance(p, MaxPool):
                values[p.name] = max_pool(heard[p.source], p.window)
            elif isinstance(p, Product):
                values[p.name] = heard[p.source] * heard[p.gate]
                yield p.name, values[p.name].cpu().numpy()
            elif isinstance(p, Rectifier | Relay | Activation | ReadOut):
                z = sum(linear(q, torch.float32, place)(heard[q.source]) for q in p.projections)
                z = (z + tensor(p.bias, torch.float32, place)).expand(len(x), *p.shape)
                yield p.name, z.cpu().numpy()
                values[p.name] = activated(p, z)


def ann(
    analog: AnalogGraph,
    images: Images,
    *,
    readout: str | None = None,
    batch: int = 100,
    device: Device = "cpu",
    progress: Progress | None = None,
) -> np.ndarray:
    """The ANN's outputs (N, *their shape) in float32, the first ones or those of `readout`, before the
    model's last function (`Graph.functions`); `progress(done, of)` after each batch."""
    name = readout or analog.readout.name
    return outputs(analog, images, [name], batch=batch, device=device, progress=progress)[name]


def outputs(
    analog: AnalogGraph,
    images: Images,
    names: Sequence[str],
    *,
    batch: int = 100,
    device: Device = "cpu",
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """{read-out: the same}, of each of `names`, in one pass."""
    x = checked_images(analog, images)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(x), batch):
        values = dict(preactivations(analog, x[start : start + batch], device))
        for name in names:
            found[name].append(values[name])
        tell(progress, min(start + batch, len(x)), len(x))
    return {
        name: np.concatenate(parts).reshape(len(x), *analog.output_shapes[name])
        for name, parts in found.items()
    }
