"""The graph: immutable populations of neurons, joined by linear projections.

The dtype is the mode: a SpikingGraph holds float64 arrays or integers, and the executors look.
Shapes are (C, H, W) for maps and (features,) for vectors. No other operation exists behind the front-end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import arithmetic, timing
from dnisnm_lava.ir.fixedpoint import STATE_BITS
from dnisnm_lava.ir.functions import FUNCTIONS, applied
from dnisnm_lava.ir.images import checked_images
from dnisnm_lava.ir.populations import (
    SNM,
    Activation,
    Gate,
    Input,
    MaxPool,
    Population,
    Product,
    ReadOut,
    Rectifier,
    Relay,
    sources,
)
from dnisnm_lava.ir.projections import Projection
from dnisnm_lava.ir.values import SINCE_0_1, Shape, Value, feed

P = TypeVar("P")
V = TypeVar("V")


@dataclass(frozen=True, eq=False)
class Graph(Value):
    """Populations in topological order: the input first, the read-outs last, in the order of the model's
    outputs."""

    populations: tuple[Population, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for population in self.populations:
            missing = [s for s in sources(population) if s not in seen or isinstance(self[s], ReadOut)]
            if missing or population.name in seen:
                raise OutOfRange(
                    f"{population.name}: "
                    + (
                        f"reads {missing[0]!r}, which does not stand before it, or is a read-out"
                        if missing
                        else "is named twice"
                    )
                    + "; list populations in topological order, each name once"
                )
            self._check_shapes(population)
            seen.add(population.name)
        kinds = [type(p) for p in self.populations]
        outputs = kinds.count(ReadOut)
        if kinds[0] is not Input or Input in kinds[1:] or outputs == 0 or ReadOut in kinds[:-outputs]:
            raise OutOfRange("graph: it must begin with its Input and end with its ReadOuts")

    def _check_shapes(self, population: Population) -> None:
        if min(population.shape, default=0) < 1:
            raise OutOfRange(f"{population.name}: shape {population.shape}; each size must be 1 or more")
        if isinstance(population, ReadOut):
            _check_readout(population)
        if isinstance(population, Input):
            _check_input(population)
        if isinstance(population, SNM | ReadOut) and not 2 <= population.state_bits <= STATE_BITS:
            raise OutOfRange(
                f"{population.name}: state_bits: {population.state_bits} given; give 2 to {STATE_BITS}"
            )
        if isinstance(population, SNM) and not 0 <= population.down <= 1:
            raise OutOfRange(
                f"{population.name}: down is {population.down}; give 0 to 1, a share of the threshold"
            )
        if isinstance(population, SNM) and not (0 <= population.band <= 1 and population.most >= 0):
            raise OutOfRange(
                f"{population.name}: band is {population.band} and most is {population.most}; give 0 to 1, a "
                f"share "
                f"of the threshold, and levels, 0 or more"
            )
        if isinstance(population, SNM) and population.curve is not None:
            population.curve.check(population.name, population.shape[0])
        if isinstance(population, MaxPool):
            c, h, w = self[population.source].shape
            found: list[Shape] = [(c, *population.window.output_size((h, w)))]
        elif isinstance(population, Input):
            found = []
        elif isinstance(population, Product | Gate):
            found = [self[population.source].shape]
            _check_gate(population, self[population.gate].shape)
        else:
            found = [p.output_shape(self[p.source].shape) for p in population.projections]
            for p in population.projections:
                _check_weight(p, self[p.source].shape, population.name)
        for shape in found:
            if shape != population.shape:
                raise OutOfRange(
                    f"{population.name}: a source gives shape {shape}, the population has {population.shape}"
                )
        if isinstance(population, MaxPool) and population.window.is_blind((h, w)):
            raise OutOfRange(
                f"{population.name}: a window of its pool sees nothing but padding; give it less"
            )

    @cached_property
    def _by_name(self) -> dict[str, Population]:
        return {p.name: p for p in self.populations}

    def __getitem__(self, name: str) -> Population:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Population]:
        return iter(self.populations)

    @property
    def input(self) -> Input:
        first = self.populations[0]
        assert isinstance(first, Input)
        return first

    @property
    def readouts(self) -> list[ReadOut]:
        return self.of(ReadOut)

    @property
    def readout(self) -> ReadOut:
        """The first read-out: the model's first output, whose argmax is the class."""
        return self.readouts[0]

    @property
    def functions(self) -> dict[str, tuple[str, int]]:
        """{read-out: (function, axis)} of those that the model applies one to."""
        return {p.name: (p.function, p.axis) for p in self.readouts if p.function}

    @property
    def output_shapes(self) -> dict[str, Shape]:
        """{read-out: shape of the model's output for an image}, in the order of the outputs."""
        return {p.name: p.view or p.shape for p in self.readouts}

    def of(self, kind: type[P]) -> list[P]:
        return [p for p in self.populations if isinstance(p, kind)]

    def last_readers(self) -> dict[str, list[str]]:
        """For each population, the names that nobody reads any more once it has run."""
        last: dict[str, str] = {}
        for population in self.populations:
            for source in sources(population):
                last[source] = population.name
        freed: dict[str, list[str]] = {p.name: [] for p in self.populations}
        for source, reader in last.items():
            freed[reader].append(source)
        return freed

    def flow(self, values: dict[str, V]) -> Iterator[tuple[Population, dict[str, V]]]:
        """(population, {source: its value}) in topological order. The caller puts what a population gives
        into `values`, by its name, before asking for the next one; then what nobody reads any more is
        dropped. What nobody ever reads stays, and so do read-outs. KeyError for a value that was not put, and
        is read."""
        freed = self.last_readers()
        for population in self.populations:
            yield population, {name: values[name] for name in sources(population)}
            for name in freed[population.name]:
                del values[name]

    def digest(self) -> str:
        """SHA-256 over every field and array, hex, for provenance."""
        state = hashlib.sha256()
        feed(state, self)
        return state.hexdigest()


@dataclass(frozen=True, eq=False)
class AnalogGraph(Graph):
    """The ANN itself: Input, Rectifier, Relay, Activation, Product, MaxPool and ReadOut populations in
    float64."""

    def ann(self, x: np.ndarray) -> np.ndarray:
        """The network's first output (N, *its shape) for images `x` (N, *input shape), in float64."""
        return self.outputs(x)[self.readout.name]

    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """{read-out: (N, *shape of the model's output)} for images `x` (N, *image shape), in float64; their
        functions applied."""
        x = checked_images(self, x).astype(np.float64)
        values: dict[str, np.ndarray] = {}
        for population, heard in self.flow(values):
            if isinstance(population, Input):
                values[population.name] = population.arranged(x)
            elif isinstance(population, Product):
                values[population.name] = heard[population.source] * heard[population.gate]
            elif isinstance(population, MaxPool):
                values[population.name] = arithmetic.max_pool(heard[population.source], population.window)
            else:
                assert isinstance(population, Rectifier | Relay | Activation | ReadOut)
                z = (
                    sum((p(heard[p.source]) for p in population.projections), start=np.float64(0))
                    + population.bias
                )
                z = np.broadcast_to(z, (len(x), *population.shape))
                values[population.name] = activation(population, z)
        return {
            p.name: applied(p.function, p.axis, values[p.name].reshape(len(x), *(p.view or p.shape)))
            for p in self.readouts
        }


def activation(p: Population, z: np.ndarray) -> np.ndarray:
    """What an analog population makes of its pre-activations (N, *shape), in float64."""
    if isinstance(p, Activation):
        return p.function.at(z)
    return np.clip(z, 0, p.ceiling) if isinstance(p, Rectifier) else z


@dataclass(frozen=True, eq=False)
class SpikingGraph(Graph):
    """The SNN: Input, SNM, Gate, MaxPool and ReadOut populations, in float64 or in integers, for `steps`
    steps.

    carry: images are the frames of one stream: every state goes on from one to the next, the input sends by
    how much its integers change, and biases act in the first frame alone. Else each image begins anew."""

    steps: int = 0
    carry: bool = field(default=False, metadata=SINCE_0_1)

    @property
    def is_integer(self) -> bool:
        return self.readout.bias.dtype.kind == "i"

    @property
    def units(self) -> dict[str, np.ndarray]:
        """{read-out: worth of one step of its potential}, () where all channels have one, else as the model's
        output."""
        return {p.name: _worth(p) for p in self.readouts}

    def outputs(self, potentials: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read-outs' potentials (N, T, *shape) by name, as (N, T, *shape of the model's output): the first
        one's, and {read-out: the others'}."""
        shown = {
            p.name: potentials[p.name].reshape(*potentials[p.name].shape[:2], *(p.view or p.shape))
            for p in self.readouts
        }
        return shown.pop(self.readout.name), shown

    def window_starts(self) -> dict[str, int]:
        """When, in Lava, the window of each population begins (`timing`)."""
        return timing.window_starts(self.populations)

    @property
    def dead_neurons(self) -> dict[str, int]:
        """Neurons that can never fire (vth = 0), by population."""
        return {p.name: int(np.count_nonzero(p.vth == 0)) for p in self.of(SNM)}


def _worth(p: ReadOut) -> np.ndarray:
    if p.unit is None or not p.weighed:
        return np.float64(1.0 if p.unit is None else p.unit[0])  # type: ignore[return-value]
    unit = p.unit.reshape(-1, *(1,) * (len(p.shape) - 1))
    return np.broadcast_to(unit, p.shape).reshape(p.view or p.shape)


def _check_input(p: Input) -> None:
    neurons = math.prod(p.shape)
    if p.view and math.prod(p.view) != neurons:
        raise OutOfRange(f"{p.name}: images {p.view} do not fill {p.shape}")
    if p.order is not None and not np.array_equal(np.sort(p.order), np.arange(neurons)):
        raise OutOfRange(f"{p.name}: its order does not take each of {neurons} elements of an image once")


def _check_gate(p: Product | Gate, gate: Shape) -> None:
    if len(gate) != len(p.shape) or any(n not in (1, of) for n, of in zip(gate, p.shape, strict=True)):
        raise OutOfRange(
            f"{p.name}: its gate {p.gate} has shape {gate}, which does not broadcast to {p.shape}"
        )
    if isinstance(p, Gate) and not (0 <= p.band <= 1 and p.most >= 0 and len(p.gain) == p.shape[0]):
        raise OutOfRange(
            f"{p.name}: band is {p.band}, most is {p.most} and there are {len(p.gain)} gains; give a share "
            f"of the threshold, levels from 0 on, and a gain for each of {p.shape[0]} channels"
        )


def _check_readout(p: ReadOut) -> None:
    if p.view and math.prod(p.view) != math.prod(p.shape):
        raise OutOfRange(f"{p.name}: {p.shape} cannot be viewed as {p.view}")
    if p.function not in ("", *FUNCTIONS) or not 0 <= p.axis < max(1, len(p.view or p.shape)):
        raise OutOfRange(
            f"{p.name}: function {p.function!r} along axis {p.axis} is none of {', '.join(FUNCTIONS)} of "
            f"its output"
        )
    if p.unit is not None and not p.weighed and (p.unit != p.unit[0]).any():
        count = len(np.unique(p.unit))
        raise OutOfRange(
            f"{p.name}: a read-out of {count} units, whose largest sum is not the class; give all "
            f"channels one unit"
        )


def _check_weight(p: Projection, source_shape: Shape, who: str) -> None:
    """OutOfRange where the weights do not fit what they read, or channels lie outside."""
    for channels, count in ((p.source_channels, source_shape[0]), (p.target_channels, p.targets)):
        if channels is not None and (channels.ndim != 1 or (channels < 0).any() or (channels >= count).any()):
            raise OutOfRange(f"{who}: channels outside 0 to {count - 1} in its projection from {p.source}")
    if (
        p.target_order is None
        and p.target_shape
        and (p.is_conv or p.target_channels is not None or int(np.prod(p.target_shape)) != p.weight.shape[0])
    ):
        raise OutOfRange(f"{who}: {p.weight.shape[0]} rows do not fill {p.target_shape} from {p.source}")
    if p.target_channels is not None and len(p.target_channels) != p.weight.shape[0]:
        raise OutOfRange(
            f"{who}: {p.weight.shape[0]} rows and {len(p.target_channels)} target channels from {p.source}"
        )
    if p.resample is not None and (p.resample.rows.shape[1], p.resample.cols.shape[1]) != source_shape[1:]:
        raise OutOfRange(f"{who}: a resampling of another size than {p.source}, which has {source_shape}")
    if p.target_channels is not None and len(np.unique(p.target_channels)) != len(p.target_channels):
        raise OutOfRange(f"{who}: two rows drive one channel in its projection from {p.source}")
    read = p.read_shape(source_shape)
    if p.target_order is not None and min(read) >= 1:
        _check_order(p, p.target_order, source_shape, who)
    if min(read) < 1:
        raise OutOfRange(
            f"{who}: what it reads from {p.source} has shape {read}; each size must be 1 or more"
        )
    inputs = p.weight.shape[1] * p.groups
    if p.weight.shape[0] % p.groups or inputs != (read[0] if p.is_conv else int(np.prod(read))):
        raise OutOfRange(
            f"{who}: weights {p.weight.shape} in {p.groups} group(s) do not fit what they read from "
            f"{p.source}, {read}"
        )


def _check_order(p: Projection, order: np.ndarray, source_shape: Shape, who: str) -> None:
    given, neurons = math.prod(p.given_shape(source_shape)), math.prod(p.target_shape)
    if order.shape != (given,) or p.target_channels is not None or not p.target_shape:
        raise OutOfRange(
            f"{who}: an order of {order.size} for the {given} currents from {p.source}; each goes to one "
            f"neuron"
        )
    if (order < 0).any() or (order >= neurons).any() or len(np.unique(order)) != given:
        raise OutOfRange(
            f"{who}: its order of currents from {p.source} drives a neuron twice, or one outside 0 to "
            f"{neurons - 1}"
        )
