"""What a stream keeps from one frame to the next, and files of it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnisnm_lava.errors import BadFile
from dnisnm_lava.ir import SNM, Gate, Input, MaxPool, ReadOut, SpikingGraph
from dnisnm_lava.system.files import write_whole

FORMAT = "dnisnm-state 1"


@dataclass(frozen=True)
class State:
    """After `frames` frames. began: the frame at which all states were at their beginning. saturated: neurons
    clipped since then. values: {"KIND NAME": array of the population's shape}: `image`, the last one as the
    input holds it; `v` of neurons and read-outs; `m` of neurons and gates; `a` and `b`, the running sums of a
    gate's source and of its gate; `total` (of its source's shape) and `best`, the running sums and their
    windows' maxima, of max-pools."""

    frames: int
    values: Mapping[str, np.ndarray]
    began: int = 0
    saturated: int = 0

    @property
    def is_new(self) -> bool:
        """Is the next frame the first one, in which biases act?"""
        return self.frames == self.began

    def of(self, kind: str, name: str) -> np.ndarray:
        return self.values[f"{kind} {name}"]


def initial(graph: SpikingGraph, frames: int = 0) -> State:
    """At the beginning, after so many frames: v_init, and zeros."""
    wide = np.int64 if graph.is_integer else np.float64
    values: dict[str, np.ndarray] = {}
    for p in graph:
        if isinstance(p, Input):
            values[f"image {p.name}"] = np.zeros(p.shape, wide)
        elif isinstance(p, SNM):
            values[f"v {p.name}"] = p.v_init.astype(wide)
            values[f"m {p.name}"] = np.zeros(p.shape, np.int64)
        elif isinstance(p, ReadOut):
            values[f"v {p.name}"] = np.zeros(p.shape, wide)
        elif isinstance(p, Gate):
            values[f"a {p.name}"] = np.zeros(p.shape, wide)
            values[f"b {p.name}"] = np.zeros(graph[p.gate].shape, wide)
            values[f"m {p.name}"] = np.zeros(p.shape, np.int64)
        elif isinstance(p, MaxPool):
            values[f"total {p.name}"] = np.zeros(graph[p.source].shape, wide)
            values[f"best {p.name}"] = np.zeros(p.shape, wide)
    return State(frames, values, began=frames)


def save(path: str | Path, state: State, graph: SpikingGraph) -> Path:
    """Write the state of a stream of `graph` to `path` (.npz), whole or not at all; an older file goes."""
    buffer = io.BytesIO()
    names = {f"value {i}": value for i, value in enumerate(state.values.values())}
    np.savez_compressed(
        buffer,
        format=np.array(FORMAT),
        digest=np.array(graph.digest()),
        counts=np.array([state.frames, state.began, state.saturated]),
        keys=np.array(list(state.values)),
        **names,
    )
    write_whole(Path(path), buffer.getvalue(), overwrite=True)
    return Path(path)


def load(path: str | Path, graph: SpikingGraph) -> State:
    """The state that `save` wrote. BadFile for anything else, and for the state of another network."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["format"]) != FORMAT:
                raise BadFile(
                    f"{path}: not the state of a stream ({FORMAT}); give a file that a stream saved"
                )
            keys = [str(key) for key in file["keys"]]
            digest = str(file["digest"])
            frames, began, saturated = (int(n) for n in file["counts"])
            values = {key: file[f"value {i}"] for i, key in enumerate(keys)}
    except BadFile:
        raise
    except Exception as error:  # whatever NumPy, zip and the contents of a stranger's file raise
        raise BadFile(
            f"{path}: cannot be read as the state of a stream ({type(error).__name__}); give a file that a "
            f"stream saved"
        ) from None
    if digest != graph.digest():
        raise BadFile(
            f"{path}: the state of another network ({digest[:12]}, and this one is "
            f"{graph.digest()[:12]}); resume "
            f"with the network and the dials that it was saved with, or begin anew"
        )
    state = State(frames, values, began, saturated)
    _check(Path(path), state, initial(graph))
    return state


def _check(path: Path, given: State, wanted: State) -> None:
    """BadFile where arrays are missing, or have another shape or dtype."""
    same = (
        0 <= given.began <= given.frames and given.saturated >= 0 and set(given.values) == set(wanted.values)
    )
    if not same or any(
        given.values[key].shape != value.shape or given.values[key].dtype != value.dtype
        for key, value in wanted.values.items()
    ):
        raise BadFile(f"{path}: its arrays do not fit the network; give a file that a stream of it saved")
