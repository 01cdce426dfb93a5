"""One image file's bytes to a uint8 array: colour, depth, orientation, fit, resize."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from spaces.errors import InputError

FITS = ("crop", "pad")
SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")

# Pillow widens the kernel when it shrinks, so bicubic is antialiased; Parmar et al. 2022 recommend
# it for FID. Lanczos rings more around the bright letters burned into X-rays; a box blurs more.
FILTER = Image.Resampling.BICUBIC


class UnreadableError(Exception):
    """A file holds no image that can be decoded; the message says why."""


def check_fit(fit: str) -> None:
    """Raise InputError unless `fit` is one of `FITS`."""
    if fit not in FITS:
        raise InputError(f"fit is {fit!r}, but must be one of {', '.join(FITS)}")


def decode(
    data: bytes, size: int | None, fit: str = "crop", channels: int | None = None
) -> np.ndarray:
    """Decode a JPEG or PNG to uint8 [C, size, size], or [C, H, W] as it is with `size` None.

    The aspect ratio is kept: 'crop' takes the centre square, 'pad' fits the whole image between
    black bars. 16-bit grey is scaled from its full range, transparency is laid on black, EXIF
    orientation is applied; colour profiles are ignored. With `channels` None, C is 1 for an image
    whose channels are equal everywhere, else 3.

    Raises:
        UnreadableError: the bytes are no image, or a broken one.
    """
    if not data:
        raise UnreadableError("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if size is not None:
                _draft(image, size, fit)
            image.load()
            flat = _to_8_bit(_upright(image))
    except UnidentifiedImageError:
        raise UnreadableError("not a JPEG or PNG image") from None
    # Pillow reports broken files by all of these, SyntaxError for PNG chunks among them.
    except (
        OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, struct.error,
        zlib.error, Image.DecompressionBombError,
    ) as error:  # fmt: skip
        raise UnreadableError(str(error).split("\n")[0] or type(error).__name__) from error
    if channels == 1 or (channels is None and is_grey(flat)):
        flat = flat.convert("L")
    elif flat.mode != "RGB":
        flat = flat.convert("RGB")
    pixels = np.asarray(flat if size is None else fit_square(flat, size, fit))
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fit_square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Resize to `size` by `size`, with the aspect ratio kept."""
    width, height = image.size
    if fit == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new(image.mode, (size, size))
        corner = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        canvas.paste(image.resize(inner, FILTER), corner)
        return canvas
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return image.resize((size, size), FILTER, box=(left, top, left + side, top + side))


def is_grey(image: Image.Image) -> bool:
    """Whether an L or RGB image has equal channels everywhere."""
    if image.mode == "L":
        return True
    red, green, blue = image.split()
    return all(ImageChops.difference(red, other).getextrema() == (0, 0) for other in (green, blue))


def _draft(image: Image.Image, size: int, fit: str) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 scale where at least twice the target remains.

    X-rays of 1,500 pixels decode several times faster, and the resize averages what is left.
    """
    width, height = image.size
    side = min(width, height) if fit == "crop" else max(width, height)
    scale = next((s for s in (8, 4, 2) if side >= s * 2 * size), 1)
    if image.format == "JPEG" and scale > 1:
        image.draft(None, (max(1, width // scale), max(1, height // scale)))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels, which are loaded
        return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """The image in mode L or RGB, on black where it is transparent.

    Pillow itself clips 16-bit grey at 255. Of 16-bit colour it keeps the upper byte of each
    channel, which is at most one level off.
    """
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "black"), above).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")
