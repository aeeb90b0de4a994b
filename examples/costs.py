"""What a network file costs on test images: the paper's energy, a quantized ANN's, a chip's like Loihi, NeuroBench's metrics.

    dnisnm convert --model examples/resnet20.py:resnet20 --weights resnet20-12fca82f.th --data cifar10.npz \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --recipe paper --steps 4 --out paper.net
    python -m examples.costs paper.net --data cifar10.npz --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

docs/energy.md says what each number means, and what none of them can say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import dnisnm_lava as dn
from dnisnm_lava import costs_report, datasets
from dnisnm_lava.comparison import array_digest, versions
from dnisnm_lava.errors import DnisnmError
from dnisnm_lava.files import write_whole
from examples.paper.common import note, numbers
from exporters import netx


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("file", help="a network file of `dnisnm convert`")
    made.add_argument("--data", required=True, help="an ImageFolder, an .npz or file.py:factory")
    made.add_argument("--mean", type=numbers, default=(), metavar="M,M,M", help="per channel, subtracted")
    made.add_argument("--std", type=numbers, default=(), metavar="S,S,S", help="per channel, divided by")
    made.add_argument("--images", type=int, default=100, help="test images, a seeded sample of them (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the sample (%(default)s)")
    made.add_argument("--steps", type=int, help="time steps (default: the file's)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too; an existing file is replaced")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        graph = netx.read(args.file)
        data = datasets.load(args.data, mean=args.mean, std=args.std)
        chosen = datasets.choose(data.test, args.images, args.seed)
        images, _ = datasets.arrays(data.test, chosen)
        found = dn.energy(graph, images, steps=args.steps, progress=lambda done, of: note(f"{done} of {of} images"))
        if args.json:
            provenance = {"versions": versions(), "network": graph.digest(), "test_indices": array_digest(chosen), "seed": args.seed}
            text = json.dumps(costs_report.costs_json(found, provenance), indent=1) + "\n"
            write_whole(args.json, text.encode(), overwrite=True)
    except DnisnmError as error:
        print(error, file=sys.stderr)
        return 2
    title = f"{Path(args.file).name}, {found.images:,} images, T = {found.steps}"
    Console().print(costs_report.costs_table(found, title))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
