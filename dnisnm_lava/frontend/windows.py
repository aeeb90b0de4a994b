"""A matrix over rows or columns as a sliding window, where it is one."""

from __future__ import annotations

import numpy as np

from dnisnm_lava.ir.arithmetic import Pair, Window


def window_of(rows: np.ndarray | None, cols: np.ndarray | None, size: Pair) -> tuple[Window, float] | None:
    """The window whose sums, times a number, are rows @ x @ cols.T; None where there is none."""
    found = [_axis_window(a, n) for a, n in ((rows, size[0]), (cols, size[1]))]
    if found[0] is None or found[1] is None:
        return None
    (ky, sy, py, vy), (kx, sx, px, vx) = found[0], found[1]
    return Window((ky, kx), (sy, sx), (py, px)), vy * vx


def _axis_window(matrix: np.ndarray | None, size: int) -> tuple[int, int, Pair, float] | None:
    """(kernel, stride, padding, value) of a matrix whose rows are one sliding window of equal values."""
    if matrix is None:
        return 1, 1, (0, 0), 1.0
    values = matrix[matrix != 0]
    if values.size == 0 or (values != values[0]).any():
        return None
    filled = matrix != 0
    starts = np.where(filled.any(axis=1), filled.argmax(axis=1), -1)
    ends = np.where(filled.any(axis=1), size - filled[:, ::-1].argmax(axis=1), -1)
    kernel = int((ends - starts).max())
    for stride, before in _guesses(starts, ends, kernel, size):
        first = np.arange(len(matrix)) * stride - before
        place = np.arange(size)
        if (((place >= first[:, None]) & (place < first[:, None] + kernel)) == filled).all():
            behind = max(0, int(first[-1]) + kernel - size)
            if (size + before + behind - kernel) // stride + 1 == len(matrix):
                return kernel, stride, (before, behind), float(values[0])
    return None


def _guesses(starts: np.ndarray, ends: np.ndarray, kernel: int, size: int) -> list[Pair]:
    """(stride, padding in front) that the whole windows of a matrix suggest."""
    whole = np.flatnonzero((starts >= 0) & (ends - starts == kernel))
    if len(whole) < 2:
        before = int(-starts[whole[0]]) if whole[0] == 0 else 0
        return (
            [(max(1, size), max(0, before))]
            if len(starts) == 1
            else [
                (s, s * int(whole[0]) - int(starts[whole[0]]))
                for s in range(1, size + kernel + 1)
                if s * int(whole[0]) - int(starts[whole[0]]) >= 0
            ]
        )
    stride = int(starts[whole[1]] - starts[whole[0]])
    before = stride * int(whole[0]) - int(starts[whole[0]])
    return [(stride, before)] if stride >= 1 and before >= 0 else []
