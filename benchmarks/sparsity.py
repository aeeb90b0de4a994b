"""Would skipping silence pay? What share of channels and tiles is silent, and what finding that out would
cost.

    python benchmarks/sparsity.py NETWORK.net --data ... [--mean ...] [--std ...] [--images 64] [--steps 8]

For each population that a convolution reads: the share of neuron-steps that spike; of channels (of one image
and step) that are silent; of tiles of 8x8 pixels and all channels that are silent. `gain`: the most that
skipping silent channels and tiles could save of its convolution, less the time that looking for them takes,
as a share of the convolution.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import planning
from dnisnm_lava.data import datasets
from dnisnm_lava.ir import SNM, Projection, SpikingGraph
from exporters import netx

TILE = 8


def silent(spikes: np.ndarray) -> dict[str, float]:
    """Of (N, T, C, H, W)."""
    fires = spikes != 0
    n, t, c, h, w = fires.shape
    tiles = (
        fires[..., : h // TILE * TILE, : w // TILE * TILE].reshape(n, t, c, h // TILE, TILE, w // TILE, TILE)
        if min(h, w) >= TILE
        else fires[..., None, :, None, :]
    )
    return {
        "spike rate": float(fires.mean()),
        "silent channels": float(1 - fires.any(axis=(3, 4)).mean()),
        "silent tiles": float(1 - tiles.any(axis=(2, 4, 6)).mean()),
    }


def measure(graph: SpikingGraph, p: SNM, q: Projection, spikes: np.ndarray, repeats: int) -> dict[str, Any]:
    plan = planning.planned(graph)
    projection = dict(plan[p.name].projections)[q.source]
    code = plan[q.source].code
    stored = (
        code.encode(torch.from_numpy(spikes.astype(np.int16)))
        .flatten(0, 1)
        .contiguous(memory_format=torch.channels_last)
    )
    pixels = stored.movedim(1, -1)

    def look() -> torch.Tensor:
        return (pixels != code.offset).flatten(1, 2).any(1)

    times = common.in_turn({"convolution": lambda: projection.apply(stored), "look": look}, repeats)
    facts = silent(spikes)
    cost = common.ratio(times["look"], times["convolution"])
    best = max(facts["silent channels"], facts["silent tiles"])
    return {"population": q.source, **facts, "looking": cost, "gain": best - cost}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("net", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--mean", type=float, nargs="+", default=[])
    parser.add_argument("--std", type=float, nargs="+", default=[])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    graph = netx.read(args.net)
    data = datasets.load_data(args.data, mean=args.mean, std=args.std)
    x, _ = datasets.arrays(data.test, datasets.choose(data.test, args.images, 0))
    run = batched.run(graph, x, steps=args.steps, record=True)
    rows = [
        measure(graph, p, q, run.spikes[q.source], args.repeats)
        for p in graph.of(SNM)
        for q in p.projections
        if q.source in run.spikes and q.is_conv and q.weight.shape[2:] != (1, 1)
    ]
    mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0] if key != "population"}
    common.finish(args, [*rows, {"population": "mean", **mean}])


if __name__ == "__main__":
    main()
