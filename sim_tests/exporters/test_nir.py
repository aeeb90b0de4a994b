"""NIR: what is written is exact, what is lost is told, what has no node is refused. Read by the nir package,
run by an interpreter of its equations here, and by nirtorch."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphs import curved_snm, gated, irregular, readout, small, snm, weights
from hypothesis import given, settings
from hypothesis import strategies as st

from dnisnm_lava.backends import reference
from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.ir import SNM, Input, Population, Projection, SpikingGraph, dynamics
from dnisnm_lava.ir.arithmetic import NO_PADDING, Window
from dnisnm_lava.system.extras import brings
from exporters import nir as exporter

nir = pytest.importorskip("nir", reason="nir is not installed")

Neuron = Callable[[np.ndarray], np.ndarray]


# ---------------------------------------------------------------- an interpreter of NIR's equations


def integrate_and_fire(name: str, node: Any) -> Neuron:
    """nir.IF for dt = 1: v + r z; fires where v > v_threshold, and is v_reset then."""
    v = np.zeros(node.r.shape)

    def step(z: np.ndarray) -> np.ndarray:
        v[:] = v + node.r * z
        fired = v > node.v_threshold
        v[fired] = node.v_reset[fired]
        return fired.astype(float)

    return step


def interpret(
    graph: Any, codes: np.ndarray, steps: int, neuron: Callable[[str, Any], Neuron] = integrate_and_fire
) -> dict[str, np.ndarray]:
    """{node: (steps, ...) what it gives}: each step through all nodes in topological order; edges into one
    node add up."""
    sources = defaultdict(list)
    for a, b in graph.edges:
        sources[b].append(a)
    order: list[str] = []
    while len(order) < len(graph.nodes):
        order += [n for n in graph.nodes if n not in order and all(s in order for s in sources[n])]
    fire = {name: neuron(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.IF)}
    total: dict[str, Any] = defaultdict(float)
    gave = defaultdict(list)
    for _ in range(steps):
        for name in order:
            node, x = graph.nodes[name], sum(gave[s][-1] for s in sources[name])
            if isinstance(node, nir.Input):
                y = codes.astype(float)
            elif isinstance(node, nir.Conv2d):
                arguments = node.stride, node.padding, node.dilation, node.groups
                y = F.conv2d(
                    torch.tensor(x),
                    torch.tensor(node.weight),
                    torch.tensor(node.bias),
                    *map(_plain, arguments),
                ).numpy()
            elif isinstance(node, nir.Affine):
                y = node.weight @ x + node.bias
            elif isinstance(node, nir.SumPool2d):
                size = _plain(node.kernel_size)
                y = F.avg_pool2d(
                    torch.tensor(x), size, _plain(node.stride), _plain(node.padding), divisor_override=1
                ).numpy()
            elif isinstance(node, nir.Flatten):
                assert (node.start_dim, node.end_dim) == (0, -1)
                y = x.reshape(-1)
            elif isinstance(node, nir.Scale):
                y = x * node.scale
            elif isinstance(node, nir.IF):
                y = fire[name](x)
            elif isinstance(node, nir.I):
                total[name] = y = total[name] + node.r * x
            else:
                assert isinstance(node, nir.Output)
                y = x
            gave[name].append(y)
    return {name: np.stack(trace) for name, trace in gave.items()}


def _plain(value: Any) -> Any:
    return [int(v) for v in value] if np.ndim(value) else int(value)


# ---------------------------------------------------------------- what is in the file


@st.composite
def expressible(draw: st.DrawFn) -> SpikingGraph:
    """Every projection that NIR has nodes for: groups, strides, dilation, chosen channels, sum-pools, dense
    layers, several into one population, several read-outs; no lead, since NIR's edges know no time."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels, groups, stride, exponent = (draw(st.sampled_from(v)) for v in ((1, 3), (1, 2), (1, 2), (0, 2)))
    even = ((1, 1), (1, 1))
    first = Projection("input", weights(rng, 4, 2, 3, 3), (stride, stride), even, exponent=exponent)
    shape = first.output_shape((2, 6, 6))
    second = [
        Projection(
            "a.0",
            weights(rng, 4, 4 // groups, 3, 3),
            padding=((2, 2), (2, 2)),
            dilation=(2, 2),
            groups=groups,
        )
    ]
    chosen = irregular("a.0", 4, shape[1:], shape, rng)
    second.append(replace(chosen, resample=None))
    if draw(st.booleans()):
        second.append(Projection("a.0", np.full((4, 1, 1, 1), 5, np.int8), groups=4))
    window = Window((2, 2), (1, 1), draw(st.sampled_from([NO_PADDING, even])))
    pooled = window.output_size(shape[1:])
    read = rng.permutation(4)[:3].astype(np.int32)
    dense = Projection("b", weights(rng, 3, 3 * pooled[0] * pooled[1]), sum_pool=window, source_channels=read)
    populations: list[Population] = [
        Input("input", (2, 6, 6), np.ones(2), 8),
        snm(
            "a.0",
            shape,
            (first,),
            rng,
            levels=levels,
            two_sided=draw(st.booleans()),
            down=draw(st.sampled_from([1.0, 0.0])),
        ),
        snm("b", shape, tuple(second), rng, levels=levels),
        snm("c", (3,), (dense,), rng),
        readout(
            "out",
            (2,),
            (Projection("c", weights(rng, 2, 3)), Projection("b", weights(rng, 2, int(np.prod(shape))))),
            rng,
        ),
        replace(
            readout("map", (3, *shape[1:]), (Projection("b", weights(rng, 3, 4, 1, 1)),), rng),
            bias=np.ones((3, 1, 1), np.int32),
        ),
    ]
    return SpikingGraph(tuple(populations), steps=draw(st.integers(1, 6)))


@settings(max_examples=30)
@given(graph=expressible(), seed=st.integers(0, 1000))
def test_weights_biases_payloads_and_wiring_are_exact(
    tmp_path_factory: pytest.TempPathFactory, graph: SpikingGraph, seed: int
) -> None:
    """The file with our neurons in IF's place, which know what IF loses: every read-out potential equals the
    reference's."""

    def ours(name: str, node: Any) -> Neuron:
        p = next(p for p in graph.of(SNM) if p.name.replace(".", "_") == name)
        np.testing.assert_array_equal(node.v_threshold, np.where(p.vth > 0, p.vth - 0.5, exporter.NEVER))
        state = [p.v_init.astype(np.int64), np.zeros(p.shape, np.int64)]

        def step(z: np.ndarray) -> np.ndarray:
            current = z.astype(np.int64)
            np.testing.assert_array_equal(current, z)
            v, _ = dynamics.integrate(state[0], current, np.zeros(p.shape, np.int64))
            k, *state[:] = dynamics.fire(
                v, state[1], p.vth, p.levels, p.two_sided, dynamics.lower_threshold(p.vth, p.down)
            )
            return k.astype(float)

        return step

    codes = np.random.default_rng(seed).integers(-127, 128, graph.input.shape)
    file = exporter.write(tmp_path_factory.mktemp("nir") / "a.nir", graph, lossy=True).path
    found = interpret(nir.read(file), codes, graph.steps, ours)
    run = reference.run(graph, codes[None].astype(float))
    np.testing.assert_array_equal(found["out_output"], run.logits[0])
    np.testing.assert_array_equal(found["map_output"], run.further["map"][0])


def test_a_dead_neurons_threshold_is_beyond_24_bits() -> None:
    assert exporter.NEVER > 2**24


# ---------------------------------------------------------------- where IF and SNM are the same


def coincident(seed: int) -> tuple[SpikingGraph, np.ndarray]:
    """Neurons that reach their thresholds exactly and start at 0, under currents that are constant (a) or
    come in equal parts (b): nothing is above the threshold to be forgotten, nothing is sent that is taken
    back, for the one image that is given."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-127, 128, (2, 6, 6))
    conv = Projection("input", weights(rng, 4, 2, 3, 3), padding=((1, 1), (1, 1)))
    a = snm("a", (4, 6, 6), (conv,), rng)
    z = conv(codes[None])[0] + a.bias
    vth = np.where(z > 0, rng.integers(1, 4, z.shape) * z, 2**22).astype(np.int32)
    a = replace(a, vth=vth, payload=rng.integers(1, 32, z.shape).astype(np.int32), v_init=np.zeros_like(vth))
    same = Projection("a", rng.integers(1, 9, (4, 1, 1, 1)).astype(np.int8), groups=4)
    b = snm("b", (4, 6, 6), (same,), rng)
    vth = (rng.integers(1, 4, z.shape) * same(a.payload[None])[0]).astype(np.int32)
    b = replace(
        b,
        bias=np.zeros_like(b.bias),
        vth=vth,
        payload=rng.integers(1, 32, z.shape).astype(np.int32),
        v_init=np.zeros_like(vth),
    )
    into_out = (
        Projection("b", weights(rng, 3, 4 * 9), sum_pool=Window((2, 2), (2, 2))),
        Projection("a", weights(rng, 3, 4 * 36)),
    )
    return SpikingGraph(
        (Input("input", (2, 6, 6), np.ones(2), 8), a, b, readout("out", (3,), into_out, rng)), steps=12
    ), codes


@pytest.mark.parametrize("seed", range(5))
def test_nirs_own_neurons_give_the_references_integers_where_the_models_coincide(
    tmp_path: Path, seed: int
) -> None:
    graph, codes = coincident(seed)
    run = reference.run(graph, codes[None].astype(float))
    assert all((run.spikes[name] > 0).any() and not (run.spikes[name] < 0).any() for name in "ab")
    found = interpret(
        nir.read(exporter.write(tmp_path / "a.nir", graph, lossy=True).path), codes, graph.steps
    )
    for name in "ab":
        np.testing.assert_array_equal(found[f"{name}_payload"], run.spikes[name][0])
    np.testing.assert_array_equal(found["out_output"], run.logits[0])


def test_elsewhere_the_models_differ(tmp_path: Path) -> None:
    """The losses are real: with a residue above the threshold, or from theta / 2 on, IF sends something
    else."""
    graph, codes = coincident(0)
    started = replace(
        graph, populations=tuple(replace(p, v_init=p.vth >> 1) if isinstance(p, SNM) else p for p in graph)
    )
    run = reference.run(started, codes[None].astype(float))
    found = interpret(
        nir.read(exporter.write(tmp_path / "a.nir", started, lossy=True).path), codes, graph.steps
    )
    assert (found["a_payload"] != run.spikes["a"][0]).any()


class Stateful(torch.nn.Module):
    """IF and I for nirtorch, which leaves neurons to its users."""

    def __init__(self, node: Any) -> None:
        super().__init__()
        self.threshold = torch.tensor(getattr(node, "v_threshold", np.inf))
        self.fires = isinstance(node, nir.IF)

    def forward(
        self, x: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        v = x if state is None else state + x
        if not self.fires:
            return v, v
        fired = v > self.threshold
        return fired.to(v), torch.where(fired, 0.0, v)


class Times(torch.nn.Module):
    def __init__(self, node: Any) -> None:
        super().__init__()
        self.factor = torch.tensor(node.scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def affine(node: Any) -> torch.nn.Linear:
    """nirtorch 2.6's own leaves the bias at random: it sets an attribute of the weight."""
    linear = torch.nn.Linear(*reversed(node.weight.shape))
    linear.load_state_dict({"weight": torch.tensor(node.weight), "bias": torch.tensor(node.bias)})
    return linear


@pytest.mark.parametrize("seed", range(3))
def test_nirtorch_runs_the_file(tmp_path: Path, seed: int) -> None:
    """Its reader, wiring, convolutions, pools and flattens; neurons and Affine given to it. The same
    integers, step by step."""
    nirtorch = pytest.importorskip("nirtorch", reason="nirtorch is not installed")
    graph, codes = coincident(seed)
    given_to_it = {nir.IF: Stateful, nir.I: Stateful, nir.Scale: Times, nir.Affine: affine}
    file = exporter.write(tmp_path / "a.nir", graph, lossy=True).path
    network = nirtorch.nir_to_torch(nir.read(file), given_to_it, dtype=torch.float64)
    state, sums = None, []
    with torch.no_grad():
        for _ in range(graph.steps):
            out, state = network(torch.tensor(codes, dtype=torch.float64), state)
            sums.append(out.numpy())
    np.testing.assert_array_equal(np.stack(sums), reference.run(graph, codes[None].astype(float)).logits[0])


def test_snntorch_says_that_it_knows_one_threshold_a_node(tmp_path: Path) -> None:
    """When this fails, snnTorch has become a reader, and the module's page should say so."""
    importer = pytest.importorskip("snntorch.import_nir", reason="snntorch is not installed")
    file = exporter.write(tmp_path / "a.nir", coincident(0)[0], lossy=True).path
    with pytest.raises(AssertionError, match="v_threshold must be same for all neurons"):
        importer.import_from_nir(nir.read(file))


# ---------------------------------------------------------------- losses and refusals


def test_losses_are_told_before_and_after(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    into_b = Projection("a", weights(rng, 2, 3))
    graph = SpikingGraph(
        (
            Input("input", (2,), np.ones(2), 8),
            snm("a", (3,), (Projection("input", weights(rng, 3, 2)),), rng, levels=2, two_sided=True),
            replace(snm("b", (2,), (into_b,), rng, lead=1, down=0.5), v_init=np.zeros(2, np.int32)),
            readout("out", (2,), (Projection("b", weights(rng, 2, 2)),), rng),
        ),
        steps=2,
    )
    said = {
        "a, b: soft reset, since IF forgets what exceeds the threshold",
        "a: initial potential, since IF starts at 0",
        "b: negative spikes and the memory that gates them",
        "a: several levels a spike, since IF sends 0 or 1",
        "a: negative spikes of a relayed linear tensor, of which IF sends the positive part",
        "b: lead, so that they fire from the first step on",
        "b: the lower threshold of levels taken back",
        "a, b, out: saturation at 24 bits",
        "input: rounding of the image to 8 bits; give its codes",
    }
    with pytest.raises(
        OutOfRange, match=r"a\.nir: NIR cannot say all of this network; write it with lossy=True"
    ) as error:
        exporter.write(tmp_path / "a.nir", graph)
    assert all(sentence in str(error.value) for sentence in said)
    assert not list(tmp_path.iterdir())
    written = exporter.write(tmp_path / "a.nir", graph, lossy=True)
    assert (written.path, set(written.lost)) == (tmp_path / "a.nir", said)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nir"]


def test_a_function_that_is_lost_is_told_and_leaves_its_steepest_line(tmp_path: Path) -> None:
    """A level of 2**12, and lines of at most 10: 410 of a potential make one."""
    rng = np.random.default_rng(0)
    p = curved_snm("a", (3,), (Projection("input", weights(rng, 3, 2)),), rng, levels=2)
    assert p.curve is not None
    slopes = np.array([[-10, 1, 3], [0, 0, 0], [2, 4, 1]])
    p = replace(p, curve=replace(p.curve, slopes=slopes), vth=np.full(3, 1 << 12), payload=np.ones(3, int))
    out = readout("out", (2,), (Projection("a", weights(rng, 2, 3)),), rng)
    graph = SpikingGraph((Input("input", (2,), np.ones(2), 8), p, out), steps=2)
    written = exporter.write(tmp_path / "a.nir", graph, lossy=True)
    told = "a: the function of the running sum, of whose steepest line alone IF has the threshold"
    assert told in written.lost
    thresholds = nir.read(tmp_path / "a.nir").nodes["a"].v_threshold
    assert thresholds.tolist() == [409.5, exporter.NEVER, 1023.5]


def test_what_has_no_node_is_refused_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(
        OutOfRange, match=r"NIR has no node for the gate \w+, which multiplies; write it with"
    ):
        exporter.write(tmp_path / "a.nir", gated()[0], lossy=True)
    with pytest.raises(
        OutOfRange, match=r"NIR has no node for the max-pool conv2\.pool; write it with exporters\.netx"
    ):
        exporter.write(tmp_path / "a.nir", small()[0], lossy=True)
    uneven = Projection("input", weights(rng, 4, 2, 3, 3), padding=((0, 2), (1, 1)))
    oblong = Projection("input", weights(rng, 4, 2, 1, 3), padding=((0, 0), (1, 1)))
    filled = Projection("input", weights(rng, 100, 50), target_shape=(4, 5, 5))
    a = snm("a", (4, 5, 5), (uneven, oblong, filled, irregular("input", 3, (5, 5), (4, 5, 5), rng)), rng)
    a = replace(
        a,
        projections=(
            *a.projections[:3],
            replace(a.projections[3], source_channels=np.array([1, 0, 1], np.int32)),
        ),
    )
    a = replace(a, bias=rng.integers(-5, 6, (4, 5, 5)).astype(np.int32))
    dilated = Projection("a", weights(rng, 2, 4 * 9), sum_pool=Window((2, 2), (1, 1), dilation=(2, 2)))
    graph = SpikingGraph(
        (Input("input", (2, 5, 5), np.ones(2), 8), a, readout("out", (2,), (dilated,), rng)), steps=2
    )
    with pytest.raises(OutOfRange) as error:
        exporter.write(tmp_path / "a.nir", graph, lossy=True)
    for what in (
        "the bias of a, which differs from pixel to pixel",
        "the convolution, padded unevenly, from input into a",
        "the convolution, whose kernel is not square, from input into a",
        "the map filled by a dense layer from input into a",
        "the resampling from input into a",
        "the sum-pool, dilated, from a into out",
    ):
        assert what in str(error.value)
    with pytest.raises(OutOfRange, match="the graph holds floats"):
        exporter.write(tmp_path / "a.nir", small(quantize=False)[0], lossy=True)
    assert not list(tmp_path.iterdir())


def test_two_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    graph, _ = coincident(0)
    named = {"a": "x.y", "b": "x_y"}

    def renamed(p: Population) -> Population:
        if isinstance(p, Input):
            return p
        projections = tuple(replace(q, source=named.get(q.source, q.source)) for q in p.projections)  # type: ignore[union-attr]
        return replace(p, name=named.get(p.name, p.name), projections=projections)  # type: ignore[call-arg]

    with pytest.raises(OutOfRange, match="two nodes of the NIR graph would have this name"):
        exporter.write(tmp_path / "a.nir", replace(graph, populations=tuple(map(renamed, graph))), lossy=True)


def test_an_existing_file_is_kept_and_a_missing_package_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, _ = coincident(0)
    path = tmp_path / "a.nir"
    path.write_bytes(b"precious")
    with pytest.raises(ValueError, match="exists already"):
        exporter.write(path, graph, lossy=True)
    assert path.read_bytes() == b"precious"
    exporter.write(path, graph, lossy=True, overwrite=True)
    assert nir.read(path).nodes.keys() == exporter.nodes(graph).nodes.keys()
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(BackendMissing, match=re.escape(brings("nir"))):
        exporter.write(tmp_path / "b.nir", graph, lossy=True)
