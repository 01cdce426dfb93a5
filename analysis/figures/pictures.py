"""Pictures inside a page, which needs no other file then."""

from __future__ import annotations

import base64
import html
import io

from matplotlib.figure import Figure
from PIL import Image, ImageOps

from analysis.figures.style import legible, write
from spaces.errors import InputError
from trainable.data.film import film

_QUALITY = 80
_LARGEST = 16383  # pixels a side, of WebP


def moving_image(frames: list[Image.Image], said: str) -> str:
    """The film; its last frame for those who want nothing to move, and on paper."""
    if not frames:
        raise InputError("MLflow has no sample grids of it")
    moving, still = _address(film(frames, "WEBP")), embedded(frames[-1].convert("RGB"))
    # Not a <picture>: browsers choose its source before they print.
    return (
        f"<img class='moving' alt='{said}' src='{moving}'>"
        f"<img class='still' alt='{said}' src='{still}'>"
    )


def still_image(figure: Figure, said: str) -> str:
    """A figure, with what is to be said of its letters."""
    file = io.BytesIO()
    note = legible(figure)
    write(figure, file, format="png", dpi=110)
    with Image.open(file) as drawn:
        image = embedded(drawn.convert("RGB"))
    more = f"<p class='note'>{html.escape(note)}</p>" if note else ""
    return f"<img alt='{said}' src='{image}'>{more}"


def embedded(image: Image.Image) -> str:
    """The image as an address: WebP, in the text itself, and no larger than that can be."""
    file = io.BytesIO()
    if max(image.size) > _LARGEST:
        image = ImageOps.contain(image, (_LARGEST, _LARGEST))
    image.save(file, format="WEBP", quality=_QUALITY)
    return _address(file.getvalue())


def _address(webp: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(webp).decode()
