"""Lava in another Python: the same spikes, from files; and each Python that will not do is told in one
sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import Chain, curved_snm, gate_of, irregular, readout, small, snm, weights

from dnisnm_lava import cli
from dnisnm_lava.backends import batched, lava_cpu
from dnisnm_lava.backends.lava_cpu import installation, interpreter, parent
from dnisnm_lava.backends.results import difference
from dnisnm_lava.errors import BackendFailed, BackendMissing
from dnisnm_lava.evaluation import verification
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from exporters import netx

ALL = {"lava-nc": "0.10.0", "numpy": "1.26.4", "h5py": "3.16.0"}


# ---------------------------------------------------------------- the same spikes


def test_a_network_in_another_python_gives_the_same_spikes_in_both_modes(other_python: str) -> None:
    graph, x = small(levels=2, lead=1)
    spiking, _ = small(levels=2, lead=1, quantize=False)
    checked = verification.verify(
        graph, x[:2], steps=4, spiking=spiking, lava=lava_cpu.Lava(python=other_python)
    )
    assert [row.b for row in checked.equality] == ["integer batched", "Lava fixed_pt", "Lava floating_pt"]
    assert all(row.different == 0 and row.spikes_compared > 1000 for row in checked.equality)
    ran = lava_cpu.run(graph, x[:2], steps=4, record=["conv2"], lava_python=other_python)
    assert list(ran.spikes) == ["conv2"]
    assert ran.spikes["conv2"].any()
    assert (
        difference("here", batched.run(graph, x[:2], steps=4, record=["conv2"]), "there", ran).different == 0
    )
    assert ran.saturations == batched.run(graph, x[:2], steps=4).saturations


def test_the_command_line_and_the_variable_name_it(
    other_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph, x = small(Chain(), (6,), steps=3)
    netx.write(tmp_path / "a.net", graph)
    data, y = tmp_path / "data.npz", np.zeros(len(x), int)
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    handed: list[str] = []
    given = interpreter.hand_over
    monkeypatch.setattr(
        parent,
        "hand_over",
        lambda folder, job: (given(folder, job), handed.extend(sorted(os.listdir(folder)))),
    )
    monkeypatch.setenv("DNISNM_LAVA_PYTHON", other_python)
    command = [
        "verify",
        str(tmp_path / "a.net"),
        "--data",
        str(data),
        "--images",
        "2",
        "--steps",
        "3",
        "--json",
    ]
    assert cli.main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert handed == ["images.npy", "job.json", "network.net"]
    assert [row["different"] for row in found["equality"]] == [0, 0]
    versions = found["provenance"]["versions"]
    assert (versions["lava-python"][:5], versions["lava-nc"]) == ("3.10.", "0.10.0")
    assert cli.main([*command, "--lava-python", "nowhere/python"]) == 1  # rather than the variable's
    assert "--lava-python: nowhere/python is no program that can be run" in capsys.readouterr().err
    monkeypatch.setenv("DNISNM_LAVA_PYTHON", "nowhere/at/all")
    assert cli.main(command) == 1
    assert "DNISNM_LAVA_PYTHON: nowhere/at/all is no program that can be run" in capsys.readouterr().err
    assert cli.main(["simulate", *command[1:6], "--json"]) == 0  # needs no Lava, and asks for none
    assert "lava-python" not in json.loads(capsys.readouterr().out)["provenance"]["versions"]


def test_the_verb_tells_where_it_is(
    other_python: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "make", lambda: Path(other_python))
    assert cli.main(["lava-env", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["path"], found["versions"]["lava-nc"]) == (other_python, "0.10.0")
    assert cli.main(["lava-env"]) == 0
    assert "use it with --lava-python auto" in capsys.readouterr().out


def every_part() -> SpikingGraph:
    rng = np.random.default_rng(0)
    first = Projection("input", weights(rng, 4, 2, 3, 3), padding=((1, 1), (0, 2)), exponent=2)
    pooled = Projection("a", weights(rng, 3, 4 * 25), sum_pool=Window((2, 2), (1, 1)))
    parts = (
        Input("input", (2, 6, 6), np.array([0.1, 1 / 3]), 8),
        snm("a", (4, 6, 6), (first,), rng, levels=3, lead=1, two_sided=True),
        snm("b", (4, 6, 6), (irregular("a", 4, (6, 6), (4, 6, 6), rng),), rng),
        MaxPool("pool", (4, 5, 5), "b", Window((2, 2), (1, 1))),
        curved_snm("c", (3,), (Projection("pool", weights(rng, 3, 100)),), rng),
        gate_of("gate", (3,), ("c", "c"), rng),
        readout("out", (3,), (pooled, Projection("gate", weights(rng, 3, 3))), rng),
    )
    return SpikingGraph(parts, steps=5)


def as_float(graph: SpikingGraph) -> SpikingGraph:
    """The same with thirds of its weights, biases and curves, in float64."""

    def thirds(p: Population) -> Population:
        if not isinstance(p, SNM | ReadOut):
            return p
        if isinstance(p, SNM) and (c := p.curve) is not None:
            p = replace(p, curve=replace(c, knots=c.knots / 3, slopes=c.slopes / 3, offsets=c.offsets / 3))
        return replace(
            p, bias=p.bias / 3, projections=tuple(replace(q, weight=q.weight / 3) for q in p.projections)
        )

    return replace(graph, populations=tuple(thirds(p) for p in graph))


@pytest.mark.parametrize("is_integer", [True, False])
def test_what_is_handed_over_arrives(tmp_path: Path, is_integer: bool) -> None:
    """Every part that a graph can have, to the last bit."""
    graph = every_part() if is_integer else as_float(every_part())
    assert graph.is_integer is is_integer
    job: dict[str, Any] = {
        "graph": graph,
        "images": np.random.default_rng(1).normal(size=(2, 2, 6, 6)),
        "steps": 5,
        "period": 6,
        "names": ["a"],
    }
    interpreter.hand_over(tmp_path, job)
    assert (tmp_path / "network.net").exists() is is_integer
    found = interpreter.received(tmp_path)
    assert found["graph"] == graph
    assert found["graph"].digest() == graph.digest()
    np.testing.assert_array_equal(found.pop("images"), job.pop("images"))
    assert {**found, "graph": None} == {**job, "graph": None}


def test_nothing_else_of_this_python_is_on_the_path_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/this/python")
    monkeypatch.setenv("PYTHONHOME", "/of/this/python")
    found = interpreter.environment(tmp_path)
    assert "PYTHONHOME" not in found
    assert sorted(os.listdir(found["PYTHONPATH"])) == ["dnisnm_lava", "exporters"]


# ---------------------------------------------------------------- Pythons that will not do


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def claim(environment: Path, packages: dict[str, str]) -> str:
    """Let metadata say that `packages`, and no others, are installed; its Python."""
    site = next(environment.glob("lib/python*/site-packages"))
    for old in site.glob("*.dist-info"):
        shutil.rmtree(old)
    for name, version in packages.items():
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(metadata(name, version))
    interpreter._checked.cache_clear()
    return str(environment / "bin/python")


def metadata(name: str, version: str) -> str:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


@pytest.mark.parametrize(
    ("packages", "match"),
    [
        (
            {},
            r"bin/python is a Python 3\.\d+\.\d+ without lava-nc; name a Python 3.10 that has lava-nc "
            r"0.10 and h5py, or make one with",
        ),
        ({"lava-nc": "0.10.0", "numpy": "1.26.4"}, "without h5py"),
        ({**ALL, "lava-nc": "0.9.0"}, r"with lava-nc 0\.9\.0, and 0\.10 is needed"),
        (
            ALL,
            r"must import dnisnm-lava \S+ from \S+, and imports none \(ModuleNotFoundError",
        ),  # its NumPy is metadata alone
    ],
)
def test_a_python_that_will_not_do_is_told(bare: Path, packages: dict[str, str], match: str) -> None:
    graph, x = small(Chain(), (6,))
    python = claim(bare, packages)
    with pytest.raises(BackendMissing, match=f"^--lava-python: .*{match}"):
        lava_cpu.run(graph, x[:1], lava_python=python)
    with pytest.raises(BackendMissing, match=match):
        verification.verify(graph, x[:1], steps=1, lava=lava_cpu.Lava(python=python))


def test_another_version_of_this_package_is_refused(bare: Path, tmp_path: Path) -> None:
    """A Python that does not heed PYTHONPATH, and has an older one installed."""
    python = claim(bare, ALL)
    package = next(bare.glob("lib/python*/site-packages")) / "dnisnm_lava"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '0.0.1'\n")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {python} -E "$@"\n')
    wrapper.chmod(0o755)
    with pytest.raises(
        BackendMissing, match=rf"imports dnisnm-lava 0\.0\.1 from {package}; let it heed PYTHONPATH"
    ):
        interpreter.chosen(wrapper)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("nowhere/bin/python", "nowhere/bin/python is no program that can be run"),
        (".", r"\. is no program that can be run"),
        ("true", "/true does not answer as a Python"),
        ("echo", "/echo does not answer as a Python"),
    ],
)
def test_what_is_no_python_is_told(name: str, match: str) -> None:
    with pytest.raises(BackendMissing, match=match):
        interpreter.chosen(name)


# ---------------------------------------------------------------- the one that is made


def wheel(folder: Path, name: str, version: str) -> str:
    """A package of nothing but its name."""
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{stem}.dist-info/METADATA", metadata(name, version))
        file.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{stem}.dist-info/RECORD", "")
    return str(path)


def test_the_environment_is_made_on_request_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(
        BackendMissing,
        match=r"auto: no Lava environment in \S+cache/dnisnm-lava/lava-0.10.0; make it with `dnisnm "
        r"lava-env`",
    ):
        interpreter.chosen("auto")
    assert not (tmp_path / "cache").exists()  # asking makes nothing
    monkeypatch.setattr(installation, "_found", lambda: iter(["false"]))
    with pytest.raises(
        BackendFailed,
        match=r"lava-env: false -m venv \S+ failed, and nothing was made; mend that and try again. Its last",
    ):
        installation.make()
    assert list((tmp_path / "cache/dnisnm-lava").iterdir()) == []
    monkeypatch.setattr(installation, "_found", lambda: iter([sys.executable]))
    monkeypatch.setattr(
        installation, "PINNED", tuple(wheel(tmp_path, name, version) for name, version in ALL.items())
    )
    assert installation.make() == tmp_path / "cache/dnisnm-lava/lava-0.10.0/bin/python" == installation.made()
    assert [p.name for p in (tmp_path / "cache/dnisnm-lava").iterdir()] == ["lava-0.10.0"]
    with pytest.raises(BackendMissing, match="imports none"):  # all is installed, and its NumPy is but a name
        interpreter.chosen("auto")


def test_no_python_to_make_it_of_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(installation, "_found", lambda: iter(()))
    monkeypatch.setattr(installation, "_installed", lambda: iter(()))
    with pytest.raises(
        BackendMissing,
        match=r"Lava needs Python 3\.10, and neither python3\.10, pyenv nor uv has or can make one here",
    ):
        installation.make()
    assert not (tmp_path / "cache").exists()
