"""Look at a data set: a grid of images with class names, and tables of what the files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.basics.terminal import printable
from trainable.data.dataset import Dataset
from trainable.data.folders.inventory import exact_dimensions, inventory
from trainable.data.folders.read import in_colour
from trainable.data.folders.scan import scan
from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.data.small import SmallReport

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
LABEL_HEIGHT = 16
PAPER, INK = (255, 255, 255), (0, 0, 0)


def grid(data: Dataset, per_class: int = 10) -> Image.Image:
    """One labelled row a class, of up to `per_class` images spread evenly over the class."""
    size = data.task.image_size
    font = ImageFont.load_default()
    titles = [f"{name} ({count})" for name, count in data.counts.items()]
    columns = min(per_class, max(data.counts.values()))
    text = max(round(font.getlength(title)) for title in titles)
    width = max(columns * (size + GAP), text + 2 * GAP) + GAP
    row = LABEL_HEIGHT + size + GAP
    sheet = Image.new("RGB", (width, row * len(titles) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, title in enumerate(titles):
        top = index * row
        draw.text((GAP, top + GAP), title, fill=INK, font=font)
        for column, image in enumerate(data.images[_spread(data.labels, index, columns)]):
            tile = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)).squeeze())
            sheet.paste(tile, (GAP + column * (size + GAP), top + LABEL_HEIGHT))
    return sheet


def _spread(labels: np.ndarray, label: int, count: int) -> np.ndarray:
    members = np.flatnonzero(labels == label)
    places = np.linspace(0, len(members) - 1, min(count, len(members)))
    return members[places.round().astype(int)]


def check_picture(out: Path) -> None:
    """Raise InputError unless a PNG can be written to `out`."""
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out} must end in .png")
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; give a file's name")


def data_table(
    data: Dataset,
    root: Path | None = None,
    split: str = "train",
    labelling: Labelling = AS_FOLDERS,
    progress: Progress | None = None,
) -> Table:
    """Counts of each class: of images, those in grey and in colour, and patients if any are known;
    for a folder `root`, also file sizes and dimensions.

    `progress` is told how many of its files have been looked at.
    """
    of_patients = any(data.patients)
    columns = ("images", *["patients"] * of_patients, "grey", "colour", "KB")
    table = _table(printable(data.name), "class", *columns, "dimensions")
    owners = {name: set[str]() for name in data.classes}
    for label, patient in zip(data.labels, data.patients, strict=True):
        if patient is not None:
            owners[data.classes[label]].add(patient)
    files = []
    if root is not None:
        found = scan(root, split, labelling)
        loaded = set(data.sources)
        files = inventory([e for e in found.entries if e.source in loaded], progress)[0]
    for label, (name, count) in enumerate(data.counts.items()):
        own = [item for item in files if item.entry.label == name]
        sizes = sorted(item.size / 1024 for item in own)
        spread = f"{sizes[0]:.0f} to {sizes[-1]:.0f}\nmedian {median(sizes):.0f}" if sizes else "-"
        patients = [str(len(owners[name]) or "-")] if of_patients else []
        colour = sum(map(in_colour, data.images[data.labels == label]))
        dimensions = "\n".join(f"{size}: {n}" for size, n in exact_dimensions(own)) or "-"
        table.add_row(
            printable(name), str(count), *patients, str(count - colour), str(colour), spread,
            dimensions,
        )  # fmt: skip
    return table


def small_table(report: SmallReport) -> Table:
    """What the small-set builder drew from, and what it drew."""
    table = _table(
        f"{report.per_class} a class, drawn near {report.target_kb:g} KB with seed {report.seed}",
        "class", "images", "pool", "KB drawn", "dimensions",
    )  # fmt: skip
    for c in report.classes:
        kb = f"{c.smallest / 1024:.0f} to {c.largest / 1024:.0f}"
        dimensions = _dimensions(c.dimensions)
        table.add_row(printable(c.name), str(c.available), str(c.pool), kb, dimensions)
    return table


def _dimensions(common: Sequence[tuple[tuple[int, int], int]]) -> str:
    return "\n".join(f"{w} x {h}: {count}" for (w, h), count in common) or "-"


def _table(title: str, first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(  # without lines, it fits into 80 columns
        title=title, title_justify="left", title_style="bold",
        box=None, padding=(0, 2, 0, 0), pad_edge=False,
    )  # fmt: skip
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
