"""Where in a folder the class folders are: at its top, or in the folder of a split."""

from __future__ import annotations

from pathlib import Path

from spaces.errors import InputError
from trainable.data.listing import folders

SPLITS = ("train", "test", "val")

_NAMES = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip


def split_of(name: str) -> str | None:
    """The split whose folder may be called `name`, in capitals or not; None if it is no split's."""
    return _NAMES.get(name.casefold())


def split_folders(root: Path) -> dict[str, list[Path]]:
    """The folders in `root` that are named after a split, by split."""
    found: dict[str, list[Path]] = {}
    for folder in folders(root):
        if (split := split_of(folder.name)) is not None:
            found.setdefault(split, []).append(folder)
    return found


def class_base(root: Path, split: str) -> Path:
    """The folder whose folders are classes: that of `split`, or `root` if it has no splits.

    Raises:
        InputError: `root` cannot serve: missing, a file, or without the split.
    """
    if not root.exists():
        raise InputError(f"{root} does not exist; give a folder of class folders")
    if not root.is_dir():
        raise InputError(f"{root} is a file, not a folder of class folders")
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, but must be one of {', '.join(SPLITS)}")
    present = split_folders(root)
    if len(named := present.get(split, [])) > 1:
        raise InputError(
            f"{root} has several folders for the split {split!r}, "
            f"{' and '.join(p.name for p in named)}; leave one of them"
        )
    if named:
        return named[0]
    if present:
        names = ", ".join(sorted(p.name for paths in present.values() for p in paths))
        raise InputError(f"{root} has no split {split!r}; it has {names}")
    if split != "train":
        raise InputError(
            f"{root} has no split {split!r}: its class folders are not divided into "
            f"{', '.join(SPLITS)}; leave the split out, or divide them"
        )
    return root
