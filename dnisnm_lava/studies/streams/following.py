"""Frames in, what the network says of each out; lazily, so that a camera may be at the other end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dnisnm_lava.backends import state as states
from dnisnm_lava.backends.state import State, initial
from dnisnm_lava.backends.streams import Frame, going
from dnisnm_lava.errors import DnisnmError, OutOfRange
from dnisnm_lava.ir import SpikingGraph
from dnisnm_lava.ir.functions import applied
from dnisnm_lava.measures import classes
from dnisnm_lava.stages.networks import Networks
from dnisnm_lava.stages.streaming import streaming


@dataclass(frozen=True)
class Followed:
    """What the network says of one frame, and what it took.

    index: of the frame, from 0; of a stream that was resumed, counted on. logits: (*shape of the model's
    output) running sums of the first read-out behind the frame, in its unit; outputs: of each, by name.
    values: what the sums say of the model's outputs, by name, float64, its last functions applied. spikes:
    sent by neurons and max-pools; spike_counts: {population: (up, down)}. operations: synapses that spikes
    went to, those of the image too; delivered: {population: its part}. saturations: neurons clipped to the
    24-bit state; clipped_inputs: values of the frame outside the input's 8 bits. exact: are the sums those of
    the frame alone, as far as h = 0 and `levels` None make them so: has no state been clipped since the
    stream began anew? fresh: did it begin anew with this frame? inputs, pooled, moved: as of
    `backends.streams.Frame`."""

    index: int
    outputs: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    spike_counts: Mapping[str, tuple[int, int]]
    delivered: Mapping[str, int]
    saturations: int
    clipped_inputs: int
    exact: bool
    fresh: bool = False
    inputs: int = 0
    pooled: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, int] = field(default_factory=dict)

    @property
    def logits(self) -> np.ndarray:
        return next(iter(self.outputs.values()))

    @property
    def prediction(self) -> np.ndarray:
        """The class, or classes of a map; the first of equals. Of one channel: 1 where the sum is above 0."""
        return classes(self.logits[None])[0]

    @property
    def spikes(self) -> int:
        return sum(up + down for up, down in self.spike_counts.values())

    @property
    def operations(self) -> int:
        return sum(self.delivered.values())


class Following(Iterator[Followed]):
    """A stream that goes on as it is asked for the next frame. graph: the stream's network. state: what it
    keeps. moves: count the potentials that change."""

    def __init__(
        self,
        graph: SpikingGraph,
        frames: Iterable[np.ndarray],
        state: State | None,
        refresh: int,
        *,
        moves: bool = False,
    ) -> None:
        check_refresh(refresh)
        self.graph, self._frames, self._refresh = graph, iter(frames), refresh
        self._going, self._frame = going(graph, state), 0 if state is None else state.frames
        self._began = 0 if state is None else state.began
        self._exact, self._moves = state is None or not state.saturated, moves

    @property
    def state(self) -> State:
        return self._going.state

    def save(self, path: str | Path) -> Path:
        """Write the state to `path` (.npz), for `dn.stream(..., state=path)` to go on from."""
        return states.save(path, self.state, self.graph)

    def __next__(self) -> Followed:
        image = checked(self._next(), self._frame, self.graph.input.image_shape)
        if self._refresh and self._frame - self._began >= self._refresh:
            self._going.state, self._began, self._exact = initial(self.graph, self._frame), self._frame, True
        frame = self._going.step(image, moves=self._moves)
        self._exact &= not any(frame.saturations.values())
        self._frame += 1
        return _followed(self.graph, frame, self._frame - 1, self._exact, self._frame - 1 == self._began)

    def _next(self) -> object:
        try:
            return next(self._frames)
        except (StopIteration, DnisnmError):
            raise
        except Exception as error:
            raise OutOfRange(
                f"frame {self._frame}: its source failed ({type(error).__name__}: {error}); what came "
                f"before it is "
                f"kept: go on from the saved state, with the frames behind it"
            ) from error


def stream(
    networks: Networks | SpikingGraph,
    frames: Iterable[np.ndarray],
    *,
    steps: int = 1,
    hysteresis: float = 0.0,
    levels: int | None = None,
    refresh: int = 0,
    state: State | str | Path | None = None,
) -> Following:
    """What the network says of each of `frames`, one after the other, its state kept and only change sent.

    networks: of `dn.build` (its integers are taken), or a graph, of images or already a stream's (then its
    own dials hold). frames: any iterable of (*input shape) arrays, prepared as in training; taken one by one,
    and none is kept. steps: T, of each frame. hysteresis: h, in levels: changes of less are not sent. levels:
    how many may be sent at once (default: all). refresh: begin anew after so many frames (0: never). state:
    of a stream of the same network and dials, or a file of it, to go on from. OutOfRange, as frames come, for
    one that is missing, of another shape, or not finite.
    """
    graph = networks.integer if isinstance(networks, Networks) else networks
    graph = of_stream(graph, steps, hysteresis, levels)
    return Following(graph, frames, begun(state, graph), refresh)


def of_stream(graph: SpikingGraph, steps: int, hysteresis: float, levels: int | None) -> SpikingGraph:
    """The network of a stream; OutOfRange for dials beside one that has its own."""
    if not graph.carry:
        return streaming(graph, steps=steps, hysteresis=hysteresis, levels=levels)
    if steps not in (1, graph.steps) or (hysteresis, levels) != (0.0, None):
        raise OutOfRange(
            "stream: the network is a stream's already; its own steps, hysteresis and levels hold"
        )
    return graph


def check_refresh(refresh: int) -> None:
    """OutOfRange for a number of frames below 0."""
    if refresh < 0:
        raise OutOfRange(f"refresh: {refresh} given; give frames from one new beginning to the next, or 0")


def begun(state: State | str | Path | None, graph: SpikingGraph) -> State | None:
    """Where to go on; BadFile as of `states.load`."""
    return states.load(state, graph) if isinstance(state, str | Path) else state


def checked(image: object, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """The frame as an array of the network's input, of `shape`; OutOfRange where it is none."""
    if image is None:
        raise OutOfRange(
            f"frame {index}: nothing came, as of a camera that is closed; give frames of {shape}"
        )
    try:
        array = np.asarray(image)
        array = array if array.dtype.kind in "fiub" else np.asarray(image, np.float32)
    except (TypeError, ValueError):
        raise OutOfRange(
            f"frame {index}: a {type(image).__name__} came, no array; give frames of {shape}"
        ) from None
    if array.shape == (1, *shape):
        array = array[0]
    if array.shape != shape:
        raise OutOfRange(
            f"frame {index}: shape {array.shape} given, and {shape} needed; prepare every frame as the "
            f"images that the "
            f"network was made with"
        )
    if not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise OutOfRange(
            f"frame {index}: {bad} of {array.size} values are NaN or infinite; clean the data first"
        )
    return array


def _followed(graph: SpikingGraph, frame: Frame, index: int, exact: bool, fresh: bool) -> Followed:
    outputs = {name: sums[-1] for name, sums in frame.outputs.items()}
    values = {
        name: applied(*graph.functions.get(name, ("", 0)), (sums * graph.units[name] / graph.steps)[None])[0]
        for name, sums in outputs.items()
    }
    return Followed(
        index,
        outputs,
        values,
        frame.spike_counts,
        frame.delivered,
        sum(frame.saturations.values()),
        frame.clipped_inputs,
        exact,
        fresh,
        frame.inputs,
        frame.pooled,
        frame.moved,
    )
