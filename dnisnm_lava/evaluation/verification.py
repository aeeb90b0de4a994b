"""Are all executors equal? The integer reference, batched, and Lava in both its modes, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from dnisnm_lava.backends import batched, lava_cpu, reference
from dnisnm_lava.backends.lava_cpu import LAVA, Lava
from dnisnm_lava.backends.results import Difference, Run, difference
from dnisnm_lava.data.inputs import Device, Images
from dnisnm_lava.evaluation import in_torch
from dnisnm_lava.ir import SpikingGraph, checked_images
from dnisnm_lava.system.progress import Stages, in_silence

WHOLE = 4  # images of which every population is compared


@dataclass(frozen=True)
class Verification:
    """equality: the rows of design 1.4 that were checked. lava: the integer network's run on Lava."""

    equality: tuple[Difference, ...]
    lava: Run


def verify(
    integer: SpikingGraph,
    images: Images,
    *,
    steps: int,
    spiking: SpikingGraph | None = None,
    whole: int = WHOLE,
    device: Device = "cpu",
    lava: Lava = LAVA,
    stages: Stages = in_silence,
) -> Verification:
    """Every spike of every population of the first `whole` images, in all executors: integer reference ==
    integer batched == Lava `fixed_pt`; with `spiking`, the float reference == Lava `floating_pt` too. Of
    the other images the read-outs, which tell of every spike that mattered: integer batched == Lava
    `fixed_pt`."""
    lava_cpu.require_lava(lava.python)
    x = checked_images(integer, images)
    first, others = x[:whole], x[whole:]
    exact = reference.run(integer, first, steps=steps, progress=stages("integer reference"))
    fast = batched.run(
        integer, first, steps=steps, record=True, device=device, progress=stages("integer batched")
    )
    rows = [difference("integer reference", exact, "integer batched", fast)]
    del exact
    on_lava = partial(lava_cpu.run, steps=steps, deadline=lava.deadline, lava_python=lava.python)
    simulated = on_lava(integer, first, progress=stages("Lava fixed_pt"))
    rows.append(difference("integer batched", fast, "Lava fixed_pt", simulated))
    parts = [simulated]
    del fast
    if len(others):
        fast = batched.run(
            integer, others, steps=steps, device=device, progress=stages("integer batched, read-outs")
        )
        progress = stages("Lava fixed_pt, read-outs")
        simulated = on_lava(integer, others, record=False, progress=progress)
        rows.append(difference("integer batched, read-outs", fast, "Lava fixed_pt, read-outs", simulated))
        parts.append(simulated)
    if spiking is not None:
        rows.append(_verify_float(spiking, first, steps, on_lava, stages))
    return Verification(tuple(rows), _together(parts, integer))


def verify_stream(
    integer: SpikingGraph,
    frames: np.ndarray,
    *,
    spiking: SpikingGraph | None = None,
    device: Device = "cpu",
    lava: Lava = LAVA,
    stages: Stages = in_silence,
) -> tuple[Difference, ...]:
    """`verify` of a stream's network, of which every spike of every frame (N, *image shape) is compared, and
    with the torch module's, too."""
    found = verify(
        integer,
        frames,
        steps=integer.steps,
        spiking=spiking,
        whole=len(frames),
        device=device,
        lava=lava,
        stages=stages,
    )
    stages("torch module")
    module = in_torch.follow(integer, frames)
    exact = difference("Lava fixed_pt", found.lava, "torch module", module)
    return (*found.equality[:2], exact, *found.equality[2:])


def _together(runs: Sequence[Run], integer: SpikingGraph) -> Run:
    """The read-outs of one run after another."""
    further = {name: np.concatenate([run.further[name] for run in runs]) for name in runs[0].further}
    return Run(
        np.concatenate([run.logits for run in runs]),
        further=further,
        units=integer.units,
        functions=integer.functions,
    )


def _verify_float(
    spiking: SpikingGraph, images: np.ndarray, steps: int, on_lava: Callable[..., Run], stages: Stages
) -> Difference:
    with threadpool_limits(
        1, user_api="blas"
    ):  # as in Lava's processes: the order of a sum depends on the threads
        exact = reference.run(spiking, images, steps=steps, progress=stages("float reference"))
    simulated = on_lava(spiking, images, progress=stages("Lava floating_pt"))
    return difference("float reference", exact, "Lava floating_pt", simulated)
