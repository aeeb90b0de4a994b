"""What the benchmarks share: networks, interleaved medians, and what the numbers were measured on."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dnisnm_lava as dn
from dnisnm_lava.evaluation.origin import versions


class ReLUBlock(nn.Module):
    """A residual block of two 3x3 convolutions whose ReLUs are modules, as converters by module need them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        plain = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity()
            if plain
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(out)) + self.shortcut(x))


def relu_resnet20(width: int = 16) -> nn.Module:
    """ResNet-20 with 1x1 convolutions in its shortcuts (option B) and ReLU modules; `width` channels in the
    first stage."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for stage in range(3):
        for block in range(3):
            outputs = width << stage
            layers.append(ReLUBlock(channels, outputs, 2 if stage and not block else 1))
            channels = outputs
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(channels, 10))


def spiking(model: nn.Module, x: np.ndarray, steps: int, levels: int = 1) -> dn.SpikingGraph:
    """The float SNN of `model`, calibrated on the images `x` themselves: the paper's, or, of several levels,
    with thresholds of channels and D = 0, as the recipe `best` has it."""
    analog = dn.from_torch(model, x[0])
    stats = dn.calibrate(analog, [x[:100]])
    if levels == 1:
        return dn.convert(analog, stats, steps=steps)
    return dn.convert(analog, stats, steps=steps, levels=levels, granularity="channel", down=0.0)


def integer(model: nn.Module, x: np.ndarray, steps: int, levels: int = 1) -> dn.SpikingGraph:
    """Its integers."""
    return dn.quantize(spiking(model, x, steps, levels))


def images(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)


def seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    started = clock()
    work()
    return clock() - started


def keep_pages() -> None:
    """glibc keeps freed blocks for the next ones up to the size of the largest that it has seen freed: so
    that nobody who is timed pays for pages that he gave back a moment ago, it sees one of the largest that
    counts (32 MB)."""
    torch.empty((32 << 20) - (1 << 16), dtype=torch.uint8)


def in_turn(
    works: dict[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each, run once unmeasured and then in turn, `repeats` times. clock: `time.process_time`
    where others use the machine, with one thread."""
    keep_pages()
    for work in works.values():
        work()
    rounds = [{name: seconds(work, clock) for name, work in works.items()} for _ in range(repeats)]
    return {name: [r[name] for r in rounds] for name in works}


def ratio(of: list[float], to: list[float], factor: float = 1.0) -> float:
    """The median of the ratios within each round."""
    return statistics.median(a / (factor * b) for a, b in zip(of, to, strict=True))


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "vnni": any("vnni" in flag for flag in flags),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def parser(text: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--repeats", type=int, default=7)
    made.add_argument("--out", type=Path, help="file for the figures, as JSON")
    return made


def finish(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Print the rows, and write them with the machine where that is asked for."""
    for row in rows:
        print(
            " · ".join(
                f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in row.items()
            )
        )
    facts = machine()
    print(
        f"{facts['cpu']}, {facts['threads']} threads, torch {facts['versions']['torch']}, VNNI "
        f"{facts['vnni']}"
    )
    if args.out:
        args.out.write_text(json.dumps({"rows": rows, "machine": facts}, indent=2) + "\n")
