"""From an HDF5 file of format `dnisnm-netx` to its graph, or one sentence why not; docs/format.md says all.

Whatever the file holds, what comes out is a graph that can be written, read again and checked; arrays that
contradict each other, and numbers beyond the limits below, are refused before anything computes with them.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import (
    NEURON_CONSTANTS,
    SNM,
    Curve,
    Gate,
    Input,
    MaxPool,
    Population,
    Projection,
    ReadOut,
    Resample,
    Shape,
    SpikingGraph,
    narrowed,
)
from dnisnm_lava.ir.arithmetic import EXACT_FLOAT64, Pair, Window
from dnisnm_lava.ir.curves import LARGEST_OFFSET, LARGEST_PRODUCT, LARGEST_SHIFT, MULTIPLIER
from dnisnm_lava.ir.fixedpoint import STATE, FixedPointFormat
from dnisnm_lava.ir.functions import FUNCTIONS
from exporters.hdf5 import Group, root

FORMAT = "dnisnm-netx"
WITHOUT_DOWN = 1  # the version that knew no lower thresholds; files that have none are still written in it
WITH_DOWN = 2
WITH_SHARED = 3  # what a channel's neurons share is stored once
WITH_CARRY = 4  # a stream's network
WITH_CURVE = VERSION = 5  # neurons that send a curve of their running sum, and gates
LAYER_LIMIT = 100_000
NEURON_LIMIT = 1 << 31  # of one population
SHARING_LIMIT = (
    1 << 28
)  # of all populations whose constants are stored once: else a small file would ask for any amount of memory
SIDE_LIMIT = 1 << 20  # rows or columns of a map; kernel, stride, padding and dilation of a window
INT32 = (1 << 31) - 1  # what Lava's Vars hold; int64 sums of 2^32 such numbers are exact
NAME_LIMIT = 1000  # letters
IMAGE_BITS = 16  # that executors keep images in


def read(path: str | Path) -> SpikingGraph:
    """The graph of a file that `write` wrote. BadFile, and nothing else, for anything that is not one."""
    path = Path(path)
    try:
        return graph_of(_bytes(path))
    except (BadFile, OutOfRange) as error:
        raise BadFile(f"{path}: {error}") from None


def provenance(path: str | Path) -> dict[str, Any]:
    """What made the network of a file, as `write` was told; nothing where it was not. BadFile, and nothing
    else, for anything else."""
    path = Path(path)
    try:
        file = root(_bytes(path))
        _checked_version(file)
        told = json.loads(file.group("provenance").string("record")) if "provenance" in file else {}
    except BadFile as error:
        raise BadFile(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: /provenance/record is no JSON ({type(error).__name__})") from None
    if not isinstance(told, dict) or not _is_printable(told):
        raise BadFile(f"{path}: /provenance/record is no JSON object of printable letters")
    return told


def _is_printable(told: Any) -> bool:
    """Is it what a terminal may be shown, at any depth?"""
    if isinstance(told, dict):
        return all(map(_is_printable, (*told, *told.values())))
    return (
        all(map(_is_printable, told))
        if isinstance(told, list)
        else not isinstance(told, str) or told.isprintable()
    )


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise BadFile("no such file; check the path")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(f"cannot be read ({error.strerror}); check its permissions") from error


def graph_of(data: bytes) -> SpikingGraph:
    """The graph of a file of these bytes. BadFile, or OutOfRange of the graph's own."""
    file = root(data)
    version = _checked_version(file)
    graph = _read_graph(file, version)
    if version == WITHOUT_DOWN and any(p.down != 1 for p in graph.of(SNM)):
        raise BadFile(
            f"format version {version} knows no neuron/down, and this file has one; write it again with "
            f"netx.write"
        )
    if version < WITH_CURVE and (graph.of(Gate) or any(p.curve is not None for p in graph.of(SNM))):
        raise BadFile(
            f"format version {version} knows no neuron/curve and no gate, and this file has one; write it "
            f"again with netx.write"
        )
    _check_products(graph)
    if version < WITH_CARRY and (graph.carry or any(p.band or p.most for p in graph.of(SNM))):
        raise BadFile(
            f"format version {version} knows no simulation/carry, neuron/band and neuron/most, and this "
            f"file has "
            f"one; write it again with netx.write"
        )
    return graph


def _checked_version(file: Group) -> int:
    header = file.group("format") if "format" in file else None
    if header is None or "layer" not in file or "name" not in header or header.string("name") != FORMAT:
        raise BadFile(
            f"an HDF5 file, but not one of ours (no format/name = {FORMAT}); give a .net that netx.write "
            f"wrote"
        )
    version = header.integer("version", -INT32, INT32)
    if version > VERSION:
        raise BadFile(
            f"format version {version}, and this program reads up to {VERSION}; install a newer dnisnm-lava"
        )
    if version < 1:
        raise BadFile(f"format version {version} never existed; write it again with netx.write")
    return version


# ---------------------------------------------------------------- layers


@dataclass(frozen=True)
class Layer:
    """The population that layers behind it read here; flat: a flatten layer stands for it."""

    population: Population
    flat: bool = False


def _read_graph(file: Group, version: int) -> SpikingGraph:
    layers: list[Layer] = []
    names: set[str] = set()
    for group in _groups(file.group("layer")):
        layer = _read_layer(group, layers, version)
        if not layer.flat and layer.population.name in names:
            raise BadFile(f"{group.name}/name is {layer.population.name!r}, as that of a layer before it")
        names.add(layer.population.name)
        layers.append(layer)
    if version >= WITH_SHARED:
        _check_sharing([layer.population for layer in layers if not layer.flat])
    simulation = file.group("simulation")
    steps = simulation.integer("steps", 1, INT32)
    for layer in layers:
        _check_sums(layer.population, steps)
    carry = "carry" in simulation and bool(simulation.integer("carry", 0, 1))
    return SpikingGraph(
        tuple(layer.population for layer in layers if not layer.flat), steps=steps, carry=carry
    )


def _check_sharing(populations: list[Population]) -> None:
    neurons = [p for p in populations if isinstance(p, SNM | Gate)]
    sharing = sum(
        p.vth.size
        for p in neurons
        if any(narrowed(getattr(p, key)).shape != p.shape for key in NEURON_CONSTANTS if hasattr(p, key))
    )
    if sharing > SHARING_LIMIT:
        raise BadFile(
            f"{sharing} neurons share their constants; {SHARING_LIMIT} at most may, so that no small "
            f"file takes any amount of memory"
        )


def _check_sums(p: Population, steps: int) -> None:
    """BadFile where float64 would not hold what a curve makes of the sums of so many steps."""
    if not isinstance(p, SNM) or p.curve is None:
        return
    far = max(int(np.abs(a).max(initial=0)) for a in (p.curve.knots, p.curve.offsets))
    if steps * far + STATE.limit * MULTIPLIER > EXACT_FLOAT64:
        raise BadFile(
            f"{p.name}: its curve reaches {far}, too far for {steps} steps, which may add up to 2**53"
        )


def _check_products(graph: SpikingGraph) -> None:
    """BadFile where float64 would not hold twice what a gate makes of the sums of all steps."""
    largest: dict[str, int] = {}
    for p in graph:
        if isinstance(p, Input):
            largest[p.name] = graph.steps * FixedPointFormat(p.bits).limit
        elif isinstance(p, MaxPool):
            largest[p.name] = largest[p.source]
        elif isinstance(p, SNM | Gate):
            largest[p.name] = int(p.payload.max()) * (p.most or graph.steps * p.levels)
        if isinstance(p, Gate):
            product = largest[p.source] * largest[p.gate] * int(p.gain.max())
            if product > LARGEST_PRODUCT:
                raise BadFile(
                    f"{p.name}: a gate of products up to {product}, and {LARGEST_PRODUCT} at most are exact"
                )


def _groups(layers: Group) -> Iterator[Group]:
    count = len(layers)
    if not 1 <= count <= LAYER_LIMIT or any(str(i) not in layers for i in range(count)):
        raise BadFile(f"its {count} layers are not numbered 0 to {count - 1}; 1 to {LAYER_LIMIT} needed")
    return (layers.group(str(i)) for i in range(count))


def _read_layer(group: Group, layers: list[Layer], version: int) -> Layer:
    kind, shape = group.string("type"), _shape(group, "shape", 3)
    if (
        math.prod(shape) > NEURON_LIMIT
        or (len(shape) == 3 and max(shape[1:]) > SIDE_LIMIT)
        or len(shape) == 2
    ):
        raise BadFile(
            f"{group.name}/shape is {shape}; (C, H, W) or (features,) of {NEURON_LIMIT} neurons and "
            f"sides of {SIDE_LIMIT} at most"
        )
    if kind == "input":
        return Layer(_read_input(group, shape))
    read = _inputs(group, layers)
    if kind == "flatten":
        return Layer(_flattened(group, shape, read), flat=True)
    if kind == "maxpool":
        return Layer(_read_max_pool(group, shape, read))
    if kind == "gate":
        return Layer(_read_gate(group, shape, read, version))
    if kind not in ("conv", "dense"):
        raise BadFile(f"{group.name}/type is {kind!r}, which this program does not know")
    return Layer(_read_neurons(group, kind, shape, read, version))


def _inputs(group: Group, layers: list[Layer]) -> list[Layer]:
    inputs = group.integers("inputs", LAYER_LIMIT)
    if not inputs or any(not 0 <= i < len(layers) for i in inputs):
        raise BadFile(f"{group.name}/inputs points to {_some(inputs)}, not to layers before it")
    return [layers[i] for i in inputs]


def _flattened(group: Group, shape: Shape, read: list[Layer]) -> Population:
    (source, *others), neurons = read, math.prod(read[0].population.shape)
    if others or source.flat or shape != (neurons,):
        raise BadFile(
            f"{group.name}: a flatten of {len(read)} layer(s) to {shape}; one, of {neurons} neurons, "
            f"stands before it"
        )
    return source.population


def _read_input(group: Group, shape: Shape) -> Input:
    scale = _per_channel(group, "scale", shape)
    if (scale <= 0).any():
        raise BadFile(f"{group.name}/scale must be above 0")
    view = _shape(group, "view", 64) if "view" in group else ()
    order = _codes(group, "order", least=0) if "order" in group else None
    return Input(_name(group), shape, scale, group.integer("bits", 2, IMAGE_BITS), view, order)


def _read_max_pool(group: Group, shape: Shape, read: list[Layer]) -> MaxPool:
    if len(read) != 1 or len(read[0].population.shape) != 3 or read[0].flat:
        raise BadFile(f"{group.name}: a max-pool reads one layer, a map")
    return MaxPool(_name(group), shape, read[0].population.name, _read_window(group.group("pool")))


def _read_gate(group: Group, shape: Shape, read: list[Layer], version: int) -> Gate:
    if len(read) != 2 or any(layer.flat for layer in read):
        raise BadFile(
            f"{group.name}: a gate reads two layers, neither of them a flatten, and not {len(read)}"
        )
    gate = group.group("gate")
    vth = _of_neurons(gate, "theta", shape, version, least=0)
    payload, levels = _of_neurons(gate, "payload", shape, version, least=0), gate.integer("levels", 1, INT32)
    _check_spike(gate, payload, levels)
    _check_shifted(gate, vth, "of a gate")
    gain = _codes(gate, "gain", least=0).astype(np.int64)
    if gain.shape != shape[:1]:
        raise BadFile(f"{gate.name}/gain has shape {gain.shape}; one for each of {shape[0]} channels needed")
    return Gate(
        _name(group),
        shape,
        *(layer.population.name for layer in read),
        vth=vth,
        payload=payload,
        gain=gain,
        spike_unit=_per_channel(gate, "spike_unit", shape),
        levels=levels,
        two_sided=bool(gate.integer("two_sided", 0, 1)),
        band=gate.number("band", 0, 1) if "band" in gate else 0.0,
        most=gate.integer("most", 0, INT32) if "most" in gate else 0,
    )


def _check_spike(group: Group, payload: np.ndarray, levels: int) -> None:
    if int(payload.max()) * levels > INT32:
        raise BadFile(
            f"{group.name}: {levels} levels of a payload of {payload.max()} exceed a spike of {INT32}"
        )


def _check_shifted(group: Group, theta: np.ndarray, whose: str) -> None:
    if (theta & (theta - 1)).any() or theta.max() > 1 << LARGEST_SHIFT:
        raise BadFile(f"{group.name}/theta {whose} must be 0 or a power of two, 2**{LARGEST_SHIFT} at most")


def _read_neurons(group: Group, kind: str, shape: Shape, read: list[Layer], version: int) -> SNM | ReadOut:
    others = group.group("projection") if len(read) > 1 else None
    groups = [group, *(others.group(str(i)) for i in range(1, len(read)) if others is not None)]
    projections = tuple(_read_projection(g, layer) for g, layer in zip(groups, read, strict=True))
    if projections[0].is_conv != (kind == "conv"):
        raise BadFile(f"{group.name}/type is {kind!r}, and its weight has {projections[0].weight.ndim} axes")
    neuron = group.group("neuron")
    model = neuron.string("type")
    if model != "SNM":
        raise BadFile(f"{neuron.name}/type is {model!r}, SNM needed")
    name, bias = _name(group), _read_bias(group, shape)
    unit, v_range = _read_units(neuron, shape)
    theta = _of_neurons(neuron, "theta", shape, version, least=0)
    if "readout" in neuron:
        return _read_readout(
            neuron, ReadOut(name, shape, projections, bias=bias, unit=unit, v_range=v_range), theta
        )
    payload = _of_neurons(neuron, "payload", shape, version, least=0)
    v_init = _of_neurons(neuron, "v_init", shape, version, least=-INT32)
    levels, lead = neuron.integer("levels", 1, INT32), neuron.integer("lead", 0, INT32)
    _check_spike(neuron, payload, levels)
    spike_unit, two_sided = _per_channel(neuron, "spike_unit", shape), bool(neuron.integer("two_sided", 0, 1))
    down = neuron.number("down", 0, 1) if "down" in neuron else 1.0
    curve = _read_curve(neuron.group("curve"), shape[0]) if "curve" in neuron else None
    if curve is not None:
        _check_shifted(neuron, theta, "of neurons with a curve")
    return SNM(
        name,
        shape,
        projections,
        bias=bias,
        vth=theta,
        payload=payload,
        v_init=v_init,
        unit=unit,
        spike_unit=spike_unit,
        v_range=v_range,
        levels=levels,
        lead=lead,
        two_sided=two_sided,
        down=down,
        band=neuron.number("band", 0, 1) if "band" in neuron else 0.0,
        most=neuron.integer("most", 0, INT32) if "most" in neuron else 0,
        curve=curve,
    )


def _read_curve(group: Group, channels: int) -> Curve:
    """The curve of a population; int64, whatever width it is stored in."""
    slopes = _table(group, "slopes", MULTIPLIER, channels)
    offsets = _table(group, "offsets", LARGEST_OFFSET, channels)
    none = np.zeros((len(slopes), 0), np.int64)
    knots = _table(group, "knots", LARGEST_OFFSET, channels) if "knots" in group else none
    low, high, error = (_each_or_all(group, key, channels) for key in ("low", "high", "error"))
    if (low > high).any() or (error < 0).any():
        raise BadFile(f"{group.name}: low must not exceed high, and error be 0 or more")
    tolerance = group.number("tolerance", 0, math.inf)
    worst = _each_or_all(group, "worst", channels) if "worst" in group else None
    curve = Curve(_name(group), knots, slopes, offsets, low, high, error, tolerance, worst)
    curve.check(group.name, channels)
    return curve


def _table(group: Group, key: str, most: int, channels: int) -> np.ndarray:
    """(rows, ...) of integers within +-most, as int64; a row for each channel, or one for all."""
    value = group.array(key, "i")
    if value.ndim != 2 or len(value) not in (1, channels):
        raise BadFile(
            f"{group.name}/{key} has shape {value.shape}; 1 row or one for each of {channels} channels needed"
        )
    if value.min() < -most or value.max() > most:
        raise BadFile(f"{group.name}/{key} must hold integers from {-most} to {most}")
    return value.astype(np.int64)


def _each_or_all(group: Group, key: str, channels: int) -> np.ndarray:
    value = group.array(key, "f")
    if value.shape not in ((1,), (channels,)):
        raise BadFile(
            f"{group.name}/{key} has shape {value.shape}; 1 value or one for each of {channels} channels "
            f"needed"
        )
    return value


def _read_readout(neuron: Group, p: ReadOut, theta: np.ndarray) -> ReadOut:
    if neuron.integer("readout", 1, 1) and theta.any():
        raise BadFile(f"{neuron.name}/theta is not 0, and a read-out never fires")
    assert p.unit is not None
    weighed = bool((p.unit != p.unit[0]).any())
    if weighed:
        warnings.warn(
            f"{neuron.name}: the read-out counts in {len(np.unique(p.unit))} units, as files of 0.1.0 "
            f"may: its sums are weighed by them; "
            "convert the network anew, so that chips and Lava give right classes too",
            stacklevel=2,
        )
    p = replace(p, view=_shape(neuron, "view", 64) if "view" in neuron else (), weighed=weighed)
    if "function" not in neuron:
        return p
    function, axis = neuron.string("function"), neuron.integer("axis", 0, len(p.view or p.shape) - 1)
    if function not in FUNCTIONS:
        raise BadFile(f"{neuron.name}/function is {function[:40]!r}; {', '.join(FUNCTIONS)} are known")
    return replace(p, function=function, axis=axis)


def _read_bias(group: Group, shape: Shape) -> np.ndarray:
    bias, sizes = _codes(group, "bias"), _shape(group, "bias_shape", 3)
    fits = len(sizes) <= len(shape) and all(
        n in (1, of) for n, of in zip(reversed(sizes), reversed(shape), strict=False)
    )
    if not fits or bias.size != math.prod(sizes):
        raise BadFile(
            f"{group.name}: a bias of {bias.size} values and bias_shape {sizes} do not fit the layer's "
            f"shape {shape}"
        )
    return bias.reshape(sizes)


def _read_units(neuron: Group, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    unit, v_range = _per_channel(neuron, "unit", shape), _per_channel(neuron, "v_range", shape)
    if (unit <= 0).any() or (v_range < 0).any() or (v_range.astype(np.float64) / EXACT_FLOAT64 > unit).any():
        raise BadFile(f"{neuron.name}: unit must be above 0, and v_range 0 to 2**53 units")
    return unit, v_range


# ---------------------------------------------------------------- projections


def _read_projection(group: Group, layer: Layer) -> Projection:
    weight, exponent = _codes(group, "weight"), group.integer("exponent", 0, 24)
    if weight.ndim not in (2, 4):
        raise BadFile(f"{group.name}: weight has {weight.ndim} axes; 2 or 4 needed")
    projection = Projection(
        layer.population.name, weight, exponent=exponent, **_read_channels(group), **_read_spatial(group)
    )
    if ((projection.is_conv or projection.spatial) and len(layer.population.shape) != 3) or (
        projection.is_conv and layer.flat
    ):
        raise BadFile(
            f"{group.name}: a conv, a sum_pool or a resample reads a map, and {layer.population.name!r} "
            f"is none here"
        )
    if not projection.is_conv:
        return projection
    (top, left), (bottom, right) = _pair(group, "padding", 0), _pair(group, "padding_end", 0)
    stride, dilation, groups = (
        _pair(group, "stride", 1),
        _pair(group, "dilation", 1),
        group.integer("groups", 1, INT32),
    )
    return replace(
        projection, stride=stride, padding=((top, bottom), (left, right)), dilation=dilation, groups=groups
    )


def _read_channels(group: Group) -> dict[str, Any]:
    """source_channels, target_channels and target_shape, where they are given."""
    found: dict[str, Any] = {
        key: _codes(group, key) for key in ("source_channels", "target_channels") if key in group
    }
    if any(value.ndim != 1 for value in found.values()):
        raise BadFile(f"{group.name}: source_channels and target_channels must have one axis")
    if "target_shape" in group:
        found["target_shape"] = _shape(group, "target_shape", 3)
    if "target_order" in group:
        found["target_order"] = _codes(group, "target_order", least=0)
    if "target_channels" in found:
        found["targets"] = group.integer("targets", 1, INT32)
    return found


def _read_spatial(group: Group) -> dict[str, Any]:
    """sum_pool or resample, where one is given."""
    if "resample" not in group:
        return {"sum_pool": _read_window(group.group("sum_pool"))} if "sum_pool" in group else {}
    matrices = group.group("resample")
    rows, cols = _codes(matrices, "rows"), _codes(matrices, "cols")
    if rows.ndim != 2 or cols.ndim != 2 or "sum_pool" in group:
        raise BadFile(f"{group.name}/resample must be two matrices, and stand without a sum_pool")
    return {"resample": Resample(rows, cols)}


def _read_window(group: Group) -> Window:
    padding = group.integers("padding", 4)
    if len(padding) != 4 or not all(0 <= n <= SIDE_LIMIT for n in padding):
        raise BadFile(f"{group.name}/padding is {_some(padding)}; 4 integers of 0 to {SIDE_LIMIT} needed")
    (top, bottom, left, right) = padding
    return Window(
        _pair(group, "kernel", 1),
        _pair(group, "stride", 1),
        ((top, bottom), (left, right)),
        _pair(group, "dilation", 1),
    )


# ---------------------------------------------------------------- values


def _name(group: Group) -> str:
    name = group.string("name")
    if not name.isprintable() or not 1 <= len(name) <= NAME_LIMIT:
        raise BadFile(f"{group.name}/name is {name[:40]!r}; 1 to {NAME_LIMIT} printable letters needed")
    return name


def _shape(group: Group, key: str, axes: int) -> Shape:
    shape = group.integers(key, axes)
    if not shape or min(shape) < 1:
        raise BadFile(f"{group.name}/{key} is {shape}; each size must be 1 or more")
    return shape


def _pair(group: Group, key: str, least: int) -> Pair:
    pair = group.integers(key, 2)
    if len(pair) != 2 or not all(least <= n <= SIDE_LIMIT for n in pair):
        raise BadFile(f"{group.name}/{key} is {pair}; 2 integers of {least} to {SIDE_LIMIT} needed")
    return pair[0], pair[1]


def _codes(group: Group, key: str, least: int = -INT32) -> np.ndarray:
    """Integers from `least` to INT32, at least one."""
    value = group.array(key, "i")
    if value.size == 0 or value.min() < least or value.max() > INT32:
        raise BadFile(f"{group.name}/{key} must hold integers from {least} to {INT32}, one at least")
    return value


def _of_neurons(neuron: Group, key: str, shape: Shape, version: int, least: int) -> np.ndarray:
    """(*shape), of size 1 along rows, columns or both that share it."""
    value = _codes(neuron, key, least)
    if value.shape == shape:
        return value
    if (
        value.ndim != len(shape)
        or value.shape[0] != shape[0]
        or any(n not in (1, of) for n, of in zip(value.shape, shape, strict=True))
    ):
        raise BadFile(
            f"{neuron.name}/{key} has shape {value.shape}; it must have the layer's shape {shape}, or 1 "
            f"for its rows and columns"
        )
    if version < WITH_SHARED:
        raise BadFile(
            f"{neuron.name}/{key} has shape {value.shape}, and format version {version} has one value "
            f"for each neuron, {shape}; "
            "write it again with netx.write"
        )
    return value


def _per_channel(group: Group, key: str, shape: Shape) -> np.ndarray:
    value = group.array(key, "f")
    if value.shape != shape[:1]:
        raise BadFile(
            f"{group.name}/{key} has shape {value.shape}; one value for each of {shape[0]} channels needed"
        )
    return value


def _some(numbers: tuple[int, ...]) -> str:
    """(7, 1), or the first few."""
    return f"({', '.join(map(str, numbers[:8]))}{', ...' if len(numbers) > 8 else ''})"
