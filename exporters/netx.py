"""lava-dl netx HDF5 files (`.net`) with our extra datasets beside lava-dl's; docs/format.md says all.

Layout and units are lava-dl's: `layer/0 ... n-1`, shapes (C, H, W), weights (O, I / groups, kH, kW), integer
biases, types as S20. Written whole or not at all; `read(write(g)) == g`, array by array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange
from dnisnm_lava.files import refuse_existing, write_whole
from dnisnm_lava.ir import SNM, Input, MaxPool, Population, Projection, ReadOut, Resample, SpikingGraph, sources
from dnisnm_lava.synapses import Window

FORMAT = "dnisnm-netx"
VERSION = 1
LAYER_LIMIT = 100_000  # layers; a header that claims more is refused
ELEMENT_LIMIT = 1 << 31  # array elements; a header that claims more is refused before anything is allocated


# ---------------------------------------------------------------- write


def write(path: str | Path, graph: SpikingGraph, *, overwrite: bool = False) -> Path:
    """Write an integer graph. The file appears whole, or not at all and the old one stays.

    BadFile where `path` exists and `overwrite` is false, or cannot be written; OutOfRange for a float graph.
    """
    path = Path(path)
    if not graph.is_integer:
        raise OutOfRange(f"{path}: netx holds integers, and the graph holds floats; quantize it first")
    refuse_existing(path, overwrite)
    write_whole(path, contents(graph), overwrite=overwrite)  # by hand: a full disk makes HDF5 itself crash
    return path


def contents(graph: SpikingGraph) -> bytes:
    """The bytes of the file of an integer graph."""
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        _write_graph(file, graph)
        file.flush()
        return file.id.get_file_image()


def register() -> None:
    """Teach lava-dl's `netx.hdf5.Network` the SNM neuron: it then builds our files that are chains, and refuses the others.

    BackendMissing where lava-dl is not installed. How to feed such a network: exporters/netx_lava_dl.py.
    """
    try:
        from exporters import netx_lava_dl
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "lava":
            raise
        raise BackendMissing("lava-dl is not installed in this Python; pip install 'dnisnm-lava[lava]' (Python 3.10) brings it") from error
    netx_lava_dl.register()


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _text(value: str, width: int | None = None) -> np.ndarray:
    raw = value.encode()
    return np.array([raw], dtype=f"S{width or max(1, len(raw))}")


def _write_graph(file: h5py.File, graph: SpikingGraph) -> None:
    header = file.create_group("format")
    header["name"], header["version"] = _text(FORMAT), VERSION
    file["simulation/steps"] = graph.steps
    index: dict[str, int] = {}  # population -> its layer
    layers = file.create_group("layer")
    for p in graph:
        inputs = [index[name] for name in sources(p)]
        if _flattens(graph, p):
            flatten = _layer(layers, "flatten", (prod(graph[sources(p)[0]].shape),))
            flatten["inputs"] = np.array(inputs[:1], np.int32)
            inputs[0] = len(layers) - 1
        group = _layer(layers, _kind(p), p.shape)
        index[p.name] = len(layers) - 1
        group["name"] = _text(p.name)
        if inputs:
            group["inputs"] = np.array(inputs, np.int32)
        if isinstance(p, Input):
            _write_input(group, p)
        elif isinstance(p, MaxPool):
            _write_window(group.create_group("pool"), p.window)
        elif isinstance(p, SNM | ReadOut):
            _write_neurons(group, p)


def _kind(p: Population) -> str:
    if isinstance(p, SNM | ReadOut):
        return "conv" if p.projections[0].is_conv else "dense"
    return "input" if isinstance(p, Input) else "maxpool"


def _flattens(graph: SpikingGraph, p: Population) -> bool:
    """Does lava-dl need a flatten layer between `p` and its first source?"""
    return _kind(p) == "dense" and len(graph[sources(p)[0]].shape) == 3


def _layer(layers: h5py.Group, kind: str, shape: tuple[int, ...]) -> h5py.Group:
    group = layers.create_group(str(len(layers)))
    group["type"] = _text(kind, 20)
    group["shape"] = np.array(shape, np.int64)
    return group


def _write_input(group: h5py.Group, p: Input) -> None:
    assert p.scale is not None
    group["scale"], group["bits"] = p.scale, p.bits


def _write_neurons(group: h5py.Group, p: SNM | ReadOut) -> None:
    first, *others = p.projections
    _write_projection(group, first)
    for i, projection in enumerate(others, start=1):
        _write_projection(group.create_group(f"projection/{i}"), projection)
    _write_bias(group, p)
    neuron = group.create_group("neuron")
    neuron["type"] = _text("SNM", 20)
    if isinstance(p, ReadOut):
        neuron["theta"], neuron["readout"] = np.zeros(p.shape, np.int32), 1  # theta 0: never fires
        if p.view:
            neuron["view"] = np.array(p.view, np.int64)
    else:
        neuron["theta"], neuron["payload"], neuron["v_init"] = p.vth, p.payload, p.v_init
        neuron["levels"], neuron["lead"] = p.levels, p.lead
        neuron["two_sided"] = int(p.two_sided)
        neuron["spike_unit"] = p.spike_unit
    neuron["unit"], neuron["v_range"] = p.unit, p.v_range


def _write_bias(group: h5py.Group, p: SNM | ReadOut) -> None:
    """lava-dl's `bias`: (C,), or (C, H, W) where positions differ; `bias_shape` keeps our array's shape."""
    bias = p.bias
    group["bias"] = bias.reshape(bias.shape[0]) if all(n == 1 for n in bias.shape[1:]) else bias
    group["bias_shape"] = np.array(bias.shape, np.int64)


def _write_window(group: h5py.Group, w: Window) -> None:
    group["kernel"], group["stride"], group["dilation"] = (np.array(v, np.int32) for v in (w.kernel, w.stride, w.dilation))
    group["padding"] = np.array(w.padding, np.int32)


def _write_projection(group: h5py.Group, q: Projection) -> None:
    group.create_dataset("weight", data=q.weight)
    group["exponent"] = q.exponent
    if q.is_conv:
        (top, bottom), (left, right) = q.padding
        group["stride"], group["dilation"] = np.array(q.stride, np.int32), np.array(q.dilation, np.int32)
        group["padding"] = np.array([top, left], np.int32)
        group["padding_end"] = np.array([bottom, right], np.int32)
        group["groups"] = q.groups
    if q.sum_pool is not None:
        _write_window(group.create_group("sum_pool"), q.sum_pool)
    if q.resample is not None:
        resample = group.create_group("resample")
        resample["rows"], resample["cols"] = q.resample.rows, q.resample.cols
    if q.source_channels is not None:
        group["source_channels"] = q.source_channels
    if q.target_channels is not None:
        group["target_channels"], group["targets"] = q.target_channels, q.targets
    if q.target_shape:
        group["target_shape"] = np.array(q.target_shape, np.int64)


# ---------------------------------------------------------------- read


def read(path: str | Path) -> SpikingGraph:
    """The graph of a file that `write` wrote. BadFile, and nothing else, for anything that is not one."""
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file; check the path")
    try:
        with h5py.File(path, "r") as file:
            _check_header(file, path)
            return _read_graph(file)
    except BadFile as error:
        raise BadFile(f"{path}: {error}" if not str(error).startswith(str(path)) else str(error)) from None
    except OSError as error:
        raise BadFile(f"{path}: not an HDF5 file, or truncated ({_reason(error)}); write it again with netx.write") from error
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, OverflowError, AttributeError, MemoryError) as error:
        raise BadFile(f"{path}: damaged ({_reason(error)}); write it again with netx.write") from error


def _check_header(file: h5py.File, path: Path) -> None:
    if "format" not in file or "layer" not in file or _string(file["format"], "name") != FORMAT:
        raise BadFile(f"{path}: an HDF5 file, but not one of ours (no format/name = {FORMAT}); give a .net that netx.write wrote")
    version = _int(file["format"], "version")
    if version > VERSION:
        raise BadFile(f"{path}: format version {version}, and this program reads up to {VERSION}; install a newer dnisnm-lava")
    if version < 1:
        raise BadFile(f"{path}: format version {version} never existed; write it again with netx.write")


def _dataset(group: h5py.Group, key: str) -> np.ndarray:
    """The array at `key`; BadFile for links, objects, strange filters, or claims that no file could keep."""
    link = group.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise BadFile(f"{group.name}/{key} is missing, or a soft or external link")
    data = group[key]
    if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "iufS":
        raise BadFile(f"{group.name}/{key} is not a plain array")
    if data.size is None or data.size > ELEMENT_LIMIT or data.size * data.dtype.itemsize > 64 * max(1, data.id.get_storage_size()) + 4096:
        raise BadFile(f"{group.name}/{key} claims {data.size} elements, more than the file holds")
    return np.asarray(data[()])


def _child(group: h5py.Group, key: str) -> h5py.Group:
    if not isinstance(group.get(key, getlink=True), h5py.HardLink) or not isinstance(group[key], h5py.Group):
        raise BadFile(f"{group.name}/{key} is not a group of this file")
    return group[key]


def _int(group: h5py.Group, key: str) -> int:
    value = _dataset(group, key)
    if value.size != 1 or value.dtype.kind not in "iu":
        raise BadFile(f"{group.name}/{key} is not one integer")
    return int(value.reshape(-1)[0])


def _ints(group: h5py.Group, key: str) -> tuple[int, ...]:
    value = _dataset(group, key)
    if value.dtype.kind not in "iu" or value.size > 64:
        raise BadFile(f"{group.name}/{key} is not a short list of integers")
    return tuple(int(v) for v in value.reshape(-1))


def _pair(group: h5py.Group, key: str) -> tuple[int, int]:
    y, x = _ints(group, key)
    return y, x


def _string(group: h5py.Group, key: str) -> str:
    value = _dataset(group, key)
    if value.dtype.kind != "S" or value.size != 1:
        raise BadFile(f"{group.name}/{key} is not a string")
    return bytes(value.reshape(-1)[0]).decode()


def _array(group: h5py.Group, key: str, kind: str) -> np.ndarray:
    value = _dataset(group, key)
    if value.dtype.kind != kind:
        raise BadFile(f"{group.name}/{key} has dtype {value.dtype}, {'integers' if kind == 'i' else 'floats'} needed")
    if kind == "f" and not np.isfinite(value).all():
        raise BadFile(f"{group.name}/{key} holds NaN or infinity")
    return value


def _layers(file: h5py.File) -> Iterator[h5py.Group]:
    layers = _child(file, "layer")
    if not 1 <= len(layers) <= LAYER_LIMIT or any(str(i) not in layers for i in range(len(layers))):
        raise BadFile(f"its {len(layers)} layers are not numbered 0 to {len(layers) - 1}")
    for i in range(len(layers)):
        yield _child(layers, str(i))


def _read_graph(file: h5py.File) -> SpikingGraph:
    populations: dict[str, Population] = {}
    name_of: list[str] = []  # layer -> population; a flatten layer stands for the one before it
    for group in _layers(file):
        kind = _string(group, "type")
        if kind == "flatten":
            (name,) = _sources(group, name_of)
            if _ints(group, "shape") != (prod(populations[name].shape),):
                raise BadFile(f"{group.name}/shape is {_ints(group, 'shape')}, and {name} has shape {populations[name].shape}")
        else:
            p = _read_population(group, kind, name_of)
            name = p.name
            if name in populations:
                raise BadFile(f"{group.name}/name is {name!r}, the name of a layer before it")
            populations[name] = p
        name_of.append(name)
    steps = _int(_child(file, "simulation"), "steps")
    if steps < 1:
        raise BadFile(f"simulation/steps is {steps}; it must be 1 or more")
    return SpikingGraph(tuple(populations.values()), steps=steps)


def _sources(group: h5py.Group, name_of: list[str]) -> tuple[str, ...]:
    inputs = _ints(group, "inputs")
    if any(not 0 <= i < len(name_of) for i in inputs):
        raise BadFile(f"{group.name}/inputs points to {inputs}, not to layers before it")
    return tuple(name_of[i] for i in inputs)


def _read_population(group: h5py.Group, kind: str, name_of: list[str]) -> Population:
    name, shape = _string(group, "name"), _ints(group, "shape")
    if kind == "input":
        return Input(name, shape, _array(group, "scale", "f"), _int(group, "bits"))
    names = _sources(group, name_of)
    if kind == "maxpool":
        (source,) = names
        return MaxPool(name, shape, source, _read_window(_child(group, "pool")))
    if kind not in ("conv", "dense"):
        raise BadFile(f"{group.name}/type is {kind!r}, which this program does not know")
    groups = [group, *(_child(_child(group, "projection"), str(i)) for i in range(1, len(names)))]
    projections = tuple(_read_projection(g, source) for g, source in zip(groups, names, strict=True))
    return _read_neurons(group, name, shape, projections)


def _read_neurons(group: h5py.Group, name: str, shape: tuple[int, ...], projections: tuple[Projection, ...]) -> Population:
    neuron = _child(group, "neuron")
    if _string(neuron, "type") != "SNM":
        raise BadFile(f"{neuron.name}/type is {_string(neuron, 'type')!r}, SNM needed")
    bias = _array(group, "bias", "i").reshape(_ints(group, "bias_shape"))
    np.broadcast_to(bias, shape)
    unit, v_range = _array(neuron, "unit", "f"), _array(neuron, "v_range", "f")
    vth = _array(neuron, "theta", "i")
    if "readout" in neuron:
        if vth.shape != shape or vth.any() or _int(neuron, "readout") != 1:
            raise BadFile(f"{neuron.name}: of a read-out, theta must be 0 and have the layer's shape {shape}, and readout be 1")
        return ReadOut(name, shape, projections, bias, unit, v_range, _ints(neuron, "view") if "view" in neuron else ())
    payload, v_init = (_array(neuron, key, "i") for key in ("payload", "v_init"))
    if any(a.shape != shape for a in (vth, payload, v_init)) or (vth < 0).any() or (payload < 0).any():
        raise BadFile(f"{neuron.name}: theta, payload and v_init must have the layer's shape {shape}, and the first two not be negative")
    levels, lead = _int(neuron, "levels"), _int(neuron, "lead")
    if levels < 1 or lead < 0:
        raise BadFile(f"{neuron.name}: levels {levels} and lead {lead}; levels must be >= 1, lead >= 0")
    spike_unit = _array(neuron, "spike_unit", "f")
    two_sided = _int(neuron, "two_sided")
    if two_sided not in (0, 1):
        raise BadFile(f"{neuron.name}/two_sided is {two_sided}; it must be 0 or 1")
    return SNM(name, shape, projections, bias, vth, payload, v_init, unit, spike_unit, v_range, levels, lead, bool(two_sided))


def _read_window(group: h5py.Group) -> Window:
    (top, bottom, left, right) = _ints(group, "padding")
    window = Window(_pair(group, "kernel"), _pair(group, "stride"), ((top, bottom), (left, right)), _pair(group, "dilation"))
    if min(*window.kernel, *window.stride, *window.dilation) < 1 or min(top, bottom, left, right) < 0:
        raise BadFile(f"{group.name}: kernel, stride and dilation must be >= 1, padding >= 0")
    return window


def _read_channels(group: h5py.Group) -> dict[str, Any]:
    """source_channels, target_channels and target_shape, where they are given."""
    found: dict[str, Any] = {key: _array(group, key, "i") for key in ("source_channels", "target_channels") if key in group}
    if "target_shape" in group:
        found["target_shape"] = _ints(group, "target_shape")
    if "target_channels" in found:
        found["targets"] = _int(group, "targets")
        if not len(found["target_channels"]) <= found["targets"] <= ELEMENT_LIMIT:
            raise BadFile(f"{group.name}: {found['targets']} targets for {len(found['target_channels'])} target channels")
    return found


def _read_projection(group: h5py.Group, source: str) -> Projection:
    pool = _read_window(_child(group, "sum_pool")) if "sum_pool" in group else None
    weight, exponent = _array(group, "weight", "i"), _int(group, "exponent")
    if weight.ndim not in (2, 4) or not 0 <= exponent <= 24:
        raise BadFile(f"{group.name}: weight has {weight.ndim} axes and exponent {exponent}; 2 or 4 axes and 0 to 24 needed")
    projection = Projection(source, weight, sum_pool=pool, exponent=exponent, **_read_channels(group))
    if "resample" in group:
        rows, cols = (_array(_child(group, "resample"), key, "i") for key in ("rows", "cols"))
        if rows.ndim != 2 or cols.ndim != 2 or pool is not None:
            raise BadFile(f"{group.name}/resample must be two matrices, and stand without a sum_pool")
        projection = replace(projection, resample=Resample(rows, cols))
    if not projection.is_conv:
        return projection
    (top, left), (bottom, right) = _pair(group, "padding"), _pair(group, "padding_end")
    stride, dilation, groups = _pair(group, "stride"), _pair(group, "dilation"), _int(group, "groups")
    if min(*stride, *dilation, groups) < 1 or weight.shape[0] % groups or min(top, left, bottom, right) < 0:
        raise BadFile(f"{group.name}: stride, dilation and groups must be >= 1, padding >= 0, and groups divide the outputs")
    return replace(projection, stride=stride, padding=((top, bottom), (left, right)), dilation=dilation, groups=groups)
