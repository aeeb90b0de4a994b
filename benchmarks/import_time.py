"""How long `import dnisnm_lava` takes, alone and with the command line, and which modules take it (`python -X
importtime`).

    python benchmarks/import_time.py [--repeats 7] [--out FILE.json]

Each import happens in a Python of its own, in turn with one that imports numpy alone.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import common

MODULES = ("numpy", "dnisnm_lava", "dnisnm_lava.cli")
Row = tuple[str, float, float]  # module, its own milliseconds, and with all that it imported first


def imported(module: str) -> list[Row]:
    """Of one fresh Python, in the order in which their imports ended: `module` itself last."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr
    found = []
    for line in text.splitlines()[1:]:
        own, together, name = line.removeprefix("import time:").split("|")
        found.append((name.strip(), int(own) / 1e3, int(together) / 1e3))
    return found


def main() -> None:
    args = common.parser(__doc__).parse_args()
    rounds = [{module: imported(module) for module in MODULES} for _ in range(args.repeats)]
    rows = []
    for module in MODULES:
        slowest = sorted(rounds[-1][module], key=lambda row: -row[1])[:3]
        rows.append(
            {
                "import": module,
                "ms": statistics.median(
                    next(r[2] for r in part[module] if r[0] == module) for part in rounds
                ),
                "modules": len(rounds[-1][module]),
                "slowest": ", ".join(f"{name} {own:.0f}" for name, own, _ in slowest),
            }
        )
    common.finish(args, rows)


if __name__ == "__main__":
    main()
