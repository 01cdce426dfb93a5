"""Features of the real set, kept on disk between studies: they cost minutes and never change.

A file is one .npz that holds the features and what they are of, written whole or not at all, so
that any number of processes may share a folder. Whoever reads it trusts nothing in it: no pickles,
and every claim is checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from trainable.basics.files import whole_file
from trainable.basics.progress import Progress
from trainable.pretrained.extractors import Extractor
from trainable.pretrained.weights import first_line

_STALE = 3600.0
"""Seconds after which an unfinished file is what a killed process left behind."""


class ImagesKey(TypedDict):
    """Which images features are of.

    Keys:
        data: a digest.
        n: how many they are.
        channels: 1 for grey, 3 for colour.
        image_size: side in pixels; None for images that are no squares of one size.
    """

    data: str
    n: int
    channels: int
    image_size: int | None


class _Key(ImagesKey):
    """What a file's features are of: images, and the extractor that saw them."""

    format: int
    weights: str
    protocol: str


def default_folder() -> Path:
    """``$CGAN_SEARCH_CACHE``, or ``~/.cache/cgan-search/features``."""
    named = os.environ.get("CGAN_SEARCH_CACHE")
    return Path(named or "~/.cache/cgan-search/features").expanduser()


def cached_features(
    extractor: Extractor,
    images: np.ndarray,
    digest: str,
    cache_dir: Path | None = None,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """Features [n, D], float32 on the CPU, of uint8 images [n, C, S, S], from disk if they are.

    Features that were computed on a GPU are used on a CPU and the other way round: they differ by
    rounding only.

    Args:
        extractor: its protocol and the checksum of its weights are part of the key.
        images: the real images, in order.
        digest: `Dataset.digest` of their data set.
        cache_dir: where the files are; None means `default_folder`.
        say: called with one line if a file had to be made again, and with one if none can be kept.
        progress: told how many images are done, where features are computed.
    """
    n, channels, size, _ = images.shape
    key: ImagesKey = {"data": digest, "n": n, "channels": channels, "image_size": size}
    return kept_features(
        extractor, lambda: extractor(torch.tensor(images), progress), key, cache_dir, say
    )


def kept_features(
    extractor: Extractor,
    compute: Callable[[], Tensor],
    images: ImagesKey,
    cache_dir: Path | None = None,
    say: Callable[[str], None] | None = None,
) -> Tensor:
    """Features [n, D], float32 on the CPU, from disk, or from `compute` if they are not there.

    `images` says which images they are of, as a part of the key.
    """
    say = say or (lambda line: None)
    key: _Key = {
        "format": 1,
        **images,
        "weights": extractor.sha256,
        "protocol": extractor.protocol,
    }
    shape = (images["n"], extractor.features)
    path = None
    try:
        path = (cache_dir or default_folder()) / _file_name(key)
        if path.exists():
            return _read(path, key, shape)
    except Exception as error:  # the file is anyone's, and the remedy is the same for all
        say(
            f"cached features {path or 'have no folder'}: {first_line(error)}; computing them again"
        )
    features = compute().float().cpu()
    features = features.clone()  # no inference tensor
    # A cached NaN would be refused by every reader.
    if path is not None and bool(torch.isfinite(features).all()):
        try:
            _write(path, key, features)
        except OSError as error:
            say(
                f"features cannot be cached in {path.parent} ({error.strerror}); continuing without"
            )
    return features


def _file_name(key: _Key) -> str:
    """Such as ``inception-bilinear-299-2900x64px-0a1b2c3d4e5f6071.npz``."""
    size = "files" if key["image_size"] is None else f"{key['image_size']}px"
    protocol = key["protocol"].replace("/", "-").replace("+", "-")
    whole = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"{protocol}-{key['n']}x{size}-{whole[:16]}.npz"


def _read(path: Path, key: _Key, shape: tuple[int, int]) -> Tensor:
    """The features in a file; raises whatever its defect gives rise to."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        if json.loads(str(archive["key"])) != key:
            raise ValueError("it is of other images or another extractor")
        features = archive["features"]
    if features.shape != shape or features.dtype != np.float32:
        raise ValueError(f"it holds {features.dtype} {list(features.shape)}")
    if not np.isfinite(features).all():
        raise ValueError("some values are not finite")
    return torch.from_numpy(features)


def _write(path: Path, key: _Key, features: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.part"):
        with suppress(FileNotFoundError):  # another process tidies too
            if time.time() - left.stat().st_mtime > _STALE:
                left.unlink()
    with whole_file(path) as part, part.open("xb") as file:
        np.savez(file, key=np.array(json.dumps(key)), features=features.numpy())
