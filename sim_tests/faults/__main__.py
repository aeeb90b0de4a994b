"""The long campaign, some minutes: `python -m sim_tests.faults`; or a part of it, `... leaks` or `... tests`.

leaks: 50 runs on Lava from one process, and what it holds after each. tests: those of this folder, with every
stage interrupted and 72 runs ended at random calls. Exit code 1 where something leaks or fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
LEAK = 0.25  # MB a run: less is the allocator's


def leaks(count: int) -> bool:
    sys.path.insert(0, str(HERE.parent))
    from graphs import Chain, small

    from faults.leaks import runs

    graph, x = small(Chain(), (6,))
    found = list(runs(graph, x[:2], count))
    for i, held in enumerate(found):
        if i in (0, 1) or i % 10 == 0:
            print(i, held, flush=True)
    same = all(replace(h, megabytes=0) == replace(found[0], megabytes=0) for h in found)
    growth = (found[-1].megabytes - found[1].megabytes) / max(1, count - 1)
    print(f"{count} runs: {'nothing else leaks' if same else 'LEAKS'}, {growth:.3f} MB a run")
    return same and growth < LEAK


def tests() -> bool:
    environment = {**os.environ, "FAULTS_ALL": "1"}
    return (
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", str(HERE), "--durations=10"], env=environment
        ).returncode
        == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sim_tests.faults", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("leaks", "tests"), help="default: both")
    parser.add_argument("--runs", type=int, default=50, help="on Lava, for leaks (%(default)s)")
    args = parser.parse_args()
    good = [leaks(args.runs)] if args.part != "tests" else []
    good += [tests()] if args.part != "leaks" else []
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
