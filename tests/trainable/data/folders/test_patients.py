"""Whom images show: manifests as people save them, and names that look like Kermany's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.refusals import refused, tells
from trainable.data.folders.kaggle import patients_by_name
from trainable.data.folders.patients import Patients
from trainable.data.folders.read import load_folder
from trainable.data.folders.scan import scan
from trainable.data.split.hold_back import hold_back

N = 10
FILES = [f"{label}/{i:03}.png" for label in "ab" for i in range(N)]
ROWS = [f"{file},P{i // 2}" for i, file in enumerate(FILES)]  # two images each
KNOWN = {file: f"P{i // 2}" for i, file in enumerate(FILES)}

INVISIBLE = ("", " ", "\u00a0", "\u200b")


def fill(root: Path, files: Sequence[str]) -> Path:
    for seed, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "set", FILES)


def write(root: Path, text: str | bytes, name: str = "manifest.csv") -> None:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def table(rows: Sequence[str] = ROWS, header: str = "file,patient", end: str = "\n") -> str:
    return end.join([header, *rows]) + end


def known(root: Path, split: str = "train") -> dict[str, str]:
    return {e.source: e.patient for e in scan(root, split).entries if e.patient is not None}


def told(root: Path) -> Patients:
    return scan(root).patients


SAVED: dict[str, Callable[[], str | bytes]] = {
    "plain": table,
    "mark": lambda: table().encode("utf-8-sig"),
    "utf-16": lambda: table().encode("utf-16"),
    "utf-16, high byte first": lambda: b"\xfe\xff" + table().encode("utf-16-be"),
    "utf-16 without a mark": lambda: table().encode("utf-16-le"),
    "utf-32": lambda: table().encode("utf-32"),
    "windows lines": lambda: table(end="\r\n"),
    "old mac lines": lambda: table(end="\r"),
    "semicolons": lambda: table().replace(",", ";"),
    "semicolons, mark": lambda: table(end="\r\n").replace(",", ";").encode("utf-8-sig"),
    "tabs, utf-16": lambda: table().replace(",", "\t").encode("utf-16"),
    "bars": lambda: table().replace(",", " | "),
    "sep=": lambda: "sep=;\r\n" + table().replace(",", ";"),
    "quotes": lambda: table([f'"{row.replace(",", chr(34) + "," + chr(34))}"' for row in ROWS]),
    "blank lines": lambda: "\n\n" + table(end="\n\n"),
    "blank cells": lambda: table([f"{row},," for row in ROWS], "file,patient,,"),
    "columns before": lambda: table(
        [f"{i},{row}" for i, row in enumerate(ROWS)], ",file,patient"
    ).replace(",", "\t"),
    "File,Patient": lambda: table(header="File,Patient"),
    "FILE , PATIENT": lambda: table(header="FILE , PATIENT "),
    "Image Index;Patient ID": lambda: table(header="Image Index,Patient ID"),
    "filename,subject_id": lambda: table(header="filename,subject_id"),
    "path,PatientID": lambda: table(header="path,PatientID"),
    "./": lambda: table([f"./{row}" for row in ROWS]),
    "a//x": lambda: table([row.replace("/", "//") for row in ROWS]),
    "a/../a/x": lambda: table([f"b/../{row}" for row in ROWS]),
    "backslashes": lambda: table([row.replace("/", "\\") for row in ROWS]),
    "another disk": lambda: table([rf"C:\Users\me\{row}".replace("/", "\\") for row in ROWS]),
    "folder in front": lambda: table([f"set/{row}" for row in ROWS]),
    "capitals": lambda: table([row.replace("png", "PNG").replace("a/", "A/") for row in ROWS]),
    "no suffix": lambda: table([row.replace(".png", "") for row in ROWS]),
    "spaces around": lambda: table([row.replace(",", " , ") + "\t" for row in ROWS]),
    "spaces that nobody sees": lambda: table(
        [f"{row}{INVISIBLE[i % 4]}" for i, row in enumerate(ROWS)]
    ),
    "capitals of patients": lambda: table(
        [row if i % 2 == 0 else row.replace("P", "p") for i, row in enumerate(ROWS)]
    ),
    "rows twice": lambda: table([*ROWS, *ROWS]),
    "rows twice, one blank": lambda: table([*ROWS, *(r.split(",")[0] + "," for r in ROWS)]),
    "short rows": lambda: table([*ROWS, "a/000.png"]),
}  # fmt: skip


@pytest.mark.parametrize("how", SAVED)
def test_a_manifest_is_read_however_it_was_saved(root: Path, how: str):
    write(root, SAVED[how]())
    assert known(root) == KNOWN
    assert told(root) == Patients(KNOWN, "manifest.csv", "")


def test_absolute_paths_and_a_name_in_capitals(root: Path):
    write(root, table([f"{root.resolve()}/{row}" for row in ROWS]), "Manifest.CSV")
    assert known(root) == KNOWN


def test_bare_names_that_are_unique(tmp_path: Path):
    files = [f"{label}/{label}{i}.png" for label in "ab" for i in range(N)]
    root = fill(tmp_path, files)
    write(root, table([f"{Path(file).name},{file[0]}" for file in files]))
    assert known(root) == {file: file[0] for file in files}


def test_accents_composed_in_either_way(tmp_path: Path):
    files = [f"{label}/ro\u0308ntgen{i}.png" for label in "ab" for i in range(N)]
    root = fill(tmp_path, files)
    for encoding in ("utf-8", "cp1252"):
        rows = [f"{file.replace('o' + chr(0x308), 'ö')},P" for file in files]
        write(root, table(rows).encode(encoding))
        assert len(known(root)) == 20


def test_the_line_of_a_data_set_says_whose_images_are_known(root: Path):
    write(root, table(ROWS[:15]))
    report = load_folder(root, 32).report
    assert tells(str(report), "20 files", "15 of 20 images", "manifest.csv")
    write(root, table([*ROWS, "a/gone.png,P0"]))
    both = str(load_folder(root, 32).report)
    assert tells(both, "20 files", "20 of 20 images", "1 of 21 rows of manifest.csv")
    (root / "manifest.csv").unlink()
    assert load_folder(root, 32).report.remarks == []


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        ("file,class,seed\na/000.png,a,7\n", False),
        ("file;class;seed\r\na/000.png;a;7\r\n", False),
        ("file,label\na/000.png,a\n", True),
        ("name,url\nx,y\n", True),
        ("a,000\nx,y\n", True),
        ("file,patient\na/000.png,\n", True),
        ("file,class,source,sha256,width,height,bytes,patient\na/000.png,a,,,,,,\n", False),
    ],
)
def test_a_manifest_that_is_not_one_of_patients(root: Path, text: str, noted: bool):
    write(root, text)
    found = told(root)
    assert found == Patients({}, "", found.note)
    assert tells(found.note, "manifest.csv", "no patients") if noted else not found.note


WRONG: dict[str, tuple[str | bytes, *tuple[str, ...]]] = {
    "half of the rows": (
        table([row if i % 2 else f"x{row}" for i, row in enumerate(ROWS)]),
        "10 of 20 images", "10 of its 20 rows", "'xa/000.png' (line 2)",
    ),
    "all rows": (table([f"x{row}" for row in ROWS]), "'xa/000.png'", "'file'"),
    "names in two folders": (
        table([row[2:] for row in ROWS]), "'000.png'", "'file'", "CLASS/image.png",
    ),
    "another class": (
        table([*ROWS[:15], "c/000.png,P9"]), "15 of 20 images", "1 of its 16 rows", "'c/000.png'",
    ),
    "two patients": (
        table([*ROWS, ".\\a\\000.png,P9"]),
        "a/000.png", "'P0' (line 2)", "'P9' (line 22)",
    ),
    "no header": ("\n".join(ROWS), "header", "'file,patient'"),
    "no files": (table(header="Datei,Patient"), "'Patient'", "'file'", "Datei, Patient"),
    "a comma too many": (table([*ROWS, "a/x, y.png,P0"]), "line 22", "3 cells", "header 2"),
    "an open quote": (table([f'"{ROWS[0]}', *ROWS[1:]]), "CSV", "unexpected end of data"),
    "empty": ("\n \n", "empty"),
    "only what Excel is told": ("sep=;\n", "empty"),
    "half a mark": (b"\xff\xfe" + b"f", "CSV", "UTF-8"),
    "a workbook": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "CSV", "UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("how", WRONG)
def test_a_manifest_that_cannot_be_believed_is_refused(root: Path, how: str):
    text, *parts = WRONG[how]
    write(root, text)
    with refused(root / "manifest.csv", *parts):
        scan(root)


@pytest.mark.parametrize("name", ["patients.csv", "Manifest.xlsx", "manifest.csv.txt", "Data.TSV"])
def test_a_table_under_another_name_is_said_to_be_unread(root: Path, name: str):
    (root / name).write_text("file,patient\n")
    assert tells(str(load_folder(root, 32).report), f"({name})", "manifest.csv")
    shown = next(path for path in root.rglob("*.png")).relative_to(root)
    (root / "manifest.csv").write_text(f"file,patient\n{shown},P1\n")
    assert name not in str(load_folder(root, 32).report)


def test_of_two_manifests_none_is_chosen(root: Path):
    write(root, table(), "Manifest.csv")
    write(root, table(), "MANIFEST.csv")
    with refused(root, "MANIFEST.csv and Manifest.csv"):
        scan(root)


def test_few_wrong_rows_are_said_and_rows_of_images_that_are_gone_do_no_harm(root: Path):
    write(root, table([*ROWS[:19], "a/nowhere.png,P9"]))
    assert tells(told(root).note, "1 of 20 rows", "manifest.csv")
    for file in FILES[10:]:
        (root / file).rename((root / file).with_name(f"c{Path(file).name}"))
    rows = [row.replace("b/", "b/c") for row in ROWS[10:]]
    write(root, table([*ROWS, *rows]))
    assert tells(told(root).note, "10 of 30 rows", "manifest.csv")
    assert len(known(root)) == 20


def test_the_same_name_in_another_split_is_another_file(tmp_path: Path):
    root = fill(tmp_path, [f"{split}/{file}" for split in ("train", "test") for file in FILES])
    both = [f"train/{ROWS[0]}", f"test/{ROWS[0].replace('P0', 'Q0')}"]
    write(root, table(both))
    assert (known(root), known(root, "test")) == (
        {"train/a/000.png": "P0"}, {"test/a/000.png": "Q0"},
    )  # fmt: skip
    for split in ("train", "test"):  # the same table in each, with its paths from above
        write(root / split, table([f"{s}/{row}" for row in ROWS for s in ("train", "test")]))
    assert set(known(root).values()) == set(KNOWN.values())
    write(root / "train", "file,class,seed\n")
    assert known(root) == {"train/a/000.png": "P0"}  # of the folder above


def test_images_left_without_a_patient_are_known_by_their_names(tmp_path: Path):
    files = [f"a/person{i // 2}_bacteria_{i}.png" for i in range(N)] + FILES[:10]
    files = [file.replace("a/0", "b/0") for file in files]
    root = fill(tmp_path, files)
    write(root, table(["a/person1_bacteria_2.png,Ann", "b/000.png,Bob"]))
    assert tells(told(root).source, "manifest.csv", "file names")
    found = known(root)
    assert found.pop("b/000.png") == "Bob"
    assert {file[2:9]: who for file, who in found.items()} == {
        f"person{i}": "Ann" if i == 1 else f"person{i}_bacteria" for i in range(5)
    }


def test_a_copy_says_whom_the_first_of_them_shows(root: Path):
    (root / "a" / "copy.png").write_bytes((root / "a" / "000.png").read_bytes())
    write(root, table(["a/copy.png,Ann", "a/001.png,Ann"]))
    data = load_folder(root, 32)
    assert dict(zip(data.sources, data.patients, strict=True))["a/000.png"] == "Ann"
    assert data.report.known == 2


# --- names that look like Kermany's -------------------------------------------------------------


def kermany(kind: str, n: int = 20) -> list[str]:
    """Names of n images of n / 2 patients."""
    pattern = {
        "bacteria": "person{0}_bacteria_{1}.jpeg", "virus": "person{0}_virus_{1}.jpeg",
        "normal": "IM-{0:04}-000{2}.jpeg", "second": "NORMAL2-IM-{0:04}-000{2}.jpeg",
        "third": "BACTERIA-{0}008087-000{2}.jpeg", "oct": "CNV-1{0:06}-{1}.jpeg",
        "other": "COVID19({1}).jpg",
    }[kind]  # fmt: skip
    return [pattern.format(1 + i // 2, i, 1 + i % 2) for i in range(n)]


LAYOUTS = {
    ("BACTERIA", "NORMAL"): ("bacteria", "normal"),
    ("Bacterial Pneumonia", "Healthy"): ("bacteria", "second"),
    ("Virus", "Bacteria", "Normal"): ("virus", "bacteria", "normal"),
    ("COVID19", "NORMAL", "PNEUMONIA"): ("other", "normal", "bacteria"),
    ("COVID19", "NORMAL"): ("other", "normal"),
    ("NORMAL", "PNEUMONIA", "TUBERCULOSIS"): ("second", "third", "other"),
    ("CNV", "OTHER"): ("oct", "other"),
}


@pytest.mark.parametrize("folders", LAYOUTS, ids=str)
def test_names_tell_patients_in_folders_of_any_name(tmp_path: Path, folders: tuple[str, ...]):
    kinds = dict(zip(folders, LAYOUTS[folders], strict=True))
    names = {folder: kermany(kind) for folder, kind in kinds.items()}
    root = fill(tmp_path, [f"{folder}/{name}" for folder in names for name in names[folder]])
    data = load_folder(root, 32)
    assert data.classes == tuple(sorted(folders))
    for label, folder in enumerate(data.classes):
        shown = {data.patients[row] for row in np.flatnonzero(data.labels == label)}
        assert len(shown) == (1 if kinds[folder] == "other" else 10)
    assert tells(str(data.report), data.report.patients)
    kept, held, said = hold_back(data, 0.5)
    assert not set(kept.patients) & set(held.patients) - {None}
    assert tells(said, "file names")


@pytest.mark.parametrize(
    "change",
    [str.lower, lambda name: f"train_{name}", lambda name: name.replace(".jpeg", " (1).png"),
     lambda name: f"aug_3_{name}", lambda name: f"images/{name}"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["bacteria", "normal", "second", "third", "oct"])
def test_names_that_were_added_to_tell_the_same_patients(kind: str, change: Callable[[str], str]):
    plain = patients_by_name({"x": kermany(kind)})
    changed = patients_by_name({"x": [change(name) for name in kermany(kind)]})
    assert len(set(plain.values())) == 10
    assert list(changed.values()) == list(plain.values())


OTHERS = {
    "series of slices": [f"IM-0001-{i:04}.png" for i in range(200)],
    "two series": [f"IM-000{1 + i // 100}-{i:04}.png" for i in range(200)],
    "few among others": [*(f"IM-{i:04}-0001.png" for i in range(9)), *map(str, range(20))],
    "years": [f"normal-{2020 + i % 3}-{i}.png" for i in range(100)],
    "parts of words": [f"claim-{i:04}-0001.png" for i in range(20)],
    "persons doing other things": [f"person{i}_walking_1.png" for i in range(20)],
    "no kind": [f"person{i}_1.png" for i in range(20)],
}


@pytest.mark.parametrize("names", OTHERS.values(), ids=OTHERS)
def test_other_peoples_names_tell_nothing(names: list[str]):
    assert patients_by_name({"one": names, "two": [f"{i}.png" for i in range(20)]}) == {}


def test_kinds_are_counted_by_themselves():
    names = {"a": ["person1_bacteria_1.png", "person1_virus_1.png"], "b": ["NORMAL2-IM-0001-1.png"]}
    names["b"] += [f"IM-000{i}-0001.png" for i in (1, 2)]
    assert len(set(patients_by_name(names).values())) == 5


def test_a_folder_of_other_pneumonia_is_not_kaggles(tmp_path: Path):
    names = [*kermany("bacteria", 9), *(f"{i}.png" for i in range(11))]
    files = [f"NORMAL/{i}.png" for i in range(10)] + [f"PNEUMONIA/{name}" for name in names]
    found = scan(fill(tmp_path, files))
    assert (found.classes, found.left_out) == (("NORMAL", "PNEUMONIA"), {})
    assert sum(entry.patient is not None for entry in found.entries) == 9
