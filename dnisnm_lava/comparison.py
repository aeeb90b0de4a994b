"""What the spikes, the integers and the simulator cost: accuracy at every T, and what equals what."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from dnisnm_lava.backends import ann, batched, lava_cpu, reference
from dnisnm_lava.backends.lava_python import Interpreter
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.inputs import Device, Images, Labels
from dnisnm_lava.ir import SNM, AnalogGraph, SpikingGraph, checked_images, checked_pairs, lead
from dnisnm_lava.simulation import Difference, Progress, Run, Stages, classes, difference, in_silence
from dnisnm_lava.tallies import Tally, branch, correct, number, shares, tally

STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
WHOLE = 4  # images of which every population is compared
PACKAGES = ("dnisnm-lava", "numpy", "torch", "torchvision", "h5py", "lava-nc", "lava-dl")


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
    on the first of them. agreement: {"float": {T: share of classes that are the ANN's}, "integer": ...}. equality: what was
    compared, and how much differed. saturations, clipped_inputs, populations: of the integer run at the largest T."""

    accuracy: Mapping[str, float | Mapping[int, float]]
    images: Mapping[str, int]
    equality: tuple[Difference, ...]
    saturations: int
    clipped_inputs: int
    dead_neurons: int
    populations: tuple[Activity, ...]
    agreement: Mapping[str, Mapping[int, float]]

    @property
    def all_equal(self) -> bool:
        return all(row.different == 0 for row in self.equality)


@dataclass(frozen=True)
class Verification:
    """equality: the rows of design 1.4 that were checked. lava: the integer network's run on Lava."""

    equality: tuple[Difference, ...]
    lava: Run


def verify(
    integer: SpikingGraph, images: Images, *, steps: int, spiking: SpikingGraph | None = None, whole: int = WHOLE,
    device: Device = "cpu", deadline: float = lava_cpu.DEADLINE, lava_python: str | Path | None = None, stages: Stages = in_silence,
) -> Verification:  # fmt: skip
    """Every spike of every population of the first `whole` images, in all executors: integer reference == integer
    batched == Lava `fixed_pt`; with `spiking`, the float reference == Lava `floating_pt` too. Of the other images the
    read-outs, which tell of every spike that mattered: integer batched == Lava `fixed_pt`."""
    lava_cpu.require_lava(lava_python)
    x = checked_images(integer, images)
    first, others = x[:whole], x[whole:]
    exact = reference.run(integer, first, steps=steps, progress=stages("integer reference"))
    fast = batched.run(integer, first, steps=steps, record=True, device=device, progress=stages("integer batched"))
    rows = [difference("integer reference", exact, "integer batched", fast)]
    del exact
    on_lava = partial(lava_cpu.run, steps=steps, deadline=deadline, lava_python=lava_python)
    simulated = on_lava(integer, first, progress=stages("Lava fixed_pt"))
    rows.append(difference("integer batched", fast, "Lava fixed_pt", simulated))
    logits = [simulated.logits]
    del fast
    if len(others):
        fast = batched.run(integer, others, steps=steps, device=device, progress=stages("integer batched, read-outs"))
        progress = stages("Lava fixed_pt, read-outs")
        simulated = on_lava(integer, others, record=False, progress=progress)
        rows.append(difference("integer batched, read-outs", fast, "Lava fixed_pt, read-outs", simulated))
        logits.append(simulated.logits)
    if spiking is not None:
        rows.append(_verify_float(spiking, first, steps, on_lava, stages))
    return Verification(tuple(rows), Run(np.concatenate(logits), units=integer.units, functions=integer.functions))


def _verify_float(spiking: SpikingGraph, images: np.ndarray, steps: int, on_lava: Callable[..., Run], stages: Stages) -> Difference:
    with threadpool_limits(1, user_api="blas"):  # as in Lava's processes: the order of a sum depends on the threads
        exact = reference.run(spiking, images, steps=steps, progress=stages("float reference"))
    simulated = on_lava(spiking, images, progress=stages("Lava floating_pt"))
    return difference("float reference", exact, "Lava floating_pt", simulated)


def compare(
    analog: AnalogGraph, spiking: SpikingGraph, integer: SpikingGraph, images: Images, labels: Labels | None = None, *,
    steps: tuple[int, ...] = STEPS, lava_images: int = 4, device: Device = "cpu", memory: int | None = None,
    deadline: float = lava_cpu.DEADLINE, lava_python: str | Path | None = None, stages: Stages = in_silence,
) -> Comparison:  # fmt: skip
    """Accuracy of the ANN, the float SNN, the integer SNN and Lava after each of `steps` (those up to the
    graph's own), and the equalities of `verify` on the first `lava_images` (0: no Lava at all).

    images: (N, *input shape). labels: (N,) class indices (default: those that come with the images).
    """
    steps = checked(steps, integer.steps, lava_images)
    x, y = checked_pairs(analog, images, labels)
    summed = tallied(analog, spiking, integer, x, y, steps=steps, device=device, memory=memory, stages=stages)
    on_lava = None
    if lava_images:
        first = x[:lava_images], y[:lava_images]
        on_lava = compared_on_lava(
            spiking, integer, *first, steps=steps, device=device, deadline=deadline, lava_python=lava_python, stages=stages
        )
    return comparison(integer, summed, on_lava)


def tallied(
    analog: AnalogGraph, spiking: SpikingGraph, integer: SpikingGraph, images: np.ndarray, labels: np.ndarray, *,
    steps: tuple[int, ...], device: Device = "cpu", memory: int | None = None, stages: Stages = in_silence,
) -> Tally:  # fmt: skip
    """{ann, float, integer: what each says of the images}: tallies of parts of the images add up."""
    outputs = ann.ann(analog, images, device=device, progress=stages("ANN"))
    said = classes(outputs)
    summed: Tally = {"ann": {"images": len(images), "correct": correct(said, labels)}}
    for key, graph in (("float", spiking), ("integer", integer)):
        progress = stages(f"{key} SNN")

        def runner(t: int, graph: SpikingGraph = graph, progress: Progress | None = progress) -> Run:
            return batched.run(graph, images, steps=t, device=device, memory=memory, progress=progress)

        summed[key] = tally_at_each(graph, runner, {"correct": labels, "agreeing": said}, steps)
    return summed


@dataclass(frozen=True)
class OnLava:
    """The first images on Lava: `equality` as in `verify`, and the tally."""

    equality: tuple[Difference, ...]
    tally: Tally


def compared_on_lava(
    spiking: SpikingGraph, integer: SpikingGraph, images: np.ndarray, labels: np.ndarray, *, steps: tuple[int, ...],
    device: Device = "cpu", deadline: float = lava_cpu.DEADLINE, lava_python: str | Path | None = None, stages: Stages = in_silence,
) -> OnLava:  # fmt: skip
    checked = verify(
        integer, images, steps=steps[-1], spiking=spiking, device=device, deadline=deadline, lava_python=lava_python, stages=stages
    )

    def runner(t: int) -> Run:
        if t == steps[-1]:
            return checked.lava
        return lava_cpu.run(integer, images, steps=t, record=False, deadline=deadline, lava_python=lava_python)

    return OnLava(checked.equality, tally_at_each(integer, runner, {"correct": labels}, steps))


def comparison(integer: SpikingGraph, summed: Tally, on_lava: OnLava | None) -> Comparison:
    """From the tallies of all images, and of the first ones on Lava."""
    runs = {"float": branch(summed, "float"), "integer": branch(summed, "integer")}
    if on_lava is not None:
        runs["lava"] = on_lava.tally
    accuracy: dict[str, float | Mapping[int, float]] = {"ann": number(summed, "ann", "correct") / number(summed, "ann", "images")}
    accuracy.update({key: shares(t) for key, t in runs.items()})
    images = {"ann": number(summed, "ann", "images"), **{key: number(t, "images") for key, t in runs.items()}}
    populations = tuple(_activity(p, runs["integer"]) for p in integer.of(SNM))
    saturations = branch(runs["integer"], "saturations")
    return Comparison(
        accuracy, images, () if on_lava is None else on_lava.equality, sum(number(saturations, name) for name in saturations),
        number(runs["integer"], "clipped_inputs"), sum(integer.dead_neurons.values()), populations,
        {key: shares(runs[key], "agreeing") for key in ("float", "integer")},
    )  # fmt: skip


def checked(steps: tuple[int, ...], most: int, lava_images: int) -> tuple[int, ...]:
    """Those of `steps` that a graph of `most` steps can run, ascending; OutOfRange where there is none."""
    fitting = tuple(sorted({t for t in steps if 1 <= t <= most}))
    if not fitting:
        raise OutOfRange(f"steps: none of {steps} lies within 1 and the graph's {most}; convert with more steps")
    if lava_images < 0:
        raise OutOfRange(f"lava_images: {lava_images} given; give 0 (no Lava) or more")
    return fitting


def meaningful_steps(graph: SpikingGraph, steps: int) -> tuple[int, ...]:
    """The T at which a run of `steps` can be read: each of STEPS up to it, as a run is the beginning of every
    longer one; only `steps` itself where a population leads, as a neuron's first spike then already knows
    currents that a shorter run lacks."""
    if any(lead(p) for p in graph):
        return (steps,)
    return tuple(sorted({t for t in STEPS if t <= steps} | {steps}))


def tally_at_each(
    graph: SpikingGraph, runner: Callable[[int], Run], wanted: Mapping[str, np.ndarray], steps: tuple[int, ...]
) -> Tally:  # fmt: skip
    """The tally of the longest run; and for each of `wanted`, {key: (N,) classes}, how many classes meet them after each of `steps`."""
    longest = runner(steps[-1])
    alone = any(lead(p) for p in graph)  # then no run is the beginning of a longer one
    said = {t: (runner(t) if alone and t != steps[-1] else longest).predictions(t) for t in steps}
    summed = tally(longest, next(iter(wanted.values())), ())
    return {**summed, **{key: {str(t): correct(said[t], right) for t in steps} for key, right in wanted.items()}}


def _activity(p: SNM, run: Tally) -> Activity:
    up, down = number(run, "spikes", p.name, "up"), number(run, "spikes", p.name, "down")
    return Activity(p.name, p.vth.size, int(np.count_nonzero(p.vth == 0)), up, down, number(run, "saturations", p.name))


# ---------------------------------------------------------------- where a result comes from


def versions(other: Interpreter | None = None) -> dict[str, str]:
    """Of Python and of the packages that decide a result; `absent` for those not installed. With another Python for Lava,
    `lava-python` and `lava-python numpy`, and its lava-nc."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    if other is not None:
        found |= {
            "lava-python": other.versions["python"],
            "lava-python numpy": other.versions["numpy"],
            "lava-nc": other.versions["lava-nc"],
        }
    return found


def array_digest(*arrays: np.ndarray) -> str:
    """SHA-256 over dtypes, shapes and values, hex."""
    state = hashlib.sha256()
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()
