"""Pictures, and folders of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def image(seed: int, width: int = 40, height: int = 40, mode: str = "L") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def class_folder(folder: Path, count: int, seed: int, mode: str = "L") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image(1000 * seed + i, mode=mode).save(folder / f"{i:03}.png")
    return folder


def png(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def raw_png(colour_type: int, pixel: bytes, side: int = 40) -> bytes:
    """A 16-bit PNG of one colour, of a kind that Pillow reads but cannot write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", side, side, 16, colour_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + pixel * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
