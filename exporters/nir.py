"""NIR graphs (neuromorphs.io) of what NIR can say of an integer network: an exchange with losses, which are
told.

A population is a node IF; what it sends per spike, a Scale behind it; a projection, Conv2d or Affine, with
SumPool2d or Flatten before it; a read-out, an I (integrator) and an Output. Several projections are several
edges into one node, which add up. Units are the network's integers, one time step is NIR's dt = 1, and the
input takes the codes of `integers.encode_images`. NIR fires where v > threshold, so vth - 1/2 stands there:
for integers that is v >= vth. Groups and chosen channels (concatenations, splits) are written out as weights
with zeros: NIR has no node for the latter, and nir's check of shapes forgets the former.

Readers: nir reads the file, and nirtorch runs it where IF, I and Scale are given to it. snnTorch 1.0 does
not: it knows one threshold a node, and ours are the neurons' own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnisnm_lava.errors import BackendMissing, OutOfRange
from dnisnm_lava.ir import SNM, Curve, Gate, Input, MaxPool, Projection, ReadOut, SpikingGraph
from dnisnm_lava.ir.arithmetic import Window
from dnisnm_lava.ir.channels import per_channel
from dnisnm_lava.ir.fixedpoint import STATE
from dnisnm_lava.ir.integers import check_state
from dnisnm_lava.system import extras
from dnisnm_lava.system.files import refuse_existing, write_whole

NEVER = float(2 << STATE.bits)  # a threshold that no potential of 24 bits reaches


@dataclass(frozen=True)
class Written:
    """The file, and in sentences that name populations what of the network is not in it."""

    path: Path
    lost: tuple[str, ...]


def write(path: str | Path, graph: SpikingGraph, *, lossy: bool = False, overwrite: bool = False) -> Written:
    """Write an integer graph as a NIR file, whole or not at all; nir.read reads it.

    OutOfRange where NIR has no node for a part of the graph, and, without `lossy`, for what would be lost:
    all of it, by name. BackendMissing where the package nir is not installed; BadFile where `path` exists and
    `overwrite` is false.
    """
    path = Path(path)
    if not graph.is_integer:
        raise OutOfRange(f"{path}: integers are written, and the graph holds floats; quantize it first")
    check_state(graph, "NIR")
    refused = tuple(refusals(graph))
    if refused:
        raise OutOfRange(f"{path}: NIR has no node for {'; '.join(refused)}; write it with exporters.netx")
    lost = losses(graph)
    if lost and not lossy:
        raise OutOfRange(
            f"{path}: NIR cannot say all of this network; write it with lossy=True, or --lossy, and lose: "
            f"{'; '.join(lost)}"
        )
    refuse_existing(path, overwrite)
    buffer = io.BytesIO()
    _nir().write(buffer, nodes(graph))
    write_whole(path, buffer.getvalue(), overwrite=overwrite)
    return Written(path, lost)


def _nir() -> Any:
    try:
        import nir
    except ImportError as error:
        raise BackendMissing(extras.missing("nir", "nir")) from error
    return nir


# ---------------------------------------------------------------- what is lost, what is refused


def losses(graph: SpikingGraph) -> tuple[str, ...]:
    """One sentence for each thing that NIR's nodes do not have, with the populations that have it."""
    neurons = graph.of(SNM)
    found: list[tuple[str, Sequence[SNM | ReadOut]]] = [
        ("soft reset, since IF forgets what exceeds the threshold", neurons),
        ("initial potential, since IF starts at 0", [p for p in neurons if p.v_init.any()]),
        ("negative spikes and the memory that gates them", [p for p in neurons if not p.two_sided]),
        (
            "negative spikes of a relayed linear tensor, of which IF sends the positive part",
            [p for p in neurons if p.two_sided],
        ),
        (
            "the function of the running sum, of whose steepest line alone IF has the threshold",
            [p for p in neurons if p.curve is not None],
        ),
        ("the lower threshold of levels taken back", [p for p in neurons if p.down != 1]),
        ("the dead band in which nothing is sent", [p for p in neurons if p.band]),
        ("a bound of the levels that a neuron holds", [p for p in neurons if p.most]),
        ("state that is kept from frame to frame", neurons if graph.carry else []),
        ("several levels a spike, since IF sends 0 or 1", [p for p in neurons if p.levels > 1]),
        ("lead, so that they fire from the first step on", [p for p in neurons if p.lead > 0]),
        (f"saturation at {STATE.bits} bits", [*neurons, *graph.readouts]),
    ]
    order = "" if graph.input.order is None else ", and the order of its elements"
    image = f"{graph.input.name}: rounding of the image to {graph.input.bits} bits{order}; give its codes"
    return (*(f"{', '.join(p.name for p in where)}: {what}" for what, where in found if where), image)


def refusals(graph: SpikingGraph) -> Iterator[str]:
    """What has no node, by population and source."""
    for p in graph:
        if isinstance(p, MaxPool):
            yield f"the max-pool {p.name}"
        elif isinstance(p, Gate):
            yield f"the gate {p.name}, which multiplies"
        elif isinstance(p, SNM | ReadOut):
            if p.projections[0].is_conv and (_full_bias(p) != _full_bias(p)[:, :1, :1]).any():
                yield f"the bias of {p.name}, which differs from pixel to pixel"
            for q in p.projections:
                yield from (f"{what} from {q.source} into {p.name}" for what in _refused(q))


def _refused(q: Projection) -> Iterator[str]:
    if q.resample is not None:
        yield "the resampling"
    if q.target_shape:
        yield (
            "the map filled by a dense layer"
            if q.target_order is None
            else "the order in which neurons take their currents"
        )
    for name, window in (("convolution", q.window if q.is_conv else None), ("sum-pool", q.sum_pool)):
        if window is not None and any(before != after for before, after in window.padding):
            yield f"the {name}, padded unevenly,"
    if q.is_conv and q.window.kernel[0] != q.window.kernel[1]:
        # nir's check of shapes takes its height for its width
        yield "the convolution, whose kernel is not square,"
    if q.sum_pool is not None and q.sum_pool.dilation != (1, 1):
        yield "the sum-pool, dilated,"


# ---------------------------------------------------------------- nodes


def nodes(graph: SpikingGraph) -> Any:
    """The nir.NIRGraph. Nodes have their populations' names, with what stands before and behind them as
    `NAME_0_weight` (of the first projection), `NAME_0_pool`, `NAME_0_flatten`, `NAME_payload`, `NAME_output`;
    dots in names become underscores."""
    nir = _nir()
    made: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    shape: dict[str, tuple[int, ...]] = {p.name: p.shape for p in graph}
    sends: dict[str, str] = {}  # population -> the node that speaks for it

    def add(name: str, node: Any, source: str | None = None) -> str:
        name = name.replace(".", "_").replace("/", "_")
        if name in made:
            raise OutOfRange(
                f"{name}: two nodes of the NIR graph would have this name; rename a layer of the model"
            )
        made[name] = node
        if source is not None:
            edges.append((source, name))
        return name

    for p in graph:
        if isinstance(p, Input):
            sends[p.name] = add(p.name, nir.Input({"input": np.array(p.shape)}))
            continue
        assert isinstance(p, SNM | ReadOut)
        arriving = []
        for i, q in enumerate(p.projections):
            source, at = sends[q.source], f"{p.name}_{i}"
            read = (shape[q.source][0], *q.read_shape(shape[q.source])[1:])  # all channels, pooled
            if q.sum_pool is not None:
                source = add(f"{at}_pool", nir.SumPool2d(*(np.array(v) for v in _window(q.sum_pool))), source)
            if not q.is_conv and len(read) == 3:
                source = add(f"{at}_flatten", nir.Flatten({"input": np.array(read)}, 0, -1), source)
            bias = _full_bias(p).reshape(p.shape[0], -1)[:, 0] * float(
                i == 0
            )  # arrives with the first projection
            arriving.append(add(f"{at}_weight", _weight(nir, q, bias, read), source))
        name = add(p.name, _neurons(nir, p))
        edges += [(source, name) for source in arriving]
        if isinstance(p, SNM):
            sends[p.name] = add(f"{p.name}_payload", nir.Scale(p.payload.astype(np.float64)), name)
        else:
            add(f"{p.name}_output", nir.Output({"output": np.array(p.shape)}), name)
    return nir.NIRGraph(made, edges)


def _neurons(nir: Any, p: SNM | ReadOut) -> Any:
    ones = np.ones(p.shape)
    if isinstance(p, ReadOut):
        return nir.I(r=ones)
    vth = p.vth if p.curve is None else _of_steepest(p, p.curve)
    return nir.IF(r=ones, v_threshold=np.where(vth > 0, vth - 0.5, NEVER), v_reset=np.zeros(p.shape))


def _of_steepest(p: SNM, curve: Curve) -> np.ndarray:
    """The potentials (*shape), whole ones, that a level of the curve's steepest line takes; 0: none does."""
    steepest = per_channel(np.broadcast_to(np.abs(curve.slopes).max(axis=1), p.shape[:1]), p.shape)
    return np.where(steepest > 0, -(-p.vth // np.maximum(steepest, 1)), 0)


def _weight(nir: Any, q: Projection, bias: np.ndarray, read: tuple[int, ...]) -> Any:
    weight = _written_out(q, read) * float(1 << q.exponent)
    if not q.is_conv:
        return nir.Affine(weight.reshape(len(weight), -1), bias)
    _, stride, padding = _window(q.window)
    return nir.Conv2d((read[1], read[2]), weight, stride, padding, q.dilation, 1, bias)


def _written_out(q: Projection, read: tuple[int, ...]) -> np.ndarray:
    """Weights from all channels of the source to all of the target, (targets, channels, ...): zeros where
    none are."""
    chosen = np.arange(read[0]) if q.source_channels is None else q.source_channels
    rows, inputs = len(q.weight), len(chosen) // q.groups
    weight = q.weight.reshape(rows, inputs, *(q.weight.shape[2:] if q.is_conv else read[1:]))
    full = np.zeros((rows if q.target_channels is None else q.targets, read[0], *weight.shape[2:]))
    for row, target in enumerate(np.arange(rows) if q.target_channels is None else q.target_channels):
        first = row // (rows // q.groups) * inputs
        np.add.at(full[target], chosen[first : first + inputs], weight[row])
    return full


def _full_bias(p: SNM | ReadOut) -> np.ndarray:
    return np.broadcast_to(p.bias, p.shape)


def _window(w: Window) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return w.kernel, w.stride, (w.padding[0][0], w.padding[1][0])
