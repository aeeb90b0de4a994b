"""Where torch computes, and sums of integers that stay exact there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from dnisnm_lava.data.inputs import Device
from dnisnm_lava.errors import OutOfRange
from dnisnm_lava.system.machine import free_memory


def checked_device(device: Device) -> str:
    """Its name; OutOfRange for one that this torch, here, cannot compute on."""
    try:
        torch.zeros(1, device=device).cpu()  # there and back: `meta` has no numbers
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or "no message").splitlines()[0].partition(". ")[0]
        raise OutOfRange(
            f"device: {device} cannot be used here ({reason}); give cpu, or cuda where torch finds a GPU"
        ) from error
    return str(device)


def free_bytes(device: str) -> int:
    """The free bytes of the memory that the device computes in."""
    if not device.startswith("cuda"):
        return free_memory()
    with current_device(device):  # `mem_get_info` takes no device without an index
        return torch.cuda.mem_get_info()[0]


def current_device(device: str) -> contextlib.AbstractContextManager[object]:
    """Within it, kernels that nobody tells a device are launched on this one."""
    return torch.cuda.device(device) if device.startswith("cuda") else contextlib.nullcontext()


@contextlib.contextmanager
def exact_sums(device: str) -> Iterator[None]:
    """Floats that sum integers exactly: no TF32 or bfloat16 inside products, whatever the user allows
    elsewhere; and on CUDA no cuDNN, whose Winograd and FFT convolutions round. What was set before comes
    back."""
    before = torch.get_float32_matmul_precision()
    cudnn = (
        torch.backends.cudnn.flags(enabled=False, allow_tf32=False)
        if device.startswith("cuda")
        else contextlib.nullcontext()
    )
    torch.set_float32_matmul_precision("highest")
    try:
        with cudnn, current_device(device):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
