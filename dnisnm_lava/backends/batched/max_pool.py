"""Max-pools over all steps at once: compiled by numba, for the CPU."""

from __future__ import annotations

import numba
import numpy as np

from dnisnm_lava.backends.batched.neurons import in_threads
from dnisnm_lava.ir.arithmetic import Window


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _max_pool(spikes, offset, kernel, stride, dilation, before, out, first, jobs):  # type: ignore[no-untyped-def]
    """Images `first` to `first + jobs`: how many changes went up and down."""
    _, steps, height, width, channels = out.shape
    rows, cols = spikes.shape[2:4]
    up, down = 0, 0
    for image in range(first, min(first + jobs, out.shape[0])):
        sums = np.zeros((rows, cols, channels), np.int32)
        best = np.zeros((height, width, channels), np.int32)
        new = np.empty(channels, np.int32)
        for t in range(steps):
            arriving = spikes[image, min(t, spikes.shape[1] - 1)]
            for y in range(rows):
                for x in range(cols):
                    for c in range(channels):
                        sums[y, x, c] += np.int32(arriving[y, x, c]) - offset
            for y in range(height):
                for x in range(width):
                    new[:] = np.iinfo(np.int32).min
                    for dy in range(kernel[0]):
                        for dx in range(kernel[1]):
                            row, col = (
                                y * stride[0] + dy * dilation[0] - before[0],
                                x * stride[1] + dx * dilation[1] - before[1],
                            )
                            if 0 <= row < rows and 0 <= col < cols:
                                for c in range(channels):
                                    new[c] = max(new[c], sums[row, col, c])
                    for c in range(channels):
                        change = new[c] - best[y, x, c]
                        best[y, x, c] = new[c]
                        up += change > 0
                        down += change < 0
                        out[image, t, y, x, c] = change + offset
    return np.array([up, down])


def max_pool(
    spikes: np.ndarray, offset: int, window: Window, size: tuple[int, int], steps: int, threads: int = 1
) -> tuple[np.ndarray, int, int]:
    """Changes + offset (N, steps, *size, C), as bytes, of the windows' maxima of the running sums of
    `spikes`, bytes (N, steps or 1, H, W, C), and how many went up and down."""
    out = np.empty((len(spikes), steps, *size, spikes.shape[4]), np.uint8)
    before = (window.padding[0][0], window.padding[1][0])
    arguments = (spikes, np.int32(offset), window.kernel, window.stride, window.dilation, before, out)
    up, down = in_threads(lambda first, jobs: _max_pool(*arguments, first, jobs), len(spikes), threads)
    return out, up, down
