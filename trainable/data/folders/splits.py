"""Where in a folder the class folders are: at its top, or in the folder of a split."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from spaces.errors import InputError
from trainable.basics.terminal import command
from trainable.data.folders.listing import check_folder, folders, is_image, visible
from trainable.data.labelling import joined

SPLITS = ("train", "test", "val")

_NAMES = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip
_SET = re.compile(r"[ _-]?set$")
"""May stand behind a split's name, as in training_set."""
_DEPTH = 3
"""Folders down to which images, and the folder that was meant, are looked for."""


def split_of(name: str) -> str | None:
    """The split whose folder may be called `name`, in capitals or not; None if it is no split's."""
    return _NAMES.get(_SET.sub("", name.casefold()))


def split_folders(root: Path) -> dict[str, list[Path]]:
    """The folders in `root` that are named after a split, by split."""
    found: dict[str, list[Path]] = {}
    for path in visible(root):
        if (split := split_of(path.name)) is not None and path.is_dir():
            found.setdefault(split, []).append(path)
    return found


def class_base(root: Path, split: str) -> Path:
    """The folder whose folders are classes: that of `split`, or `root` if it has no splits.

    Raises:
        InputError: `root` cannot serve: missing, a file, without the split, or with folders that
            might be classes, splits or whole data sets.
    """
    check_folder(root)
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, but must be one of {', '.join(SPLITS)}")
    present = split_folders(root)
    if len(named := present.get(split, [])) > 1:
        raise InputError(
            f"{root} has several folders for the split {split!r}: {_names(named)}; keep one"
        )
    splits = sorted(folder for same in present.values() for folder in same)
    beside = sorted({*_with_images(root)} - {*splits}) if splits else []
    if beside and not (named and len(_with_images(named[0])) > 1):
        raise InputError(
            f"{root} has {_names(splits)}, as splits are called, beside folders of images "
            f"({_names(beside)}); rename {_names(splits)} if it is a class like these, or move "
            f"these into {root / 'train'}"
        )
    if present and not named:
        raise InputError(
            f"{root} has no split {split!r}; it has {_names(splits)}: give a split's own folder, "
            f"such as {splits[0]}"
        )
    if not named and split != "train":
        raise InputError(
            f"{root} has no split {split!r}: its class folders are not divided into "
            f"{', '.join(SPLITS)}; leave the split out, or divide them"
        )
    base = named[0] if named else root
    _check_undivided(base)
    return base


def check_parts(base: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError if folders of `base` are parts of a data set, such as folds, not classes.

    Of fold1/cat, fold1/dog, fold2/cat and fold2/dog the classes are cat and dog: several folders
    have the same folders, and no images beside those. `files` are the images in each of `base`.
    """
    inner: dict[Path, frozenset[str]] = {}
    for folder, names in files.items():
        at, below = PurePosixPath(folder), _heads(names)
        while len(below) == 1 and "" not in below:  # as seg_train/seg_train/cat
            (alone,) = below
            at, names = at / alone, [name.removeprefix(f"{alone}/") for name in names]
            below = _heads(names)
        if len(below) > 1 and "" not in below:
            inner[base / at] = below
    if len(inner) < 2 or len({*inner.values()}) > 1:
        return
    parts = {path: path.relative_to(base).parts[0] for path in inner}
    likely = min(parts, key=lambda path: "train" not in parts[path].casefold())
    meant = command("--classes", joined(name for name, images in files.items() if images))
    raise InputError(
        f"{base} has the same folders ({', '.join(sorted(inner[likely]))}) in each of "
        f"{', '.join(parts.values())}, as parts of a data set have, not classes; give one part, "
        f"such as {likely}, or name them train and test; if they are classes, say {meant} or move "
        "the images of each into the folder itself"
    )


def elsewhere(base: Path) -> str:
    """Which folder to give instead of `base`, which has too few class folders; "" if none is known.

    It may lie below `base`, or `base` may be a class itself.
    """
    level = [base]
    for _ in range(_DEPTH):
        level = [inner for folder in level for inner in folders(folder)]
        if fit := [folder for folder in level if _serves(folder)]:
            return f"give {' or '.join(map(str, fit))}, which holds class folders"
    if not any(map(is_image, visible(base))):
        return ""
    above = base.absolute().parent
    try:
        if not _serves(above, depth=0):
            return ""
        if split_of(above.name) and _serves(above.parent, depth=0):
            above = above.parent
    except InputError:  # of a folder beside it, which was not given
        return ""
    shown = above if base.is_absolute() else Path(os.path.relpath(above))
    return f"if it is one of several classes, give the folder of all, {shown}"


def _check_undivided(base: Path) -> None:
    """Raise InputError if a folder in `base` is no class, but has splits in it."""
    split_held_back = {
        folder: inner for folder in folders(base)
        if (inner := [p for same in split_folders(folder).values() for p in same if _has_images(p)])
    }  # fmt: skip
    if not split_held_back:
        return
    if sets := [folder for folder in split_held_back if _serves(folder)]:
        raise InputError(
            f"{base} holds data sets ({_names(sets)}), not class folders; give "
            f"{' or '.join(map(str, sets))}"
        )
    folder, inner = next(iter(split_held_back.items()))
    raise InputError(
        f"{base} has splits inside a class folder ({folder.name}/{inner[0].name}); put them above "
        f"the classes: {base / inner[0].name / folder.name}"
    )


def _heads(names: Iterable[str]) -> frozenset[str]:
    """The folders that files so named lie in, at the top; "" for files that lie in none."""
    return frozenset(name.rpartition("/")[0].partition("/")[0] for name in names)


def _serves(folder: Path, depth: int = _DEPTH) -> bool:
    """Whether it has class folders, or has them in the folder of its split for training.

    `depth` is how deep in a class images are looked for.
    """
    splits = split_folders(folder)
    inner = _with_images(splits["train"][0] if "train" in splits else folder, depth)
    return len(inner) > 1 and not any(split_of(path.name) for path in inner)


def _with_images(folder: Path, depth: int = _DEPTH) -> list[Path]:
    return [inner for inner in folders(folder) if _has_images(inner, depth)]


def _has_images(folder: Path, depth: int = _DEPTH) -> bool:
    """Whether there is an image in `folder`, or up to `depth` folders further down."""
    if any(map(is_image, visible(folder))):
        return True
    return depth > 0 and any(_has_images(inner, depth - 1) for inner in folders(folder))


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
