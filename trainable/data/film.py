"""How a trial learned, as a film: its sample grids one after another, each with its epoch.

A GIF for MLflow, whose pages show no other moving picture; WebP, a tenth of its size, for a report.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trainable.basics.terminal import one_line
from trainable.data.sheets import spread

FILM, PICTURE = "training.gif", "samples.png"
SIDE = 96
"""Smaller images are enlarged to about this side, in pixels."""
FRAMES = 30
"""At most, spread over a training."""
FRAME, LAST = 250, 2500
"""Milliseconds of a frame, and of the last one."""
_LONGEST = 20  # letters of a class
_GAP = 8  # pixels around text
_QUALITY = 80  # of WebP


def draw_frames(
    grids: Mapping[int, Image.Image], classes: Sequence[str], fids: Mapping[int, float]
) -> list[Image.Image]:
    """The frames of `grids`, which have a row for each class; of more than `FRAMES` some, spread.

    Args:
        grids: at least one, by epoch; see `trainable.data.sheets.draw_grid`.
        classes: their names, in the rows' order; longer ones than 20 letters are cut. None where
            they are not known.
        fids: FID by epoch, as far as it is known.
    """
    first = grids[min(grids)]
    side = first.height // max(1, len(classes))
    scale = max(1, SIDE // side)
    font = ImageFont.load_default(max(12, scale * side // 6))
    names = [short_name(name) for name in classes]
    left = round(max(map(font.getlength, names))) + 2 * _GAP if names else 0
    height, below = scale * first.height, round(font.getbbox("p")[3]) + 2 * _GAP
    frames = []
    for epoch in spread(sorted(grids), FRAMES):
        grid = grids[epoch]
        size = left + scale * grid.width, height + below
        frame = Image.new(grid.mode, size)
        pen = ImageDraw.Draw(frame)
        white = 255 if grid.mode == "L" else (255, 255, 255)
        for row, name in enumerate(names):
            middle = (row + 0.5) * height / len(names)
            pen.text((left - _GAP, middle), name, white, font, anchor="rm")
        frame.paste(grid.resize((scale * grid.width, height), Image.Resampling.NEAREST), (left, 0))
        said = f"epoch {epoch}" if epoch else "untrained"
        if epoch in fids:
            said += f"   FID {fids[epoch]:.1f}"
        pen.text((left, height + _GAP), said, white, font)
        frames.append(frame)
    return frames


def film(frames: Sequence[Image.Image], form: str) -> bytes:
    """The frames as an endless film; `form` is ``GIF`` or ``WEBP``."""
    file = io.BytesIO()
    times = [FRAME] * (len(frames) - 1) + [LAST]
    still = frames if form == "GIF" else [frame.convert("RGB") for frame in frames]
    still[0].save(
        file, form, save_all=True, append_images=still[1:], duration=times, loop=0, quality=_QUALITY
    )
    return file.getvalue()


def write_film(
    path: Path, files: Mapping[int, Path], classes: Sequence[str], fids: Mapping[int, float]
) -> bool:
    """Write the film of grids in `files`, by epoch, as a GIF; returns whether there is any."""
    with ExitStack() as opened:
        shown = spread(sorted(files), FRAMES)  # alone: a process may have a thousand files open
        grids = {epoch: opened.enter_context(Image.open(files[epoch])) for epoch in shown}
        if grids:
            path.write_bytes(film(draw_frames(grids, classes, fids), "GIF"))
    return bool(grids)


def write_last(
    path: Path, files: Mapping[int, Path], classes: Sequence[str], fids: Mapping[int, float]
) -> None:
    """Write the film's last frame as a PNG, if there is any."""
    if files:
        last = max(files)
        with Image.open(files[last]) as grid:
            (frame,) = draw_frames({last: grid}, classes, fids)
        frame.save(path)


def short_name(name: str) -> str:
    """A class's name for a label, at most 20 letters of it."""
    name = one_line(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
