"""Whatever a `.net` file holds, reading it gives a graph or one sentence, within its time and memory.
docs/testing.md, Fuzzing."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import fuzz
import h5py
import numpy as np
import pytest
from hostile import hostile
from hostile_seeds import sound
from hostile_structures import TRAP

from dnisnm_lava import cli
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.studies.loihi2.layers import _joined, _positions
from exporters import hdf5, netx
from exporters.netx_reading import graph_of

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.mark.parametrize("files", [600, pytest.param(3000, marks=pytest.mark.campaign)])
def test_hostile_files_are_refused_or_are_graphs(files: int) -> None:
    found = fuzz.campaign(range(1_000_000, 1_000_000 + files))
    assert sum(found.values()) == files
    assert set(found) == {fuzz.REFUSED, fuzz.GRAPH}, found
    assert min(found.values()) > files // 10  # the files are neither all sound nor all nonsense


def test_a_file_is_a_function_of_its_seed() -> None:
    """But for the times that HDF5 writes into a few."""
    program = (
        "import sys; sys.path[:0] = ['.', 'sim_tests']; from hostile import hostile\nfor i in "
        "range(60): print(hostile(i).hex())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    mine = [hostile(i).hex() for i in range(60)]
    assert [len(a) for a in mine] == [len(b) for b in other.stdout.splitlines()]
    assert sum(a == b for a, b in zip(mine, other.stdout.splitlines(), strict=True)) >= 50


def test_the_campaign_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reader that raises, one that crashes, one that hangs, one that takes memory: each is told, its file
    kept, and the rest goes on."""
    sick = {
        0: "raise KeyError('x')",
        1: "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        2: "import time; time.sleep(60)",
        3: "bytearray(1 << 40)",
    }

    def read(path: Path) -> SpikingGraph:
        exec(sick[which])
        raise BadFile(f"{path}: sound")

    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setattr(fuzz.netx, "read", read)
    found: Counter[str] = Counter()
    for which in sick:
        found += fuzz.campaign(range(which, which + 1), tmp_path)
    told = " ".join(found)
    assert all(what in told for what in ("KeyError", "SIGSEGV", "SIGALRM", "MemoryError")), found
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.net", "1.net", "2.net", "3.net"]


# ---------------------------------------------------------------- past findings


def test_each_file_of_the_corpus_is_read_in_a_process_that_may_end(tmp_path: Path) -> None:
    """`*.graph.*` are graphs, all others are refused. The trap is a FIFO, where external links lead."""
    program = (
        "import sys, signal; sys.path[:0] = ['.', 'sim_tests']; import fuzz, pathlib\n"
        "for path in map(pathlib.Path, sys.argv[1:]):\n"
        "    signal.alarm(fuzz.SECONDS)\n"
        "    print(path.name, fuzz.outcome(path), flush=True)\n"
    )
    os.mkfifo(tmp_path / TRAP)
    for packed in sorted(CORPUS.glob("*.net.gz")):
        (tmp_path / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    files = sorted(tmp_path.glob("*.net"))
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, files)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=100,
    )
    expected = [f"{p.name} {fuzz.GRAPH if '.graph.' in p.name else fuzz.REFUSED}" for p in files]
    assert (done.stdout.splitlines(), done.returncode) == (expected, 0), done.stderr


def test_the_corpus_is_small_and_each_file_of_it_is_told() -> None:
    files = sorted(CORPUS.glob("*.net.gz"))
    assert len(files) > 10
    assert sum(p.stat().st_size for p in files) < 100_000
    told = re.findall(r"^\| `(.*?)`", (CORPUS / "README.md").read_text(), re.MULTILINE)
    assert told == [p.name for p in files]


def test_a_kernels_positions_are_counted_without_going_through_them() -> None:
    for taps, step, kernel, gap in product(range(1, 6), range(1, 7), range(1, 5), range(1, 7)):
        assert _positions(taps, step, kernel, gap) == len(
            {a * step + b * gap for a in range(taps) for b in range(kernel)}
        )


def test_a_resamplings_padding_is_not_written_down() -> None:
    """Against the padded matrix, in full; then with a border of a million rows around one of a hundred
    thousand columns."""
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(400):
        before, after, kernel, gap, stride, rows, cols = (
            int(n) for n in rng.integers((0, 0, 1, 1, 1, 1, 1), (7, 7, 4, 4, 4, 6, 6))
        )
        window = Window((kernel, 1), (stride, 1), ((before, after), (0, 0)), (gap, 1))
        outputs, present = window.output_size((rows, 1))[0], rng.random((rows, cols)) < 0.5
        if outputs < 1:
            continue
        padded = np.pad(present, ((before, after), (0, 0)))
        joined = np.array(
            [
                padded[i * stride : i * stride + gap * (kernel - 1) + 1 : gap].any(axis=0)
                for i in range(outputs)
            ]
        )
        assert _joined(present, window, 0, outputs) == (joined.sum(), joined.any(axis=0).sum())
        tried += 1
    assert tried > 200
    window = Window((1, 1), (1 << 20, 1), ((1 << 20, 0), (0, 0)))
    assert _joined(np.ones((1, 100_000), bool), window, 0, window.output_size((1, 1))[0]) == (
        100_000,
        100_000,
    )


def test_windows_that_see_only_padding_are_found() -> None:
    for before, after, kernel, gap, stride, size in product(
        range(4), range(3), range(1, 4), range(1, 4), range(1, 3), range(1, 5)
    ):
        window = Window((kernel, 1), (stride, 1), ((before, after), (0, 0)), (gap, 1))
        seen = [
            [0 <= out * stride + k * gap - before < size for k in range(kernel)]
            for out in range(window.output_size((size, 1))[0])
        ]
        assert window.is_blind((size, 1)) == any(not any(taps) for taps in seen)


# ---------------------------------------------------------------- the reader of HDF5


def test_arrays_are_those_that_the_hdf5_library_reads() -> None:
    """Of every sound file, array by array: two readers that share no line."""
    arrays = 0
    for tree, data in sound():
        file = hdf5.root(data)
        for path, expected in tree.items():
            *groups, key = path.split("/")
            group = hdf5.root(data)
            for name in groups:
                group = group.group(name)
            value = group.array(key, np.asarray(expected).dtype.kind)
            np.testing.assert_array_equal(value, expected)
            assert (value.dtype, value.shape) == (np.asarray(expected).dtype, np.shape(expected))
            arrays += 1
        assert len(file) == len({path.split("/")[0] for path in tree})
    assert arrays > 200


def stored(tmp_path: Path, **arrays: object) -> hdf5.Group:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        for key, value in arrays.items():
            file[key] = value
    return hdf5.root((tmp_path / "a.h5").read_bytes())


@pytest.mark.parametrize(
    "dtype", ["i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "<f4", ">f4", "<f8", ">f8"]
)
def test_types_and_byte_orders(tmp_path: Path, dtype: str) -> None:
    given = np.array([[1, -2, 3], [100, 0, -128]]).astype(dtype)
    found = stored(tmp_path, a=given).array("a", given.dtype.kind)
    np.testing.assert_array_equal(found, given)
    assert found.dtype == given.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    ("value", "kind", "match"),
    [
        (np.zeros(2, "u1"), "i", "/a has dtype uint8, signed integers needed"),
        (np.zeros(2, "f2"), "f", "/a has another type than signed integers"),
        (np.zeros(2, "g"), "f", "/a has another type than signed integers"),
        (np.zeros(2, [("x", "i4")]), "i", "/a has another type than signed integers"),
        (np.array([np.inf]), "f", "/a holds NaN or infinity"),
        (np.zeros((0, 3), "i4"), "i", "/a is empty"),
        (h5py.Empty("i4"), "i", "/a is empty"),
        (h5py.SoftLink("/b"), "i", "/a is missing, or a soft or external link"),
        (h5py.SoftLink("/a"), "i", "/a is missing, or a soft or external link"),
        ("of any length", "S", "/a has another type than"),
        (np.arange(3), "S", "/a has dtype int64, a fixed-length string needed"),
    ],
)
def test_arrays_that_are_not_plain_are_refused(tmp_path: Path, value: object, kind: str, match: str) -> None:
    with pytest.raises(BadFile, match=match):
        stored(tmp_path, b=np.arange(3), a=value).array("a", kind)


@pytest.mark.parametrize(
    "options", [{"chunks": True}, {"compression": "gzip"}, {"maxshape": (None,)}, {"fletcher32": True}]
)
def test_chunks_and_filters_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.create_dataset("a", data=np.arange(100), **options)
    with pytest.raises(
        BadFile, match=r"/a is .*; store it as h5py does by default, without chunks, filters and links"
    ):
        hdf5.root((tmp_path / "a.h5").read_bytes()).array("a", "i")


def test_other_files_are_not_opened(tmp_path: Path) -> None:
    """External storage leads to a file that holds just what is asked for, and an external link to one that is
    sound."""
    np.arange(4, dtype=np.int32).tofile(tmp_path / "secret")
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file.create_dataset("a", shape=(4,), dtype="i4", external=[(str(tmp_path / "secret"), 0, 16)])
        assert file["a"][()].tolist() == [0, 1, 2, 3]  # the library does
        file["inside/b"] = h5py.ExternalLink(str(tmp_path / "a.h5"), "a")
    with pytest.raises(BadFile, match="/a is not an array, or filtered, or in another file"):
        hdf5.root((tmp_path / "a.h5").read_bytes()).array("a", "i")
    with pytest.raises(
        BadFile, match="/inside is not a group, or one of a newer encoding or with external links"
    ):
        hdf5.root((tmp_path / "a.h5").read_bytes()).group("inside").array("b", "i")


def test_a_second_name_of_an_object_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        file["a"] = np.arange(3)
        file["b"] = file["a"]
        file.create_group("up")["again"] = file["/"]
    file = hdf5.root((tmp_path / "a.h5").read_bytes())
    assert file.integers("a", 3) == (0, 1, 2)
    with pytest.raises(BadFile, match="/b is linked more than once, or leads back to itself"):
        file.integers("b", 3)
    up = file.group("up")
    with pytest.raises(BadFile, match="linked more than once, or leads back to itself"):
        up.group("again").group("up")


def test_many_links_make_a_tree_of_several_levels(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver="earliest") as file:
        for i in range(700):
            file[f"many/{i}"] = i
    many = hdf5.root((tmp_path / "a.h5").read_bytes()).group("many")
    assert len(many) == 700
    assert [many.integer(str(i), 0, 1000) for i in range(700)] == list(range(700))


def test_attributes_of_any_kind_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    path.write_bytes(sound()[1][1])
    before = netx.read(path)
    with h5py.File(path, "a") as file:
        for where in ("/", "layer/1", "layer/1/weight", "layer/1/neuron/theta"):
            file[where].attrs["large"] = np.zeros(8000)
            file[where].attrs["text"] = "of any length"
            file[where].attrs.update({f"a{i}": i for i in range(30)})
            file[where].attrs["reference"] = file["format"].ref
        file["layer/1/ours"] = np.zeros(3, [("x", "i4")])
    assert netx.read(path) == before


@pytest.mark.parametrize("verb", ["inspect", "check"])
def test_brackets_in_names_and_paths_are_text(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    graph = graph_of(gzip.decompress((CORPUS / "name_is_markup.graph.net.gz").read_bytes()))
    netx.write("[red]x[bold].net", graph)
    cli.main([verb, "[red]x[bold].net"])
    out = capsys.readouterr().out
    assert "[red]x[bold].net" in out
    assert "[/bold]" in out


def test_a_graph_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    graph = graph_of(sound()[0][1])
    for name in ("", "a\nb", "\x1b[31m", "x" * 1001):
        named = replace(graph, populations=(*graph.populations[:-1], replace(graph.readout, name=name)))
        with pytest.raises(
            OutOfRange, match=r"a\.net: not written, for it could not be read again: .*/name is"
        ):
            netx.write(tmp_path / "a.net", named)
    foreign = replace(graph.readout, bias=graph.readout.bias.astype(">i4"))
    with pytest.raises(OutOfRange, match="it would be read as another graph"):
        netx.write(tmp_path / "a.net", replace(graph, populations=(*graph.populations[:-1], foreign)))
    assert list(tmp_path.iterdir()) == []
