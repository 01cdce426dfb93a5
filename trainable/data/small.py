"""The small-set builder: a balanced set of similar images, drawn from a large folder.

The study searched on 100 images a class, drawn among files of about the same size. Here, for each
class on its own:

1. Files whose bytes came before are dropped; the same bytes in two classes are an error.
2. The rest are ranked by ``|bytes - target|``, ties by path; the nearest ``2 * per_class`` that
   decode are the pool of similar images, or all where there are fewer.
3. `per_class` of the pool are drawn uniformly, with the seed.

A file's size follows its dimensions and its contrast, so a pool around one target holds images of
about one resolution; the report shows how far the dimensions still vary.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from trainable.basics.files import whole_folder
from trainable.basics.progress import Progress, Stage, silent
from trainable.data.folders.entries import MIN_PER_CLASS
from trainable.data.folders.inventory import Item, common_dimensions, inventory
from trainable.data.folders.manifest import Row, write_manifest
from trainable.data.folders.read import Decoded, drop_duplicates, read_all
from trainable.data.folders.scan import scan

POOL = 2
"""Size of the pool of similar images, in multiples of what is drawn from it."""


@dataclass(frozen=True)
class ClassDraw:
    """How one class was drawn.

    Attributes:
        name: the class.
        available: images to draw from, without duplicates and unreadable headers.
        dimensions: most common (width, height) among those, to 100 pixels, with counts.
        pool: how many of them were similar enough.
        smallest: bytes of the smallest file drawn.
        largest: bytes of the largest file drawn.
        patients: how many patients are known among the images drawn; 0 if none is.
    """

    name: str
    available: int
    dimensions: tuple[tuple[tuple[int, int], int], ...]
    pool: int
    smallest: int
    largest: int
    patients: int


@dataclass(frozen=True)
class SmallReport:
    """What `build_small` made, and what it passed over on the way."""

    out: Path
    per_class: int
    target_kb: float
    seed: int
    classes: tuple[ClassDraw, ...]
    duplicates: int
    skipped: tuple[tuple[str, str], ...]
    left_out: dict[str, int]


def build_small(
    source: str | Path,
    out: str | Path,
    per_class: int = 100,
    target_kb: float = 50.0,
    seed: int = 0,
    split: str = "train",
    stage: Stage = silent,
) -> SmallReport:
    """Draw `per_class` similar images of each class and copy them to ``out/<class>/``.

    `out` also gets a ``manifest.csv``, and appears only when complete. Pixels are decoded for the
    pools alone; of the other files, the header is read. Each `stage` is told of files done.

    Raises:
        InputError: a number is out of range, `out` is not empty, the source cannot serve, or a
            class has fewer than `per_class` images.
    """
    source, out = Path(source), Path(out)
    _check(source, out, per_class, target_kb, seed)
    found = scan(source, split)
    with stage("reading headers") as progress:
        items, skipped = inventory(found.entries, progress)
    with stage("looking for duplicates") as progress:
        items, duplicates = _without_duplicates(items, progress)
    by_class = {name: [i for i in items if i.entry.label == name] for name in found.classes}
    for name, members in by_class.items():
        if len(members) < per_class:
            raise InputError(
                f"class {name!r} in {source} has {len(members)} images, but {per_class} are to be "
                "drawn; lower --per-class"
            )
    drawn: list[Item] = []
    draws: list[ClassDraw] = []
    for index, (name, members) in enumerate(by_class.items()):
        with stage(f"reading images of {name}") as progress:
            pool, broken = _pool(members, per_class, round(target_kb * 1024), progress)
        skipped += broken
        if len(pool) < per_class:
            raise InputError(
                f"class {name!r} in {source} has {len(pool)} readable images, but {per_class} are "
                f"to be drawn; lower --per-class, or repair {broken[0][0]}: {broken[0][1]}"
            )
        rng = np.random.default_rng([seed, index])
        chosen = [pool[i] for i in sorted(rng.choice(len(pool), per_class, replace=False))]
        drawn += chosen
        draws.append(_describe(name, members, len(pool), chosen))
    with stage("copying") as progress:
        _copy(drawn, out, progress)
    return SmallReport(
        out, per_class, target_kb, seed, tuple(draws), duplicates, tuple(skipped), found.left_out
    )


def _check(source: Path, out: Path, per_class: int, target_kb: float, seed: int) -> None:
    if per_class < MIN_PER_CLASS:
        raise InputError(f"--per-class is {per_class}, but must be at least {MIN_PER_CLASS}")
    if not (math.isfinite(target_kb) and target_kb > 0):
        raise InputError(f"--target-kb is {target_kb}, but must be above 0")
    if seed < 0:
        raise InputError(f"--seed is {seed}, but must be 0 or more")
    if out.resolve().is_relative_to(source.resolve()):
        raise InputError(f"--out {out} lies inside --source {source}; choose a folder outside it")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give a folder that does not exist yet")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out} is not empty; choose another folder, or remove this one")


def _without_duplicates(items: list[Item], progress: Progress) -> tuple[list[Item], int]:
    """As the loader does, but only files of equal length are read and hashed.

    Whose image it is may only be known of the copy that is dropped.
    """
    lengths = Counter(item.size for item in items)
    suspects = [item.entry for item in items if lengths[item.size] > 1]
    hashed = []
    for done, entry in enumerate(suspects, start=1):
        sha256 = hashlib.sha256(entry.path.read_bytes()).hexdigest()
        hashed.append(Decoded(entry, sha256, None))
        progress(done, len(suspects))
    kept, duplicates = drop_duplicates(hashed)
    entries = {decoded.entry.source: decoded.entry for decoded in kept}
    dropped = {entry.source for entry in suspects} - entries.keys()
    return [
        replace(item, entry=entries.get(item.entry.source, item.entry))
        for item in items
        if item.entry.source not in dropped
    ], duplicates


def _pool(
    members: list[Item], per_class: int, target: int, progress: Progress
) -> tuple[list[Item], list[tuple[str, str]]]:
    """The members nearest `target` bytes that decode, by path; and those that did not decode."""
    ranked = sorted(members, key=lambda item: (abs(item.size - target), item.entry.source))
    wanted = min(POOL * per_class, len(ranked))
    pool: list[Item] = []
    broken: list[tuple[str, str]] = []
    while ranked and len(pool) < wanted:
        batch, ranked = ranked[: wanted - len(pool)], ranked[wanted - len(pool) :]
        files = read_all([i.entry for i in batch], size=32, progress=progress)
        for item, read in zip(batch, files, strict=True):
            if read.pixels is None:
                broken.append((item.entry.source, read.reason))
            else:
                pool.append(item)
    return sorted(pool, key=lambda item: item.entry.source), broken


def _describe(name: str, members: list[Item], pool: int, chosen: Sequence[Item]) -> ClassDraw:
    sizes = [item.size for item in chosen]
    patients = {item.entry.patient for item in chosen} - {None}
    common = tuple(common_dimensions(members))
    return ClassDraw(name, len(members), common, pool, min(sizes), max(sizes), len(patients))


def _copy(items: Sequence[Item], out: Path, progress: Progress) -> None:
    """Fill `out`, which appears whole: an interrupted build leaves no half set."""
    with whole_folder(out) as part:
        rows = []
        for done, item in enumerate(items, start=1):
            rows.append(_copy_one(item, part))
            progress(done, len(items))
        write_manifest(part, rows)


def _copy_one(item: Item, folder: Path) -> Row:
    entry = item.entry
    data = entry.path.read_bytes()
    file = Path(entry.label, Path(entry.source).name)
    if (folder / file).exists():  # a file of that name in another subfolder of the class
        file = Path(entry.label, entry.source.replace("/", "_"))
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(data)
    return Row(
        file=file.as_posix(),
        label=entry.label,
        source=entry.source,
        sha256=hashlib.sha256(data).hexdigest(),
        width=item.width,
        height=item.height,
        size=len(data),
        patient=entry.patient,
    )
