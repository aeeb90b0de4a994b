"""Write docs/coverage.md: what becomes of torchvision's networks, and how exact it is. All measured, nothing
typed in.

    python tools/measure_coverage.py [--out docs/coverage.md] [NETWORK ...]

Without networks: all of them. Each is measured in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "sim_tests")]

KINDS = ("Rectifier", "Activation", "Product", "Relay", "MaxPool", "ReadOut")
COLUMNS = (
    "network",
    "input",
    "operations",
    "populations",
    "projections",
    "relays",
    "longest path",
    "model MACs",
    "graph MACs",
    "error",
    "spikes compared",
    "different",
    "trace, s",
    "memory",
    "of it torch.export",
)
HEAD = """# Coverage

What becomes of torchvision's networks, at a reduced size of the image. Written by `python tools/measure_coverage.py`; all but
VGG11, VGG16 and the wide ResNet are tested in `sim_tests/frontend/test_torchvision.py`.
Weights are random but sound: Kaiming, with batch-norm statistics of random images, gamma in U(0.5, 1.5),
beta in N(0, 0.2); auxiliary heads off.
{versions}.

- populations: input, rectifiers + functions + products + relays + max-pools + read-outs. Of functions, analog graphs hold
  what the model says; neurons approximate smooth ones. longest path: synapses from the image to a read-out.
- MACs: multiplications with additions for one image, of the traced model and of the graph's projections.
- error: largest |analog - model| by largest |model|, both in float64, on {images} images.
- spikes compared, different: the integer reference against the integer batched executor, every spike of 1 image over {steps} steps.
- trace, s: seconds in `from_torch`. memory: the most that it held besides the model, in units of the model's parameters
  (resident memory of a process that has the model loaded and torch.export warm); the graph itself, in float64, is 2 of
  them. of it torch.export: what torch's own traced program took, which grows with operations and not with parameters.
"""


# ---------------------------------------------------------------- one network, in its own process


def measure(name: str) -> dict[str, Any]:
    from torch import nn
    from torchvision_models import (
        CALIBRATION,
        REFUSED,
        SIZES,
        agreement_of,
        error_of,
        images,
        network,
        sentence_without_paths,
    )

    import dnisnm_lava as dn
    from dnisnm_lava.errors import UnsupportedModel
    from dnisnm_lava.frontend import walk

    size = {**SIZES, **REFUSED}[name]
    model, x = network(name), images(CALIBRATION, size)
    dn.from_torch(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval(), x[0, :, :8, :8]
    )
    exported = _exported_marks()
    started = time.perf_counter()
    try:
        analog, before, peak = peak_of(lambda: dn.from_torch(model, x[0]))
    except UnsupportedModel as refusal:
        return {"network": name, "size": size, "refused": sentence_without_paths(refusal)}
    seconds = time.perf_counter() - started
    bytes_held = sum(p.numel() * p.element_size() for p in model.parameters())
    coverage = walk.inspect(model, x[0])
    agreement = agreement_of(analog, x)
    return {
        "network": name,
        "size": size,
        "operations": len(coverage.rows),
        "populations": dict(coverage.populations),
        "projections": coverage.projections,
        "depth": coverage.depth,
        "macs": coverage.macs,
        "graph_macs": coverage.graph_macs,
        "error": error_of(model, analog, x[:2]),
        "compared": agreement.spikes_compared,
        "different": agreement.different,
        "seconds": seconds,
        "memory": (peak - before) / bytes_held,
        "export": (exported[0] - before) / bytes_held,
    }


def _exported_marks() -> list[int]:
    """A list to which each torch.export of the front-end will add the bytes that are resident when it is
    done."""
    from dnisnm_lava.frontend import walk

    marks: list[int] = []
    export = walk.export

    def marking(*args: Any) -> Any:
        program = export(*args)
        marks.append(_status("VmRSS"))
        return program

    walk.export = marking
    return marks


def peak_of(work: Callable[[], Any]) -> tuple[Any, int, int]:
    """What `work` returns, the bytes resident before, and the most that were resident during it. Linux only.

    Not ru_maxrss: it keeps the peak of the time before, and across fork and exec that of the parent.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held now
    before = _status("VmRSS")
    return work(), before, _status("VmHWM")


def _status(key: str) -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{key}:")
    )
    return int(line.split()[1]) * 1024


# ---------------------------------------------------------------- the page


def page(measured: Sequence[dict[str, Any]]) -> str:
    from torchvision_models import STEPS

    from dnisnm_lava.evaluation.origin import versions

    told = ", ".join(
        f"{name} {version}"
        for name, version in versions().items()
        if name in ("python", "numpy", "torch", "torchvision")
    )
    lines = [HEAD.format(versions=told, images=2, steps=STEPS)]
    rows = [m for m in measured if "refused" not in m and "failed" not in m]
    lines += [
        "| " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
        *(_line(m) for m in rows),
    ]
    refused = [f"- `{m['network']}`: {m['refused']}" for m in measured if "refused" in m]
    lines += ["", "## Refused", "", *refused] if refused else []
    return "\n".join(lines) + "\n"


def _line(m: dict[str, Any]) -> str:
    kinds = m["populations"]
    cells = [
        f"`{m['network']}`",
        f"3x{m['size']}x{m['size']}",
        m["operations"],
        "1 + " + " + ".join(str(kinds.get(kind, 0)) for kind in KINDS),
        m["projections"],
        kinds.get("Relay", 0),
        m["depth"],
        f"{m['macs'] / 1e6:,.1f} M",
        f"{m['graph_macs'] / 1e6:,.1f} M",
        f"{m['error']:.0e}",
        f"{m['compared']:,}",
        f"{m['different']:,}",
        f"{m['seconds']:.1f}",
        f"{m['memory']:.1f}",
        f"{m['export']:.1f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    from torchvision_models import REFUSED, SIZES

    names = [*SIZES, *REFUSED]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(names))
    parser.add_argument("--out", type=Path, default=ROOT / "docs/coverage.md")
    parser.add_argument("--measure", metavar="NETWORK", help="measure one in this process and print JSON")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return 0
    unknown = [name for name in args.networks if name not in names]
    if unknown:
        parser.error(f"{unknown[0]}: not one of {', '.join(names)}")
    measured = []
    for name in args.networks or names:
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        started = time.perf_counter()
        done = subprocess.run([sys.executable, __file__, "--measure", name], capture_output=True, text=True)
        found = (
            json.loads(done.stdout)
            if done.returncode == 0
            else {"network": name, "failed": _last(done.stderr)}
        )
        measured.append(found)
        told = (
            found.get("failed")
            or found.get("refused")
            or f"{found['operations']} operations, error {found['error']:.0e}"
        )
        print(f"{told} ({time.perf_counter() - started:.0f} s)", file=sys.stderr, flush=True)
    failed = [m["network"] for m in measured if "failed" in m]
    if failed:
        print(f"{args.out}: not written; {', '.join(failed)} failed", file=sys.stderr)
        return 1
    from dnisnm_lava.system.files import write_whole

    write_whole(args.out, page(measured).encode(), overwrite=True)
    print(f"{args.out}: written", file=sys.stderr)
    return 0


def _last(text: str) -> str:
    return (text.strip() or "no message").splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
