"""Stock lava-dl on our files: its Network gives our spikes after `register()`, and refuses what it would
compute otherwise; its NetDict gives our arrays; its own files load unchanged."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lava_dl
import numpy as np
import pytest
from children import ROOT, in_child
from graphs import Chain, curved_snm, gate_of, irregular, readout, small, snm, weights
from lava_dl import samples

from dnisnm_lava.backends import batched, reference
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.system.extras import brings
from exporters import netx

LAVA_DL = importlib.util.find_spec("lava") is not None and importlib.util.find_spec("lava.lib") is not None
lava_dl_needed = pytest.mark.skipif(not LAVA_DL, reason="lava-dl is not installed")
STEPS = 5


# ---------------------------------------------------------------- chains


def image(*shape: int) -> Input:
    return Input("image", shape, np.ones(shape[0]), 8)


def full(value: int, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.int32)


def convolutions(rng: np.random.Generator) -> SpikingGraph:
    """Strided, padded, dilated, grouped and depthwise, with kernels that are not square; then a dense on the
    map."""
    layers = [
        Projection("image", weights(rng, 4, 2, 3, 2), (2, 1), ((1, 1), (2, 2))),
        Projection("a", weights(rng, 6, 2, 2, 3), padding=((0, 0), (1, 1)), dilation=(1, 2), groups=2),
        Projection("b", weights(rng, 6, 1, 1, 2), groups=6),
    ]
    populations: list[Population] = [image(2, 9, 7)]
    for name, projection, options in zip(
        "abc",
        layers,
        ({"levels": 3, "lead": 2}, {"two_sided": True, "down": 0.0}, {"lead": 1, "down": 0.4}),
        strict=True,
    ):
        populations.append(
            snm(name, projection.output_shape(populations[-1].shape), (projection,), rng, **options)
        )
    full_scale = rng.integers(-127, 128, (5, int(np.prod(populations[-1].shape)))).astype(np.int8)
    populations.append(snm("d", (5,), (Projection("c", full_scale),), rng, levels=2))
    populations.append(readout("out", (3,), (Projection("d", weights(rng, 3, 5)),), rng))
    return SpikingGraph(tuple(populations), steps=STEPS)


def maps(rng: np.random.Generator) -> SpikingGraph:
    """From an image to a map of classes, by convolutions alone; thresholds of channels."""
    inner = Projection("image", weights(rng, 3, 2, 3, 3), padding=((1, 1), (1, 1)))
    outer = Projection("a", weights(rng, 2, 3, 1, 1))
    out = replace(readout("out", (2, 4, 5), (outer,), rng), bias=full(3, 2, 1, 1))
    return SpikingGraph((image(2, 4, 5), snm("a", (3, 4, 5), (inner,), rng, shared=True), out), steps=STEPS)


def flattened(rng: np.random.Generator) -> SpikingGraph:
    """A dense layer on the image itself."""
    dense = Projection("image", weights(rng, 6, 24))
    return SpikingGraph(
        (
            image(2, 3, 4),
            snm("a", (6,), (dense,), rng),
            readout("out", (4,), (Projection("a", weights(rng, 4, 6)),), rng),
        ),
        steps=STEPS,
    )


def pooled(rng: np.random.Generator) -> SpikingGraph:
    """Average pools in front of a convolution and of a dense layer: 5x5 taps of 2x2 times 3x3, and windows
    that overlap."""
    halved = Projection(
        "a",
        weights(rng, 4, 3, 2, 2),
        padding=((1, 1), (1, 1)),
        dilation=(1, 2),
        sum_pool=Window((2, 2), (2, 2)),
    )
    populations: list[Population] = [
        image(2, 8, 8),
        snm("a", (3, 8, 8), (Projection("image", weights(rng, 3, 2, 1, 1)),), rng),
    ]
    populations.append(snm("b", halved.output_shape((3, 8, 8)), (halved,), rng, levels=2))
    last = Projection("b", weights(rng, 3, 4 * 4 * 3), sum_pool=Window((2, 2), (1, 1)))
    return SpikingGraph((*populations, readout("out", (3,), (last,), rng)), steps=STEPS)


def curves(rng: np.random.Generator) -> SpikingGraph:
    """Functions of running sums: of each channel of a map that is not square, of all channels, and a line."""
    first = Projection("image", weights(rng, 3, 2, 3, 2), padding=((1, 1), (0, 0)))
    a = curved_snm("a", (3, 4, 4), (first,), rng, levels=3, lead=2, two_sided=True)
    second = Projection("a", weights(rng, 2, 3, 1, 1))
    b = curved_snm("b", (2, 4, 4), (second,), rng, knots=1, own=False, shift=3, levels=9)
    c = curved_snm(
        "c", (4,), (Projection("b", weights(rng, 4, 32)),), rng, knots=0, shift=5, levels=9, two_sided=True
    )
    out = readout("out", (3,), (Projection("c", weights(rng, 3, 4)),), rng)
    return SpikingGraph((image(2, 4, 5), a, b, c, out), steps=STEPS)


def converted(rng: np.random.Generator) -> SpikingGraph:
    return small(Chain(), (6,), levels=2, lead=1, steps=STEPS)[0]


def drawn(rng: np.random.Generator) -> SpikingGraph:
    """A few convolutions of random shapes, and a read-out."""
    populations: list[Population] = [image(int(rng.integers(1, 4)), *rng.integers(6, 10, 2).tolist())]
    for name in "abc"[: rng.integers(1, 4)]:
        channels, height, width = populations[-1].shape
        groups = int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
        kernel = rng.integers(1, 4, 2)
        dilation = tuple(
            int(rng.integers(1, 3)) if k > 1 and 2 * (k - 1) < n else 1
            for k, n in zip(kernel, (height, width), strict=True)
        )
        top, left = rng.integers(0, 3, 2).tolist()
        weight = weights(rng, groups * int(rng.integers(1, 4)), channels // groups, *kernel.tolist())
        stride = tuple(rng.integers(1, 3, 2).tolist())
        projection = Projection(
            populations[-1].name, weight, stride, ((top, top), (left, left)), dilation, groups
        )
        shape = projection.output_shape(populations[-1].shape)
        if min(shape) < 1:
            break
        options = {
            "levels": int(rng.integers(1, 4)),
            "lead": int(rng.integers(0, 3)),
            "two_sided": bool(rng.integers(0, 2)),
        }
        options["down"] = float(rng.choice([1.0, 0.0, 0.3]))
        populations.append(snm(name, shape, (projection,), rng, **options))
    last = populations[-1]
    populations.append(
        readout("out", (3,), (Projection(last.name, weights(rng, 3, int(np.prod(last.shape)))),), rng)
    )
    return SpikingGraph(tuple(populations), steps=STEPS)


CHAINS: dict[str, Callable[[np.random.Generator], SpikingGraph]] = {
    "convolutions": convolutions,
    "maps": maps,
    "flattened": flattened,
    "pooled": pooled,
    "converted": converted,
    **{f"drawn{i}": drawn for i in range(3)},
    "with curves": curves,
}


def chain(name: str) -> SpikingGraph:
    return CHAINS[name](np.random.default_rng(sorted(CHAINS).index(name)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file; in `runs` those that are to be run, and "net.net", the first of them, on which more is
    tried."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "runs").mkdir()
    for name in CHAINS:
        netx.write(folder / f"{name}.net", chain(name))
        netx.write(folder / f"runs/{name}.net", chain(name))
    for name in REFUSED:
        netx.write(folder / f"{name}.net", refused(name))
    netx.write(folder / "runs/net.net", chain("convolutions"))
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    """What lava-dl alone makes of the files, and of its own."""
    return in_child(lava_dl.__file__, "alone", folder, 150)


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Any]:
    """What it does after `register()`; what chains sent is in `runs`."""
    return in_child(lava_dl.__file__, "registered", folder, 300)


@lava_dl_needed
@pytest.mark.parametrize("name", CHAINS)
def test_its_network_gives_our_spikes_on_chains(folder: Path, ran: dict[str, Any], name: str) -> None:
    """Every spike of every population of a stream, and the read-out in each step of its window."""
    graph = chain(name)
    x = samples(graph)
    expected, again = batched.run(graph, x, record=True), reference.run(graph, x)
    with np.load(folder / f"runs/{name}.npz") as found:
        assert sorted(found.files) == sorted([*(p.name for p in graph.of(SNM)), graph.readout.name])
        for p in graph.of(SNM):
            np.testing.assert_array_equal(found[p.name], expected.spikes[p.name], p.name)
            np.testing.assert_array_equal(found[p.name], again.spikes[p.name], p.name)
        assert found[graph.readout.name].any()
        np.testing.assert_array_equal(found[graph.readout.name], expected.logits)
    assert ran["saturations"][name] == expected.saturations


def test_the_chains_fire_up_and_down() -> None:
    spikes = batched.run(chain("convolutions"), samples(chain("convolutions")), record=True).spikes
    assert all((trace > 0).any() for trace in spikes.values())
    assert {name for name, trace in spikes.items() if (trace < 0).any()} >= {"b", "c"}
    spikes = reference.run(chain("with curves"), samples(chain("with curves"))).spikes
    assert all((trace > 0).any() and (trace < 0).any() for trace in spikes.values())


@lava_dl_needed
def test_the_page_of_the_format_shows_how(ran: dict[str, Any]) -> None:
    """Its code runs as it stands, and gives our classes."""
    graph = chain("convolutions")
    assert ran["page"] == batched.run(graph, samples(graph)).logits[:, -1].tolist()


def test_the_recipe_of_the_module_is_the_pages() -> None:
    docstring = (ROOT / "exporters/netx_lava_dl.py").read_text().split('"""')[1]
    recipe = [line[4:] for line in docstring.splitlines() if line.startswith("    ")]
    page = (ROOT / "docs/format.md").read_text().splitlines()
    assert len(recipe) == 7
    assert [line for line in page if line in recipe] == recipe


@lava_dl_needed
def test_one_window_a_late_source_sparse_layers_the_fast_conv_and_the_first_layers_alone(
    ran: dict[str, Any],
) -> None:
    graph, found = chain("convolutions"), ran
    run = batched.run(graph, samples(graph), record=True)
    assert found["one window"] == found["late"] == run.logits[0, -1].tolist()
    assert found["silence"] is True
    assert found["sparse and fast"] == run.logits[:, -1].tolist()
    assert found["first layers"] == run.spikes["b"].tolist()


# ---------------------------------------------------------------- what would be something else


def branch(rng: np.random.Generator) -> SpikingGraph:
    first = Projection("image", weights(rng, 4, 4))
    twice = (Projection("a", weights(rng, 4, 4)), Projection("a", weights(rng, 4, 4)))
    out = readout("out", (2,), (Projection("b", weights(rng, 2, 4)),), rng)
    return SpikingGraph(
        (image(4), snm("a", (4,), (first,), rng), snm("b", (4,), twice, rng), out), steps=STEPS
    )


def shortcut(rng: np.random.Generator) -> SpikingGraph:
    """Each population has one source, and one of them is not the layer before."""
    into = [
        snm(name, (4,), (Projection(source, weights(rng, 4, 4)),), rng)
        for name, source in (("a", "image"), ("b", "image"))
    ]
    return SpikingGraph(
        (image(4), *into, readout("out", (2,), (Projection("b", weights(rng, 2, 4)),), rng)), steps=STEPS
    )


def two_outputs(rng: np.random.Generator) -> SpikingGraph:
    outs = [readout(name, (2,), (Projection("a", weights(rng, 2, 4)),), rng) for name in ("out", "other")]
    return SpikingGraph(
        (image(4), snm("a", (4,), (Projection("image", weights(rng, 4, 4)),), rng), *outs), steps=STEPS
    )


def maxpool(rng: np.random.Generator) -> SpikingGraph:
    """A pool that keeps the shape: skipped, nothing would contradict."""
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    first, last = Projection("image", weights(rng, 2, 2, 1, 1)), Projection("pool", weights(rng, 2, 2, 1, 1))
    pool, out = MaxPool("pool", (2, 4, 4), "a", window), readout("out", (2, 4, 4), (last,), rng)
    return SpikingGraph((image(2, 4, 4), snm("a", (2, 4, 4), (first,), rng), pool, out), steps=STEPS)


def pool_of_the_image(rng: np.random.Generator) -> SpikingGraph:
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    last = Projection("pool", weights(rng, 2, 2, 1, 1))
    return SpikingGraph(
        (
            image(2, 4, 4),
            MaxPool("pool", (2, 4, 4), "image", window),
            readout("out", (2, 4, 4), (last,), rng),
        ),
        steps=STEPS,
    )


def squared(rng: np.random.Generator) -> SpikingGraph:
    """A gate, both of whose sources stand before it."""
    a = snm("a", (4,), (Projection("image", weights(rng, 4, 4)),), rng)
    out = readout("out", (2,), (Projection("gate", weights(rng, 2, 4)),), rng)
    return SpikingGraph((image(4), a, gate_of("gate", (4,), ("a", "a"), rng), out), steps=STEPS)


def one(
    into: Callable[[np.random.Generator], Projection], *shape: int, **change: Any
) -> Callable[[np.random.Generator], SpikingGraph]:
    """Image (2, 4, 4), one population `a` with the given projection, a dense read-out."""

    def graph(rng: np.random.Generator) -> SpikingGraph:
        a = replace(snm("a", shape, (into(rng),), rng), **change)
        return SpikingGraph(
            (
                image(2, 4, 4),
                a,
                readout("out", (3,), (Projection("a", weights(rng, 3, int(np.prod(shape)))),), rng),
            ),
            steps=STEPS,
        )

    return graph


def out_with(weight: np.ndarray) -> Callable[[np.random.Generator], SpikingGraph]:
    def graph(rng: np.random.Generator) -> SpikingGraph:
        a = snm("a", (weight.shape[1],), (Projection("image", weights(rng, weight.shape[1], 4)),), rng)
        return SpikingGraph(
            (image(4), a, readout("out", (len(weight),), (Projection("a", weight),), rng)), steps=STEPS
        )

    return graph


def many_groups(rng: np.random.Generator) -> SpikingGraph:
    wide = snm("a", (128, 2, 2), (Projection("image", weights(rng, 128, 2, 1, 1)),), rng)
    deep = snm("b", (128, 2, 2), (Projection("a", weights(rng, 128, 1, 1, 1), groups=128),), rng)
    return SpikingGraph(
        (image(2, 2, 2), wide, deep, readout("out", (2,), (Projection("b", weights(rng, 2, 512)),), rng)),
        steps=STEPS,
    )


START, PAD = ((1, 0), (1, 0)), ((1, 1), (1, 1))
REFUSED: dict[str, tuple[Callable[[np.random.Generator], SpikingGraph], str]] = {
    "branch": (branch, r"layer b: inputs reads a, a, and it connects each layer to the one before, a"),
    "shortcut": (shortcut, r"layer b: inputs reads image"),
    "two outputs": (two_outputs, r"layer other: inputs reads a"),
    "max-pool": (maxpool, r"layer pool: type is maxpool, a layer that it skips"),
    "pool of the image": (pool_of_the_image, r"layer pool: type is maxpool"),
    "gate": (squared, r"layer gate: type is gate, a layer that it does not know"),
    "exponent": (
        one(lambda r: Projection("image", weights(r, 2, 2, 1, 1), exponent=1), 2, 4, 4),
        r"layer a: exponent changes the current, and is a dataset that it ignores",
    ),
    "sum-pool": (
        one(
            lambda r: Projection(
                "image", weights(r, 2, 2, 3, 3), padding=PAD, sum_pool=Window((2, 2), (1, 1))
            ),
            2,
            3,
            3,
        ),
        r"layer a: sum_pool changes the current, and is a dataset that it ignores",
    ),
    "resample": (
        one(
            lambda r: replace(
                irregular("image", 2, (4, 4), (2, 4, 4), r),
                weight=weights(r, 2, 2, 1, 1),
                source_channels=None,
                target_channels=None,
                targets=0,
            ),
            2,
            4,
            4,
        ),
        r"layer a: resample",
    ),
    "source channels": (
        one(lambda r: Projection("image", weights(r, 2, 2, 1, 1), source_channels=np.array([1, 0])), 2, 4, 4),
        r"layer a: source_channels",
    ),
    "target channels": (
        one(
            lambda r: Projection(
                "image", weights(r, 2, 2, 1, 1), target_channels=np.array([1, 0]), targets=2
            ),
            2,
            4,
            4,
        ),
        r"layer a: target_channels",
    ),
    "target shape": (
        one(lambda r: Projection("image", weights(r, 32, 32), target_shape=(2, 4, 4)), 2, 4, 4),
        r"layer a: target_shape",
    ),
    "padding at one end": (
        one(lambda r: Projection("image", weights(r, 2, 2, 2, 2), padding=START), 2, 4, 4),
        r"layer a: padding_end",
    ),
    "bias of each neuron": (
        one(lambda r: Projection("image", weights(r, 4, 2, 1, 1)), 4, 4, 4, bias=full(3, 4, 4, 4)),
        r"layer a: bias has shape \(4, 4, 4\), and it takes one bias a channel",
    ),
    "128 groups": (many_groups, r"layer b: groups holds 128, and Lava's Conv keeps up to 127"),
    "a current of 24 bits": (
        one(lambda r: Projection("image", full(40_000, 2, 2, 1, 1)), 2, 4, 4),
        r"layer a: weight allows a current of 10160000, and Lava's Conv wraps at 8388608",
    ),
    "weights of nine bits": (
        out_with(np.array([[255, -1]], np.int16)),
        r"layer out: weight reaches from -1 to 255, more than the 8 bits",
    ),
    "weights of more bits": (
        out_with(np.array([[300, 3]], np.int16)),
        r"layer out: weight reaches from 3 to 300, more than the 8 bits",
    ),
    "no weights": (out_with(np.zeros((1, 2), np.int8)), r"layer out: weight is all zero"),
}


def refused(name: str) -> SpikingGraph:
    return REFUSED[name][0](np.random.default_rng(1))


@lava_dl_needed
@pytest.mark.parametrize("name", REFUSED)
def test_what_it_would_compute_otherwise_is_refused_by_layer_and_dataset(
    ran: dict[str, Any], name: str
) -> None:
    sentence = (
        rf"^OutOfRange: {name}\.net: {REFUSED[name][1]}.* run this file with dnisnm simulate FILE "
        rf"--backend lava$"
    )
    assert re.search(sentence, ran["with"][name]), ran["with"][name]


@lava_dl_needed
def test_the_chains_are_not_refused(ran: dict[str, Any]) -> None:
    assert {ran["with"][name] for name in CHAINS} == {"built"}


@lava_dl_needed
@pytest.mark.parametrize("name", [*CHAINS, *REFUSED])
def test_without_register_every_file_fails(alone: dict[str, Any], name: str) -> None:
    """Chains, branches and pools: none is built as something else, however many of its layers are asked
    for."""
    errors = alone["without"][name]
    assert set(errors) <= {
        "AttributeError: 'NoneType' object has no attribute 'pop'",
        "IndexError: list index out of range",
    }
    assert errors[-1].startswith("AttributeError")  # the whole file


@lava_dl_needed
def test_arguments_that_do_not_go_with_snm_are_refused(ran: dict[str, Any]) -> None:
    interval, offset, skip, foreign = ran["arguments"]
    assert re.search(
        r"OutOfRange: .*net: reset_interval: 6 steps given; windows of 7 steps would overlap, give 7 or more",
        interval,
    )
    assert re.search(r"OutOfRange: .*net: reset_offset: -1 given", offset)
    assert re.search(r"OutOfRange: .*net: skip_layers: 2 given", skip)
    assert re.search(
        r"BadFile: .*foreign: /layer/1/neuron is of type SNM, but no format/name says whose", foreign
    )


def test_lava_dl_that_is_not_installed_is_named_with_its_extra() -> None:
    program = "import sys; sys.modules['lava'] = None; from exporters import netx; netx.register()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dnisnm_lava.errors.BackendMissing: lava-dl is not installed"), done.stderr
    assert brings("lava") in last


def test_the_exporter_lives_without_lava() -> None:
    program = (
        "import sys; sys.modules['lava'] = None; from exporters import netx; print(callable(netx.register))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "True\n", done.stderr


# ---------------------------------------------------------------- its own files, and its NetDict


def own_files() -> None:
    if not lava_dl.files().is_dir():
        pytest.skip(f"this wheel of lava-dl brought no networks of its own: no folder {lava_dl.files()}")


@lava_dl_needed
@pytest.mark.parametrize("name", lava_dl.OWN)
def test_its_own_files_load_as_without_register(
    alone: dict[str, Any], ran: dict[str, Any], name: str
) -> None:
    """The same processes, with the same variables."""
    own_files()
    assert ran["own"][name] == alone["own"][name]
    assert sum(len(process) for process in alone["own"][name]) > 20


@lava_dl_needed
def test_its_own_files_send_after_register_what_it_recorded(ran: dict[str, Any]) -> None:
    own_files()
    networks = {
        "tiny",
        "pilotnet_lif input",
        "pilotnet_lif conv-0",
        "pilotnet_lif conv-1",
        "pilotnet_sdnn",
        "ntidigits",
    }
    assert set(ran["from_recorded"]) == networks
    for name, (differ, nonzero) in ran["from_recorded"].items():
        assert differ == 0, name
        assert nonzero > 0, name


@lava_dl_needed
def test_the_one_that_it_did_not_record_sends_what_it_does_without_register(
    alone: dict[str, Any], ran: dict[str, Any]
) -> None:
    own_files()
    assert ran["mnist"] == alone["mnist"]
    assert ran["mnist"]["spikes"] > 0


@lava_dl_needed
@pytest.mark.parametrize("name", CHAINS)
def test_its_netdict_gives_the_graphs_arrays(alone: dict[str, Any], name: str) -> None:
    """Every dataset of a plain layer that lava-dl knows, as NetDict returns it, against the graph."""
    graph = chain(name)
    layers = [layer for layer in alone["netdict"][name] if layer["type"] != "flatten"]
    kinds = [
        "input",
        *("conv" if p.projections[0].is_conv else "dense" for p in graph if isinstance(p, SNM | ReadOut)),
    ]
    assert [layer["type"] for layer in layers] == kinds
    for p, layer in zip(graph, layers, strict=True):
        assert layer["shape"] == list(p.shape)
        if isinstance(p, SNM | ReadOut):
            check_layer(p, layer)


def check_layer(p: SNM | ReadOut, layer: dict[str, Any]) -> None:
    (q,) = p.projections
    assert layer["weight"] == q.weight.tolist()
    assert layer["bias"] == p.bias.reshape(-1).tolist()
    assert layer["neuron"]["type"] == "SNM"
    theta = np.array(layer["neuron"]["theta"])  # of a channel, where its neurons share it
    np.testing.assert_array_equal(np.broadcast_to(theta, p.shape), p.vth if isinstance(p, SNM) else 0)
    if q.is_conv:
        (top, bottom), (left, right) = q.padding
        assert (top, left) == (bottom, right)
        assert layer["stride"] == list(q.stride)
        assert layer["padding"] == [top, left]
        assert layer["dilation"] == list(q.dilation)
        assert layer["groups"] == q.groups
