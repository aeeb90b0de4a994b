"""What Lava costs: its own Conv against ours, and Lava against the batched simulator, side by side in one
run.

    python benchmarks/lava.py pilotnet [--steps 32] [--repeats 5] [--out FILE.json]
    python benchmarks/lava.py resnet20 [--images 8] [--steps 8] [--repeats 3] [--out FILE.json]

pilotnet: lava-dl's network for its own PilotNet-LIF file, with Lava's Conv model and with ours by the
exception map. resnet20: the integer ResNet-20, random weights, on Lava `fixed_pt` and by `batched.run`. The
two are timed in turn, `--repeats` times, with one BLAS thread, and the medians are compared. Seconds per step
leave out the start (compile, start, first steps), which stands beside them. Time nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, where `lava` would be this file
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from dnisnm_lava.backends import batched, lava_cpu
from dnisnm_lava.backends.lava_cpu import child as lava_child
from dnisnm_lava.backends.lava_cpu import parent
from dnisnm_lava.backends.results import difference
from dnisnm_lava.evaluation.origin import versions

DEADLINE = 600  # seconds, of each process that runs Lava
BATCH = 64  # images that the batched simulator is timed on besides
WINDOW = 16  # steps that PilotNet shows an image for
LAYERS = (
    "input",
    *(f"conv-{i}" for i in range(5)),
    *(f"fc-{i}" for i in range(3)),
)  # as lava-dl names what it recorded


def cpu() -> str:
    """The CPU's name, where Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


# ---------------------------------------------------------------- Lava's Conv and ours


def pilotnet_folder() -> Path:
    """lava-dl's own PilotNet-LIF: its network, an image, and the spikes that it recorded."""
    import lava.lib.dl.netx as netx

    return Path(netx.__file__).parents[4] / "tests/lava/lib/dl/netx/gts/pilotnet_lif"


def load_pilotnet() -> Any:
    import lava.lib.dl.netx as netx

    net = netx.hdf5.Network(net_config=str(pilotnet_folder() / "network.net"), reset_interval=WINDOW)
    net.in_layer.neuron.bias_mant.init = np.load(pilotnet_folder() / "image.npy")
    return net


def conv_models() -> dict[str, Any]:
    from lava.proc.conv.models import PyConvModelFixed

    from dnisnm_lava.procs.stock_conv import PyConvModelFast

    return {"stock": PyConvModelFixed, "fast": PyConvModelFast}


def configured(model: Any) -> Any:
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.io.extractor import Extractor, PyLoihiExtractorModel

    return Loihi2SimCfg(
        select_tag="fixed_pt", exception_proc_model_map={Conv: model, Extractor: PyLoihiExtractorModel}
    )


def timed(model: Any, steps: int) -> tuple[float, float]:
    """Seconds until the first window is over, and per step of the next `steps`."""
    from lava.magma.core.run_conditions import RunSteps

    net, config = load_pilotnet(), configured(model)
    times = [time.perf_counter()]
    for count in (WINDOW, steps):
        net.run(condition=RunSteps(num_steps=count), run_cfg=config)
        times.append(time.perf_counter())
    net.stop()
    return times[1] - times[0], (times[2] - times[1]) / steps


def traces(model: Any) -> list[np.ndarray]:
    """What each layer sends in the first WINDOW steps: (*shape, WINDOW)."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.proc.io.extractor import Extractor

    net = load_pilotnet()
    extractors = [Extractor(shape=layer.neuron.s_out.shape, buffer_size=WINDOW) for layer in net.layers]
    for layer, extractor in zip(net.layers, extractors, strict=True):
        layer.neuron.s_out.connect(extractor.in_port)
    net.run(condition=RunSteps(num_steps=WINDOW), run_cfg=configured(model))
    received = [np.stack([e.receive() for _ in range(WINDOW)], axis=-1) for e in extractors]
    net.stop()
    return received


def layers() -> list[dict[str, Any]]:
    """Of each layer: spikes, values that differ between the two models, and from lava-dl's recording."""
    stock, fast = (traces(model) for model in conv_models().values())
    rows = []
    for i, (a, b) in enumerate(zip(stock, fast, strict=True)):
        row = {
            "layer": i,
            "spikes": int((a != 0).sum()),
            "different": int((a != b).sum()),
            "from_recorded": None,
        }
        if i < len(LAYERS):
            recorded = np.load(pilotnet_folder() / f"{LAYERS[i]}.npy")[..., :WINDOW]
            row["from_recorded"] = int((b != recorded.reshape(b.shape)).sum())
        rows.append(row)
    return rows


def pilotnet_child(steps: int, repeats: int) -> dict[str, Any]:
    models = conv_models()
    rows = layers()
    times = [{name: timed(model, steps) for name, model in models.items()} for _ in range(repeats)]
    start = {name: statistics.median(t[name][0] for t in times) for name in models}
    step = {name: statistics.median(t[name][1] for t in times) for name in models}
    return {
        "start_seconds": start,
        "step_seconds": step,
        "ratio": statistics.median(t["stock"][1] / t["fast"][1] for t in times),
        "ratios": [t["stock"][1] / t["fast"][1] for t in times],
        "layers": rows,
    }


def pilotnet(steps: int, repeats: int) -> dict[str, Any]:
    """Runs in a process group with a deadline: Lava hangs for good where one of its processes fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [
            sys.executable,
            __file__,
            "pilotnet-child",
            "--steps",
            str(steps),
            "--repeats",
            str(repeats),
            "--out",
            str(out),
        ]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            child.wait(timeout=DEADLINE)
        finally:
            parent.end_process_group(child)
        row = json.loads(out.read_text())
    same = all(layer["different"] == 0 for layer in row["layers"])
    print(
        f"PilotNet-LIF: Lava's Conv {1e3 * row['step_seconds']['stock']:.1f} ms a step, ours "
        f"{1e3 * row['step_seconds']['fast']:.1f} ms, "
        f"ratio {row['ratio']:.1f}; spikes of all {len(row['layers'])} layers "
        f"{'identical' if same else 'DIFFERENT'}"
    )
    return row


# ---------------------------------------------------------------- Lava and the batched simulator


def integer_resnet20(images: int, steps: int) -> tuple[Any, np.ndarray]:
    """Converted from random weights, and the images that it was calibrated on."""
    import torch

    import dnisnm_lava as dn
    from examples.resnet20 import resnet20

    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(images, 3, 32, 32)).astype(np.float32)
    analog = dn.from_torch(resnet20().eval(), x[0])
    return dn.quantize(dn.convert(analog, dn.calibrate(analog, [x]), steps=steps)), x


def lava_seconds(graph: Any, x: np.ndarray, steps: int) -> tuple[Any, dict[str, float]]:
    """The run, and its seconds: all in all, until the first progress, and per step after that."""
    ticks: list[tuple[float, int]] = []
    started = time.perf_counter()
    run = lava_cpu.run(
        graph,
        x,
        steps=steps,
        record=False,
        deadline=DEADLINE,
        progress=lambda done, of: ticks.append((time.perf_counter(), done)),
    )
    total = time.perf_counter() - started
    (first, before), (last, done) = ticks[0], ticks[-1]
    return run, {"total": total, "start": first - started, "step": (last - first) / max(done - before, 1)}


def processes(graph: Any, x: np.ndarray, steps: int) -> dict[str, int]:
    """Lava processes of the graph, without the extractors: all of them, and on the longest path to the
    read-out."""
    members = lava_child.build(graph, x, steps, steps)
    longest: dict[int, int] = {}

    def length(process: Any) -> int:
        if id(process) not in longest:
            before = [source.process for port in process.in_ports for source in port.in_connections]
            longest[id(process)] = 1 + max((length(p) for p in before), default=0)
        return longest[id(process)]

    return {"longest_path": max(length(members[p.name]) for p in graph.readouts), "all": len(longest)}


def batched_seconds(graph: Any, x: np.ndarray, steps: int) -> tuple[Any, float]:
    """The run, and its seconds per image."""
    started = time.perf_counter()
    run = batched.run(graph, x, steps=steps)
    return run, (time.perf_counter() - started) / len(x)


def resnet20(images: int, steps: int, repeats: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    graph, many = integer_resnet20(max(images, BATCH), steps)
    x = many[:images]
    checked, expected = (
        lava_cpu.run(graph, x, steps=steps, deadline=DEADLINE),
        batched.run(graph, x, steps=steps, record=True),
    )
    different = difference("batched", expected, "Lava", checked).different
    batched_seconds(graph, many, steps)
    rows = []
    for _ in range(repeats):
        run, seconds = lava_seconds(graph, x, steps)
        fast, few = batched_seconds(graph, x, steps)
        rows.append(
            {
                **seconds,
                "image": steps * seconds["step"],
                "few": few,
                "many": batched_seconds(graph, many, steps)[1],
            }
        )
    median = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    result = {
        "images": images,
        "steps": steps,
        "batch": BATCH,
        "threads": 1,
        "lava": {
            "start_seconds": median["start"],
            "step_seconds": median["step"],
            "image_seconds": median["image"],
            "image_seconds_with_start": median["total"] / images,
        },
        "batched": {"image_seconds": median["few"], "image_seconds_in_batch": median["many"]},
        "ratio": statistics.median(row["image"] / row["few"] for row in rows),
        "ratio_in_batch": statistics.median(row["image"] / row["many"] for row in rows),
        "ratio_with_start": statistics.median(row["total"] / images / row["few"] for row in rows),
        "readout_equal": bool(np.array_equal(run.logits, fast.logits)),
        "spikes_different": different,
        "processes": processes(graph, x, steps),
    }
    print(
        f"ResNet-20, {steps} steps, {images} images, one thread: Lava {median['image']:.3f} s an image "
        f"({1e3 * median['step']:.1f} ms a step), and {median['start']:.1f} s for its start; "
        f"batched {1e3 * median['few']:.1f} ms an image, {1e3 * median['many']:.1f} ms in a batch of "
        f"{BATCH}; "
        f"ratio {result['ratio']:.0f}, in a batch {result['ratio_in_batch']:.0f}, with the start "
        f"{result['ratio_with_start']:.0f}; "
        f"read-outs {'equal' if result['readout_equal'] else 'DIFFERENT'}, {different} values of all "
        f"spikes differ; "
        f"{result['processes']['all']} Lava processes, {result['processes']['longest_path']} on the "
        f"longest path"
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pilotnet", "resnet20", "pilotnet-child"))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, help="default 32 for pilotnet, 8 for resnet20")
    parser.add_argument("--repeats", type=int, help="default 5 for pilotnet, 3 for resnet20")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.what == "pilotnet-child":
        args.out.write_text(json.dumps(pilotnet_child(args.steps, args.repeats)))
        return
    if args.what == "pilotnet":
        row = pilotnet(args.steps or 32, args.repeats or 5)
    else:
        row = resnet20(args.images, args.steps or 8, args.repeats or 3)
    if args.out:
        result = {
            "benchmark": args.what,
            **row,
            "versions": versions(),
            "machine": cpu(),
            "cores": os.cpu_count(),
        }
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
