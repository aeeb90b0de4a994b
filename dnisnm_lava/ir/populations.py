"""Kinds of populations: neurons of one shape that sum the same projections."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir.activations import Smooth
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.curves import Curve
from dnisnm_lava.ir.fixedpoint import STATE_BITS
from dnisnm_lava.ir.projections import Projection
from dnisnm_lava.ir.values import NEURON_CONSTANTS, SINCE_0_1, Shape, Value


@dataclass(frozen=True, eq=False)
class Input(Value):
    """The image: a constant current of `shape`. `scale` (C,) is the worth of one integer step per channel (an
    integer graph) or the largest magnitude seen in calibration (a float graph). view: the shape in which
    users give an image (default: `shape`). order: (neurons,) which element of a given image, flattened, each
    neuron is (default: as it stands); a model that permutes its images has one."""

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
class BatchNorm(Value):
    """What a batch norm that was folded says of a pre-activation: the currents of those `projections`
    (indices) and the bias add up to something of this mean and this variance over training images, each of
    which broadcasts to the population's shape."""

    projections: tuple[int, ...]
    mean: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Rectifier(Value):
    """An analog population: relu(sum of projections + bias), at most `ceiling` (6 for ReLU6). bias:
    broadcasts to `shape`. batch_norm: what it says of them, where one stands in front; the same network
    without it is equal."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    ceiling: float = np.inf
    batch_norm: BatchNorm | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Relay(Value):
    """An analog population with no nonlinearity: a sum of projections + bias that others read. batch_norm: as
    of a Rectifier."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    batch_norm: BatchNorm | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Activation(Value):
    """An analog population: function(sum of projections + bias), element by element. function: a piecewise-
    linear one, which its neurons compute as it is, or a smooth one, which they approximate. batch_norm: as of
    a Rectifier."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    bias: np.ndarray
    function: Curve | Smooth
    batch_norm: BatchNorm | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Product(Value):
    """An analog population: what `source` says times what `gate` says, element by element; the gate's shape
    is that of the product, or 1 along some of its axes."""

    name: str
    shape: Shape
    source: str
    gate: str


@dataclass(frozen=True, eq=False)
class SNM(Value):
    """Signed neurons with memory (paper, section 4.2, Eq. 19 to 23), with `levels` and `lead`.

    vth: threshold, the amount subtracted per level; payload: the amount sent per level; v_init: the potential
    at the start of a window; each of `shape`, or what broadcasts to it; what a channel's neurons share takes
    memory once. bias broadcasts to `shape`, taken in each step. unit: (C,) worth of one step of v.
    spike_unit: (C,) worth of one step of payload. v_range: (C,) largest |v| expected on the calibration
    images. A neuron with vth = 0 is dead: it never fires. two_sided: no memory gate, so that spikes may sum
    below zero: a linear tensor, relayed. down: 0 to 1, the lower threshold as a share of vth
    (`dynamics.lower_threshold`): 1 is the paper's neuron, 0 takes a level back as soon as v < 0. band: 0 to
    1, a dead band as a share of vth (`dynamics.band_of`): nothing is sent before v is so far above vth or
    below 0, then all whole levels. most: the levels that m may hold, and minus which a two-sided one may (0:
    no bound). A stream has both (`stages.streaming`). state_bits: of v in integers; fewer than 24 answer what
    if, and `backends.batched` alone runs them. curve: of neurons that send another function than a ReLU
    (`dynamics.follow`): v keeps the running sum, and vth is what a level of the curve is worth.
    """

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    _: KW_ONLY
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
    band: float = field(default=0.0, metadata=SINCE_0_1)
    most: int = field(default=0, metadata=SINCE_0_1)
    state_bits: int = field(default=STATE_BITS, metadata=SINCE_0_1)
    curve: Curve | None = field(default=None, metadata=SINCE_0_1)

    def __post_init__(self) -> None:
        _broadcast(self, NEURON_CONSTANTS)
        super().__post_init__()
        object.__setattr__(self, "down", float(self.down))
        object.__setattr__(self, "band", float(self.band))


@dataclass(frozen=True, eq=False)
class Gate(Value):
    """Sends the change of the product of its sources' running sums (`dynamics.gate`): of `source`, of its own
    shape, and of `gate`, of that shape or of size 1 along some of its axes.

    vth: what a level of the product is worth; payload: the amount sent per level; each of `shape`, or what
    broadcasts to it. gain: (C,) worth of a product of sums of 1, in a step. spike_unit: (C,) worth of one
    step of payload. levels, two_sided, band, most: as of SNM. A dead one (vth = 0) never fires."""

    name: str
    shape: Shape
    source: str
    gate: str
    _: KW_ONLY
    vth: np.ndarray
    payload: np.ndarray
    gain: np.ndarray
    spike_unit: np.ndarray
    levels: int = 1
    two_sided: bool = False
    band: float = 0.0
    most: int = 0
    lead: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        _broadcast(self, ("vth", "payload"))
        super().__post_init__()
        object.__setattr__(self, "band", float(self.band))


def _broadcast(p: SNM | Gate, keys: tuple[str, ...]) -> None:
    """Arrays of these fields in p's shape; OutOfRange for one that does not broadcast to it."""
    for key in keys:
        array = np.asarray(getattr(p, key))
        if not _broadcasts(array.shape, p.shape):
            raise OutOfRange(
                f"{p.name}: {key} has shape {array.shape}, which does not broadcast to {p.shape}"
            )
        if array.shape != p.shape:
            object.__setattr__(p, key, np.broadcast_to(array.copy(), p.shape))


def _broadcasts(given: Shape, to: Shape) -> bool:
    return len(given) <= len(to) and all(n in (1, of) for n, of in zip(given[::-1], to[::-1], strict=False))


@dataclass(frozen=True, eq=False)
class MaxPool(Value):
    """Sends the change of the windows' maximum of its source's running sums."""

    name: str
    shape: Shape
    source: str
    window: Window
    lead: int = field(default=0, init=False)


@dataclass(frozen=True, eq=False)
class ReadOut(Value):
    """Neurons that never fire: v sums currents and bias over the window. unit: (C,) worth of one step of v,
    the same for all channels, so that the argmax of v is the class; `weighed` allows several, and v counts by
    its unit then: no stage makes such a read-out, files of 0.1.0 may hold one. view: the shape of the model's
    output, of the same elements in the same order (default: `shape`). function: of `functions.FUNCTIONS`,
    what the model does to its last layer, a softmax along `axis` of `view`: the read-out holds what goes into
    it, values have it applied. state_bits: as of SNM."""

    name: str
    shape: Shape
    projections: tuple[Projection, ...]
    _: KW_ONLY
    bias: np.ndarray
    unit: np.ndarray | None = None
    v_range: np.ndarray | None = None
    view: Shape = ()
    weighed: bool = field(default=False, metadata=SINCE_0_1)
    function: str = field(default="", metadata=SINCE_0_1)
    axis: int = field(default=0, metadata=SINCE_0_1)
    state_bits: int = field(default=STATE_BITS, metadata=SINCE_0_1)
    lead: int = field(default=0, init=False)


Population = Input | Rectifier | Relay | Activation | Product | SNM | Gate | MaxPool | ReadOut


def sources(population: Population) -> tuple[str, ...]:
    """Names of the populations that `population` reads, in order of its projections."""
    if isinstance(population, Input):
        return ()
    if isinstance(population, MaxPool):
        return (population.source,)
    if isinstance(population, Product | Gate):
        return (population.source, population.gate)
    return tuple(p.source for p in population.projections)


def lead(population: Population) -> int:
    """Steps that `population` integrates before it may fire: 0 for all but SNM."""
    return population.lead if isinstance(population, SNM) else 0
