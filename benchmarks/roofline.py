"""Where the time goes, and how near it is to what the machine can do.

    python benchmarks/roofline.py [--images 128] [--steps 8] [--out FILE.json]

One thread, processor time. Shares: of synapses (oneDNN and what moves their results), of the neurons' pass,
of the rest. Roofline: a neuron-step reads 4 bytes of current and writes 1 of spikes, against a copy in
memory; a multiplication of the synapses against a bare 8-bit product of matrices in oneDNN.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Any

import common
import numpy as np
import torch

from dnisnm_lava.backends import batched
from dnisnm_lava.backends.batched import executor, neurons, onednn
from dnisnm_lava.ir import SNM
from examples.resnet20 import resnet20


def timed(module: Any, name: str, spent: collections.Counter[str]) -> None:
    """Wrap module.name so that its seconds are counted."""
    work: Callable[..., Any] = getattr(module, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        try:
            return work(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - started  # type: ignore[assignment]

    setattr(module, name, counted)


def copy_rate() -> float:
    """Bytes a second that a copy reads and writes, outside every cache."""
    a, b = np.zeros(1 << 27, np.uint8), np.ones(1 << 27, np.uint8)
    return 2 * a.nbytes / min(common.seconds(lambda: np.copyto(a, b), time.process_time) for _ in range(5))


def product_rate() -> float:
    """Multiplications a second of a bare 8-bit product of matrices: 4096 x 576 x 64, in cache."""
    x = torch.randint(0, 63, (1, 576, 64, 64), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    multiply = onednn.quantized(
        torch.randint(-127, 127, (64, 576, 1, 1), dtype=torch.int8), 1.0, (1, 1), (0, 0), (1, 1), 1
    )
    multiply(x)
    return 4096 * 576 * 64 / min(common.seconds(lambda: multiply(x), time.process_time) for _ in range(50))


def main() -> None:
    parser = common.parser(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    x = common.images(args.images)
    graph = common.integer(resnet20().eval(), x, args.steps)
    batched.run(graph, x)
    spent: collections.Counter[str] = collections.Counter()
    timed(executor, "_current", spent)
    timed(neurons, "run", spent)
    whole = common.seconds(lambda: batched.run(graph, x), time.process_time)
    steps = args.steps * args.images * sum(int(np.prod(p.shape)) for p in graph.of(SNM))
    constant = {q.source for p in graph for q in getattr(p, "projections", ())} & {graph.input.name}
    macs = (
        sum(
            q.macs(graph[q.source].shape) * (1 if q.source in constant else args.steps)
            for p in graph
            for q in getattr(p, "projections", ())
        )
        * args.images
    )
    bytes_rate, macs_rate = copy_rate(), product_rate()
    row = {
        "images": args.images,
        "T": args.steps,
        "ms": 1e3 * whole,
        "synapses": spent["_current"] / whole,
        "neurons": spent["run"] / whole,
        "rest": 1 - (spent["_current"] + spent["run"]) / whole,
        "ns a neuron-step": 1e9 * spent["run"] / steps,
        "GB/s of the neurons": 5e-9 * steps / spent["run"],
        "GB/s of a copy": 1e-9 * bytes_rate,
        "GMAC/s of the synapses": 1e-9 * macs / spent["_current"],
        "GMAC/s of a bare product": 1e-9 * macs_rate,
    }
    common.finish(args, [row])


if __name__ == "__main__":
    main()
