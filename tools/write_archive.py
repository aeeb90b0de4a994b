"""Write sim_tests/archive/NAME: small files as this version writes them, and what they compute. Every
later version must read them.

python tools/write_archive.py NAME        # once, when a version is released, or the file's format is
python tools/write_archive.py --digests   # the IR gained a field: renew what still computes the same
python tools/write_archive.py --list FILE.net
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dnisnm_lava as dn
from dnisnm_lava.backends import batched
from dnisnm_lava.backends.results import Run
from dnisnm_lava.ir import SpikingGraph
from exporters import netx

ARCHIVE = Path(__file__).resolve().parents[1] / "sim_tests/archive"
SEED, IMAGES, SHAPE = 5, 4, (2, 4, 4)


class Chain(nn.Module):
    """Plain layers alone, which stock lava-dl reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


class Branches(nn.Module):
    """Residual, max-pool, upsampling, a two-sided population, a concatenation, channels that are chosen,
    average pool, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.linear = nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, padding=1)
        self.left, self.right = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(2, 8, 3, padding=1)
        self.fc, self.head = nn.Linear(16, 3), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.conv1(x))
        x = torch.relu(x + self.conv2(x))
        y = self.linear(functional.interpolate(self.pool(x), scale_factor=2, mode="bilinear"))
        both = torch.relu(torch.cat([self.left(y), self.right(y)], 1))
        return self.fc(functional.adaptive_avg_pool2d(both, 1).flatten(1)), self.head(both[:, 3:11])


class Functions(nn.Module):
    """Curves of channels and of a population, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.slopes, self.squeeze, self.fc = nn.PReLU(4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.slopes(self.conv2(functional.silu(self.conv1(x))))
        gate = torch.sigmoid(self.squeeze(x.mean((2, 3))))
        return self.fc((x * gate[:, :, None, None]).mean((2, 3)))


def network(model: nn.Module, **options: Any) -> SpikingGraph:
    x = np.random.default_rng(SEED - 1).normal(size=(24, *SHAPE)).astype(np.float32)
    analog = dn.from_torch(model.eval(), x[0])
    return dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), **options))


def networks() -> dict[str, SpikingGraph]:
    torch.manual_seed(0)
    return {
        "chain": network(Chain(), steps=4),
        "branches": network(Branches(), steps=5, levels=2, lead=1),
        "functions": network(Functions(), steps=3, levels=7, down=0.0, granularity="channel"),
    }


def images(meta: dict[str, Any]) -> np.ndarray:
    """(count, *shape), float32, as a file's JSON says."""
    return np.random.default_rng(meta["seed"]).normal(size=(meta["count"], *meta["shape"])).astype(np.float32)


def computed(graph: SpikingGraph, meta: dict[str, Any]) -> dict[str, Any]:
    """What the executor makes of the images, for JSON: read-outs at each step, and a digest of every
    spike."""
    run = batched.run(graph, images(meta), record=True)
    outputs = {graph.readout.name: run.logits, **run.further}
    return {
        "logits": {name: z.tolist() for name, z in outputs.items()},
        "spikes": digest(run),
        "saturations": run.saturations,
    }


def digest(run: Run) -> str:
    """SHA-256 of every spike, hex."""
    spikes = hashlib.sha256()
    for name in sorted(run.spikes):
        spikes.update(name.encode() + np.ascontiguousarray(run.spikes[name]).astype("<i8").tobytes())
    return spikes.hexdigest()


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    meta = {"seed": SEED, "count": IMAGES, "shape": SHAPE}
    for name, graph in networks().items():
        netx.write(folder / f"{name}.net", graph)
        told = {"graph": graph.digest(), "images": meta, **computed(graph, meta)}
        (folder / f"{name}.json").write_text(json.dumps(told) + "\n")


def renew_digests() -> None:
    for path in sorted(ARCHIVE.glob("*/*.net")):
        told, graph = json.loads(path.with_suffix(".json").read_text()), netx.read(path)
        found = computed(graph, told["images"])
        if any(told[key] != found[key] for key in found):
            raise SystemExit(f"{path}: computes something else than when it was written; its digest stays")
        path.with_suffix(".json").write_text(json.dumps({**told, "graph": graph.digest()}) + "\n")


def listing(path: Path) -> list[str]:
    """Groups and datasets as `h5dump -n` lists them, and behind them type and size, or the value of a single
    element."""
    rows: list[str] = []

    def row(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Group):
            rows.append(f"group      /{name}")
            return
        value = thing[()]
        kind = f"H5T_STRING {thing.dtype.itemsize}" if thing.dtype.kind == "S" else _type(thing.dtype)
        told = f"({', '.join(map(str, thing.shape))})" if thing.size > 1 else np.ravel(value).tolist()[0]
        rows.append(
            f"dataset    {'/' + name:<31} {kind:<14} "
            f"{told.decode().join(chr(34) * 2) if isinstance(told, bytes) else told}"
        )

    with h5py.File(path) as file:
        file.visititems(row)
    return rows


def _type(dtype: np.dtype) -> str:
    return f"H5T_{'IEEE_F' if dtype.kind == 'f' else 'STD_I'}{8 * dtype.itemsize}LE"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?")
    parser.add_argument("--digests", action="store_true")
    parser.add_argument("--list", type=Path)
    args = parser.parse_args()
    if args.list:
        sys.stdout.write("\n".join(listing(args.list)) + "\n")
    elif args.digests:
        renew_digests()
    elif args.name:
        write(ARCHIVE / args.name)
    else:
        parser.error("give a NAME, such as a version's")


if __name__ == "__main__":
    main()
