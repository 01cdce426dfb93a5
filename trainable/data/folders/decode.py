"""One image file to a uint8 array: colour, depth, orientation, fit, resize."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from trainable.data.folders.dicom import DicomFile, is_dicom
from trainable.data.folders.limits import MAX_PIXELS, UnreadableError, check_size, share
from trainable.data.reading import Reading

FORMATS = (
    "JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "QOI",
    "SGI", "PCX", "TGA",
)  # fmt: skip
"""Pillow's, of pictures. TGA comes last, as it has no mark of its own."""
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".mpo", ".webp", ".tif", ".tiff", ".bmp",
    ".dib", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf",
    ".jpx", ".avif", ".avifs", ".qoi", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".tga", ".icb",
    ".vda", ".vst",
)  # fmt: skip
"""Of those formats, and of MPO, which opens as JPEG; in lower case."""

# Pillow widens the kernel when it shrinks, so bicubic is antialiased; Parmar et al. 2022 recommend
# it for FID. Lanczos rings more around the bright letters burned into X-rays; a box blurs more.
FILTER = Image.Resampling.BICUBIC

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # a TIFF's tag, and one of its values

# Of blocks below 32 MiB, glibc keeps what a thread has freed: sixteen threads held 8 GB.
Image.core.set_block_size(2**26)
# Ours is the lower bound, and says which file it was.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it was read.

    Attributes:
        pixels: uint8 [C, size, size]; C is 1 where all channels are equal, else 3.
        transparent: whether the background shows.
        several: whether the file holds more images than this one, its first.
        depth: '16-bit', '32-bit', 'float' or 'DICOM'; '' where values have 8 bits, or where the
            file says which become black and white.
        span: least and greatest value of a deep image, before it was brought to 8 bits.
        patient, modality: what a DICOM header says, see `dicom.DicomFile`; else None and ''.
        stored: width and height of the image in the file, held upright.
    """

    pixels: np.ndarray
    transparent: bool = False
    several: bool = False
    depth: str = ""
    span: tuple[float, float] = (0.0, 0.0)
    patient: str | None = None
    modality: str = ""
    stored: tuple[int, int] = (0, 0)


_Made = tuple[Image.Image, Callable[[np.ndarray], Picture]]
"""An image in 8 bits, as large as it was decoded; and what makes a picture of its pixels."""


def decode(
    file: bytes | BinaryIO, size: int | None, how: Reading, channels: int | None = None
) -> Picture:
    """Decode an image file, the first image of several, to uint8 [C, size, size].

    With `size` None it stays as it is, [C, H, W].

    `how.fit` says how it becomes square. Deep grey is scaled by `how.levels`, transparency is laid
    on `how.background`, EXIF orientation is applied; colour profiles are ignored. With `channels` 1
    or 3, that is C.

    Raises:
        UnreadableError: this is no image, a broken one, or one of too many pixels.
    """
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    with _dicom(file, how) if is_dicom(file) else _pillow(file, size, how) as (whole, picture):
        flat = whole.convert("L") if channels == 1 else whole
        pixels = np.asarray(flat if size is None else fit_square(flat, size, how.fit))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if channels is None and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    if channels == 3:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return picture(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def dimensions(file: BinaryIO) -> tuple[int, int]:
    """Width and height of the image in a file, whose pixels are not decoded.

    Raises:
        UnreadableError: as `decode`, as far as the header tells.
    """
    if is_dicom(file):
        return DicomFile(file, pixels=False).size
    with header(file) as image:
        return image.size


@contextmanager
def _pillow(file: BinaryIO, size: int | None, how: Reading) -> Iterator[_Made]:
    """The image in a file that Pillow reads."""
    with header(file) as image:
        whole = image.size
        several = image.format != "MPO" and getattr(image, "is_animated", False)
        if size is not None:
            _draft(image, size, how.fit)
        # A progressive JPEG is kept whole, at whatever scale it is wanted.
        with share(whole if "progressive" in image.info else image.size):
            image.load()
            lying = image.size
            upright = _upright(image)
            stored = whole if upright.size == lying else (whole[1], whole[0])
            depth, span = _depth(upright, image.format), (0.0, 0.0)
            if depth:
                values = _from_black(np.asarray(upright), image, depth)
                span = _span(values)
                flat = Image.fromarray(_to_8_bit(values, *how.levels.at(depth, span)))
                alpha = _marked(upright, values)
            else:
                flat, alpha = _parted(upright)
            if alpha is not None:
                flat = _laid(flat, alpha, how)
            shown = alpha is not None
            yield (
                flat,
                partial(
                    Picture,
                    transparent=shown,
                    several=several,
                    depth=depth,
                    span=span,
                    stored=stored,
                ),
            )


@contextmanager
def _dicom(file: BinaryIO, how: Reading) -> Iterator[_Made]:
    """The image in a DICOM file."""
    stored = DicomFile(file)
    with share(stored.size):
        values, ends = stored.values()
        depth, span = "", (0.0, 0.0)
        if values.ndim == 3:
            flat = Image.fromarray(values)
        else:
            if ends is None:
                depth, span = "DICOM", _span(values)
                ends = how.levels.at(depth, span)
            flat = Image.fromarray(_to_8_bit(values, *ends))
        who, modality = stored.patient, stored.modality
        yield (
            flat,
            partial(
                Picture, depth=depth, span=span, patient=who, modality=modality, stored=stored.size
            ),
        )


@contextmanager
def header(file: BinaryIO) -> Iterator[Image.Image]:
    """The image in `file`, whose pixels are not read yet, of a size that can be.

    Raises:
        UnreadableError: there is none, or, also where the caller reads it, it is broken.
    """
    Image.init()  # registers the formats, once
    try:
        if not file.read(1):
            raise UnreadableError("empty file")
        file.seek(0)
        with Image.open(file, formats=FORMATS) as image:
            check_size(*image.size)
            yield image
    except UnidentifiedImageError:
        raise UnreadableError("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"more than {MAX_PIXELS / 1e6:.0f} million pixels") from None
    # SyntaxError is of PNG chunks, MemoryError of sizes that a broken header claims.
    except (
        OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, AttributeError,
        OverflowError, RuntimeError, MemoryError, struct.error, zlib.error,
    ) as error:  # fmt: skip
        raise UnreadableError(str(error).split("\n")[0] or type(error).__name__) from error


def fit_square(image: Image.Image, size: int, fit: str) -> Image.Image:
    """Resize to `size` by `size`, with the aspect ratio kept unless `fit` is 'stretch'."""
    width, height = image.size
    if fit == "stretch":
        return image.resize((size, size), FILTER)
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


def _draft(image: Image.Image, size: int, fit: str) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 scale where at least twice the target remains.

    X-rays of 1,500 pixels decode several times faster, and the resize averages what is left.
    """
    width, height = image.size
    side = max(width, height) if fit == "pad" else min(width, height)
    scale = next((s for s in (8, 4, 2) if side >= s * 2 * size), 1)
    if image.format == "JPEG" and scale > 1:
        image.draft(None, (max(1, width // scale), max(1, height // scale)))


def _upright(image: Image.Image) -> Image.Image:
    # A broken EXIF block says nothing about the pixels, which are loaded.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)  # a copy would cost 4 bytes a pixel
    return image


def _depth(image: Image.Image, kind: str | None) -> str:
    if image.mode == "F":
        return "float"
    if image.mode == "I":
        return "16-bit" if kind in ("PPM", "PNG") else "32-bit"
    return "16-bit" if image.mode.startswith("I;16") else ""


def _from_black(values: np.ndarray, image: Image.Image, depth: str) -> np.ndarray:
    """The same from black to white: a TIFF may store white as 0, which Pillow undoes in 8 bits."""
    tiff = isinstance(image, TiffImageFile)
    if not tiff or image.tag_v2.get(_PHOTOMETRIC) != _WHITE_IS_ZERO:
        return values
    return 65535 - values if depth == "16-bit" else -values.astype(np.float64)


def _span(values: np.ndarray) -> tuple[float, float]:
    span = float(values.min()), float(values.max())
    if not np.isfinite(span).all():
        raise UnreadableError("values that are not finite")
    return span


def _to_8_bit(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Values from `black` to `white` as 0 to 255, rounded; what lies outside is clipped."""
    scaled = np.subtract(values, black, dtype=np.float64)
    scaled *= 255 / ((white - black) or 1)
    scaled += 0.5
    return scaled.clip(0, 255, out=scaled).astype(np.uint8)


def _marked(image: Image.Image, values: np.ndarray) -> Image.Image | None:
    """The alpha of a deep image whose header names one value that is transparent."""
    value = image.info.get("transparency")
    if not isinstance(value, int) or not (values == value).any():
        return None
    return Image.fromarray(np.where(values == value, 0, 255).astype(np.uint8))


def _parted(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The image in mode L or RGB, and its alpha, if any of it is transparent.

    Of 16-bit colour Pillow keeps the upper byte of each channel, which is at most one level off.
    """
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        alpha = None if alpha.getextrema() == (255, 255) else alpha
        return image.convert("RGB").convert("L") if grey else image.convert("RGB"), alpha
    if image.mode in ("L", "RGB"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _laid(flat: Image.Image, alpha: Image.Image, how: Reading) -> Image.Image:
    """`flat` over the background, as RGB."""
    above = flat.convert("RGB")
    above.putalpha(alpha)
    below = Image.new("RGBA", above.size, (*how.rgb, 255))
    return Image.alpha_composite(below, above).convert("RGB")
