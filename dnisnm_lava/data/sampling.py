"""Maps sampled at places between their pixels: an operation of its own, of which torch has single cases alone
(`interpolate`).

A row of a matrix holds what the pixels around a place count there: linear, 1 - |d| for a pixel at distance d
< 1; cubic, with a = `coefficient` (Keys, IEEE Trans. ASSP 29:1153, 1981),

    (a + 2) |d|^3 - (a + 3) |d|^2 + 1   for |d| <= 1,   a |d|^3 - 5 a |d|^2 + 8 a |d| - 4 a   for |d| < 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

LINEAR = 0.0  # the coefficient that stands for linear: of the cubic kernels it is one that nobody uses
SCHEMA = "sampled(Tensor x, float[] rows, float[] cols, float coefficient, bool inside) -> Tensor"


def matrix(places: Sequence[float], pixels: int, coefficient: float, inside: bool) -> np.ndarray:
    """(len(places), pixels): what each of `pixels` counts at each place, in pixels from the first one's
    centre. coefficient: of cubic, or LINEAR. inside: are pixels beyond the border left out, and the others
    made up to 1? Else they are as the last one."""
    at = np.asarray(places, np.float64)
    reach = 1 if coefficient == LINEAR else 2
    around = np.floor(at).astype(np.int64)[:, None] + np.arange(1 - reach, 1 + reach)
    weights = _kernel(np.abs(at[:, None] - around), coefficient)
    if inside:
        weights = np.where((around >= 0) & (around < pixels), weights, 0.0)
        weights /= weights.sum(axis=1, keepdims=True)
    found = np.zeros((len(at), pixels))
    np.add.at(found, (np.arange(len(at))[:, None], around.clip(0, pixels - 1)), weights)
    return found


def _kernel(d: np.ndarray, a: float) -> np.ndarray:
    if a == LINEAR:
        return 1 - d
    return np.where(d <= 1, ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a)


def sampled(
    x: torch.Tensor, rows: Sequence[float], cols: Sequence[float], coefficient: float, inside: bool
) -> torch.Tensor:
    """Maps (N, C, H, W) at these places of rows and columns, or sequences (N, C, L) at those of `cols`, where
    rows are none."""
    if x.ndim != (4 if rows else 3):
        raise ValueError(
            f"sampled: {'maps (N, C, H, W)' if rows else 'sequences (N, C, L)'} needed, a tensor of "
            f"{x.ndim} axes given"
        )
    return torch.ops.dnisnm_lava.sampled(x, list(rows), list(cols), coefficient, inside)  # type: ignore[attr-defined]


def _by_matrices(
    x: torch.Tensor, rows: list[float], cols: list[float], coefficient: float, inside: bool
) -> torch.Tensor:
    def of(places: list[float], axis: int) -> torch.Tensor:
        return torch.from_numpy(matrix(places, x.shape[axis], coefficient, inside)).to(x)

    along = x @ of(cols, -1).T
    return of(rows, -2) @ along if rows else along


def _shape_alone(
    x: torch.Tensor, rows: list[float], cols: list[float], coefficient: float, inside: bool
) -> torch.Tensor:
    return x.new_empty((*x.shape[:2], *([len(rows)] if rows else []), len(cols)))


_library = torch.library.Library("dnisnm_lava", "DEF")  # type: ignore[no-untyped-call]
_library.define(SCHEMA)  # type: ignore[no-untyped-call]
_library.impl("sampled", _by_matrices, "CPU")  # type: ignore[no-untyped-call]
_library.impl("sampled", _by_matrices, "CUDA")  # type: ignore[no-untyped-call]
_library.impl("sampled", _shape_alone, "Meta")  # type: ignore[no-untyped-call]
