"""A file of torch.export: loaded by torch alone, and equal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from graphs import curved, gated, small

import dnisnm_lava as dn
from dnisnm_lava.backends import reference
from dnisnm_lava.errors import BadFile, OutOfRange
from exporters import torch_export

RUN = """
import json, sys
import torch
path, given, out = sys.argv[1:]
extra = {"dnisnm_lava.json": ""}
program = torch.export.load(path, extra_files=extra).module()
about, x = json.loads(extra["dnisnm_lava.json"]), torch.load(given)
if about["state"]:
    shapes = [torch.zeros(x.shape[1], *s, dtype=torch.int64) for s in about["state"]]
    found, state = [], (torch.ones(1, dtype=torch.int64), *shapes)
    for frames in x:
        outputs, state = program(frames, *state)
        found.append(outputs[0])
else:
    found = [program(x[:n]) for n in (1, 2, len(x))]
assert not [name for name in sys.modules if name.split(".")[0] in ("dnisnm_lava", "exporters")]
torch.save(found, out)
"""


def run(path: Path, images: np.ndarray) -> list[np.ndarray]:
    """In a process that has torch and none of this project."""
    given, out = path.with_suffix(".in"), path.with_suffix(".out")
    torch.save(torch.from_numpy(images), given)
    subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(path), str(given), str(out)],
        check=True,
        cwd=path.parent,
        timeout=300,
    )
    return [a.numpy() for a in torch.load(out)]


def test_images_of_any_number_are_equal_without_this_project(tmp_path: Path) -> None:
    graph, x = gated(levels=3, lead={"conv": 1})
    path = torch_export.write(tmp_path / "network.pt2", graph)
    expected = reference.run(graph, x[:5]).logits
    for found in run(path, x[:5]):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, expected[: len(found)])
    turned = np.ascontiguousarray(x[:5].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)  # as pictures are stored
    assert not turned.flags["C_CONTIGUOUS"]
    for found in run(path, turned):
        np.testing.assert_array_equal(found, expected[: len(found)])


def test_frames_of_streams_are_equal_without_this_project(tmp_path: Path) -> None:
    graph, x = curved()
    graph = dn.streaming(graph)
    path = torch_export.write(tmp_path / "network.pt2", graph, steps=2)
    frames = x[:6].reshape(3, 2, *x.shape[1:])  # of two streams
    found = run(path, frames)
    for i in range(2):
        expected = reference.run(graph, frames[:, i], steps=2).logits
        np.testing.assert_array_equal(np.stack([f[i] for f in found]), expected)


def test_the_file_tells_what_it_holds(tmp_path: Path) -> None:
    graph, _ = small()
    extra = {torch_export.ABOUT: ""}
    torch.export.load(torch_export.write(tmp_path / "network.pt2", graph, steps=3), extra_files=extra)
    about = json.loads(extra[torch_export.ABOUT])
    assert about["digest"] == graph.digest()
    assert about["steps"] == 3
    assert about["readouts"] == {"fc": [3]}


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    graph, _ = small(quantize=False)
    path = tmp_path / "network.pt2"
    with pytest.raises(OutOfRange, match="floats"):
        torch_export.write(path, graph)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(BadFile, match="exists"):
        torch_export.write(path, small()[0])
    assert path.read_text() == "mine"
