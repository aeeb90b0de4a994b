"""Files of every version go on reading, and computing what they did; and the page that specifies them shows a
real one."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.ir import SNM, ReadOut
from exporters import netx

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "sim_tests/archive"
FILES = sorted(ARCHIVE.glob("*/*.net"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_archive", ROOT / "tools/write_archive.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["write_archive"] = module  # torch.export looks up the modules of a model's classes
    spec.loader.exec_module(module)
    return module


def test_the_archive_is_here() -> None:
    assert {path.parent.name for path in FILES} >= {"0.1.0"}
    assert all(path.with_suffix(".json").is_file() for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_version_reads_and_computes_the_same(path: Path, tool: ModuleType, tmp_path: Path) -> None:
    told, graph = json.loads(path.with_suffix(".json").read_text()), netx.read(path)
    assert graph.digest() == told["graph"]
    assert tool.computed(graph, told["images"]) == {
        key: told[key] for key in ("logits", "spikes", "saturations")
    }
    again = reference.run(
        graph, tool.images(told["images"])
    )  # another executor, and the first output by hand
    assert again.logits.tolist() == told["logits"][graph.readout.name]
    assert netx.read(netx.write(tmp_path / "a.net", graph)) == graph


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_executor_and_way_gives_the_stored_spikes(
    path: Path, tool: ModuleType, other_lava: str | None
) -> None:
    """On every Python, NumPy and torch that this suite runs on; and on Lava, in this Python or another."""
    told, graph = json.loads(path.with_suffix(".json").read_text()), netx.read(path)
    x = tool.images(told["images"])
    runs = [batched.run(graph, x, record=True, synapses=way) for way in ("int8", "float32", "float64")]
    runs += [batched.run(graph, x, record=True, neurons="stepped"), reference.run(graph, x)]
    if other_lava is not None:
        runs.append(lava_cpu.run(graph, x, lava_python=other_lava))
    assert [tool.digest(run) for run in runs] == [told["spikes"]] * len(runs)


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_the_arrays_are_those_in_the_file(path: Path) -> None:
    """By h5py alone, dataset by dataset."""
    graph, found = netx.read(path), 0
    with h5py.File(path) as file:
        for layer in file["layer"].values():
            if bytes(layer["type"][0]) not in (b"conv", b"dense"):
                continue
            p = graph[bytes(layer["name"][0]).decode()]
            assert isinstance(p, SNM | ReadOut)
            np.testing.assert_array_equal(layer["weight"][()], p.projections[0].weight)
            np.testing.assert_array_equal(layer["bias"][()].reshape(-1), p.bias.reshape(-1))
            if isinstance(p, SNM):
                for key, held in (("theta", p.vth), ("payload", p.payload)):  # one a channel, where shared
                    stored = layer[f"neuron/{key}"][()]
                    assert stored.shape in (held.shape, (held.shape[0], *(1 for _ in held.shape[1:])))
                    np.testing.assert_array_equal(np.broadcast_to(stored, held.shape), held)
            found += 1
    assert found == len(graph.of(SNM)) + len(graph.of(ReadOut))


def test_the_archive_shows_what_the_format_can_say() -> None:
    """Every optional dataset of the page but `target_shape`, and curves and a gate, are in files here."""
    names: set[str] = set()
    for path in FILES:
        with h5py.File(path) as file:
            file.visit(names.add)
    said = {name.split("/")[-1] for name in names}
    assert said >= {
        "sum_pool",
        "resample",
        "source_channels",
        "target_channels",
        "targets",
        "projection",
        "pool",
        "readout",
        "lead",
        "curve",
        "gain",
    }


def test_the_command_adds_a_version(tool: ModuleType, tmp_path: Path) -> None:
    """What it writes today reads back; it never writes over a version."""
    tool.write(tmp_path / "9.9")
    assert sorted(p.name for p in (tmp_path / "9.9").iterdir()) == [
        "branches.json",
        "branches.net",
        "chain.json",
        "chain.net",
        "functions.json",
        "functions.net",
    ]
    for path in (tmp_path / "9.9").glob("*.net"):
        told = json.loads(path.with_suffix(".json").read_text())
        run = batched.run(netx.read(path), tool.images(told["images"]))
        assert run.logits.tolist() == next(iter(told["logits"].values()))
    with pytest.raises(FileExistsError):
        tool.write(tmp_path / "9.9")


def test_digests_are_renewed_only_where_a_file_computes_the_same(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ARCHIVE / "0.1.0", tmp_path / "0.1.0")
    monkeypatch.setattr(tool, "ARCHIVE", tmp_path)
    path = tmp_path / "0.1.0/chain.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "graph": "of another IR"}))
    tool.renew_digests()
    assert json.loads(path.read_text()) == told
    path.write_text(json.dumps({**told, "graph": "of another IR", "spikes": "others"}))
    with pytest.raises(SystemExit, match="computes something else"):
        tool.renew_digests()
    assert json.loads(path.read_text())["graph"] == "of another IR"


def test_the_page_shows_a_file_as_it_is(tool: ModuleType) -> None:
    page = (ROOT / "docs/format.md").read_text()
    shown = re.findall(r"```\n(group.*?)\n```", page, re.DOTALL)[0].splitlines()
    listed = tool.listing(ARCHIVE / "0.1.0/chain.net")
    start = listed.index(shown[0])
    assert shown == listed[start : start + len(shown)]
    assert len(shown) > 20


def test_the_page_names_every_dataset(tool: ModuleType) -> None:
    page = (ROOT / "docs/format.md").read_text()
    for path in FILES:
        for line in tool.listing(path):
            name = line.split()[1].split("/")[-1]
            assert name.isdigit() or re.search(rf"[`/]{name}\b", page) or f"{name}/" in page, line
