"""Hostile `.net` files guided by the coverage of the reader (atheris, Python 3.11 and newer; no torch, no
Lava):

    python -m sim_tests.fuzz_coverage \\
        --seeds CORPUS                       # writes sound and hostile files there, and ends
    python -m sim_tests.fuzz_coverage CORPUS -runs=1000000 -seed=1         # libFuzzer's options

`exporters.hdf5` and `exporters.netx_reading` are Python, so that libFuzzer sees which branches an input
takes, and keeps what takes new ones. Allowed is BadFile or OutOfRange, or a graph. Anything else ends the run
with the input in the working folder; it belongs into sim_tests/corpus.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

GENERATED = 2000  # files of the generator that the corpus begins with
OPTIONS = ["-rss_limit_mb=2048", "-timeout=20", "-max_len=65536"]


def seeds(folder: Path) -> int:
    """Sound files, and the first of `hostile`; needs h5py, and no atheris."""
    from hostile import hostile
    from hostile_seeds import sound

    folder.mkdir(parents=True, exist_ok=True)
    files = [*(data for _, data in sound()), *map(hostile, range(GENERATED))]
    for i, data in enumerate(files):
        (folder / f"{i}.net").write_bytes(data)
    return len(files)


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["exporters"]):
        from dnisnm_lava.errors import BadFile, OutOfRange
        from exporters import hdf5, netx_reading

    def once(data: bytes) -> None:
        """As `netx.read` reads, without the path: the graph, then each link of the file."""
        with contextlib.suppress(BadFile, OutOfRange):
            netx_reading.graph_of(data)
        with contextlib.suppress(BadFile):
            hdf5.root(data).group("provenance").string("record")

    atheris.Setup([sys.argv[0], *OPTIONS, *sys.argv[1:]], once)
    atheris.Fuzz()


if __name__ == "__main__":
    if "--seeds" in sys.argv:
        print(f"{seeds(Path(sys.argv[sys.argv.index('--seeds') + 1]))} files")
    else:
        main()
