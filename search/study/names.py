"""Names of studies: what may be one, and one for a study that has none."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.files import check_folder_name

LONGEST = 128
"""Characters of a name: files, databases and MLflow add to it, and few take more than 255 bytes."""
_TAKEN = {
    "augmentation": "of cgan-search augment",
    "figures": "of cgan-search figures compare",
    "mlartifacts": "of MLflow",
    "single": "of cgan-search train",
}
_STORE = "mlflow.db"


def check_name(name: str) -> None:
    """Raise InputError unless a new study may be called `name`."""
    check_folder_name(name, "--study")
    if len(name) > LONGEST:
        raise InputError(
            f"--study has {len(name)} characters, but may have at most {LONGEST}; choose a shorter "
            "name"
        )
    whose = _TAKEN.get(name.lower()) or ("of MLflow" if name.lower().startswith(_STORE) else "")
    if whose:
        raise InputError(f"--study is {name!r}, which is the folder {whose}; choose another name")


def free_name(output: Path, space: str, data: str, image_size: int) -> str:
    """Such as ``full-phantom-64-1``: the first number that is free in the folder `output`.

    Of the folder `data` the name keeps what `check_folder_name` allows: accents are dropped, and
    all else becomes a hyphen.
    """
    parts = (space.rpartition(":")[2], Path(data).resolve().name)
    plain = "-".join(filter(None, map(_plain, parts)))
    end = f"-{image_size}-"
    stem = f"{plain[: LONGEST - len(end) - 6].rstrip('-._') or 'study'}{end}"
    return next(n for i in range(1, 10**6) if not os.path.lexists(output / (n := f"{stem}{i}")))


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("-._")
