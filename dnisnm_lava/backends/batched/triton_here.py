"""Are Triton's kernels to be had on a device, and exact there? Triton is imported when that is asked."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from functools import cache

import numpy as np
import torch

from dnisnm_lava.backends.batched.device import current_device
from dnisnm_lava.backends.batched.storage import Code
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.ir import arithmetic, dynamics
from dnisnm_lava.ir.arithmetic import Padding, Pair
from dnisnm_lava.ir.fixedpoint import STATE

CAPABILITY = (8, 0)  # of CUDA cards; older ones multiply 8-bit integers otherwise, or not at all
SPIKE, WEIGHT = 127, 128
# weights (O, I / groups, ky, kx), pixels, stride, padding, dilation, groups, exponent: each way of `_launch`,
# sums far beyond 2**24 and, shifted, close to 2**31
PROOFS: tuple[tuple[tuple[int, int, int, int], int, Pair, Padding, Pair, int, int], ...] = (
    ((17, 512, 3, 3), 3, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 4),
    ((70, 33, 1, 1), 3, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 0),
    ((16, 24, 3, 2), 5, (2, 1), ((0, 2), (1, 0)), (1, 2), 2, 1),
    ((32, 1, 3, 3), 5, (1, 2), ((1, 1), (2, 1)), (1, 1), 32, 0),
)
NEURONS, STEPS = 600, 6


def require(what: str, device: str) -> None:
    """OutOfRange where `what` asked for Triton and it is not to be had on the device, or not exact there."""
    if not is_here(device):
        raise OutOfRange(
            f"{what}: triton asked for, and there is none for {device} here; that needs the package triton "
            f"and a CUDA device of compute capability {'.'.join(map(str, CAPABILITY))} or later, or "
            f"TRITON_INTERPRET=1 in the environment: choose auto"
        )
    if not is_exact(device):
        raise OutOfRange(
            f"{what}: triton asked for, and its kernels do not run on {device} here, or not with NumPy's "
            f"integers: choose auto, which then takes floats"
        )


def is_here(device: str) -> bool:
    """Is there a Triton, and a device or its interpreter to run it?"""
    if importlib.util.find_spec("triton") is None:
        return False
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    return (
        device.startswith("cuda")
        and torch.version.hip is None
        and torch.cuda.get_device_capability(device) >= CAPABILITY
    )


@cache
def is_exact(device: str) -> bool:
    """Do the kernels run there, and give NumPy's integers of 64 bits on the worst operands? Tried once per
    process and device: no version of Triton, compiler or card is asked for."""
    if not is_here(device):
        return False
    try:
        import triton

        faults = (triton.CompilationError, triton.OutOfResources, subprocess.CalledProcessError)
    except (ImportError, AttributeError):
        return False
    usual = (RuntimeError, OSError, TypeError, ValueError, AttributeError, AssertionError, LookupError)
    try:
        with current_device(device):
            return all(_products_are_exact(device, *case) for case in PROOFS) and all(
                _neurons_are_exact(device, levels, two_sided, wide)
                for levels, two_sided, wide in ((1, False, False), (5, False, True), (3, True, False))
            )
    except (*faults, *usual):
        return False


def _products_are_exact(
    device: str,
    shape: tuple[int, int, int, int],
    pixels: int,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    exponent: int,
) -> bool:
    """On the largest spikes and on all of them, times the largest weights of either sign."""
    from dnisnm_lava.backends.batched import triton_currents

    weight = np.full(shape, -WEIGHT, np.int64)
    weight[::2] = WEIGHT - 1
    weight[:, 0, 0, 0] = 1  # so that the largest sums are no multiples of what float32 would round to
    size = (1, shape[1] * groups, pixels, pixels)
    mixed = np.arange(np.prod(size)).reshape(size) * 89 % (2 * SPIKE + 1) - SPIKE
    x = np.concatenate([np.full(size, SPIKE), np.full(size, -SPIKE), mixed]).astype(np.int64)
    convolve = triton_currents.convolution(weight, stride, padding, dilation, groups, exponent, device)
    found = convolve(torch.tensor(x, dtype=torch.int8, device=device)).cpu().numpy()
    expected = arithmetic.conv2d(x, weight, stride, padding, dilation, groups) << exponent
    return np.array_equal(found, expected)


def _neurons_are_exact(device: str, levels: int, two_sided: bool, wide: bool) -> bool:
    """On currents that saturate the state, and thresholds from 0 up to it, beside `ir.dynamics`."""
    from dnisnm_lava.backends.batched import triton_neurons

    rng = np.random.default_rng(0)
    vth = rng.choice([0, 1, 2, 60, 4_999_999, STATE.limit], NEURONS)
    lower = np.maximum(vth // 3, 1)
    current = rng.integers(-STATE.limit, STATE.limit + 1, (2, STEPS, NEURONS)) >> rng.integers(0, 24, NEURONS)
    flat = np.zeros_like(vth)
    table = np.stack([flat, vth, flat + 1, lower, flat, vth // 2])
    dtype, code = torch.int64 if wide else torch.int32, Code(torch.float32)
    p = triton_neurons.Neurons(
        torch.tensor(table, dtype=dtype, device=device), (NEURONS,), levels, 0, two_sided, STATE.limit, code
    )
    found, counts = triton_neurons.run(p, torch.tensor(current, dtype=dtype, device=device), None, STEPS)
    v, m, saturated = np.broadcast_to(vth // 2, current[:, 0].shape), flat, 0
    sent = []
    for t in range(STEPS):
        v, outside = dynamics.integrate(v, current[:, t], flat)
        k, v, m = dynamics.fire(v, m, vth, levels, two_sided, lower)
        sent.append(k)
        saturated += outside
    expected = np.stack(sent, axis=1)
    return np.array_equal(found.cpu().numpy(), expected) and counts == (
        int((expected > 0).sum()),
        int((expected < 0).sum()),
        saturated,
    )
