"""Functions that test_register.py calls in a process of their own, in a folder with the files: what stock
lava-dl makes of them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from children import ROOT, main

from dnisnm_lava.ir import SNM, SpikingGraph, lead
from exporters import netx


def samples(graph: SpikingGraph, count: int = 3) -> np.ndarray:
    assert graph.input.scale is not None
    scale = graph.input.scale.reshape(-1, *(1,) * (len(graph.input.shape) - 1))
    return np.random.default_rng(7).integers(-127, 128, (count, *graph.input.shape)) * scale


def files() -> Path:
    """Where lava-dl's wheel leaves the networks of its tests."""
    spec = importlib.util.find_spec("lava")
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ()))).parent / "tests/lava/lib/dl/netx"


def build(path: str, **options: Any) -> Any:
    from lava.lib.dl.netx import hdf5

    netx.register()
    return hdf5.Network(net_config=path, **options)


def config(conv: Any = None) -> Any:
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel

    return Loihi2SimCfg(
        select_tag="fixed_pt",
        exception_proc_model_map={Extractor: PyLoihiExtractorModel, **({Conv: conv} if conv else {})},
    )


def run_with_traces(net: Any, steps: int, run_cfg: Any) -> list[np.ndarray]:
    """(steps, *shape in C, H, W) of what each layer sends."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc.io.extractor import Extractor

    extractors = [Extractor(shape=layer.out.shape, buffer_size=steps + 1) for layer in net.layers]
    for layer, extractor in zip(net.layers, extractors, strict=True):
        layer.neuron.s_out.connect(extractor.in_port)
    net.run(condition=RunSteps(num_steps=steps), run_cfg=run_cfg)
    return [np.stack([e.receive().T for _ in range(steps)]) for e in extractors]


def stream(
    path: str, period_more: int = 0, conv: Any = None, **options: Any
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Our windows of what lava-dl's Network sends for the samples of a file: (N, T, *shape) by population;
    its saturations."""
    from dnisnm_lava.procs.source.process import Source

    graph = netx.read(path)
    x = samples(graph)
    assert graph.input.scale is not None
    x = np.rint(x / graph.input.scale.reshape(-1, *(1,) * (x.ndim - 2))).astype(np.int32)
    period = graph.steps + max(lead(p) for p in graph) + period_more
    net = build(path, reset_interval=period, **options)
    assert len(net) == len(graph.populations) - 1 or "num_layers" in options
    flat = x.transpose(0, 3, 2, 1) if len(net.inp.shape) == 3 else x.reshape(len(x), -1)
    Source(images=flat, steps=graph.steps, period=period).s_out.connect(net.inp)
    offset = graph.window_starts()
    last = (len(x) - 1) * period + graph.steps + max(offset[p.name] + lead(p) for p in graph)
    traces, found = run_with_traces(net, last, config(conv)), {}
    for p, trace in zip(graph.populations[1:], traces, strict=False):
        first = offset[p.name] + lead(p)
        found[p.name] = np.stack([trace[first + n * period :][: graph.steps] for n in range(len(x))]).reshape(
            len(x), graph.steps, *p.shape
        )
    counted = {
        p.name: int(layer.neuron.saturations.get()[0])
        for p, layer in zip(graph.populations[1:], net.layers, strict=False)
    }
    net.stop()
    return found, counted


def streams() -> dict[str, Any]:
    saturations = {}
    for i, path in enumerate(sorted(Path().glob("*.net"))):
        found, saturations[path.stem] = stream(str(path), period_more=i % 3)
        np.savez(path.with_suffix(".npz"), **found)
    return saturations


def page() -> list[Any]:
    """The last read-outs that the page's code gives for "net.net", in this folder."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/format.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "netx.register()" in block)
    space: dict[str, Any] = {"images": samples(netx.read("net.net"))}
    exec(code, space)
    return np.asarray(space["logits"]).tolist()


def arguments() -> dict[str, Any]:
    from lava.proc.io.source import RingBuffer

    from dnisnm_lava.procs.stock_conv import PyConvModelFast

    found: dict[str, Any] = {}
    graph = netx.read("net.net")
    x = samples(graph)[0].astype(np.int32).T[..., None]
    steps = graph.steps + max(graph.window_starts()[p.name] + lead(p) for p in graph) + 9
    for name, late in (("one window", 0), ("late", 4)):
        data = np.concatenate(
            [np.zeros_like(x)] * late + [x] * graph.steps + [np.zeros_like(x)] * (steps - late - graph.steps),
            axis=-1,
        )
        net = build("net.net", reset_offset=late)
        RingBuffer(data=data).s_out.connect(net.inp)
        traces = run_with_traces(net, steps, config())
        found[name] = traces[-1][-1].tolist()
        if name == "one window":
            end = max(graph.window_starts()[p.name] + graph.steps + lead(p) for p in graph.of(SNM))
            found["silence"] = not any(trace[end:].any() for trace in traces[:-1])
        net.stop()
    found["sparse and fast"] = stream("net.net", conv=PyConvModelFast, sparse_fc_layer=True)[0]["out"][
        :, -1
    ].tolist()
    found["first layers"] = stream("net.net", num_layers=3)[0]["b"].tolist()
    return found


def error_of(build_it: Callable[[], Any]) -> str:
    try:
        build_it()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "built"


def unregistered(path: Path) -> list[str]:
    """What building the first layer, the first two, and so on, and the whole file ends in, with lava-dl
    alone."""
    from lava.lib.dl.netx import hdf5

    layers = len(netx.read(path).populations)
    return [
        error_of(lambda n=n: hdf5.Network(net_config=str(path), num_layers=n))
        for n in (*range(1, layers + 1), None)
    ]  # type: ignore[misc]


def bad_arguments(path: Path) -> list[str]:
    import h5py

    options: list[dict[str, int]] = [{"reset_interval": 6}, {"reset_offset": -1}, {"skip_layers": 2}]
    found = [error_of(lambda o=o: build(str(path), **o)) for o in options]  # type: ignore[misc]
    foreign = path.with_suffix(".foreign")
    foreign.write_bytes(path.read_bytes())
    with h5py.File(foreign, "a") as file:
        del file["format"]
    return [*found, error_of(lambda: build(str(foreign)))]


def alone() -> dict[str, Any]:
    """With lava-dl alone: of every file in this folder; and its own networks, one of them run."""
    paths = sorted(Path().glob("*.net"))
    return {
        "without": {path.stem: unregistered(path) for path in paths},
        "netdict": {path.stem: netdict(path) for path in paths},
        **own(),
    }


def registered() -> dict[str, Any]:
    """With `register()`: how every file in this folder loads, what those in "runs" send, and its own
    networks, all of them run."""
    netx.register()
    paths = sorted(Path().glob("*.net"))
    found = {"with": {path.stem: error_of(lambda path=path: build(str(path))) for path in paths}}  # type: ignore[misc]
    found["arguments"] = bad_arguments(Path("convolutions.net"))
    os.chdir("runs")
    found |= {"page": page(), "saturations": streams(), **arguments()}
    return found | own() | {"from_recorded": recorded() if files().is_dir() else {}}


# ---------------------------------------------------------------- its own networks, as its own tests run them
# (netx/test_hdf5.py)

OWN: dict[str, tuple[str, dict[str, int]]] = {
    "tiny": ("tiny.net", {"reset_interval": 17}),
    "mnist": ("mnist.net", {"reset_interval": 16}),
    "pilotnet_lif": ("gts/pilotnet_lif/network.net", {"reset_interval": 16, "num_layers": 3}),
    "pilotnet_sdnn": ("gts/pilotnet_sdnn/network.net", {}),
    "ntidigits": ("gts/ntidigits/ntidigits.net", {"num_layers": 5}),
}


def own() -> dict[str, Any]:
    if not files().is_dir():
        return {}
    return {"own": {name: structure(build_own(name)) for name in OWN}, "mnist": mnist()}


def build_own(name: str) -> Any:
    from lava.lib.dl.netx import hdf5

    path, options = OWN[name]
    return hdf5.Network(net_config=str(files() / path), **options)


def structure(net: Any) -> list[list[str]]:
    """Each process of each layer: its class, and name and digest of each of its variables."""
    processes = [
        p
        for layer in net.layers
        for p in (layer.neuron, *([layer.synapse] if hasattr(layer, "synapse") else []))
    ]
    return [
        [type(p).__name__, *(f"{v.name} {digest([np.asarray(v.init)])}" for v in p.vars)] for p in processes
    ]


def digest(arrays: list[np.ndarray]) -> str:
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def mnist() -> dict[str, Any]:
    net = build_own("mnist")
    net.in_layer.neuron.bias_mant.init = np.random.default_rng(0).integers(0, 255, net.in_layer.shape)
    traces = run_with_traces(net, 20, config())
    net.stop()
    return {"digest": digest(traces), "spikes": int(sum((t != 0).sum() for t in traces))}


def recorded() -> dict[str, tuple[int, int]]:
    """(values unlike those that lava-dl recorded, values other than 0) of the other networks."""
    gts, found = files() / "gts", {}

    net = build_own("tiny")
    net.in_layer.neuron.bias_mant.init = np.load(gts / "tinynet/input_bias.npy")
    traces = run_with_traces(net, 17 + len(net), config())
    expected = np.load(gts / "tinynet/output.npy")[0]  # (C, H, W, T)
    found["tiny"] = unlike(np.moveaxis(traces[-1], 0, -1)[..., 2:17], expected[..., 1:])
    net.stop()

    net = build_own("pilotnet_lif")
    net.in_layer.neuron.bias_mant.init = np.load(gts / "pilotnet_lif/image.npy")
    traces = run_with_traces(net, 16, config())
    for name, trace in zip(("input", "conv-0", "conv-1"), traces, strict=True):
        expected = np.load(gts / f"pilotnet_lif/{name}.npy")[..., :16]
        found[f"pilotnet_lif {name}"] = unlike(np.stack([t.T for t in trace], axis=-1), expected)
    net.stop()
    return found | {"pilotnet_sdnn": fed("pilotnet_sdnn", "neuron"), "ntidigits": fed("ntidigits", "inp")}


def unlike(found: np.ndarray, expected: np.ndarray) -> tuple[int, int]:
    assert found.shape == expected.shape
    return int((found != expected).sum()), int((found != 0).sum())


def fed(name: str, into: str) -> tuple[int, int]:
    """A network fed by a source with the recorded input, against the recorded output."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc import io

    net, folder = build_own(name), files() / "gts" / name
    data, expected = np.load(folder / "input.npy"), np.load(folder / "output.npy")
    steps = len(net) if into == "neuron" else 40
    sink = io.sink.RingBuffer(shape=net.out_layer.shape, buffer=steps)
    io.source.RingBuffer(data=data).s_out.connect(net.in_layer.neuron.a_in if into == "neuron" else net.inp)
    net.out_layer.out.connect(sink.a_in)
    net.run(condition=RunSteps(num_steps=steps), run_cfg=config())
    output = sink.data.get()
    net.stop()
    shift = 0 if into == "neuron" else 1  # of the spiking network it recorded one step more, in front
    return unlike(output[:, : steps - shift], expected[:, shift:steps])


def netdict(path: Path) -> list[dict[str, Any]]:
    """What lava-dl's NetDict returns of each layer."""
    from lava.lib.dl.netx.utils import NetDict

    plain, found = ("weight", "bias", "stride", "padding", "dilation", "groups"), []
    layers = NetDict(str(path))["layer"]
    for i in range(len(layers)):
        layer = layers[i]
        read = {"type": layer["type"], "shape": layer["shape"].tolist()}
        read |= {key: layer[key].tolist() for key in plain if key in layer.keys()}  # noqa: SIM118
        if "neuron" in layer.keys():  # noqa: SIM118
            read["neuron"] = {"type": layer["neuron"]["type"], "theta": layer["neuron"]["theta"].tolist()}
        found.append(read)
    return found


if __name__ == "__main__":
    main(alone, registered)
