"""lava-dl netx HDF5 files (`.net`) with our extra datasets beside lava-dl's; docs/format.md says all.

Layout and units are lava-dl's: `layer/0 ... n-1`, shapes (C, H, W), weights (O, I / groups, kH, kW), integer
biases, types as S20. Written whole or not at all; `read(write(g)) == g`, array by array.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dnisnm_lava.errors import BackendMissing, BadFile, OutOfRange
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
    SpikingGraph,
    narrowed,
    sources,
)
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.integers import check_state
from dnisnm_lava.system import extras
from dnisnm_lava.system.files import refuse_existing, write_whole
from exporters.hdf5 import NAME_BYTES
from exporters.netx_reading import (
    FORMAT,
    VERSION,
    WITH_CARRY,
    WITH_CURVE,
    WITH_DOWN,
    WITH_SHARED,
    WITHOUT_DOWN,
    graph_of,
    provenance,
    read,
)

__all__ = ["FORMAT", "VERSION", "provenance", "read", "register", "write"]


def write(
    path: str | Path,
    graph: SpikingGraph,
    *,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write an integer graph. The file appears whole, or not at all and the old one stays. provenance: what
    made it, as JSON has it, for `provenance` to read; no part of the graph or its digest.

    BadFile where `path` exists and `overwrite` is false, or cannot be written; OutOfRange for a float graph,
    and for one that `read` would refuse.
    """
    path = Path(path)
    if not graph.is_integer:
        raise OutOfRange(f"{path}: netx holds integers, and the graph holds floats; quantize it first")
    check_state(graph, "a netx file")
    refuse_existing(path, overwrite)
    image = contents(graph, provenance)
    _check_readable(image, graph, path)
    write_whole(path, image, overwrite=overwrite)  # by hand: a full disk makes HDF5 itself crash
    return path


def contents(graph: SpikingGraph, provenance: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of the file of an integer graph."""
    with h5py.File("in memory", "w", libver="earliest", driver="core", backing_store=False) as file:
        _write_graph(file, graph)
        if provenance:
            file["provenance/record"] = _record(provenance)
        file.flush()
        return file.id.get_file_image()


def register() -> None:
    """Teach lava-dl's `netx.hdf5.Network` the SNM neuron: it then builds our files that are chains, and
    refuses the others.

    BackendMissing where lava-dl is not installed. How to feed such a network: exporters/netx_lava_dl.py.
    """
    try:
        from exporters import netx_lava_dl
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "lava":
            raise
        raise BackendMissing(extras.missing("lava-dl", "lava")) from error
    netx_lava_dl.register()


def _record(provenance: Mapping[str, Any]) -> np.ndarray:
    told = json.dumps(dict(provenance))  # ASCII
    if len(told) > NAME_BYTES:
        told = json.dumps({key: value for key, value in provenance.items() if key != "classes"})
    if len(told) > NAME_BYTES:
        raise OutOfRange(
            f"provenance: {len(told):,} bytes of JSON, and a file holds {NAME_BYTES:,}; tell less"
        )
    return _text(told)


def _check_readable(image: bytes, graph: SpikingGraph, path: Path) -> None:
    try:
        same = graph_of(image) == graph
    except (BadFile, OutOfRange) as error:
        raise OutOfRange(f"{path}: not written, for it could not be read again: {error}") from None
    if not same:
        raise OutOfRange(
            f"{path}: not written, for it would be read as another graph: integers are signed, of native "
            f"byte order"
        )


def _text(value: str, width: int | None = None) -> np.ndarray:
    raw = value.encode()
    return np.array([raw], dtype=f"S{width or max(1, len(raw))}")


def _write_graph(file: h5py.File, graph: SpikingGraph) -> None:
    header, version = file.create_group("format"), _least_version(graph)
    header["name"], header["version"] = _text(FORMAT), version
    file["simulation/steps"] = graph.steps
    if graph.carry:
        file["simulation/carry"] = 1
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
        elif isinstance(p, Gate):
            _write_gate(group.create_group("gate"), p)
        elif isinstance(p, MaxPool):
            _write_window(group.create_group("pool"), p.window)
        elif isinstance(p, SNM | ReadOut):
            _write_neurons(group, p, version)


def _least_version(graph: SpikingGraph) -> int:
    """The least that says all, what a channel's neurons share once."""
    neurons = graph.of(SNM)
    if graph.of(Gate) or any(p.curve is not None for p in neurons):
        return WITH_CURVE
    if graph.carry or any(p.band or p.most for p in neurons):
        return WITH_CARRY
    if any(narrowed(getattr(p, key)).shape != p.shape for p in neurons for key in NEURON_CONSTANTS):
        return WITH_SHARED
    return WITH_DOWN if any(p.down != 1 for p in neurons) else WITHOUT_DOWN


def _kind(p: Population) -> str:
    if isinstance(p, SNM | ReadOut):
        return "conv" if p.projections[0].is_conv else "dense"
    return "input" if isinstance(p, Input) else "gate" if isinstance(p, Gate) else "maxpool"


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
    if p.view:
        group["view"] = np.array(p.view, np.int64)
    if p.order is not None:
        group["order"] = p.order


def _write_neurons(group: h5py.Group, p: SNM | ReadOut, version: int) -> None:
    first, *others = p.projections
    _write_projection(group, first)
    for i, projection in enumerate(others, start=1):
        _write_projection(group.create_group(f"projection/{i}"), projection)
    _write_bias(group, p)
    neuron = group.create_group("neuron")
    neuron["type"] = _text("SNM", 20)
    if isinstance(p, ReadOut):
        theta = np.zeros(p.shape, np.int32)  # never fires
        neuron["theta"], neuron["readout"] = narrowed(theta) if version >= WITH_SHARED else theta, 1
        if p.view:
            neuron["view"] = np.array(p.view, np.int64)
        if p.function:
            neuron["function"], neuron["axis"] = _text(p.function), p.axis
    else:
        neuron["theta"], neuron["payload"], neuron["v_init"] = (
            narrowed(a) for a in (p.vth, p.payload, p.v_init)
        )
        neuron["levels"], neuron["lead"] = p.levels, p.lead
        neuron["two_sided"] = int(p.two_sided)
        if p.down != 1:
            neuron["down"] = p.down
        if p.band:
            neuron["band"] = p.band
        if p.most:
            neuron["most"] = p.most
        if p.curve is not None:
            _write_curve(neuron.create_group("curve"), p.curve)
        neuron["spike_unit"] = p.spike_unit
    neuron["unit"], neuron["v_range"] = p.unit, p.v_range


def _write_curve(group: h5py.Group, curve: Curve) -> None:
    group["name"] = _text(curve.name)
    if curve.knots.shape[1]:  # a line has none, and no array is empty
        group["knots"] = curve.knots
    group["slopes"], group["offsets"] = curve.slopes, curve.offsets
    group["low"], group["high"], group["error"] = curve.low, curve.high, curve.error
    group["tolerance"] = curve.tolerance
    if curve.worst is not None:
        group["worst"] = curve.worst


def _write_gate(group: h5py.Group, p: Gate) -> None:
    group["theta"], group["payload"] = narrowed(p.vth), narrowed(p.payload)
    group["gain"], group["spike_unit"] = p.gain, p.spike_unit
    group["levels"], group["two_sided"] = p.levels, int(p.two_sided)
    if p.band:
        group["band"] = p.band
    if p.most:
        group["most"] = p.most


def _write_bias(group: h5py.Group, p: SNM | ReadOut) -> None:
    """lava-dl's `bias`: (C,), or (C, H, W) where positions differ; `bias_shape` keeps our array's shape."""
    bias = p.bias
    group["bias"] = bias.reshape(bias.shape[0]) if all(n == 1 for n in bias.shape[1:]) else bias
    group["bias_shape"] = np.array(bias.shape, np.int64)


def _write_window(group: h5py.Group, w: Window) -> None:
    group["kernel"], group["stride"], group["dilation"] = (
        np.array(v, np.int32) for v in (w.kernel, w.stride, w.dilation)
    )
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
    if q.target_order is not None:
        group["target_order"] = q.target_order
