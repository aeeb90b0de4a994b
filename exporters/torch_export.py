"""The integer network as a file of torch.export: it runs where torch is, without this project.

`torch.export.load(path).module()(images)` gives what `exporters.torch_module.module(graph)(images)` gives,
images (N, *image shape) in float32, N as it comes. Of a stream's network it is a frame of N streams:

    extra = {"dnisnm_lava.json": ""}
    frame = torch.export.load(path, extra_files=extra).module()
    shapes = json.loads(extra["dnisnm_lava.json"])["state"]
    state = [torch.zeros(N, *shape, dtype=torch.int64) for shape in shapes]
    outputs, state = frame(frames, torch.ones(1, dtype=torch.int64), *state)  # the first frame of each
    outputs, state = frame(frames, *state)  # and those behind it

The JSON also tells steps, read-outs, units and digest. torch reads files of its own version, and promises no
more.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.integers import steps_of
from dnisnm_lava.system.files import refuse_existing, write_whole
from exporters.torch_module import Kept, Network, Stream, module

ABOUT = "dnisnm_lava.json"
EXAMPLES = 2  # a size that torch would not take for a constant, as it does 0 and 1


def write(
    path: str | Path, graph: SpikingGraph, *, steps: int | None = None, overwrite: bool = False
) -> Path:
    """Write an integer graph, for `steps` (default: the graph's); whole or not at all.

    OutOfRange as `torch_module.module`; BadFile where `path` exists and `overwrite` is false."""
    path = Path(path)
    refuse_existing(path, overwrite)
    buffer = io.BytesIO()
    told = json.dumps(about(graph, steps))
    torch.export.save(program(graph, steps=steps), buffer, extra_files={ABOUT: told})
    write_whole(path, buffer.getvalue(), overwrite=overwrite)
    return path


def program(graph: SpikingGraph, *, steps: int | None = None) -> Any:
    """The torch.export.ExportedProgram of it, of any number of images."""
    network = module(graph, steps=steps)
    images = torch.zeros(EXAMPLES, *graph.input.image_shape)
    many = {0: torch.export.Dim("images", max=1 << 20)}
    if not isinstance(network, Kept):
        return torch.export.export(network, (images,), dynamic_shapes=(many,))
    fresh, *state = network.stream.initial(EXAMPLES)
    given = (images, fresh, *map(torch.zeros_like, state))
    shapes: Any = (many, (None, *(many for _ in state)))
    return torch.export.export(FromZeros(network.stream), given, dynamic_shapes=shapes)


class FromZeros(nn.Module):
    """A stream that starts where its first state says 1, whatever the others hold: users begin with zeros."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def forward(self, x: Tensor, *state: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        fresh, *kept = state
        _, *start = self.stream.initial(x.shape[0])
        begun = [s * (1 - fresh) + i.to(s.device) * fresh for s, i in zip(kept, start, strict=True)]
        outputs, after = self.stream(x, fresh, *begun)
        return outputs, after


def about(graph: SpikingGraph, steps: int | None = None) -> dict[str, Any]:
    """What the file tells of the network: read-outs with the shape and the worth of a step of each, and of a
    stream the shapes of its state, for one stream."""
    network = module(graph, steps=steps)
    state = [] if isinstance(network, Network) else [list(s.shape[1:]) for s in network.stream.initial(1)[1:]]
    return {
        "digest": graph.digest(),
        "steps": steps_of(graph, steps),
        "readouts": {name: list(shape) for name, shape in graph.output_shapes.items()},
        "units": {name: unit.tolist() for name, unit in graph.units.items()},
        "functions": graph.functions,
        "state": state,
    }
