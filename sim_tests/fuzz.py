"""Hostile `.net` files in numbers: `python -m sim_tests.fuzz --inputs 100000`, or `--seed N` for one of them.

Each is read as `netx.read`, `dnisnm inspect` and `dnisnm check` do, in child processes with a deadline for
each file and a limit of memory. Allowed is BadFile, or a graph that is written and read again equal, and that
can be inspected and checked. A file that makes anything else happen is kept in the working folder; it belongs
into sim_tests/corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from hostile import hostile
from hostile_structures import TRAP
from rich.console import Console

import dnisnm_lava as dn
from dnisnm_lava.errors import BadFile
from dnisnm_lava.views import checks, network
from exporters import netx, netx_reading

SECONDS = 10  # for one file, whose reading takes milliseconds, on a machine that others use
MEMORY = 256 << 20  # bytes beyond those of the process as it starts
REFUSED, GRAPH = "refused", "graph"


def outcome(path: Path, known: set[str] | None = None) -> str:
    """What becomes of the file; anything but REFUSED and GRAPH is a finding. known: digests of graphs that
    have been checked."""
    known = set() if known is None else known
    try:
        graph = netx.read(path)
    except BadFile as error:
        return (
            REFUSED
            if str(error).startswith(str(path)) and str(error).isprintable()
            else f"not one printable sentence: {error!r}"
        )
    digest = graph.digest()
    if digest not in known:
        _use(graph, path)
        known.add(digest)
    return GRAPH


def _use(graph: dn.SpikingGraph, path: Path) -> None:
    """What `inspect` and `check` do with a graph, and once through a file."""
    again = path.with_suffix(".again")
    if netx.read(netx.write(again, graph, overwrite=True)) != graph:
        raise AssertionError("written and read again, it is another graph")
    found, console = dn.check(graph), Console(file=io.StringIO(), width=120)
    json.dumps([network.network_json(graph), checks.check_json(found)], allow_nan=False)
    console.print(network.network_table(graph, str(path)))
    console.print(checks.check_table(found, str(path)))


def campaign(seeds: range, kept: Path | None = None) -> Counter[str]:
    """How many of `hostile(seed)` ended how. Files with findings go into the folder `kept`."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        os.mkfifo(Path(folder) / TRAP)
        while seeds:
            for seed, told in _batch(seeds, Path(folder)):
                found[told] += 1
                seeds = seeds[seeds.index(seed) + 1 :]
                if kept is not None and told not in (REFUSED, GRAPH):
                    (kept / f"{seed}.net").write_bytes(hostile(seed))
    return found


def _batch(seeds: range, folder: Path) -> Iterator[tuple[int, str]]:
    """(seed, outcome) from one child, up to the file that ends it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            os.close(reading)
            _child(seeds, folder, writing)
            status = 0
        os._exit(status)
    os.close(writing)
    done = seeds[:0]
    with os.fdopen(reading) as lines:
        for line in lines:
            seed, told = json.loads(line)
            done = seeds[: seeds.index(seed) + 1]
            yield seed, told
    _, status = os.waitpid(child, 0)
    if status:
        how = (
            signal.Signals(os.WTERMSIG(status)).name
            if os.WIFSIGNALED(status)
            else f"exit code {os.WEXITSTATUS(status)}"
        )
        yield seeds[len(done)], f"the process ended: {how}"


def _child(seeds: range, folder: Path, writing: int) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    known: set[str] = set()
    path = folder / "hostile.net"
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*: the read-out counts in ")  # a graph of 0.1.0, and told as one
    faulthandler.disable()  # pytest's would tell of crashes that are told already
    for seed in seeds:
        path.write_bytes(hostile(seed))
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        signal.alarm(SECONDS)
        try:
            told = outcome(path, known)
        except Exception as error:  # whatever it is, it is the finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {str(error)[:80]} ({Path(last.filename).name}:{last.lineno})"
        signal.alarm(0)
        os.write(writing, (json.dumps([seed, told]) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument(
        "--seed", type=int, help="write this one file as SEED.net, and tell what becomes of it"
    )
    args = parser.parse_args()
    if args.seed is not None:
        path = Path(f"{args.seed}.net")
        path.write_bytes(hostile(args.seed))
        print(outcome(path))
        return
    start = time.time()
    found = campaign(range(args.first, args.first + args.inputs), Path.cwd())
    print(
        f"{sum(found.values()):,} files in {time.time() - start:.0f} s, HDF5 format version "
        f"{netx_reading.VERSION}"
    )
    for told, count in found.most_common():
        print(f"{count:9,} {told}")


if __name__ == "__main__":
    main()
