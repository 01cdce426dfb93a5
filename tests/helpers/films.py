"""Films, taken apart."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageSequence


def frames_in(film: str | Path | bytes) -> list[tuple[Image.Image, int]]:
    """Each frame in RGB, and its milliseconds."""
    with Image.open(io.BytesIO(film) if isinstance(film, bytes) else film) as picture:
        return [
            (frame.convert("RGB"), frame.info.get("duration", 0))
            for frame in ImageSequence.Iterator(picture)
        ]
