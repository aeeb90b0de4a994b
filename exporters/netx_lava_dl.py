"""Teaches lava-dl's `netx.hdf5.Network` the SNM neuron, so that it builds and runs our files where the
network is a chain.

    netx.register()
    graph = netx.read("net.net")
    x, _ = encode_images(graph, images)  # integers, (N, C, H, W)
    period = graph.steps + max(lead(p) for p in graph)
    net = hdf5.Network(net_config="net.net", reset_interval=period)
    source = Source(images=x.transpose(0, 3, 2, 1), steps=graph.steps, period=period)
    source.s_out.connect(net.inp)

docs/format.md has the whole of it. Lava's maps are (W, H, C); a dense first layer takes x.reshape(len(x),
-1). `net.out` carries the read-out's running sum, `net.layers[l].out` the spikes of population l + 1, whose
window of image n is the steps `o + n * period + 1 ... o + n * period + T + lead`, o of
`graph.window_starts()`. `reset_offset` delays all windows: the steps that the source comes late. Without
`reset_interval` there is one window, and silence behind it.
"""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from lava.lib.dl.netx.hdf5 import Network
from lava.lib.dl.netx.utils import NetDict, optimize_weight_bits
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

from dnisnm_lava.errors import BadFile, OutOfRange
from dnisnm_lava.ir import SNM, Curve, Gate, MaxPool, Projection, ReadOut, SpikingGraph, sources
from dnisnm_lava.ir.integers import largest_spikes
from dnisnm_lava.ir.pools import without_pools
from dnisnm_lava.ir.timing import shortest_period
from dnisnm_lava.procs.readout.process import ReadOut as ReadOutProcess
from dnisnm_lava.procs.snm.process import SNM as SNMProcess
from exporters import netx

STOCK_CREATE, STOCK_NEURON_PARAMS = Network._create, Network.get_neuron_params
MESSAGE_BITS = 24  # of a spike; with 0, lava-dl's synapses would read a spike of -5 as 1
ONCE = 1 << 30  # steps; the period of a network that is not to be reset
INT8 = 127  # Lava's Conv keeps its groups, kernel, stride, padding and dilation in 8 bits
WRAP, INT32 = 1 << 23, 1 << 31  # Lava's Conv wraps its sums at 24 bits, its Dense at 32


def register() -> None:
    """Patch lava-dl's class; again, it changes nothing. Files that are not ours go through lava-dl's own
    code."""
    Network._create = _create
    Network.get_neuron_params = staticmethod(_neuron_params)


# ---------------------------------------------------------------- what lava-dl calls


def _create(self: Any) -> list[Any]:
    """The blocks of a network: of ours, after checks that they compute what the file says. Average pools
    become kernels, in memory."""
    if _is_ours(self.net_config.f):
        path = Path(self.filename)
        stored = netx.read(path)
        graph = without_pools(stored)
        if graph != stored:
            self.net_config = NetDict(f=h5py.File(BytesIO(netx.contents(graph)), "r"))
        try:
            check_chain(graph)
            _check_arguments(graph, self)
        except OutOfRange as error:
            raise OutOfRange(f"{path}: {error}") from None
        self.input_message_bits = (
            self.input_message_bits or graph.input.bits
        )  # with 0, the image would be read as bool
    blocks: list[Any] = STOCK_CREATE(self)
    return blocks


def _is_ours(file: Any) -> bool:
    return "format/name" in file and file["format/name"][()].tolist() == [netx.FORMAT.encode()]


def _neuron_params(
    neuron_config: Any,
    input: bool = False,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    spike_exp: int = 6,
) -> Any:
    """Arguments of the neurons of one layer. reset_offset: 1 for the first layer, 2 for the second, and so
    on, plus the user's."""
    if neuron_config["type"] != "SNM":
        return STOCK_NEURON_PARAMS(neuron_config, input, reset_interval, reset_offset, spike_exp)
    neuron, file = neuron_config.f, neuron_config.f.file
    if not _is_ours(file):
        raise BadFile(
            f"{file.filename}: {neuron.name} is of type SNM, but no format/name says whose; write it "
            f"with netx.write"
        )
    leads = (file[f"layer/{i}"].get("neuron/lead") for i in range(int(neuron.parent.name.split("/")[-1])))
    params = {
        "num_message_bits": MESSAGE_BITS,
        "steps": int(file["simulation/steps"][()]),
        "period": reset_interval or ONCE,
        "offset": reset_offset + sum(int(before[()]) for before in leads if before is not None),
        "carry": "simulation/carry" in file and bool(file["simulation/carry"][()]),
    }
    if "readout" in neuron:
        return {"neuron_proc": ReadOutProcess, **params}
    arrays = {
        key: neuron[name][()].T
        for key, name in (("vth", "theta"), ("payload", "payload"), ("v_init", "v_init"))
    }  # (W, H, C)
    dials = {key: int(neuron[key][()]) for key in ("levels", "lead", "two_sided")}
    dials["most"] = int(neuron["most"][()]) if "most" in neuron else 0
    down, band = (
        float(np.reshape(neuron[key][()], -1)[0]) if key in neuron else missing
        for key, missing in (("down", 1.0), ("band", 0.0))
    )
    curve = {"curve": _curve(neuron["curve"]), "channels": -1} if "curve" in neuron else {}
    return {"neuron_proc": SNMProcess, **params, **arrays, **dials, "down": down, "band": band, **curve}


def _curve(group: Any) -> Curve:
    """What its neurons send, checked by `netx.read` before."""
    slopes, offsets = (group[key][()].astype(np.int64) for key in ("slopes", "offsets"))
    knots = group["knots"][()].astype(np.int64) if "knots" in group else np.zeros((len(slopes), 0), np.int64)
    return Curve("", knots, slopes, offsets)


# ---------------------------------------------------------------- what lava-dl would get wrong


def check_chain(graph: SpikingGraph) -> None:
    """OutOfRange, which names layer and dataset, where lava-dl's Network would compute something else than
    the graph."""
    sent = largest_spikes(graph)
    for before, p in pairwise(graph):
        if isinstance(p, MaxPool):
            raise _refused(p.name, "type", "is maxpool, a layer that it skips")
        if isinstance(p, Gate):
            raise _refused(p.name, "type", "is gate, a layer that it does not know")
        if sources(p) != (before.name,):
            raise _refused(
                p.name,
                "inputs",
                f"reads {', '.join(sources(p))}, and it connects each layer to the one before, {before.name}",
            )
        assert isinstance(p, SNM | ReadOut)
        (projection,) = p.projections
        for dataset, ignored in _ignored(projection).items():
            if ignored:
                raise _refused(p.name, dataset, "changes the current, and is a dataset that it ignores")
        if p.bias.shape != (p.shape[0], *(1,) * (len(p.shape) - 1)):
            raise _refused(p.name, "bias", f"has shape {p.bias.shape}, and it takes one bias a channel")
        _check_conv(p.name, projection, sent[before.name]) if projection.is_conv else _check_dense(
            p.name, projection, sent[before.name]
        )


def _refused(layer: str, dataset: str, why: str) -> OutOfRange:
    return OutOfRange(
        f"layer {layer}: {dataset} {why}; lava-dl's Network builds chains of plain layers, "
        "run this file with dnisnm simulate FILE --backend lava"
    )


def _ignored(q: Projection) -> dict[str, bool]:
    """Datasets that lava-dl does not read, and whether they say something here."""
    (top, bottom), (left, right) = q.padding
    return {
        "exponent": q.exponent != 0,
        "sum_pool": q.sum_pool is not None,
        "resample": q.resample is not None,
        "source_channels": q.source_channels is not None,
        "target_channels": q.target_channels is not None,
        "target_shape": bool(q.target_shape),
        "target_order": q.target_order is not None,
        "padding_end": (top, left) != (bottom, right),
    }


def _check_conv(layer: str, q: Projection, spike: int) -> None:
    """Lava's Conv takes weights as they are, keeps the rest in 8 bits, and wraps sums at 24 bits."""
    for dataset, value in (
        ("groups", q.groups),
        ("weight", max(q.window.kernel)),
        ("stride", max(q.stride)),
        ("padding", max(map(max, q.padding))),
        ("dilation", max(q.dilation)),
    ):
        if value > INT8:
            raise _refused(layer, dataset, f"holds {value}, and Lava's Conv keeps up to {INT8}")
    if q.bound(spike) >= WRAP:
        raise _refused(
            layer, "weight", f"allows a current of {q.bound(spike)}, and Lava's Conv wraps at {WRAP}"
        )


def _check_dense(layer: str, q: Projection, spike: int) -> None:
    """Lava's Dense keeps 8 bits of the weights that lava-dl shifts for it, and sums in 32 bits."""
    weight = q.weight.astype(int)
    if not weight.any():
        raise _refused(layer, "weight", "is all zero, which it cannot scale")
    shifted, bits, exponent, _ = optimize_weight_bits(weight)
    mode = determine_sign_mode(shifted)
    kept = truncate_weights(clip_weights(shifted, mode, num_bits=8), mode, bits)
    if exponent > 0 or not np.array_equal(kept, weight << -exponent):
        raise _refused(
            layer,
            "weight",
            f"reaches from {weight.min()} to {weight.max()}, more than the 8 bits of Lava's Dense keep",
        )
    if q.bound(spike) << -exponent >= INT32:
        raise _refused(
            layer,
            "weight",
            f"allows a current of {q.bound(spike)}, beyond the 32 bits in which Lava's Dense sums",
        )


def _check_arguments(graph: SpikingGraph, net: Any) -> None:
    """OutOfRange for arguments of Network that do not go with SNM."""
    shortest = shortest_period(graph, graph.steps)
    if net.reset_interval is not None and net.reset_interval < shortest:
        raise OutOfRange(
            f"reset_interval: {net.reset_interval} steps given; windows of {shortest} steps would "
            f"overlap, give {shortest} or more"
        )
    if net.reset_offset < 0:
        raise OutOfRange(
            f"reset_offset: {net.reset_offset} given; give the steps, 0 or more, that the source comes late"
        )
    if net.skip_layers > 1:  # the first entry is the image's, which makes no layer
        raise OutOfRange(
            f"skip_layers: {net.skip_layers} given; windows are counted from the image, give 0, and "
            f"num_layers for the first layers alone"
        )
