"""The graph: immutable populations of neurons, joined by linear projections.

The dtype is the mode: a SpikingGraph holds float64 arrays or integers, and the executors look.
Shapes are (C, H, W) for maps and (features,) for vectors. No other operation exists behind the front-end.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from dnisnm_lava import measures
from dnisnm_lava.data import inputs
from dnisnm_lava.data.inputs import Images, Labels
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import arithmetic
from dnisnm_lava.ir.arithmetic import NO_PADDING, Padding, Pair, Window
from dnisnm_lava.ir.functions import FUNCTIONS, applied
from dnisnm_lava.measures import AUTO, Measure

Shape = tuple[int, ...]


NEURON_CONSTANTS = ("vth", "payload", "v_init")
OF_NEURONS = (*NEURON_CONSTANTS, "bias")  # fields in which a channel's neurons may be the same
SINCE_0_1 = {"since": "0.1"}  # of a field that graphs of 0.1.0 lacked: at its default, it is no part of a digest


def frozen(array: np.ndarray) -> np.ndarray:
    """A contiguous array that nobody can write to; a copy where it must be."""
    if array.flags.c_contiguous and not array.flags.writeable:
        return array
    array = np.array(array, order="C")
    array.setflags(write=False)
    return array


def narrowed(array: np.ndarray) -> np.ndarray:
    """A view of `array` (C, ...), of size 1 along the axes behind the channels along which all values are the same, bit by bit."""
    for axis in range(1, array.ndim):
        first = array[(slice(None),) * axis + (slice(1),)]
        if array.shape[axis] > 1 and (array.strides[axis] == 0 or _repeats(array, first, axis)):
            array = first
    return array


def _repeats(array: np.ndarray, first: np.ndarray, axis: int) -> bool:
    bits = f"u{array.itemsize}"  # -0.0 is another number than 0.0
    last = array[(slice(None),) * axis + (slice(-1, None),)]  # most that differ differ here, and cost little
    return bool((last.view(bits) == first.view(bits)).all() and (array.view(bits) == first.view(bits)).all())


def stored_once(array: np.ndarray) -> np.ndarray:
    """The same array (C, ...), which nobody can write to, and in which values that a channel's neurons share take memory once."""
    narrow = narrowed(array)
    return frozen(array) if narrow.shape == array.shape else np.broadcast_to(narrow.copy(), array.shape)


@dataclass(frozen=True, eq=False)
class _Value:
    """A dataclass that is compared array by array, dtype and shape included, and whose arrays are frozen."""

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                object.__setattr__(self, f.name, stored_once(value) if f.name in OF_NEURONS else frozen(value))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.compare)

    __hash__ = None  # type: ignore[assignment]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(*_without_repetition(a, b)))
    return type(a) is type(b) and bool(a == b)


def _without_repetition(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of two arrays of one shape, one element along the axes along which both are stored once."""
    once = tuple(slice(1 if i == j == 0 else None) for i, j in zip(a.strides, b.strides, strict=True))
    return a[once], b[once]


@dataclass(frozen=True, eq=False)
class Resample(_Value):
    """A linear map of rows and columns, the same for all channels: x -> rows @ x @ cols.T.

    rows: (H', H); cols: (W', W). Upsampling, cropping, spreading, and pools whose windows are uneven.
    """

    rows: np.ndarray
    cols: np.ndarray

    def output_size(self, size: Pair) -> Pair:
        return self.rows.shape[0], self.cols.shape[0]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, C, H, W) -> (N, C, H', W'), float64."""
        return np.matmul(np.matmul(self.rows.astype(np.float64), x), self.cols.astype(np.float64).T)

    @property
    def gain(self) -> int | float:
        """The most that one output can be, when no input exceeds 1."""
        rows, cols = (np.abs(a.astype(np.float64)).sum(axis=1).max(initial=0) for a in (self.rows, self.cols))
        return int(rows * cols) if self.rows.dtype.kind == "i" else float(rows * cols)


@dataclass(frozen=True, eq=False)
class Projection(_Value):
    """Synapses from `source`: channels, then an optional sum-pool or resampling, then conv2d or dense, then
    `<< exponent`.

    weight: (O, I / groups, ky, kx) for a conv, as torch; (O, I) for a dense, whose source is read
    flattened in C, H, W order. source_channels: (I,) the channels that are read, in this order (default:
    all). target_channels: (O,) the channels of the target's `targets` that the rows drive (default: all).
    target_shape: the map (C, H, W) that the rows of a dense fill, flattened likewise (default: a vector).
    target_order: (elements,) which neuron of a population of `target_shape`, flattened, each element of what the weights give
    drives, where rows and pixels do not stand in the population as they come (default: they do).
    """

    source: str
    weight: np.ndarray
    stride: Pair = (1, 1)
    padding: Padding = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1
    sum_pool: Window | None = None
    exponent: int = 0
    resample: Resample | None = None
    source_channels: np.ndarray | None = None
    target_channels: np.ndarray | None = None
    targets: int = 0
    target_shape: Shape = ()
    target_order: np.ndarray | None = field(default=None, metadata=SINCE_0_1)

    @property
    def is_conv(self) -> bool:
        return self.weight.ndim == 4

    @property
    def window(self) -> Window:
        """The conv's kernel as a window over its (pooled) input."""
        return Window((self.weight.shape[2], self.weight.shape[3]), self.stride, self.padding, self.dilation)

    @property
    def spatial(self) -> Window | Resample | None:
        """What happens to rows and columns in front of the weights."""
        return self.sum_pool if self.resample is None else self.resample

    def read_shape(self, source_shape: Shape) -> Shape:
        """What the weights read: the chosen channels, pooled or resampled."""
        channels = source_shape[0] if self.source_channels is None else len(self.source_channels)
        if self.spatial is None:
            return (channels, *source_shape[1:])
        return (channels, *self.spatial.output_size((source_shape[1], source_shape[2])))

    def given_shape(self, source_shape: Shape) -> Shape:
        """What the weights give: rows, and for a convolution the pixels of its map."""
        rows = self.weight.shape[0]
        if not self.is_conv:
            return (rows,)
        _, *size = self.read_shape(source_shape)
        return (rows, *self.window.output_size((size[0], size[1])))

    def output_shape(self, source_shape: Shape) -> Shape:
        if self.target_order is not None:
            return self.target_shape
        rows = self.weight.shape[0] if self.target_channels is None else self.targets
        if not self.is_conv:
            return self.target_shape or (rows,)
        _, *size = self.read_shape(source_shape)
        return (rows, *self.window.output_size((size[0], size[1])))

    def macs(self, source_shape: Shape) -> int:
        """Multiplications of one step: those of the weights; sum-pools and resampling only add up."""
        size = self.given_shape(source_shape)[1:]
        return int(self.weight.size * np.prod(size, dtype=np.int64))

    @property
    def channel_of_row(self) -> np.ndarray:
        """(O,) the target's channel that each row of the weight drives."""
        if self.target_channels is not None:
            return self.target_channels
        if self.target_order is not None:  # the first, where a row drives several
            return self.target_order.reshape(len(self.weight), -1)[:, 0] // int(np.prod(self.target_shape[1:]))
        rows = np.arange(self.weight.shape[0])
        return rows // int(np.prod(self.target_shape[1:])) if self.target_shape else rows

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Currents (N, *output_shape) of the spikes or activations `x` (N, *source_shape): float64 for
        float weights, int64 for integer weights."""
        exact = x if self.source_channels is None else x[:, self.source_channels]
        exact = exact.astype(np.float64, copy=False)
        if self.sum_pool is not None:
            exact = arithmetic.sum_pool(exact, self.sum_pool)
        if self.resample is not None:
            exact = self.resample(exact)
        weight = self._float_weight
        if self.is_conv:
            z = arithmetic.conv2d(exact, weight, self.stride, self.padding, self.dilation, self.groups)
        else:
            filled = weight.shape[:1] if self.target_order is not None else self.target_shape or weight.shape[:1]
            z = arithmetic.dense(exact, weight).reshape(-1, *filled)
        z = z if self.weight.dtype.kind == "f" else z.astype(np.int64) << self.exponent
        if self.target_order is not None:
            placed = np.zeros((len(z), int(np.prod(self.target_shape))), z.dtype)
            placed[:, self.target_order] = z.reshape(len(z), -1)
            return placed.reshape(-1, *self.target_shape)
        if self.target_channels is None:
            return z
        full = np.zeros((z.shape[0], self.targets, *z.shape[2:]), z.dtype)
        full[:, self.target_channels] = z
        return full

    @cached_property
    def _float_weight(self) -> np.ndarray:
        return self.weight.astype(np.float64, copy=False)

    def bound(self, largest: int) -> int:
        """Static bound on |current| when no spike exceeds `largest`: sum |w| * largest * window << e."""
        fan_in = np.abs(self.weight.astype(np.int64)).reshape(self.weight.shape[0], -1).sum(axis=1)
        pooled = 1 if self.sum_pool is None else self.sum_pool.kernel[0] * self.sum_pool.kernel[1]
        if self.resample is not None:
            pooled = int(self.resample.gain)
        return int(fan_in.max(initial=0)) * pooled * largest << self.exponent


@dataclass(frozen=True, eq=False)
class Input(_Value):
    """The image: a constant current of `shape`. `scale` (C,) is the worth of one integer step per channel
    (an integer graph) or the largest magnitude seen in calibration (a float graph). view: the shape in which users give an
    image (default: `shape`). order: (neurons,) which element of a given image, flattened, each neuron is (default: as it
    stands); a model that permutes its images has one."""

    name: str
    shape: Shape
    scale: np.ndarray | None = None
    bits: int = 0
    view: Shape = field(default=(), metadata=SINCE_0_1)
    order: np.ndarray | None = field(default=None, metadata=SINCE_0_1)

    @property
    def image_shape(self) -> Shape:
        return self.view or self.shape

    def arranged(self, images: Any) -> Any:
        """Images (N, *image_shape), an array or a tensor, as the population holds them, (N, *shape)."""
        if self.order is not None:
            images = images.reshape(len(images), -1)[:, self.order]
        return images.reshape(len(images), *self.shape) if self.view else images


@dataclass(frozen=True, eq=False)
class BatchNorm(_Value):
    """What a batch norm that was folded says of a pre-activation: the currents of those `projections` (indices) and the bias add up to
    something of this mean and this variance over training images, each of which broadcasts to the population's shape."""

    projections: tuple[int, ...]
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Rectifier(_Value):
    """An analog population: relu(sum of projections + bias), at most `ceiling` (6 for ReLU6).
    bias: broadcasts to `shape`. batch_norm: what it says of them, where one stands in front; the same network without it is equal."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    ceiling: float = np.inf
    batch_norm: BatchNorm | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Relay(_Value):
    """An analog population with no nonlinearity: a sum of projections + bias that others read. batch_norm: as of a Rectifier."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    batch_norm: BatchNorm | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class SNM(_Value):
    """Signed neurons with memory (paper, section 4.2, Eq. 19 to 23), with `levels` and `lead`.

    vth: threshold, the amount subtracted per level; payload: the amount sent per level; v_init: the
    potential at the start of a window; each of `shape`, or what broadcasts to it; what a channel's neurons share takes memory
    once. bias broadcasts to `shape`, taken in each step.
    unit: (C,) worth of one step of v. spike_unit: (C,) worth of one step of payload. v_range: (C,)
    largest |v| expected on the calibration images. A neuron with vth = 0 is dead: it never fires.
    two_sided: no memory gate, so that spikes may sum below zero: a linear tensor, relayed. down: 0 to 1, the lower threshold as a
    share of vth (`dynamics.lower_threshold`): 1 is the paper's neuron, 0 takes a level back as soon as v < 0.
    """

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    vth: np.ndarray
    payload: np.ndarray
    v_init: np.ndarray
    unit: np.ndarray
    spike_unit: np.ndarray
    v_range: np.ndarray
    levels: int = 1
    lead: int = 0
    two_sided: bool = False
    down: float = field(default=1.0, metadata=SINCE_0_1)

    def __post_init__(self) -> None:
        for key in NEURON_CONSTANTS:
            array = np.asarray(getattr(self, key))
            if array.ndim > len(self.shape) or any(n not in (1, of) for n, of in zip(array.shape[::-1], self.shape[::-1], strict=False)):
                raise OutOfRange(f"{self.name}: {key} has shape {array.shape}, which does not broadcast to {self.shape}")
            if array.shape != self.shape:
                object.__setattr__(self, key, np.broadcast_to(array.copy(), self.shape))
        super().__post_init__()
        object.__setattr__(self, "down", float(self.down))


@dataclass(frozen=True, eq=False)
class MaxPool(_Value):
    """Sends the change of the windows' maximum of its source's running sums."""

    name: str
    shape: Shape
    source: str
    window: Window
    lead: int = field(default=0, init=False)


@dataclass(frozen=True, eq=False)
class ReadOut(_Value):
    """Neurons that never fire: v sums currents and bias over the window. unit: (C,) worth of one step of v, the same for all
    channels, so that the argmax of v is the class; `weighed` allows several, and v counts by its unit then: no stage makes
    such a read-out, files of 0.1.0 may hold one. view: the shape of the model's output, of the same elements in the same order
    (default: `shape`). function: of `functions.FUNCTIONS`, what the model does to its last layer, a softmax along `axis` of
    `view`: the read-out holds what goes into it, values have it applied."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    unit: np.ndarray | None = None
    v_range: np.ndarray | None = None
    view: Shape = ()
    weighed: bool = field(default=False, metadata=SINCE_0_1)
    function: str = field(default="", metadata=SINCE_0_1)
    axis: int = field(default=0, metadata=SINCE_0_1)
    lead: int = field(default=0, init=False)


Population = Input | Rectifier | Relay | SNM | MaxPool | ReadOut
P = TypeVar("P")


def sources(population: Population) -> tuple[str, ...]:
    """Names of the populations that `population` reads, in order of its projections."""
    if isinstance(population, Input):
        return ()
    if isinstance(population, MaxPool):
        return (population.source,)
    return tuple(p.source for p in population.projections)


@dataclass(frozen=True, eq=False)
class Graph(_Value):
    """Populations in topological order: the input first, the read-outs last, in the order of the model's outputs."""

    populations: tuple[Population, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for population in self.populations:
            missing = [s for s in sources(population) if s not in seen or isinstance(self[s], ReadOut)]
            if missing or population.name in seen:
                raise OutOfRange(
                    f"{population.name}: "
                    + (f"reads {missing[0]!r}, which does not stand before it, or is a read-out" if missing else "is named twice")
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
        if isinstance(population, SNM) and not 0 <= population.down <= 1:
            raise OutOfRange(f"{population.name}: down is {population.down}; give 0 to 1, a share of the threshold")
        if isinstance(population, MaxPool):
            c, h, w = self[population.source].shape
            found: list[Shape] = [(c, *population.window.output_size((h, w)))]
        elif isinstance(population, Input):
            found = []
        else:
            found = [p.output_shape(self[p.source].shape) for p in population.projections]
            for p in population.projections:
                _check_weight(p, self[p.source].shape, population.name)
        for shape in found:
            if shape != population.shape:
                raise OutOfRange(f"{population.name}: a source gives shape {shape}, the population has {population.shape}")
        if isinstance(population, MaxPool) and population.window.is_blind((h, w)):
            raise OutOfRange(f"{population.name}: a window of its pool sees nothing but padding; give it less")

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

    def measure(
        self, labels: np.ndarray | None = None, kind: str = AUTO, output: str | int | None = None, ignored: int | None = None
    ) -> Measure:  # fmt: skip
        """What is measured of an output (`measures.chosen`): the first, or that of this name or index."""
        found = measures.chosen(self.output_shapes, labels, kind, output, ignored)
        return replace(found, function=self.functions.get(found.output, ("", 0)))

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

    def digest(self) -> str:
        """SHA-256 over every field and array, hex, for provenance."""
        state = hashlib.sha256()
        _feed(state, self)
        return state.hexdigest()


def _check_input(p: Input) -> None:
    neurons = math.prod(p.shape)
    if p.view and math.prod(p.view) != neurons:
        raise OutOfRange(f"{p.name}: images {p.view} do not fill {p.shape}")
    if p.order is not None and not np.array_equal(np.sort(p.order), np.arange(neurons)):
        raise OutOfRange(f"{p.name}: its order does not take each of {neurons} elements of an image once")


def _check_readout(p: ReadOut) -> None:
    if p.view and math.prod(p.view) != math.prod(p.shape):
        raise OutOfRange(f"{p.name}: {p.shape} cannot be viewed as {p.view}")
    if p.function not in ("", *FUNCTIONS) or not 0 <= p.axis < max(1, len(p.view or p.shape)):
        raise OutOfRange(f"{p.name}: function {p.function!r} along axis {p.axis} is none of {', '.join(FUNCTIONS)} of its output")
    if p.unit is not None and not p.weighed and (p.unit != p.unit[0]).any():
        count = len(np.unique(p.unit))
        raise OutOfRange(f"{p.name}: a read-out of {count} units, whose largest sum is not the class; give all channels one unit")


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
        raise OutOfRange(f"{who}: {p.weight.shape[0]} rows and {len(p.target_channels)} target channels from {p.source}")
    if p.resample is not None and (p.resample.rows.shape[1], p.resample.cols.shape[1]) != source_shape[1:]:
        raise OutOfRange(f"{who}: a resampling of another size than {p.source}, which has {source_shape}")
    if p.target_channels is not None and len(np.unique(p.target_channels)) != len(p.target_channels):
        raise OutOfRange(f"{who}: two rows drive one channel in its projection from {p.source}")
    read = p.read_shape(source_shape)
    if p.target_order is not None and min(read) >= 1:
        _check_order(p, p.target_order, source_shape, who)
    if min(read) < 1:
        raise OutOfRange(f"{who}: what it reads from {p.source} has shape {read}; each size must be 1 or more")
    inputs = p.weight.shape[1] * p.groups
    if p.weight.shape[0] % p.groups or inputs != (read[0] if p.is_conv else int(np.prod(read))):
        raise OutOfRange(f"{who}: weights {p.weight.shape} in {p.groups} group(s) do not fit what they read from {p.source}, {read}")


def _check_order(p: Projection, order: np.ndarray, source_shape: Shape, who: str) -> None:
    given, neurons = math.prod(p.given_shape(source_shape)), math.prod(p.target_shape)
    if order.shape != (given,) or p.target_channels is not None or not p.target_shape:
        raise OutOfRange(f"{who}: an order of {order.size} for the {given} currents from {p.source}; each goes to one neuron")
    if (order < 0).any() or (order >= neurons).any() or len(np.unique(order)) != given:
        raise OutOfRange(f"{who}: its order of currents from {p.source} drives a neuron twice, or one outside 0 to {neurons - 1}")


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        state.update(f"{value.dtype.str}{value.shape}".encode())
        for part in value if value.ndim > 1 else [value]:  # in slices: what is stored once need not be written out whole
            state.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(value, tuple):
        state.update(f"({len(value)}".encode())
        for item in value:
            _feed(state, item)
    elif isinstance(value, _Value | Window):
        state.update(type(value).__name__.encode())
        for f in fields(value):
            if not f.compare or ("since" in f.metadata and _same(getattr(value, f.name), f.default)):
                continue
            state.update(f.name.encode())
            _feed(state, getattr(value, f.name))
    else:
        state.update(repr(value).encode() + b";")


@dataclass(frozen=True, eq=False)
class AnalogGraph(Graph):
    """The ANN itself: Input, Rectifier, Relay, MaxPool and ReadOut populations in float64."""

    def ann(self, x: np.ndarray) -> np.ndarray:
        """The network's first output (N, *its shape) for images `x` (N, *input shape), in float64."""
        return self.outputs(x)[self.readout.name]

    def outputs(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """{read-out: (N, *shape of the model's output)} for images `x` (N, *image shape), in float64; their functions applied."""
        x = checked_images(self, x).astype(np.float64)
        values = {self.input.name: self.input.arranged(x)}
        freed = self.last_readers()
        for population in self.populations[1:]:
            if isinstance(population, MaxPool):
                values[population.name] = arithmetic.max_pool(values[population.source], population.window)
            else:
                assert isinstance(population, Rectifier | Relay | ReadOut)
                z = sum((p(values[p.source]) for p in population.projections), start=np.float64(0)) + population.bias
                z = np.broadcast_to(z, (len(x), *population.shape))
                values[population.name] = np.clip(z, 0, population.ceiling) if isinstance(population, Rectifier) else z
            for name in freed[population.name]:
                del values[name]
        return {p.name: applied(p.function, p.axis, values[p.name].reshape(len(x), *(p.view or p.shape))) for p in self.readouts}


@dataclass(frozen=True, eq=False)
class SpikingGraph(Graph):
    """The SNN: Input, SNM, MaxPool and ReadOut populations, in float64 or in integers, for `steps` steps."""

    steps: int = 0

    @property
    def is_integer(self) -> bool:
        return self.readout.bias.dtype.kind == "i"

    @property
    def units(self) -> dict[str, np.ndarray]:
        """{read-out: worth of one step of its potential}, () where all channels have one, else as the model's output."""
        return {p.name: _worth(p) for p in self.readouts}

    def outputs(self, potentials: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Read-outs' potentials (N, T, *shape) by name, as (N, T, *shape of the model's output): the first one's, and
        {read-out: the others'}."""
        shown = {p.name: potentials[p.name].reshape(*potentials[p.name].shape[:2], *(p.view or p.shape)) for p in self.readouts}
        return shown.pop(self.readout.name), shown

    def offsets(self) -> dict[str, int]:
        """o(p) = 1 + max over sources (o(source) + lead(source)): when, in Lava, a window begins."""
        offset: dict[str, int] = {}
        for population in self.populations:
            offset[population.name] = max(
                (1 + offset[s] + lead(self[s]) for s in sources(population)), default=0
            )  # fmt: skip
        return offset

    @property
    def dead_neurons(self) -> dict[str, int]:
        """Neurons that can never fire (vth = 0), by population."""
        return {p.name: int(np.count_nonzero(p.vth == 0)) for p in self.of(SNM)}


def _worth(p: ReadOut) -> np.ndarray:
    if p.unit is None or not p.weighed:
        return np.float64(1.0 if p.unit is None else p.unit[0])  # type: ignore[return-value]
    unit = p.unit.reshape(-1, *(1,) * (len(p.shape) - 1))
    return np.broadcast_to(unit, p.shape).reshape(p.view or p.shape)


def lead(population: Population) -> int:
    """Steps that `population` integrates before it may fire: 0 for all but SNM."""
    return population.lead if isinstance(population, SNM) else 0


def checked_images(graph: Graph, images: Images) -> np.ndarray:
    """All images as an array (N, *input shape); OutOfRange for another shape, NaN, infinity or no image."""
    return _checked(graph, inputs.whole(images, graph.input.image_shape)[0])


def checked_pairs(graph: Graph, images: Images, labels: Labels | None) -> tuple[np.ndarray, np.ndarray | None]:
    """All images, and `labels`, or those that come with the images, (N, ...) as they are; None where there are none."""
    x, own = inputs.whole(images, graph.input.image_shape)
    x = _checked(graph, x)
    given = own if labels is None else labels
    return x, None if given is None else inputs.labels(given, len(x))


def asked_measure(
    graph: Graph, labels: np.ndarray | None, measure: str | Measure, output: str | int | None, ignored: int | None
) -> Measure:  # fmt: skip
    """`Graph.measure`, for who counts answers by labels: OutOfRange where there are none, unless values are set against the ANN's."""
    if isinstance(measure, Measure):
        return measure
    if labels is None and measure != "values":
        raise OutOfRange(
            "labels: none given, and the images bring none; give them, or (images, labels) batches, or say measure=values, "
            "the distance from the ANN's own"
        )
    return graph.measure(labels, measure, output, ignored)


def _checked(graph: Graph, images: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(images)  # torch sums in another order over other memory layouts
    shape = graph.input.image_shape
    if x.ndim == 3 and len(shape) == 3 and shape[1] == 1:  # sequences (N, C, L) are maps of one row
        x = x[:, :, None]
    if x.ndim != len(shape) + 1 or x.shape[1:] != shape:
        raise OutOfRange(f"images: shape {x.shape} given, (N, {', '.join(map(str, shape))}) needed; resize or re-order the axes")
    if len(x) == 0:
        raise OutOfRange("images: 0 given; give at least 1")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int(np.count_nonzero(~np.isfinite(x)))
        raise OutOfRange(f"images: {bad} of {x.size} values are NaN or infinite; clean the data first")
    return x


def checked_batches(graph: Graph, images: Images) -> Iterator[np.ndarray]:
    """The images (N, *input shape), batch by batch."""
    return (x for x, _ in labelled_batches(graph, images))


def labelled_batches(graph: Graph, images: Images) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The same, each with the labels that come with it, as they are."""
    for x, labels in inputs.batches(images, graph.input.image_shape):
        yield _checked(graph, x), labels


def checked_steps(steps: int) -> int:
    """`steps`; OutOfRange below 1."""
    if steps < 1:
        raise OutOfRange(f"steps: {steps} given; give 1 or more")
    return int(steps)
