"""What the spikes, the integers and the simulator cost: accuracy at every T, and what equals what."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from dnisnm_lava.backends import ann, batched, lava_cpu, reference
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import SNM, AnalogGraph, SpikingGraph, lead
from dnisnm_lava.simulation import Difference, Progress, Run, classes, difference

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
Stages = Callable[[str], Progress | None]  # what begins -> whom to tell how far it is
PACKAGES = ("dnisnm-lava", "numpy", "torch", "torchvision", "h5py", "lava-nc", "lava-dl")


def in_silence(_: str) -> None:
    return None


@dataclass(frozen=True)
class Activity:
    """One population over all images and steps of the integer run."""

    name: str
    neurons: int
    dead_neurons: int
    spikes_up: int
    spikes_down: int
    saturations: int


@dataclass(frozen=True)
class Comparison:
    """accuracy: {"ann": share, "float": {T: share}, "integer": ..., "lava": ...} on so many `images`; Lava
    on the first of them. equality: what was compared, and how much differed. saturations, clipped_inputs,
    populations: of the integer run at the largest T."""

    accuracy: Mapping[str, float | Mapping[int, float]]
    images: Mapping[str, int]
    equality: tuple[Difference, ...]
    saturations: int
    clipped_inputs: int
    dead_neurons: int
    populations: tuple[Activity, ...]

    @property
    def all_equal(self) -> bool:
        return all(row.different == 0 for row in self.equality)


@dataclass(frozen=True)
class Verification:
    """equality: the rows of design 1.4 that were checked. lava: the integer network's run on Lava."""

    equality: tuple[Difference, ...]
    lava: Run


def verify(
    integer: SpikingGraph, images: np.ndarray, *, steps: int, spiking: SpikingGraph | None = None,
    device: str = "cpu", deadline: float = lava_cpu.DEADLINE, stages: Stages = in_silence,
) -> Verification:  # fmt: skip
    """Every spike of every population, in all executors: integer reference == integer batched == Lava
    `fixed_pt`; with `spiking`, the float reference == Lava `floating_pt` too."""
    lava_cpu.require_lava()
    exact = reference.run(integer, images, steps=steps, progress=stages("integer reference"))
    fast = batched.run(integer, images, steps=steps, record=True, device=device, progress=stages("integer batched"))
    rows = [difference("integer reference", exact, "integer batched", fast)]
    del exact
    simulated = lava_cpu.run(integer, images, steps=steps, deadline=deadline, progress=stages("Lava fixed_pt"))
    rows.append(difference("integer batched", fast, "Lava fixed_pt", simulated))
    del fast
    if spiking is not None:
        rows.append(_verify_float(spiking, images, steps, deadline, stages))
    return Verification(tuple(rows), Run(simulated.logits))


def _verify_float(spiking: SpikingGraph, images: np.ndarray, steps: int, deadline: float, stages: Stages) -> Difference:
    with threadpool_limits(1, user_api="blas"):  # as in Lava's processes: the order of a sum depends on the threads
        exact = reference.run(spiking, images, steps=steps, progress=stages("float reference"))
    simulated = lava_cpu.run(spiking, images, steps=steps, deadline=deadline, progress=stages("Lava floating_pt"))
    return difference("float reference", exact, "Lava floating_pt", simulated)


def compare(
    analog: AnalogGraph, spiking: SpikingGraph, integer: SpikingGraph, images: np.ndarray, labels: np.ndarray, *,
    steps: tuple[int, ...] = STEPS, lava_images: int = 4, device: str = "cpu",
    deadline: float = lava_cpu.DEADLINE, stages: Stages = in_silence,
) -> Comparison:  # fmt: skip
    """Accuracy of the ANN, the float SNN, the integer SNN and Lava after each of `steps` (those up to the
    graph's own), and the equalities of `verify` on the first `lava_images` (0: no Lava at all).

    images: (N, *input shape). labels: (N,) class indices.
    """
    steps = _checked(steps, integer.steps, images, labels, lava_images)
    accuracy: dict[str, float | Mapping[int, float]] = {}
    outputs = ann.ann(analog, images, device=device, progress=stages("ANN"))
    accuracy["ann"] = float(np.mean(classes(outputs) == labels))
    counts = dict.fromkeys(("ann", "float", "integer"), len(images))
    longest = None
    for key, graph in (("float", spiking), ("integer", integer)):
        runner = _batched_runner(graph, images, device, stages(f"{key} SNN"))
        accuracy[key], longest = _at_each(graph, runner, labels, steps)
    assert longest is not None
    equality: tuple[Difference, ...] = ()
    if lava_images:
        first, truth = images[:lava_images], labels[:lava_images]
        checked = verify(integer, first, steps=steps[-1], spiking=spiking, device=device, deadline=deadline, stages=stages)
        equality, counts["lava"] = checked.equality, len(first)

        def on_lava(t: int) -> Run:
            return checked.lava if t == steps[-1] else lava_cpu.run(integer, first, steps=t, record=False, deadline=deadline)

        accuracy["lava"], _ = _at_each(integer, on_lava, truth, steps)
    populations = tuple(_activity(p, longest) for p in integer.of(SNM))
    return Comparison(
        accuracy, counts, equality, sum(longest.saturations.values()), longest.clipped_inputs,
        sum(integer.dead_neurons.values()), populations,
    )  # fmt: skip


def _checked(steps: tuple[int, ...], most: int, images: np.ndarray, labels: np.ndarray, lava_images: int) -> tuple[int, ...]:
    fitting = tuple(sorted({t for t in steps if 1 <= t <= most}))
    if not fitting:
        raise OutOfRange(f"steps: none of {steps} lies within 1 and the graph's {most}; convert with more steps")
    if len(labels) != len(images):
        raise OutOfRange(f"labels: {len(labels)} given for {len(images)} images; give one for each")
    if lava_images < 0:
        raise OutOfRange(f"lava_images: {lava_images} given; give 0 (no Lava) or more")
    return fitting


def _batched_runner(graph: SpikingGraph, images: np.ndarray, device: str, progress: Progress | None) -> Callable[[int], Run]:
    return lambda t: batched.run(graph, images, steps=t, device=device, progress=progress)


def meaningful_steps(graph: SpikingGraph, steps: int) -> tuple[int, ...]:
    """The T at which a run of `steps` can be read: each of STEPS up to it, as a run is the beginning of every
    longer one; only `steps` itself where a population leads, as a neuron's first spike then already knows
    currents that a shorter run lacks."""
    if any(lead(p) for p in graph):
        return (steps,)
    return tuple(sorted({t for t in STEPS if t <= steps} | {steps}))


def _at_each(graph: SpikingGraph, runner: Callable[[int], Run], labels: np.ndarray, steps: tuple[int, ...]) -> tuple[dict[int, float], Run]:
    """Accuracy at each T, and the longest run."""
    longest = runner(steps[-1])
    readable = meaningful_steps(graph, steps[-1])
    return {t: (longest if t in readable else runner(t)).accuracy(labels, t) for t in steps}, longest


def _activity(p: SNM, run: Run) -> Activity:
    up, down = run.spike_counts[p.name]
    return Activity(p.name, p.vth.size, int(np.count_nonzero(p.vth == 0)), up, down, run.saturations[p.name])


# ---------------------------------------------------------------- where a result comes from


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a result; `absent` for those not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def array_digest(*arrays: np.ndarray) -> str:
    """SHA-256 over dtypes, shapes and values, hex."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
