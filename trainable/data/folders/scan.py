"""Which files a folder of labelled images holds, with class and patient, before any is opened.

`scan` reads names, the manifest that says whose images they are, and the table of labels, if there
is one (see `labelled`). Which class a folder's name means is a `Layout`'s affair: plain class
folders, or Kaggle's chest X-rays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from spaces.errors import InputError
from trainable.basics.terminal import one_line
from trainable.data.folders.entries import (
    OTHERS,
    Entry,
    Scan,
    check_chosen,
    check_counts,
    check_names,
    in_order,
    label_of,
)
from trainable.data.folders.kaggle import KaggleXray
from trainable.data.folders.labelled import scan_labelled
from trainable.data.folders.layout import ClassFolders
from trainable.data.folders.listing import (
    folders,
    image_files,
    is_archive,
    is_image,
    reasons,
    visible,
)
from trainable.data.folders.patients import find_patients
from trainable.data.folders.splits import check_parts, class_base, elsewhere
from trainable.data.labelling import AS_FOLDERS, Labelling


def scan(root: Path, split: str = "train", labelling: Labelling = AS_FOLDERS) -> Scan:
    """List the images of `split` in `root`, by the table of labels, or else by class folders.

    Those lie under ``root/<class>/`` or ``root/<split>/<class>/``, however deep. Folders named
    train, test or val at the top, or Training, Testing, Validation, are splits, of which only
    `split` is entered; such names cannot be classes. Hidden files, and what systems leave beside
    images, are ignored; other files without an image's suffix are counted as left out.

    Raises:
        InputError: the folder cannot serve: missing, a file, without classes, without the split,
            with a class of fewer than `MIN_PER_CLASS` image files, with two that are called alike,
            with a link to a folder that is gone, or with parts of a data set that are not called as
            splits are; or the table cannot, see `scan_labelled`.
    """
    if labelling.table is not None:
        return scan_labelled(root, split, labelling, labelling.table)
    base = class_base(root, split)
    _check_links(base)
    files: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for folder in folders(base):
        files[folder.name], others = image_files(folder)
        left_out += others
    if not files:
        raise InputError(_without_classes(base))
    check_names(base, files)
    prefix = base.relative_to(root)
    layout = KaggleXray() if KaggleXray.recognises(files) else ClassFolders()
    chosen = tuple(map(label_of, labelling.chosen))
    patients = find_patients(root, base, files)
    entries: list[Entry] = []
    known = {label_of(folder) for folder, names in files.items() if not names}
    for folder, names in files.items():
        for name in names:
            place = layout.place(folder, name)
            if place.label is None:
                left_out[place.reason] += 1
                continue
            label = label_of(place.label)
            known.add(label)
            if label not in chosen if chosen else label in layout.on_request:
                left_out[OTHERS if chosen else label] += 1
                continue
            inner = prefix / folder / name
            who = patients.of.get(inner.as_posix())
            source = one_line(inner.as_posix())
            entries.append(Entry(root / inner, source, label, who, nested="/" in name))
    if not (chosen and known.issuperset(chosen)):
        check_parts(base, files)
    check_chosen(base, chosen, known)
    if beside := sum(is_image(p) for p in visible(base)):
        left_out["images outside the class folders"] = beside
    entries = in_order(entries, chosen)
    found = Scan(
        root, layout.name, tuple(entries), dict(sorted(left_out.items())), patients, chosen
    )
    _check_classes(base, chosen or sorted(known - layout.on_request), found)
    return found


def _without_classes(base: Path) -> str:
    """What to say of a folder without any class folder."""
    sorted_so = (
        f"put the images in one folder per class: {base.name}/<class>/*.png, or name a table of "
        "their classes with --labels"
    )
    meant = elsewhere(base)
    if packed := [path.name for path in visible(base) if is_archive(path)]:
        meant = f"unpack {packed[0]} and give the folder inside"
    return f"{base} holds no class folders; " + (f"{meant}; else " if meant else "") + sorted_so


def _check_links(base: Path) -> None:
    """Raise InputError for a broken link in `base`, which may have been a class."""
    for path in visible(base):
        if path.is_symlink() and not path.exists() and not is_image(path):
            raise InputError(
                f"{path} is a link to {path.readlink()}, which does not exist; fix the link if "
                "it is a class, or remove it"
            )


def _check_classes(base: Path, names: Sequence[str], found: Scan) -> None:
    counted: Mapping[str, int] = Counter(entry.label for entry in found.entries)
    counts = {name: counted[name] for name in names}
    if len(counts) < 2:
        shown = ", ".join(f"{label!r}" for label in counts) or "none"
        omitted = "".join(f"; {reason} left out" for reason in reasons(found.left_out))
        raise InputError(
            f"{base} holds fewer than two classes ({shown}{omitted}), but a conditional GAN needs "
            f"at least two; {elsewhere(base) or 'put each class in a folder of its own'}"
        )
    omitted = ", ".join(reasons(found.left_out))
    check_counts(base, counts, lambda _: "image files" + (omitted and f" (left out: {omitted})"))
