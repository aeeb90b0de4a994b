"""The network in C99: every spike of every population, every sum and every count equals the specification's."""

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
    readout,
    small,
    snm,
    weights,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, Projection, ReadOut, Resample, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import encode_images
from exporters import c

CC = shutil.which("cc")
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
CHECKS = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-O1"]
GRAPHS = st.one_of(integer_graphs(), curved_graphs(), gated_graphs())
ROOT = Path(__file__).resolve().parents[2]

needs_compiler = pytest.mark.skipif(CC is None, reason="no C compiler: cc is not on the path")

# what one network says of its images: of each, clipped pixels, codes, spikes of each population and its count of
# saturations; then, run at once, its sums
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
    """What the program of a graph said of N images: clipped pixels; codes; {population: (N, T, *shape)} what it sent,
    of a read-out its sums; how often potentials were clipped, counted behind each image; sums of `run`."""

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
    """Codes, spikes, sums after each step and at the end, saturations and clipped pixels, to the reference's."""
    found = said(folder, jobs)
    for (graph, x, steps), one in zip(jobs, found, strict=True):
        run = reference.run(graph, x.astype(np.float32), steps=steps)
        assert sum(one.clipped) == run.clipped_inputs
        np.testing.assert_array_equal(one.codes, encode_images(graph, x.astype(np.float32))[0])
        outputs = dict(zip((p.name for p in graph.readouts), (run.logits, *run.further.values()), strict=True))
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
@settings(max_examples=5)
@given(graphs=st.lists(GRAPHS, min_size=8, max_size=8), seed=st.integers(0, 1000))
def test_any_graph_equals_the_reference(
    tmp_path_factory: pytest.TempPathFactory, graphs: list[SpikingGraph], seed: int
) -> None:
    assert_equal(tmp_path_factory.mktemp("c"), *((g, halves(g, seed), None) for g in graphs))


@needs_compiler
@settings(max_examples=2)
@given(graphs=st.lists(GRAPHS, min_size=6, max_size=6), seed=st.integers(0, 1000))
def test_any_graph_equals_python_integers(
    tmp_path_factory: pytest.TempPathFactory, graphs: list[SpikingGraph], seed: int
) -> None:
    codes = [np.random.default_rng(seed).integers(-127, 128, (1, *g.input.shape)) for g in graphs]
    found = said(tmp_path_factory.mktemp("c"), [(g, x, None) for g, x in zip(graphs, codes, strict=True)])
    for graph, x, one in zip(graphs, codes, found, strict=True):
        expected = oracle.simulate(graph, x[0], graph.steps)
        for name, trace in one.sent.items():
            np.testing.assert_array_equal(trace[0], expected[name], err_msg=name)
