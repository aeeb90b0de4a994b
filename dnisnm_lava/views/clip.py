"""The frames of a stream with class and activity beside them, as pictures of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from dnisnm_lava.studies.streams.rows import Row

HEIGHT, WIDTH = 180, 240  # of the least picture; of the panel beside it, in pixels
DARK, LIGHT, STREAM, ALONE, OTHER = (
    (24, 24, 28),
    (235, 235, 235),
    (90, 160, 255),
    (255, 150, 60),
    (255, 80, 80),
)
WINDOW = 60  # frames of activity that are shown


def annotated(
    frames: Iterable[np.ndarray], rows: Sequence[Row], classes: Sequence[str] = ()
) -> Iterator[np.ndarray]:
    """uint8 (H, W, 3), for `frames` as they lie there, and their rows. classes: their names, or none."""
    most = max(max(row.operations.values()) for row in rows)
    for i, (frame, row) in enumerate(zip(frames, rows, strict=False)):
        left = _enlarged(picture(frame))
        right = _panel(rows[max(0, i - WINDOW + 1) : i + 1], row, left.height, most, classes)
        yield np.hstack([np.asarray(left), np.asarray(right)])


def picture(frame: np.ndarray) -> Image.Image:
    """RGB, of a frame (H, W, 3), (H, W) or (C, H, W); what is no byte goes from its least to its largest."""
    if frame.ndim == 3 and frame.shape[-1] not in (1, 3):
        frame = frame.transpose(1, 2, 0)
    if frame.ndim != 2:
        frame = frame if frame.shape[-1] == 3 else frame.reshape(*frame.shape[:2], -1).mean(axis=-1)
    if frame.dtype != np.uint8:
        low, high = float(frame.min()), float(frame.max())
        frame = ((frame - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    return Image.fromarray(frame).convert("RGB")


def _enlarged(image: Image.Image) -> Image.Image:
    times = max(1, -(-HEIGHT // image.height))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _panel(before: Sequence[Row], row: Row, height: int, most: int, classes: Sequence[str]) -> Image.Image:
    panel = Image.new("RGB", (WIDTH, height), DARK)
    draw = ImageDraw.Draw(panel)
    for line, (text, colour) in enumerate(_words(row, classes)):
        draw.text((8, 8 + 14 * line), text, fill=colour)
    top, bottom = 8 + 14 * 7, height - 8
    for who, colour in (("alone", ALONE), ("stream", STREAM)):
        if who in row.operations:
            tall = [bottom - (bottom - top) * r.operations[who] / max(1, most) for r in before]
            points = [(8 + (WIDTH - 16) * i / (WINDOW - 1), y) for i, y in enumerate(tall)]
            draw.line(points if len(points) > 1 else points * 2, fill=colour, width=2)
    return panel


def _words(row: Row, classes: Sequence[str]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    yield f"frame {row.frame}" + (", begun anew" * row.fresh), LIGHT
    for who, name in (("stream", "stream"), ("alone", "frame alone"), ("ann", "ANN")):
        if row.answers.get(who) is not None:
            differs = who != "stream" and row.answers[who] != row.answers["stream"]
            yield f"{name}: {_named(row.answers[who], classes)}", OTHER if differs else LIGHT
    yield f"{row.operations['stream']:,} operations", STREAM
    if "alone" in row.operations:
        yield f"{row.operations['alone']:,} frame alone", ALONE
    yield f"{row.spikes['stream']:,} spikes", LIGHT


def _named(answer: object, classes: Sequence[str]) -> str:
    if isinstance(answer, int):
        name = classes[answer] if 0 <= answer < len(classes) else str(answer)
        return name.encode("ascii", "replace").decode()[:24]
    return " ".join(f"{v:.3g}" for v in answer[:4]) if isinstance(answer, list) else ""
