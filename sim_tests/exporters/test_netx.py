"""The file: lava-dl's layout, ours beside it, whole or not at all, and `read(write(g)) == g`."""

from __future__ import annotations

import hashlib
import os
import pickle
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from graphs import (
    Chain,
    curved,
    curved_graphs,
    curved_snm,
    gate_of,
    gated,
    gated_graphs,
    integer_graphs,
    irregular,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, Projection, SpikingGraph, values
from exporters import netx, netx_reading


@pytest.fixture
def graph() -> SpikingGraph:
    return small(levels=2, lead=1)[0]


@settings(max_examples=30)
@given(graph=integer_graphs())
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph
) -> None:
    path = tmp_path_factory.mktemp("net") / "a.net"
    again = netx.read(netx.write(path, graph))
    assert again == graph
    assert again.digest() == graph.digest()
    for p, q in zip(
        graph.of(SNM), again.of(SNM), strict=True
    ):  # the oracle again, array by array and by hand
        for key in ("vth", "payload", "v_init", "bias", "unit", "spike_unit", "v_range"):
            np.testing.assert_array_equal(getattr(p, key), getattr(q, key))
            assert getattr(p, key).dtype == getattr(q, key).dtype


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 2, 2), (1, 1, 1), (2,), (2, 2), (1,)])
def test_a_bias_of_any_shape_that_broadcasts(tmp_path: Path, shape: tuple[int, ...]) -> None:
    graph = irregular_graph()
    bias = np.arange(1, 1 + np.prod(shape), dtype=np.int32).reshape(shape)
    graph = replace(graph, populations=tuple(replace(p, bias=bias) if p.name == "a" else p for p in graph))
    again = netx.read(netx.write(tmp_path / "a.net", graph))
    assert again["a"].bias.shape == shape
    assert again == graph


def test_the_largest_spike_is_read(tmp_path: Path) -> None:
    graph = irregular_graph()
    largest = replace(graph["a"], payload=np.full((3, 2, 2), (1 << 31) - 1), levels=1)
    graph = replace(graph, populations=tuple(largest if p.name == "a" else p for p in graph))
    assert netx.read(netx.write(tmp_path / "a.net", graph)) == graph


def test_equality_sees_one_changed_threshold(graph: SpikingGraph) -> None:
    p = graph["conv2"]
    vth = p.vth.copy()
    vth[0, 0, 0] += 1
    other = replace(graph, populations=tuple(replace(p, vth=vth) if q.name == "conv2" else q for q in graph))
    assert other != graph
    assert other.digest() != graph.digest()


def test_the_layout_is_lava_dls(tmp_path: Path, graph: SpikingGraph) -> None:
    with h5py.File(netx.write(tmp_path / "a.net", graph)) as file:
        layers = file["layer"]
        kinds = [bytes(layers[str(i)]["type"][0]).decode() for i in range(len(layers))]
        assert kinds == ["input", "conv", "conv", "maxpool", "conv", "flatten", "dense"]
        conv = layers["1"]
        assert conv["type"].dtype == np.dtype("S20")
        assert conv["shape"][()].tolist() == [4, 6, 6]
        assert conv["weight"].shape == (4, 2, 3, 3)
        assert conv["weight"].dtype.kind == conv["bias"].dtype.kind == conv["neuron/theta"].dtype.kind == "i"
        assert conv["bias"].shape == (4,)
        assert [conv[k][()].tolist() for k in ("stride", "padding", "dilation")] == [[1, 1]] * 3
        assert conv["groups"][()] == 1
        assert bytes(conv["neuron/type"][0]) == b"SNM"
        assert conv["neuron/theta"].shape == (4, 6, 6)
        assert [int(i) for i in layers["2"]["inputs"][()]] == [
            1,
            1,
        ]  # the block's convolution and its shortcut
        assert int(file["simulation/steps"][()]) == graph.steps
        assert int(file["format/version"][()]) == 1


# ---------------------------------------------------------------- whole or not at all


def test_an_existing_file_is_kept_unless_told(tmp_path: Path, graph: SpikingGraph) -> None:
    path = tmp_path / "a.net"
    path.write_bytes(b"precious")
    with pytest.raises(
        BadFile, match=r"a\.net: exists already; choose another name, or allow it with overwrite=True"
    ):
        netx.write(path, graph)
    assert path.read_bytes() == b"precious"
    assert netx.read(netx.write(path, graph, overwrite=True)) == graph
    assert os.listdir(tmp_path) == ["a.net"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, graph: SpikingGraph) -> None:
    """A real refusal by the kernel: no file of the process may grow beyond 4,096 bytes."""
    path = tmp_path / "a.net"
    path.write_bytes(b"precious")
    netx.write(tmp_path / "source.net", graph)
    program = (
        "import resource, signal, sys\n"
        "from exporters import netx\n"
        "graph = netx.read(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "netx.write(sys.argv[2], graph, overwrite=True)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "source.net"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert done.returncode == 1
    assert "BadFile" in done.stderr.splitlines()[-1]
    assert "a.net: could not be written (File too large), and nothing was left behind" in done.stderr
    assert path.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["a.net", "source.net"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, graph: SpikingGraph) -> None:
    with pytest.raises(BadFile, match=r"could not be written \(No such file or directory\)"):
        netx.write(tmp_path / "nowhere" / "a.net", graph)


def test_floats_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(OutOfRange, match="quantize it first"):
        netx.write(tmp_path / "a.net", small(quantize=False)[0])


# ---------------------------------------------------------------- files that are not ours, or not whole


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"a\.net: no such file"):
        netx.read(tmp_path / "a.net")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 64])
def test_not_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.net").write_bytes(content)
    with pytest.raises(BadFile, match=r"a\.net: not an HDF5 file, or truncated"):
        netx.read(tmp_path / "a.net")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path: Path, graph: SpikingGraph, share: float) -> None:
    whole = netx.write(tmp_path / "a.net", graph).read_bytes()
    (tmp_path / "b.net").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BadFile, match=r"b\.net: .*truncated"):
        netx.read(tmp_path / "b.net")


def test_another_programs_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.net", "w") as file:
        file["layer/0/type"] = np.array([b"input"], "S20")
    with pytest.raises(BadFile, match=r"an HDF5 file, but not one of ours \(no format/name = dnisnm-netx\)"):
        netx.read(tmp_path / "a.net")


def edited(path: Path, graph: SpikingGraph, key: str, value: object) -> Path:
    with h5py.File(netx.write(path, graph), "a") as file:
        del file[key]
        if value is not None:
            file[key] = value
    return path


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (
            "format/version",
            99,
            "format version 99, and this program reads up to 5; install a newer dnisnm-lava",
        ),
        ("format/version", 0, "format version 0 never existed"),
        ("layer/1/weight", None, "layer/1/weight is missing"),
        (
            "layer/1/weight",
            np.zeros((4, 2, 3, 3)),
            "layer/1/weight has dtype float64, signed integers needed",
        ),
        (
            "layer/1/neuron/theta",
            np.zeros((4, 6, 5), np.int32),
            "theta has shape .*; it must have the layer's shape",
        ),
        ("layer/1/neuron/unit", np.full(4, np.nan), "layer/1/neuron/unit holds NaN or infinity"),
        (
            "layer/1/type",
            np.array([b"recurrent"], "S20"),
            "layer/1/type is 'recurrent', which this program does not know",
        ),
        (
            "layer/2/inputs",
            np.array([7, 1], np.int32),
            r"layer/2/inputs points to \(7, 1\), not to layers before it",
        ),
        (
            "layer/1/stride",
            np.array([0, 1], np.int32),
            r"stride is \(0, 1\); 2 integers of 1 to 1048576 needed",
        ),
        ("layer/1/shape", np.array([4, 6, 7]), r"conv1: a source gives shape|must have the layer's shape"),
        ("layer/5/shape", None, "layer/5/shape is missing"),
        ("layer/6/neuron/theta", None, "layer/6/neuron/theta is missing"),
        ("simulation/steps", 0, "simulation/steps is 0; it must be 1 to 2147483647"),
        ("layer/1/neuron/levels", 0, "levels is 0; it must be 1 to"),
        ("layer/0/bits", 17, "layer/0/bits is 17; it must be 2 to 16"),
        ("layer/0/bits", 1, "layer/0/bits is 1; it must be 2 to 16"),
        ("layer/0/scale", np.zeros(2), "layer/0/scale must be above 0"),
        ("layer/0/scale", np.ones(3), "layer/0/scale has shape .*; one value for each of 2 channels needed"),
        ("layer/0/name", np.array([b"a\x07"]), "layer/0/name is .*; 1 to 1000 printable letters needed"),
        ("layer/0/name", np.array([b"conv1"]), "layer/1/name is 'conv1', as that of a layer before it"),
        ("layer/1/shape", np.array([4, 6]), r"layer/1/shape is \(4, 6\); \(C, H, W\) or \(features,\)"),
        ("layer/1/shape", np.array([4, 6, 0]), r"layer/1/shape is \(4, 6, 0\); each size must be 1 or more"),
        ("layer/1/shape", np.array([4, 6, (1 << 20) + 1]), "layer/1/shape is .* sides of 1048576 at most"),
        ("layer/1/shape", np.array([1 << 12, 1 << 10, 1 << 10]), "layer/1/shape is .* of 2147483648 neurons"),
        (
            "layer/1/weight",
            np.full((4, 2, 3, 3), 1 << 31),
            "layer/1/weight must hold integers from -2147483647 to 2147483647",
        ),
        (
            "layer/1/weight",
            np.full((4, 2, 3, 3), -(1 << 31)),
            "layer/1/weight must hold integers from -2147483647 to 2147483647",
        ),
        ("layer/1/weight", np.ones((4, 18), np.int8), "layer/1/type is 'conv', and its weight has 2 axes"),
        ("layer/1/weight", np.ones((4, 2, 3), np.int8), "layer/1: weight has 3 axes; 2 or 4 needed"),
        ("layer/1/exponent", 25, "layer/1/exponent is 25; it must be 0 to 24"),
        (
            "layer/1/padding",
            np.array([1, -1]),
            r"layer/1/padding is \(1, -1\); 2 integers of 0 to 1048576 needed",
        ),
        ("layer/1/padding", np.array([1, 1, 1]), "layer/1/padding holds 3 integers; 2 at most are needed"),
        ("layer/1/padding", np.array([1]), r"layer/1/padding is \(1,\); 2 integers"),
        ("layer/1/groups", 0, "layer/1/groups is 0; it must be 1 to"),
        (
            "layer/1/neuron/theta",
            np.arange(144).reshape(4, 6, 6) - 1,
            "layer/1/neuron/theta must hold integers from 0 to",
        ),
        (
            "layer/1/neuron/payload",
            np.full((4, 6, 6), -1),
            "layer/1/neuron/payload must hold integers from 0 to",
        ),
        (
            "layer/1/neuron/payload",
            np.full((4, 6, 6), 1 << 30),
            "2 levels of a payload of 1073741824 exceed a spike of 2147483647",
        ),
        ("layer/1/neuron/lead", -1, "layer/1/neuron/lead is -1; it must be 0 to"),
        ("layer/1/neuron/unit", np.zeros(4), "layer/1/neuron: unit must be above 0"),
        ("layer/1/neuron/unit", np.full(4, 1e-300), r"and v_range 0 to 2\*\*53 units"),
        ("layer/1/neuron/v_range", np.full(4, -1.0), r"and v_range 0 to 2\*\*53 units"),
        ("layer/1/neuron/type", np.array([b"LIF"], "S20"), "layer/1/neuron/type is 'LIF', SNM needed"),
        (
            "layer/2/inputs",
            np.array([1, 2], np.int32),
            r"layer/2/inputs points to \(1, 2\), not to layers before it",
        ),
        (
            "layer/2/inputs",
            np.array([-1, 1], np.int32),
            r"layer/2/inputs points to \(-1, 1\), not to layers before it",
        ),
        ("layer/3/inputs", np.array([2, 2], np.int32), "layer/3: a max-pool reads one layer, a map"),
        ("layer/3/pool/padding", np.array([1, 1, 1]), r"layer/3/pool/padding is \(1, 1, 1\); 4 integers"),
        (
            "layer/3/pool/padding",
            np.array([[1, -1], [1, 1]]),
            "layer/3/pool/padding is .*; 4 integers of 0 to",
        ),
        (
            "layer/3/pool/padding",
            np.array([[9, 0], [9, 0]]),
            "pool: a source gives shape|nothing but padding",
        ),
        ("layer/5/shape", np.array([7]), "layer/5: a flatten of 1 layer"),
        ("layer/5/inputs", np.array([4, 4], np.int32), "layer/5: a flatten of 2 layer"),
        ("layer/4/inputs", np.array([0], np.int32), "conv3: weights"),
        ("layer/6/neuron/readout", 0, "layer/6/neuron/readout is 0; it must be 1 to 1"),
        (
            "layer/6/neuron/theta",
            np.array([0, 1, 0], np.int32),
            "layer/6/neuron/theta is not 0, and a read-out never fires",
        ),
        ("layer/6/bias_shape", np.array([-1]), r"layer/6/bias_shape is \(-1,\); each size must be 1 or more"),
        (
            "layer/6/bias_shape",
            np.array([1, 3]),
            r"a bias of 3 values and bias_shape \(1, 3\) do not fit the layer's shape \(3,\)",
        ),
        ("simulation/steps", 1 << 31, "simulation/steps is 2147483648; it must be 1 to 2147483647"),
        ("layer/6", None, "graph: it must begin with its Input and end with its ReadOuts"),
        ("layer/2", None, "its 6 layers are not numbered 0 to 5"),
        ("layer/1/bias", np.zeros(3, np.int32), "a bias of 3 values and bias_shape"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, graph: SpikingGraph, key: str, value: object, match: str
) -> None:
    with pytest.raises(BadFile, match=match) as caught:
        netx.read(edited(tmp_path / "a.net", graph, key, value))
    assert "a.net" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer/1/weight", np.ones((8, 6, 1, 1), np.int8)),
        ("layer/1/sum_pool/kernel", np.ones(2)),
        ("layer/1/resample/rows", np.eye(2)),
    ],
)
def test_what_needs_a_map_is_refused_where_there_is_a_vector(
    tmp_path: Path, key: str, value: np.ndarray
) -> None:
    path = netx.write(tmp_path / "a.net", small(Chain(), (6,))[0])
    with h5py.File(path, "a") as file:
        if key in file:
            del file[key]
        file[key] = value.astype(np.int32)
        for name in ("stride", "dilation"):
            file[f"layer/1/sum_pool/{name}" if "sum_pool" in key else f"extra/{name}"] = np.ones(2, np.int32)
        file["layer/1/sum_pool/padding" if "sum_pool" in key else "extra/padding"] = np.zeros(4, np.int32)
        file["layer/1/resample/cols" if "resample" in key else "extra/cols"] = np.eye(2, dtype=np.int32)
    with pytest.raises(
        BadFile, match="layer/1: a conv, a sum_pool or a resample reads a map, and 'input' is none here"
    ):
        netx.read(path)


def irregular_graph() -> SpikingGraph:
    """One population that reads some channels, resampled, and a map that a matrix fills."""
    rng = np.random.default_rng(0)
    into = (
        irregular("input", 4, (5, 5), (3, 2, 2), rng),
        Projection("input", weights(rng, 12, 100), target_shape=(3, 2, 2)),
    )
    hidden = snm("a", (3, 2, 2), into, rng, two_sided=True)
    out = readout("out", (2,), (Projection("a", weights(rng, 2, 12)),), rng)
    return SpikingGraph((Input("input", (4, 5, 5), np.ones(4), 8), hidden, out), steps=3)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("source_channels", np.array([0, 1, 4], np.int32), "channels outside 0 to 3"),
        ("source_channels", np.array([0, 1], np.int32), "do not fit what they read from input"),
        ("target_channels", np.array([0, 3], np.int32), "channels outside 0 to 2"),
        ("target_channels", np.array([0], np.int32), "2 rows and 1 target channels"),
        ("targets", 1 << 40, "targets is 1099511627776; it must be 1 to"),
        ("targets", 2, "channels outside 0 to 1|a source gives shape"),
        ("resample/rows", np.zeros((2, 4), np.int8), "a resampling of another size than input"),
        ("resample/cols", np.zeros(5, np.int8), "must be two matrices"),
        ("resample/cols", None, "resample/cols is missing"),
        ("projection/1/target_shape", np.array([3, 2, 3]), "12 rows do not fill"),
        ("neuron/two_sided", 2, "two_sided is 2; it must be 0 to 1"),
    ],
)
def test_channels_and_matrices_that_contradict_are_refused(
    tmp_path: Path, key: str, value: object, match: str
) -> None:
    graph = irregular_graph()
    assert netx.read(netx.write(tmp_path / "sound.net", graph)) == graph
    with pytest.raises(BadFile, match=match):
        netx.read(edited(tmp_path / "a.net", graph, f"layer/1/{key}", value))


def lowered(down: float) -> SpikingGraph:
    graph = irregular_graph()
    return replace(
        graph, populations=tuple(replace(p, down=down) if isinstance(p, SNM) else p for p in graph)
    )


@pytest.mark.parametrize("down", [1, 0, 0.3, 5e-324])
def test_a_lower_threshold_makes_a_file_of_the_next_version(
    tmp_path: Path, down: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a reader that does not know it refuses the file; without one, every byte is as before."""
    graph = lowered(down)
    path = netx.write(tmp_path / "a.net", graph)
    assert netx.read(path) == graph
    with h5py.File(path) as file:
        assert int(file["format/version"][()]) == (1 if down == 1 else 2)
        assert ("down" in file["layer/1/neuron"]) == (down != 1)
    monkeypatch.setattr(netx_reading, "VERSION", 1)  # an older program
    if down == 1:
        assert netx.contents(graph) == netx.contents(irregular_graph())
        assert netx.read(path).digest() == irregular_graph().digest()
        return
    with pytest.raises(
        BadFile, match="format version 2, and this program reads up to 1; install a newer dnisnm-lava"
    ):
        netx.read(path)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("layer/1/neuron/down", -0.1, "layer/1/neuron/down is not one number from 0 to 1"),
        ("layer/1/neuron/down", np.nextafter(1, 2), "layer/1/neuron/down is not one number from 0 to 1"),
        ("layer/1/neuron/down", np.nan, "layer/1/neuron/down holds NaN or infinity"),
        ("layer/1/neuron/down", np.inf, "layer/1/neuron/down holds NaN or infinity"),
        ("layer/1/neuron/down", np.full(3, 0.5), "layer/1/neuron/down is not one number from 0 to 1"),
        ("layer/1/neuron/down", 1, "layer/1/neuron/down has dtype int64, floats of 32 or 64 bits needed"),
        (
            "format/version",
            1,
            "format version 1 knows no neuron/down, and this file has one; write it again with netx.write",
        ),
    ],
)
def test_lower_thresholds_that_are_none_are_refused(
    tmp_path: Path, key: str, value: object, match: str
) -> None:
    with pytest.raises(BadFile, match=match):
        netx.read(edited(tmp_path / "a.net", lowered(0.5), key, value))


def test_a_graph_takes_no_lower_threshold_outside_of_0_to_1() -> None:
    for down in (-0.01, 1.01, np.nan, np.inf):
        with pytest.raises(OutOfRange, match=f"a: down is {down}; give 0 to 1, a share of the threshold"):
            lowered(down)


def test_a_link_out_of_the_file_is_not_followed(tmp_path: Path, graph: SpikingGraph) -> None:
    other = netx.write(tmp_path / "other.net", graph)
    path = edited(
        tmp_path / "a.net", graph, "layer/1/weight", h5py.ExternalLink(str(other), "layer/1/weight")
    )
    with pytest.raises(
        BadFile, match="layer/1 is not a group, or one of a newer encoding or with external links"
    ):
        netx.read(path)


def test_a_header_that_claims_the_moon_is_refused_before_anything_is_allocated(
    tmp_path: Path, graph: SpikingGraph
) -> None:
    path = edited(tmp_path / "a.net", graph, "layer/1/weight", None)
    with h5py.File(path, "a") as file:
        file.create_dataset("layer/1/weight", shape=(1 << 40,), dtype="i1")
    with pytest.raises(BadFile, match=r"layer/1/weight claims \d+ bytes, more than the file holds"):
        netx.read(path)


def test_flipped_bytes_give_a_graph_or_one_sentence(tmp_path: Path) -> None:
    """In a process of its own: whatever HDF5 makes of 300 damaged files, it is a BadFile or a whole graph."""
    path = netx.write(tmp_path / "a.net", small(Chain(), (6,))[0])
    program = (
        "import sys, random; from pathlib import Path; from exporters import netx; from "
        "dnisnm_lava.errors import BadFile, OutOfRange\n"
        "whole, rng, bad = Path(sys.argv[1]).read_bytes(), random.Random(5), 0\n"
        "target = Path(sys.argv[1] + '.flipped')\n"
        "for _ in range(300):\n"
        "    data = bytearray(whole)\n"
        "    for _ in range(rng.randint(1, 4)):\n"
        "        data[rng.randrange(len(data))] = rng.randrange(256)\n"
        "    target.write_bytes(data)\n"
        "    try:\n"
        "        netx.read(target)\n"
        "    except BadFile:\n"
        "        bad += 1\n"
        "print('bad', bad)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 10


# ---------------------------------------------------------------- what a channel's neurons share


def sharing(down: float = 1.0) -> SpikingGraph:
    """`irregular_graph`, its thresholds and initial potentials shared within each channel."""
    graph = irregular_graph()
    vth = np.array([7, 0, 9], np.int32).reshape(3, 1, 1)
    own = replace(graph["a"], vth=vth, v_init=vth >> 1, payload=np.full((3, 2, 2), 3, np.int32), down=down)
    return replace(graph, populations=tuple(own if p.name == "a" else p for p in graph))


def test_what_a_channel_shares_is_stored_once_in_memory_and_file(tmp_path: Path) -> None:
    graph = sharing()
    p = graph["a"]
    assert isinstance(p, SNM)
    assert (p.vth.shape, p.vth.strides[1:], p.payload.strides[1:]) == ((3, 2, 2), (0, 0), (0, 0))
    assert p.vth.tolist() == [[[n, n]] * 2 for n in (7, 0, 9)]
    with pytest.raises(ValueError, match="read-only"):
        p.vth[0, 0, 0] = 1
    path = netx.write(tmp_path / "a.net", graph)
    with h5py.File(path) as file:
        assert int(file["format/version"][()]) == 3
        for key in ("theta", "payload", "v_init"):
            assert file[f"layer/1/neuron/{key}"].shape == (3, 1, 1)
    again = netx.read(path)
    assert again == graph
    assert again["a"].vth.strides[1:] == (0, 0)


def test_how_a_constant_is_stored_is_no_part_of_a_graph_s_digest(tmp_path: Path) -> None:
    """A file of the first version holds every neuron's; and by hand, array by array, the digest is that of
    whole arrays."""
    graph = sharing()
    path = netx.write(tmp_path / "a.net", graph)
    with h5py.File(path, "a") as file:
        for key in ("theta", "payload", "v_init"):
            shared = file[f"layer/1/neuron/{key}"][()]
            del file[f"layer/1/neuron/{key}"]
            file[f"layer/1/neuron/{key}"] = np.ascontiguousarray(np.broadcast_to(shared, (3, 2, 2)))
        file["format/version"][()] = 1
    assert netx.read(path) == graph
    assert netx.read(path).digest() == graph.digest()
    one = graph["a"].vth.copy()
    assert replace(graph["a"], vth=one) == graph["a"]
    one[0, 1, 1] += 1
    other = replace(graph, populations=tuple(replace(p, vth=one) if p.name == "a" else p for p in graph))
    assert other != graph
    assert other.digest() != graph.digest()


def test_a_graph_of_0_1_0_has_the_digest_of_its_arrays_one_by_one() -> None:
    """Slices of an array are fed one after the other: the same bytes as the array's."""
    whole, parts = hashlib.sha256(), hashlib.sha256()
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    whole.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    values.feed(parts, array)
    assert parts.hexdigest() == whole.hexdigest()


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (
            "layer/1/neuron/theta",
            np.ones((1, 1, 1), np.int32),
            r"theta has shape \(1, 1, 1\); it must have the layer's shape \(3, 2, 2\), or 1",
        ),
        (
            "layer/1/neuron/theta",
            np.ones(3, np.int32),
            r"theta has shape \(3,\); it must have the layer's shape \(3, 2, 2\), or 1",
        ),
        (
            "layer/1/neuron/v_init",
            np.ones((3, 3, 1), np.int32),
            r"v_init has shape \(3, 3, 1\); it must have the layer's shape",
        ),
        (
            "format/version",
            2,
            r"theta has shape \(3, 1, 1\), and format version 2 has one value for each neuron, \(3, 2, 2\)",
        ),
    ],
)
def test_constants_that_no_channel_shares_are_refused(
    tmp_path: Path, key: str, value: object, match: str
) -> None:
    with pytest.raises(BadFile, match=match):
        netx.read(edited(tmp_path / "a.net", sharing(), key, value))


def test_a_small_file_cannot_ask_for_any_amount_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = netx.write(tmp_path / "a.net", sharing())
    monkeypatch.setattr(netx_reading, "SHARING_LIMIT", 11)
    with pytest.raises(BadFile, match="12 neurons share their constants; 11 at most may"):
        netx.read(path)
    assert netx.read(netx.write(tmp_path / "b.net", irregular_graph())) == irregular_graph()


@pytest.mark.parametrize("key", ["vth", "payload", "v_init"])
def test_constants_that_do_not_broadcast_are_refused(key: str) -> None:
    with pytest.raises(
        OutOfRange, match=rf"a: {key} has shape \(2, 1, 1\), which does not broadcast to \(3, 2, 2\)"
    ):
        replace(irregular_graph()["a"], **{key: np.ones((2, 1, 1), np.int32)})


def test_constants_of_a_graph_that_travelled_are_the_same() -> None:
    again = pickle.loads(pickle.dumps(sharing()))
    assert again == sharing()
    assert again.digest() == sharing().digest()


# ---------------------------------------------------------------- curves


def with_curves(steps: int = 3) -> SpikingGraph:
    """Layer 1: neurons with a curve of two knots for each of two channels; layer 3: with a line for all."""
    rng = np.random.default_rng(0)
    first = Projection("input", weights(rng, 2, 2, 1, 1))
    a = curved_snm("a", (2, 2, 2), (first,), rng, levels=2, lead=1)
    b = curved_snm("b", (3,), (Projection("a", weights(rng, 3, 8)),), rng, knots=0, own=False, two_sided=True)
    out = readout("out", (2,), (Projection("b", weights(rng, 2, 3)),), rng)
    return SpikingGraph((Input("input", (2, 2, 2), np.ones(2), 8), a, b, out), steps=steps)


@settings(max_examples=20)
@given(graph=curved_graphs())
def test_curves_that_are_read_are_those_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph
) -> None:
    again = netx.read(netx.write(tmp_path_factory.mktemp("net") / "a.net", graph))
    assert again == graph
    assert again.digest() == graph.digest()
    for p, q in zip(graph.of(SNM), again.of(SNM), strict=True):
        assert p.curve is not None
        assert q.curve is not None
        assert (p.curve.name, p.curve.tolerance) == (q.curve.name, q.curve.tolerance)
        for key in ("knots", "slopes", "offsets", "low", "high", "error", "worst"):
            np.testing.assert_array_equal(getattr(p.curve, key), getattr(q.curve, key))
            assert getattr(p.curve, key).dtype == getattr(q.curve, key).dtype


def test_curves_of_a_converted_network_make_a_file_of_the_next_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a reader that does not know them refuses it; without one, a file stays of its version."""
    graph, _ = curved(levels=3)
    path = netx.write(tmp_path / "a.net", graph)
    again = netx.read(path)
    assert again == graph
    assert again.digest() == graph.digest()
    found = again["conv2"]
    assert isinstance(found, SNM)
    assert found.curve is not None
    assert (found.curve.name, found.curve.is_exact, found.curve.tolerance) == ("silu", False, 0.5)
    written = graph["conv2"]
    assert isinstance(written, SNM)
    assert written.curve is not None
    assert found.curve.worst is not None
    np.testing.assert_array_equal(found.curve.worst, written.curve.worst)
    with h5py.File(path) as file:
        assert int(file["format/version"][()]) == 5
        assert sorted(file["layer/1/neuron/curve"]) == [
            "error",
            "high",
            "knots",
            "low",
            "name",
            "offsets",
            "slopes",
            "tolerance",
        ]  # leaky_relu is exact, and nowhere farthest from itself
    monkeypatch.setattr(netx_reading, "VERSION", 4)  # an older program
    with pytest.raises(
        BadFile, match="format version 5, and this program reads up to 4; install a newer dnisnm-lava"
    ):
        netx.read(path)
    with h5py.File(netx.write(tmp_path / "b.net", sharing())) as file:
        assert int(file["format/version"][()]) == 3


CURVE = "layer/1/neuron/curve"


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (f"{CURVE}/slopes", None, f"{CURVE}/slopes is missing"),
        (f"{CURVE}/offsets", None, f"{CURVE}/offsets is missing"),
        (f"{CURVE}/knots", None, f"{CURVE}: a curve of 2 rows, 0 knots and "),
        (f"{CURVE}/name", None, f"{CURVE}/name is missing"),
        (f"{CURVE}/low", None, f"{CURVE}/low is missing"),
        (f"{CURVE}/tolerance", None, f"{CURVE}/tolerance is missing"),
        (f"{CURVE}/name", np.array([b"a\x07"]), f"{CURVE}/name is .*; 1 to 1000 printable letters needed"),
        (f"{CURVE}/name", 3, f"{CURVE}/name has dtype int64, a fixed-length string needed"),
        (f"{CURVE}/knots", np.array([b"x"]), f"{CURVE}/knots has dtype .S1, signed integers needed"),
        (f"{CURVE}/knots", np.array([[5, 4], [1, 2]]), f"{CURVE}: the knots of its curve do not rise"),
        (f"{CURVE}/knots", np.zeros((2, 2)), f"{CURVE}/knots has dtype float64, signed integers needed"),
        (f"{CURVE}/knots", np.zeros(2, int), rf"{CURVE}/knots has shape \(2,\); 1 row or one for each of 2"),
        (
            f"{CURVE}/knots",
            np.zeros((3, 2), int),
            rf"{CURVE}/knots has shape \(3, 2\); 1 row or one for each",
        ),
        (f"{CURVE}/knots", np.zeros((1, 2), int), f"{CURVE}: a curve of 1 rows, 2 knots and "),
        (f"{CURVE}/knots", np.zeros((2, 3), int), f"{CURVE}: a curve of 2 rows, 3 knots and "),
        (f"{CURVE}/knots", np.zeros((2, 256), int), f"{CURVE}: a curve of 2 rows, 256 knots and "),
        (
            f"{CURVE}/knots",
            np.full((2, 2), 1 << 43),
            f"{CURVE}/knots must hold integers from -4398046511104 to",
        ),
        (
            f"{CURVE}/slopes",
            np.full((2, 3), 32768),
            f"{CURVE}/slopes must hold integers from -32767 to 32767",
        ),
        (f"{CURVE}/slopes", np.full((2, 3), -(1 << 63)), f"{CURVE}/slopes must hold integers from -32767 to"),
        (f"{CURVE}/slopes", np.ones((2, 2), int), f"{CURVE}: a curve of 2 rows, 2 knots and "),
        (f"{CURVE}/offsets", np.full((2, 3), (1 << 42) + 1), f"{CURVE}/offsets must hold integers from "),
        (f"{CURVE}/offsets", np.full((2, 3), np.nan), f"{CURVE}/offsets has dtype float64, signed integers"),
        (f"{CURVE}/low", np.full(2, np.nan), f"{CURVE}/low holds NaN or infinity"),
        (
            f"{CURVE}/low",
            np.zeros(3),
            rf"{CURVE}/low has shape \(3,\); 1 value or one for each of 2 channels",
        ),
        (f"{CURVE}/low", np.full(2, 1e9), f"{CURVE}: low must not exceed high, and error be 0 or more"),
        (f"{CURVE}/error", np.full(2, -1.0), f"{CURVE}: low must not exceed high, and error be 0 or more"),
        (f"{CURVE}/tolerance", -0.5, f"{CURVE}/tolerance is not one number from 0 to inf"),
        (f"{CURVE}/tolerance", np.inf, f"{CURVE}/tolerance holds NaN or infinity"),
        (CURVE, np.int64(1), f"{CURVE} is not a group"),
        (
            "layer/1/neuron/theta",
            np.full((2, 1, 1), 3),
            "theta of neurons with a curve must be 0 or a power of",
        ),
        (
            "layer/1/neuron/theta",
            np.full((2, 1, 1), 1 << 31),
            "theta must hold integers from 0 to 2147483647",
        ),
        (
            "format/version",
            4,
            "format version 4 knows no neuron/curve and no gate, and this file has one; write it again with",
        ),
    ],
)
def test_curves_that_are_none_are_refused(tmp_path: Path, key: str, value: object, match: str) -> None:
    with pytest.raises(BadFile, match=match) as caught:
        netx.read(edited(tmp_path / "a.net", with_curves(), key, value))
    assert str(caught.value).isprintable()


def test_a_curve_is_refused_where_its_sums_would_not_be_exact(tmp_path: Path) -> None:
    """2,048 steps of offsets up to 2**42 would be 2**53, and what slopes add is more."""
    graph = with_curves(steps=2047)
    a = graph["a"]
    assert isinstance(a, SNM)
    assert a.curve is not None
    far = replace(a.curve, offsets=np.full((2, 3), 1 << 42))
    graph = replace(graph, populations=tuple(replace(a, curve=far) if p is a else p for p in graph))
    assert netx.read(netx.write(tmp_path / "a.net", graph)) == graph
    with pytest.raises(
        OutOfRange, match=r"not written, .*: a: its curve reaches 4398046511104, too far for 2048 steps"
    ):
        netx.write(tmp_path / "b.net", replace(graph, steps=2048))


def test_a_curve_of_narrow_integers_is_read_as_the_wide_one(tmp_path: Path) -> None:
    """So that no product of theirs wraps."""
    graph = with_curves()
    a = graph["a"]
    assert isinstance(a, SNM)
    assert a.curve is not None
    slopes = a.curve.slopes.astype(np.int16)
    assert netx.read(edited(tmp_path / "a.net", graph, f"{CURVE}/slopes", slopes)) == graph


# ---------------------------------------------------------------- gates


def with_gate(steps: int = 3, **changes: object) -> SpikingGraph:
    """Layer 1: a map, the gate's source; layer 2: one neuron a channel; layer 3: their gate."""
    rng = np.random.default_rng(0)
    a = snm("a", (2, 2, 2), (Projection("input", weights(rng, 2, 2, 1, 1)),), rng)
    b = snm("b", (2, 1, 1), (Projection("input", weights(rng, 2, 2, 2, 2)),), rng)
    gate = replace(gate_of("gate", (2, 2, 2), ("a", "b"), rng, levels=4), **changes)  # type: ignore[arg-type]
    out = readout("out", (2,), (Projection("gate", weights(rng, 2, 8)),), rng)
    return SpikingGraph((Input("input", (2, 2, 2), np.ones(2), 8), a, b, gate, out), steps=steps)


@settings(max_examples=20)
@given(graph=gated_graphs())
def test_gates_that_are_read_are_those_that_were_written(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph
) -> None:
    again = netx.read(netx.write(tmp_path_factory.mktemp("net") / "a.net", graph))
    assert again == graph
    assert again.digest() == graph.digest()
    for p, q in zip(graph.of(Gate), again.of(Gate), strict=True):
        assert (p.source, p.gate, p.levels, p.two_sided) == (q.source, q.gate, q.levels, q.two_sided)
        for key in ("vth", "payload", "gain", "spike_unit"):
            np.testing.assert_array_equal(getattr(p, key), getattr(q, key))
            assert getattr(p, key).dtype == getattr(q, key).dtype


def test_a_gate_makes_a_file_of_version_5(tmp_path: Path) -> None:
    graph, _ = gated(levels=3)
    again = netx.read(netx.write(tmp_path / "a.net", graph))
    assert again == graph
    assert again.digest() == graph.digest()
    bound = with_gate(band=0.25, most=7)
    with h5py.File(netx.write(tmp_path / "b.net", bound)) as file:
        assert int(file["format/version"][()]) == 5
        assert bytes(file["layer/3/type"][0]) == b"gate"
        assert file["layer/3/inputs"][()].tolist() == [1, 2]
        keys = ["band", "gain", "levels", "most", "payload", "spike_unit", "theta", "two_sided"]
        assert sorted(file["layer/3/gate"]) == keys
        assert file["layer/3/gate/theta"].shape == (2, 1, 1)
    assert netx.read(tmp_path / "b.net") == bound
    with h5py.File(netx.write(tmp_path / "c.net", with_gate())) as file:
        assert not {"band", "most"} & set(file["layer/3/gate"])


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("layer/3/gate", None, "layer/3/gate is missing"),
        ("layer/3/gate/gain", None, "layer/3/gate/gain is missing"),
        ("layer/3/gate/theta", None, "layer/3/gate/theta is missing"),
        ("layer/3/gate/spike_unit", np.ones(3), "gate/spike_unit has shape .*; one value for each of 2"),
        ("layer/3/gate/gain", np.ones(3, int), r"gate/gain has shape \(3,\); one for each of 2 channels"),
        ("layer/3/gate/gain", np.ones((2, 1), int), r"gate/gain has shape \(2, 1\); one for each of 2"),
        ("layer/3/gate/gain", np.array([-1, 2]), "gate/gain must hold integers from 0 to 2147483647"),
        ("layer/3/gate/gain", np.array([1.5, 2]), "gate/gain has dtype float64, signed integers needed"),
        ("layer/3/gate/gain", np.array([b"x"]), "gate/gain has dtype .S1, signed integers needed"),
        ("layer/3/gate/theta", np.full((2, 1, 1), 6), "gate/theta of a gate must be 0 or a power of two"),
        ("layer/3/gate/theta", np.full((1, 2, 2), 4), r"gate/theta has shape \(1, 2, 2\); it must have"),
        ("layer/3/gate/payload", np.full((2, 1, 1), 1 << 30), "4 levels of a payload of 1073741824 exceed"),
        ("layer/3/gate/payload", np.full((2, 1, 1), -1), "gate/payload must hold integers from 0 to"),
        ("layer/3/gate/levels", 0, "layer/3/gate/levels is 0; it must be 1 to"),
        ("layer/3/gate/two_sided", 2, "layer/3/gate/two_sided is 2; it must be 0 to 1"),
        ("layer/3/gate/band", 1.5, "layer/3/gate/band is not one number from 0 to 1"),
        ("layer/3/gate/most", -1, "layer/3/gate/most is -1; it must be 0 to"),
        ("layer/3/inputs", np.array([1], np.int32), "layer/3: a gate reads two layers, .*, and not 1"),
        ("layer/3/inputs", np.array([1, 2, 2], np.int32), "layer/3: a gate reads two layers, .*, and not 3"),
        (
            "layer/3/inputs",
            np.array([2, 1], np.int32),
            "gate: its gate a has shape|gate: a source gives shape",
        ),
        ("layer/3/inputs", np.array([1, 3], np.int32), r"layer/3/inputs points to \(1, 3\), not to layers"),
        ("layer/3/type", np.array([b"gates"], "S20"), "layer/3/type is 'gates', which this program does not"),
        ("simulation/steps", 1 << 22, "gate: a gate of products up to [0-9]+, and 2251799813685248 at most"),
        ("format/version", 4, "format version 4 knows no neuron/curve and no gate, and this file has one"),
    ],
)
def test_gates_that_are_none_are_refused(tmp_path: Path, key: str, value: object, match: str) -> None:
    path = netx.write(tmp_path / "a.net", with_gate(band=0.5, most=7))
    with h5py.File(path, "a") as file:
        if key == "simulation/steps":  # without a bound of levels, as many as steps
            del file["layer/3/gate/most"]
        del file[key]
        if value is not None:
            file[key] = value
    with pytest.raises(BadFile, match=match) as caught:
        netx.read(path)
    assert str(caught.value).isprintable()
