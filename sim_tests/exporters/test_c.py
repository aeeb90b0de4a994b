"""The network in C99: every spike of every population, every sum and every count equals the
specification's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from graphs import (
    Chain,
    curved,
    curved_graphs,
    gated,
    gated_graphs,
    integer_graphs,
    loud,
    readout,
    small,
    snm,
    weights,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Curve, Gate, Input, MaxPool, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import encode_images
from exporters import c

CC = shutil.which("cc")
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
CHECKS = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-O1"]
GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
PHASES = [Phase.explicit, Phase.generate]  # to shrink a failure is to compile for minutes
ROOT = Path(__file__).resolve().parents[2]

needs_compiler = pytest.mark.skipif(CC is None, reason="no C compiler: cc is not on the path")

# what one network says of its images: of each, clipped pixels, codes, spikes of each population and its count
# of saturations; then, run at once, its sums
PROGRAM = """
static void run_{name}(int images)
{{
    static const int32_t neurons[] = {{{neurons}}};
    static float pixels[{name}_CODES];
    static {code} codes[{name}_CODES];
    static int32_t sums[{name}_STEPS * {name}_SUMS];
    int n, p, t, i;
    long begin = ftell(stdin);
    {init}
    for (n = 0; n < images; n++) {{
        if (fread(pixels, sizeof pixels[0], {name}_CODES, stdin) != {name}_CODES)
            exit(2);
        say({name}_encode(pixels, codes));
        for (i = 0; i < {name}_CODES; i++)
            say(codes[i]);
        {name}_begin(codes, sums, 1);
        while ((p = {name}_next()) >= 0)
            for (t = 0; t < {name}_STEPS; t++)
                for (i = 0; i < neurons[p]; i++)
                    say({name}_sent(p, t, i));
        say((int64_t){name}_saturated());
    }}
    fseek(stdin, begin, SEEK_SET);
    {init}
    for (n = 0; n < images; n++) {{
        if (fread(pixels, sizeof pixels[0], {name}_CODES, stdin) != {name}_CODES)
            exit(2);
        {name}_encode(pixels, codes);
        {name}_{run}(codes, sums);
        for (i = 0; i < {name}_SUMS; i++)
            say(sums[i]);
    }}
}}
"""


@dataclass(frozen=True)
class Said:
    """What the program of a graph said of N images: clipped pixels; codes; {population: (N, T, *shape)} what
    it sent, of a read-out its sums; how often potentials were clipped, asked after each image; sums of
    `run`."""

    clipped: list[int]
    codes: np.ndarray
    sent: dict[str, np.ndarray]
    saturated: list[int]
    sums: np.ndarray


def said(folder: Path, jobs: Sequence[tuple[SpikingGraph, np.ndarray, int | None]]) -> list[Said]:
    """Each graph's, of its images (float32), for so many steps: compiled together, run at once."""
    program = ["#include <stdio.h>", "#include <stdlib.h>"]
    parts, data, files = [], [], []
    for i, (graph, x, steps) in enumerate(jobs):
        written = c.write(folder / f"net{i}.c", graph, steps=steps, overwrite=True)
        files.append(written.source)
        program.append(f'#include "{written.header.name}"')
        code = re.search(r"encode\(const float \*pixels, (\w+)", written.header.read_text())
        assert code is not None
        parts.append(
            PROGRAM.format(
                name=f"net{i}",
                neurons=", ".join(str(np.prod(p.shape)) for p in graph),
                code=code[1],
                init=f"net{i}_init();" if graph.carry else "",
                run="frame" if graph.carry else "run",
            )
        )
        data.append(np.ascontiguousarray(x, np.float32))
    program.append("static void say(int64_t value)\n{\n    fwrite(&value, sizeof value, 1, stdout);\n}")
    calls = "".join(f"    run_net{i}({len(x)});\n" for i, x in enumerate(data))
    program += [*parts, f"int main(void)\n{{\n{calls}    return 0;\n}}\n"]
    (folder / "main.c").write_text("\n".join(program))
    (folder / "images").write_bytes(b"".join(x.tobytes() for x in data))
    compiled(folder / "program", *files, folder / "main.c")
    with open(folder / "images", "rb") as images:
        done = subprocess.run([folder / "program"], stdin=images, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    values, found = np.frombuffer(done.stdout, np.int64), []
    for graph, x, steps in jobs:
        one, values = taken(values, graph, len(x), steps or graph.steps)
        found.append(one)
    assert values.size == 0
    return found


def compiled(to: Path, *files: Path) -> None:
    assert CC is not None
    command = [CC, *WARNINGS, *CHECKS, "-o", to, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def taken(values: np.ndarray, graph: SpikingGraph, images: int, steps: int) -> tuple[Said, np.ndarray]:
    clipped, codes, saturated = [], [], []
    sent: dict[str, list[np.ndarray]] = {p.name: [] for p in graph if not isinstance(p, Input)}

    def take(count: int) -> np.ndarray:
        nonlocal values
        first, values = values[:count], values[count:]
        return first

    for _ in range(images):
        clipped.append(int(take(1)[0]))
        codes.append(take(int(np.prod(graph.input.shape))).reshape(graph.input.shape))
        for p in graph.populations[1:]:
            sent[p.name].append(take(steps * int(np.prod(p.shape))).reshape(steps, *p.shape))
        saturated.append(int(take(1)[0]))
    sums = take(images * sum(int(np.prod(p.shape)) for p in graph.readouts)).reshape(images, -1)
    return Said(
        clipped, np.stack(codes), {name: np.stack(a) for name, a in sent.items()}, saturated, sums
    ), values


def assert_equal(folder: Path, *jobs: tuple[SpikingGraph, np.ndarray, int | None]) -> list[Said]:
    """Codes, spikes, sums after each step and at the end, saturations and clipped pixels, to the
    reference's."""
    found = said(folder, jobs)
    for (graph, x, steps), one in zip(jobs, found, strict=True):
        run = reference.run(graph, x.astype(np.float32), steps=steps)
        assert sum(one.clipped) == run.clipped_inputs
        np.testing.assert_array_equal(one.codes, encode_images(graph, x.astype(np.float32))[0])
        outputs = dict(
            zip((p.name for p in graph.readouts), (run.logits, *run.further.values()), strict=True)
        )
        for name, trace in one.sent.items():
            expected = outputs[name].reshape(trace.shape) if name in outputs else run.spikes[name]
            np.testing.assert_array_equal(trace, expected, err_msg=name)
        last = [outputs[p.name][:, -1].reshape(len(x), -1) for p in graph.readouts]
        np.testing.assert_array_equal(one.sums, np.concatenate(last, axis=1))
        counted = one.saturated[-1] if graph.carry else sum(one.saturated)
        assert counted == sum(run.saturations.values())
    return found


def halves(graph: SpikingGraph, seed: int, count: int = 2) -> np.ndarray:
    """Images of which some clip, and whose halves round to even."""
    return np.random.default_rng(seed).integers(-280, 281, (count, *graph.input.shape)) / np.float32(2)


# ---------------------------------------------------------------- against the reference and Python integers


@needs_compiler
@settings(max_examples=4, phases=PHASES)
@given(graphs=st.lists(GRAPHS, min_size=8, max_size=8), seed=st.integers(0, 1000))
def test_any_graph_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, graphs: list[SpikingGraph], seed: int
) -> None:
    assert_equal(tmp_path_factory.mktemp("c"), *((g, halves(g, seed), None) for g in graphs))


@needs_compiler
@settings(max_examples=2, phases=PHASES)
@given(graphs=st.lists(GRAPHS, min_size=4, max_size=4), seed=st.integers(0, 1000))
def test_any_graph_equals_python_integers(
    tmp_path_factory: pytest.TempPathFactory, graphs: list[SpikingGraph], seed: int
) -> None:
    codes = [np.random.default_rng(seed).integers(-127, 128, (1, *g.input.shape)) for g in graphs]
    found = said(tmp_path_factory.mktemp("c"), [(g, x, None) for g, x in zip(graphs, codes, strict=True)])
    for graph, x, one in zip(graphs, codes, found, strict=True):
        expected = oracle.simulate(graph, x[0], graph.steps)
        for name, trace in one.sent.items():
            np.testing.assert_array_equal(trace[0], expected[name], err_msg=name)


# ---------------------------------------------------------------- converted networks, streams


class Two(torch.nn.Module):
    """A map and a vector as outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(2, 3, 3), torch.nn.Conv2d(3, 2, 1)
        self.aside = torch.nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.conv(x))
        return self.head(x), self.aside(x.flatten(1)).reshape(-1, 2, 2)


@needs_compiler
def test_converted_networks(tmp_path: Path) -> None:
    leads = {"conv1": 2, "conv2": 0, "conv3": 3}
    made = [
        small(),
        small(levels=3, lead=2),
        small(levels=2, lead=leads),
        small(Chain(), (6,)),
        small(Two()),
        curved(levels=5, lead={"conv1": 2, "conv2": 0}),
        gated(levels=4),
        gated(levels=4, lead={"conv": 2}),
    ]
    assert_equal(tmp_path, *((graph, x[:3], 9 if i % 2 else None) for i, (graph, x) in enumerate(made)))


@needs_compiler
def test_frames_of_a_stream(tmp_path: Path) -> None:
    """Maps, pools, curves and gates whose state is kept; of what no bound holds, in 64 bits."""
    dials = [{"steps": 1}, {"steps": 3, "hysteresis": 1.0}, {"steps": 2, "levels": 2, "hysteresis": 0.5}]
    made = [(make(levels=4), d) for make in (small, curved, gated) for d in dials]
    jobs = [(dn.streaming(graph, **d), x[:5], None) for (graph, x), d in made]  # type: ignore[arg-type]
    graph, x = small(levels=2, lead={"conv1": 2, "conv2": 1})
    jobs.append((replace(graph, carry=True), x[:4], None))
    found = assert_equal(tmp_path, *jobs)
    for (graph, _, _), one in list(zip(jobs, found, strict=True))[:-1]:
        expected = oracle.stream(graph, one.codes, graph.steps)
        for name, trace in one.sent.items():
            np.testing.assert_array_equal(trace, expected[name], err_msg=name)


# ---------------------------------------------------------------- hand-made ones


def irregular() -> SpikingGraph:
    """What a projection can be, once each: uneven padding, strides, dilation, groups, pools with borders,
    resampling and channels in front of convolutions and dense layers, channels and orders behind them; an
    image in another order."""
    rng = np.random.default_rng(4)
    image = Input(
        "input",
        (3, 5, 6),
        np.array([0.5, 1.0, 1.5]),
        8,
        view=(90,),
        order=rng.permutation(90).astype(np.int32),
    )
    chosen = np.array([2, 0, 1, 2], np.int32)
    first = Projection(
        "input", weights(rng, 4, 2, 3, 2), (2, 1), ((2, 1), (0, 3)), (1, 2), groups=2, source_channels=chosen
    )
    size = first.output_shape(image.shape)
    a = replace(
        snm("a", size, (first,), rng, levels=3),
        bias=rng.integers(-9, 10, size).astype(np.int32),
        v_init=rng.integers(-300, 300, size).astype(np.int32),
    )
    pooled = Window((3, 2), (1, 2), ((1, 0), (1, 2)), (1, 2))
    rows, cols = rng.integers(-3, 4, (2, size[1])), rng.integers(-3, 4, (3, size[2]))
    stretched = Resample(np.where([[True], [False]], rows, 0).astype(np.int8), cols.astype(np.int8))
    other = pooled.output_size((size[1], size[2]))
    into_b = (
        Projection(
            "a", weights(rng, 7, 2 * other[0] * other[1]), sum_pool=pooled, source_channels=chosen[:2]
        ),
        Projection("a", weights(rng, 7, 24), resample=stretched, exponent=2),
        Projection("input", weights(rng, 3, 90), target_channels=np.array([6, 0, 3], np.int32), targets=7),
    )
    b = snm("b", (7,), into_b, rng, levels=2, lead=1, down=0.4)
    taking = np.array([6, 1, 1, 0], np.int32)
    into_c = (
        Projection("b", weights(rng, 24, 4), source_channels=taking, target_shape=(2, 3, 4)),
        Projection(
            "a",
            weights(rng, 2, 4, 2, 1),
            (1, 3),
            target_shape=(2, 3, 4),
            target_order=rng.permutation(24)[:12].astype(np.int32),
        ),
    )
    d = snm("d", (2, 3, 4), into_c, rng, levels=2, two_sided=True, down=0.0)
    pool = MaxPool("pool", (2, 1, 4), "d", Window((2, 3), (2, 1), ((1, 0), (1, 1)), (2, 1)))
    into_out = (Projection("pool", weights(rng, 3, 8)), Projection("b", weights(rng, 3, 7)))
    return SpikingGraph((image, a, b, d, pool, readout("out", (3,), into_out, rng)), steps=4)


def gated_by_rows() -> SpikingGraph:
    """A gate of the image by one neuron a column, whose spikes are all multiples of 6."""
    rng = np.random.default_rng(5)
    columns = Projection("input", weights(rng, 4, 24), target_shape=(1, 1, 4))
    b = snm("b", (1, 1, 4), (columns,), rng, levels=3, two_sided=True)
    b = replace(b, payload=np.where(b.vth > 0, 6, 0).astype(np.int32))
    gate = Gate(
        "gate",
        (2, 3, 4),
        "input",
        "b",
        vth=np.full((2, 1, 1), 40, np.int32),
        payload=np.array([[[4]], [[6]]], np.int32),
        gain=np.array([3, 70]),
        spike_unit=np.ones(2),
        levels=9,
        two_sided=True,
    )
    out = readout("out", (3,), (Projection("gate", weights(rng, 3, 24)),), rng)
    return SpikingGraph((Input("input", (2, 3, 4), np.ones(2), 8), b, gate, out), steps=3)


def without_neurons(carry: bool) -> SpikingGraph:
    rng = np.random.default_rng(6)
    pool = MaxPool("pool", (2, 2, 3), "input", Window((2, 2), (1, 1)))
    out = readout("out", (2,), (Projection("pool", weights(rng, 2, 12)),), rng)
    return SpikingGraph((Input("input", (2, 3, 4), np.ones(2), 8), pool, out), steps=3, carry=carry)


def wide() -> SpikingGraph:
    """Weights, spikes and codes of 16 and 32 bits, and sums that need 64."""
    rng = np.random.default_rng(7)
    first = Projection("input", rng.integers(-30000, 30000, (4, 3)).astype(np.int16))
    a = replace(snm("a", (4,), (first,), rng, levels=9), payload=np.array([7, 70001, 5, 11], np.int32))
    second = Projection("a", rng.integers(-(2**20), 2**20, (2, 4)).astype(np.int32))
    out = readout("out", (2,), (second,), rng)
    return SpikingGraph((Input("input", (3,), np.full(3, 0.125), 12), a, out), steps=4)


def brim() -> SpikingGraph:
    """Read-outs that reach the largest and the least potential, and do not saturate before they go beyond."""
    bias = np.array([(1 << 23) - 1, 1 - (1 << 23)], np.int32)
    out = ReadOut("out", (2,), (Projection("input", np.zeros((2, 3), np.int8)),), bias=bias)
    return SpikingGraph((Input("input", (3,), np.ones(3), 8), out), steps=2)


def at_the_edges() -> SpikingGraph:
    """A stream's neurons, with a curve and without, whose small integers meet every threshold, band and
    bound."""
    rng = np.random.default_rng(10)
    line = Curve("line", np.zeros((1, 0), np.int64), np.ones((1, 1), np.int64), np.zeros((1, 1), np.int64))
    jump = Curve("jump", np.array([[2]]), np.array([[1, 1]]), np.array([[0, 5]]))
    zeros, drive = np.zeros(3, np.int32), Projection("input", np.eye(3, dtype=np.int8))
    found = []
    for i, (curve, two_sided) in enumerate([(line, True), (jump, False), (None, True), (None, False)]):
        p = snm(f"n{i}", (3,), (drive,), rng, levels=2, two_sided=two_sided, down=0.5)
        each = {"bias": zeros, "v_init": zeros, "vth": zeros + 4, "payload": zeros + 1}
        found.append(replace(p, **each, curve=curve, most=3, band=0.5))  # type: ignore[arg-type]
    out = readout("out", (3,), tuple(Projection(p.name, weights(rng, 3, 3)) for p in found), rng)
    entry = Input("input", (3,), np.ones(3), 8)
    return SpikingGraph((entry, *found, out), steps=1, carry=True)


NAMES = ("int", "a-b", "a.b", "9 lives", "*/ ??/ \\", "größe", "_", "run", "a_b_2")


def named() -> SpikingGraph:
    """Names that C does not have, or has already, or that would become the same."""
    rng = np.random.default_rng(8)
    chain = [
        snm(name, (3,), (Projection(before, weights(rng, 3, 3)),), rng)
        for before, name in zip(("input", *NAMES), NAMES, strict=False)
    ]
    out = readout("saturated", (3,), (Projection(NAMES[-1], weights(rng, 3, 3)),), rng)
    return SpikingGraph((Input("input", (3,), np.ones(3), 8), *chain, out), steps=2)


@needs_compiler
def test_hand_made_graphs(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(-127, 128, (4, 3)).astype(np.float32)
    graph = irregular()
    flat = np.random.default_rng(2).integers(-150, 151, (3, 90)) / np.float32(2)
    carried = [replace(g, carry=True) for g in (graph, gated_by_rows())]
    found = assert_equal(
        tmp_path,
        (loud(15), x, None),
        (replace(loud(15), carry=True), x, None),
        (graph, flat, None),
        (carried[0], flat, 2),
        (gated_by_rows(), halves(gated_by_rows(), 0), None),
        (carried[1], halves(gated_by_rows(), 1), None),
        (without_neurons(False), halves(without_neurons(False), 2), None),
        (without_neurons(True), halves(without_neurons(True), 3), 2),
        (wide(), x, None),
        (named(), x, None),
        (at_the_edges(), np.random.default_rng(3).integers(-20, 21, (80, 3)).astype(np.float32), None),
        (brim(), x, 1),
        (brim(), x, None),
    )
    assert (found[-2].saturated, found[-1].saturated) == ([0] * 4, [2] * 4)
    assert min(found[0].saturated) > 0
    assert found[1].saturated == sorted(found[1].saturated)
    assert all(one.sent[p.name].any() for one, g in ((found[2], graph),) for p in g.populations[1:])


@needs_compiler
def test_an_image_is_encoded_as_the_reference_does(tmp_path: Path) -> None:
    """Floats near ties, beyond the range and at its ends; NaN is counted among those that are clipped."""
    rng = np.random.default_rng(9)
    scale = np.array([0.1, 1 / 3, 1e-3])
    steps = rng.integers(-260, 261, (400, 3)) / 2
    near = np.float32(steps * scale)
    x = np.concatenate([near, np.nextafter(near, np.float32(9)), np.nextafter(near, np.float32(-9))])
    edge = np.array([[3e38, -3e38, 0], [np.inf, -np.inf, np.nan], [1e-45, -0.0, 1e-40]], np.float32)
    graph = replace(loud(0), populations=(replace(loud(0).input, scale=scale), *loud(0).populations[1:]))
    (one,) = said(tmp_path, [(graph, np.concatenate([x, edge]), None)])
    codes, clipped = encode_images(graph, np.concatenate([x, edge[[0, 2]]]))
    np.testing.assert_array_equal(np.delete(one.codes, -2, axis=0), codes)
    assert sum(one.clipped) - 3 == clipped
    assert one.codes[-2].tolist() == [127, -127, 127]
    assert one.clipped[-2] == 3


@needs_compiler
def test_resnet_20_of_real_weights(shared: Path, tmp_path: Path) -> None:
    images = np.load(shared / "cifar10-lossless-subset.npz")
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((images["x_train"][:32] / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    spec = str(ROOT / "examples/resnet20.py:resnet20")
    model = dn.load_model(spec, str(shared / "weights/resnet20-12fca82f.th"))
    graph = dn.build(model, x, dn.BEST, dn.Samples(fit=16)).integer
    assert_equal(tmp_path, (graph, x[:2], None))
    written = c.write(tmp_path / "again.c", graph)
    weights = sum(q.weight.size for p in graph if isinstance(p, SNM | ReadOut) for q in p.projections)
    assert written.flash > weights
    assert 3 * 16 * 32 * 32 <= written.ram < 4 * 16 * 32 * 32  # three maps of one byte a neuron


# ---------------------------------------------------------------- the files


@needs_compiler
def test_flash_and_ram_are_those_of_the_object_file(tmp_path: Path) -> None:
    """All that is constant but tables, which hold addresses; all that changes but a few variables."""
    if shutil.which("nm") is None:
        pytest.skip("nm, which tells the sizes of an object file, is not on the path")
    graphs = [small(levels=3)[0], dn.streaming(gated(levels=2)[0], steps=2), irregular(), named()]
    graphs += [dn.streaming(curved(levels=2)[0], steps=2)]
    for i, graph in enumerate(graphs):
        written = c.write(tmp_path / f"n{i}.c", graph)
        made = tmp_path / f"n{i}.o"
        subprocess.run([str(CC), "-std=c99", "-O0", "-c", written.source, "-o", made], check=True)
        done = subprocess.run(["nm", "-S", "-f", "posix", made], capture_output=True, text=True, check=True)
        size = {"r": 0, "b": 0}
        for line in done.stdout.splitlines():
            name, letter, _, *rest = line.split()
            if letter == "U":
                assert name not in ("malloc", "free", "calloc", "rint", "lrint", "floor")
            if letter in "rb" and name not in VARIABLES:
                size[letter] += int(rest[0], 16)
        assert size == {"r": written.flash, "b": written.ram}
        for file in (written.source, written.header):
            assert (
                f"Constants take {written.flash:,} bytes, buffers and states {written.ram:,}"
                in file.read_text()
            )


VARIABLES = ("image", "sums", "every", "fresh", "saturated", "begun", "now")


def test_the_same_integers_are_written_once_and_as_narrow_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    weight = weights(rng, 4, 4)
    a = snm("a", (4,), (Projection("input", weight),), rng)
    a = replace(
        a, vth=np.full(4, 9, np.int32), payload=np.full(4, 30, np.int32), v_init=np.zeros(4, np.int32)
    )
    b = replace(a, name="b", projections=(Projection("a", weight),), bias=np.array([1, 300, 1, 1]))
    out = ReadOut("out", (4,), (Projection("b", weight),), bias=np.zeros(4, np.int32))
    graph = SpikingGraph(
        (Input("input", (4,), np.ones(4), 8), replace(a, bias=np.full(4, 5)), b, out), steps=5
    )
    text = c.write(tmp_path / "a.c", graph).source.read_text()
    found = re.findall(r"static const (\w+) (\w+)\[(\d+)\] = ", text)
    numbers = {name: (kind, int(count)) for kind, name, count in found}
    assert numbers == {
        "a_0_weight": ("int8_t", 16),
        "a_bias": ("int8_t", 1),
        "a_vth": ("int8_t", 1),  # and of b, as are all
        "a_payload": ("int8_t", 1),  # 1: spikes count in 30s, a factor of whoever reads them
        "b_bias": ("int16_t", 4),
        "scale": ("double", 4),
    }
    assert text.count(".factor = 30,") == 2
    assert "static int8_t ram_1[40];" in text  # what a and b send in 5 steps


def test_floats_are_known_to_the_encoder_alone(tmp_path: Path) -> None:
    text = c.write(tmp_path / "a.c", gated(levels=3)[0]).source.read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    before, encoder = code.split("static const double scale", 1)
    assert "float" not in before
    assert "double" not in before
    assert "float" not in encoder.split("_begin", 1)[1]
    assert "double" not in encoder.split("_begin", 1)[1]
    assert re.findall(r"#include .*", code) == ['#include "a.h"']


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    graph, _ = small()
    with pytest.raises(
        OutOfRange, match="integers are written, and the graph holds floats; quantize it first"
    ):
        c.write(tmp_path / "a.c", small(quantize=False)[0])
    with pytest.raises(OutOfRange, match=r"a\.cpp: C is written; give a name that ends in \.c$"):
        c.write(tmp_path / "a.cpp", graph)
    with pytest.raises(OutOfRange, match="C cannot include a file of this name; give one of letters and"):
        c.write(tmp_path / 'a".c', graph)
    with pytest.raises(OutOfRange, match="has a state of 16 bits, and C knows 24"):
        c.write(tmp_path / "a.c", dn.quantize(small(quantize=False)[0], state_bits=16))
    with pytest.raises(OutOfRange, match="steps: 0 given; give 1 or more"):
        c.write(tmp_path / "a.c", graph, steps=0)
    heavy = Projection("input", np.full((2, 3), 2**31 - 1, np.int32), exponent=20)
    out = ReadOut("out", (2,), (heavy,), bias=np.zeros(2, np.int32))
    with pytest.raises(OutOfRange, match=r"out: sums may reach \d+, beyond 2\*\*53"):
        c.write(tmp_path / "a.c", SpikingGraph((Input("input", (3,), np.ones(3), 8), out), steps=1))
    far = replace(loud(0)["a"], v_init=np.full(4, 2**31))  # type: ignore[type-var]
    populations = tuple(far if p.name == "a" else p for p in loud(0))
    with pytest.raises(
        OutOfRange, match="a: its v_init reaches 2147483648, and C's neurons count in 32 bits"
    ):
        c.write(tmp_path / "a.c", replace(loud(0), populations=populations))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["a.c", "a.h"])
def test_a_file_that_exists_is_left_as_it_is(tmp_path: Path, there: str) -> None:
    graph, _ = small()
    (tmp_path / there).write_text("mine")
    with pytest.raises(BadFile, match="exists already"):
        c.write(tmp_path / "a.c", graph)
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"
    written = c.write(tmp_path / "a.c", graph, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.c", "a.h"]
    assert "mine" not in written.header.read_text() + written.source.read_text()


def test_neither_file_stands_where_the_second_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.h").mkdir()
    with pytest.raises(BadFile):
        c.write(tmp_path / "a.c", small()[0], overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h"]


def test_the_core_and_the_exporter_need_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = sys.modules['h5py'] = None; from exporters import c"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
