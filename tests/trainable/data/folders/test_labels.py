"""Classes from a table of labels: public sets' own layouts, and what people write wrongly."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from spaces.errors import InputError
from tests.helpers.pictures import image
from tests.helpers.refusals import refused, tells
from trainable.data.folders.read import load_folder
from trainable.data.folders.scan import scan
from trainable.data.labelling import Labelling
from trainable.data.sources import check_source
from trainable.data.split.held_out import held_out

N = 20


def pictures(root: Path, names: Sequence[str]) -> Path:
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image(seed, 32, 32).save(path, "PNG")
    return root


def labelling(root: Path, lines: str | bytes, **more: str | None) -> Labelling:
    """Of a table beside the folder `root`."""
    path = root.parent / "labels.csv"
    path.write_bytes(lines.encode() if isinstance(lines, str) else lines)
    return Labelling(labels=str(path), **more)


def classes_of(root: Path, how: Labelling, split: str = "train") -> dict[str, str]:
    """Class of each file, by its name."""
    found = scan(root, split, how)
    return {entry.path.name: entry.label for entry in found.entries}


def counted(left_out: dict[str, int], word: str) -> int:
    """How many were left out for the reason that has `word`."""
    return sum(count for reason, count in left_out.items() if word in reason)


def lines(header: str, row: Callable[[int], str], count: int = N) -> str:
    return "\n".join([header, *(row(i) for i in range(count))]) + "\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pictures(tmp_path / "films (1)", [f"{i:02}.png" for i in range(N)])


def even(i: int) -> str:
    return "COVID+" if i % 2 else "normal"


HALVES = {f"{i:02}.png": even(i) for i in range(N)}
PLAIN = lines("file,label", lambda i: f"{i:02}.png,{even(i)}")

SAVED: dict[str, str | bytes] = {
    "plain": PLAIN,
    "Excel's": PLAIN.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
    "tabs, UTF-16": PLAIN.replace(",", "\t").encode("utf-16"),
    "Windows-1252": lines("file,label,who", lambda i: f"{i:02}.png,{even(i)},é").encode("cp1252"),
    "no suffix": PLAIN.replace(".png", ""),
    "another disk": PLAIN.replace("\n0", "\nC:\\me\\0").replace("\n1", "\nC:\\me\\1"),
    "rows twice": PLAIN + PLAIN.partition("\n")[2],
    "other names": PLAIN.replace("file,label", "Image Index,Finding Labels"),
    "nan for nothing": PLAIN + "01.png,nan\n",
    "spaces": PLAIN.replace(",", " , "),
}


@pytest.mark.parametrize("how", SAVED)
def test_a_table_is_read_however_it_was_saved(root: Path, how: str):
    assert classes_of(root, labelling(root, SAVED[how])) == HALVES


def test_it_gives_the_data_that_class_folders_give(root: Path, tmp_path: Path):
    for i in range(N):
        path = tmp_path / "sorted" / even(i) / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((root / path.name).read_bytes())
    data = load_folder(root, 32, labelling=labelling(root, PLAIN))
    assert data.digest == load_folder(tmp_path / "sorted", 32).digest
    assert data.classes == ("COVID+", "normal")
    assert tells(str(data.report), f"{N} files", "column 'label' of labels.csv")


# --- the layouts of public sets -------------------------------------------------------------------


def test_chestxray14(tmp_path: Path):
    """Several labels a cell, in several folders, RGBA among them."""
    names = [f"images_{i % 2:03}/images/{i:08}_000.png" for i in range(40)]
    root = pictures(tmp_path / "set", names)
    findings = ("No Finding", "Effusion", "Effusion|Mass", "Effusion|Hernia")
    table = lines(
        "Image Index,Finding Labels,Follow-up #,Patient ID,View Position,OriginalImage[Width,"
        "Height],",
        lambda i: f"{i:08}_000.png,{findings[i % 4]},{i % 2},{i // 2},PA,2000,2000,",
        count=50,
    )
    chosen = scan(root, labelling=labelling(root, table, classes="No Finding,Effusion"))
    assert chosen.classes == ("No Finding", "Effusion")
    assert [e.label for e in chosen.entries] == ["No Finding"] * 10 + ["Effusion"] * 30
    assert {e.patient for e in chosen.entries} == {str(i) for i in range(20)}
    assert chosen.left_out == {"rows of labels.csv without a file": 10}
    all_of_one = scan(root, labelling=labelling(root, table))
    assert all_of_one.classes == ("Effusion", "No Finding")  # the others never stand alone
    assert all_of_one.left_out["images of several classes"] == 20


def test_labels_are_ambiguous_only_among_the_chosen(root: Path):
    table = lines("file,label", lambda i: f"{i:02}.png,{'a|b' if i % 2 else 'c'}")
    assert set(classes_of(root, labelling(root, table, classes="c,a")).values()) == {"a", "c"}
    with refused("'a'", "10 images of several classes"):
        classes_of(root, labelling(root, table, classes="a,b"))


def test_chexpert(tmp_path: Path):
    """The root's own name in front; a column a finding with 1, 0, -1, blank; patients by folder."""
    inside = [f"patient{i // 2:05}/study1/view{i % 2}_frontal.jpg" for i in range(48)]
    root = pictures(tmp_path / "CheXpert-v1.0-small", [f"train/{name}" for name in inside])
    pictures(root, [f"valid/{name}" for name in inside[:3]])
    values = ("1.0,,", ",1.0,0.0", ",-1.0,", "1.0,,1.0")  # no finding, pneumonia, edema
    table = lines(
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Pneumonia,Edema",
        lambda i: f"CheXpert-v1.0-small/train/{inside[i]},Male,6,Frontal,AP,{values[i % 4]}",
        count=48,
    )
    found = scan(root, labelling=labelling(root, table, classes="Pneumonia,No Finding"))
    assert [e.label for e in found.entries] == ["Pneumonia"] * 12 + ["No Finding"] * 24
    assert counted(found.left_out, "uncertain") == sum(found.left_out.values()) == 12
    assert found.entries[0].patient == "patient00000"
    absent = scan(root, labelling=labelling(root, table, classes="Edema,no Edema"))
    assert [e.label for e in absent.entries] == ["Edema"] * 12 + ["no Edema"] * 12
    with refused("--label-columns label=", "--classes 'No Finding,Pneumonia,Edema'"):
        scan(root, labelling=labelling(root, table))
    with refused("'Pneumonai'", "'Pneumonia'", "'no Edema'"):
        scan(root, labelling=labelling(root, table, classes="Pneumonai,Edema"))


def test_rsna(root: Path):
    """Files by the patient's ID without a suffix, several rows a file, one column of 0 and 1."""
    table = lines(
        "patientId,x,y,width,height,Target",
        lambda i: f"{i // 2:02},{i}.0,2,3,4,1" if i // 2 < 10 else f"{i // 2:02},,,,,0",
        count=2 * N,
    )
    found = scan(root, labelling=labelling(root, table))
    assert [e.label for e in found.entries] == ["Target"] * 10 + ["no Target"] * 10
    assert len({e.patient for e in found.entries}) == N
    swapped = labelling(root, table, classes="no Target,Target")
    assert scan(root, labelling=swapped).classes == ("no Target", "Target")


def test_padchest_has_lists_in_cells(root: Path):
    table = lines("ImageID,Labels", lambda i: f"{i:02}.png,\"['{even(i)}', 'other']\"")
    assert classes_of(root, labelling(root, table, classes="COVID+,normal")) == HALVES


def test_columns_are_named_where_their_names_do_not_tell(root: Path):
    table = lines(
        '"where, really",what,id,label',
        lambda i: f"{i:02}.png,{even(i)},{i},x",
    )
    named = '"file=where, really",label=what,patient=id'
    found = scan(root, labelling=labelling(root, table, label_columns=named))
    assert {e.path.name: e.label for e in found.entries} == HALVES
    assert {e.patient for e in found.entries} == set(map(str, range(N)))
    with refused("--label-columns label=wath", "what"):
        scan(root, labelling=labelling(root, table, label_columns="label=wath"))


def test_several_columns_of_0_and_1(root: Path):
    table = lines("file,ill,well,label", lambda i: f"{i:02}.png,{i % 2},{1 - i % 2},x")
    named = labelling(root, table, label_columns="label=ill,label=well")
    assert set(classes_of(root, named).values()) == {"ill", "well"}
    words = lines("file,ill", lambda i: f"{i:02}.png,{i % 2 == 1}")
    worded = labelling(root, words, label_columns="label=ill")
    assert set(classes_of(root, worded).values()) == {"ill", "no ill"}
    with refused("--label-columns", "'label'"):
        scan(root, labelling=labelling(root, table, label_columns="label=ill,label=label"))


@pytest.mark.parametrize("columns", ["ill (1)", 'ill,"mild, or none"'])
@pytest.mark.parametrize("named", [None, "file=what"])
def test_the_flags_of_the_answer_work_when_they_are_pasted(
    root: Path, columns: str, named: str | None
):
    file = "what" if named else "file"
    both = "," in columns
    table = lines(f"{file},{columns}", lambda i: f"{i:02}.png,{i % 2}" + f",{1 - i % 2}" * both)
    with pytest.raises(InputError) as caught:
        scan(root, labelling=labelling(root, table, label_columns=named))
    flag, value = shlex.split(str(caught.value).rpartition(": ")[2])
    settings = {"label_columns": named, flag.removeprefix("--").replace("-", "_"): value}
    found = scan(root, labelling=labelling(root, table, **settings))
    assert found.classes == (("ill", "mild, or none") if both else ("ill (1)", "no ill (1)"))


# --- splits ---------------------------------------------------------------------------------------


def test_a_column_of_splits_counts_before_folders(tmp_path: Path):
    root = pictures(tmp_path / "set", [f"train/{i:02}.png" for i in range(40)])
    splits = ("Training", "test")
    table = lines("file,label,split", lambda i: f"{i:02}.png,{even(i)},{splits[i >= 20]}", count=40)
    how = labelling(root, table)
    assert sorted(classes_of(root, how)) == [f"{i:02}.png" for i in range(20)]
    assert sorted(classes_of(root, how, "test")) == [f"{i:02}.png" for i in range(20, 40)]
    with refused("'val'", "test, train"):
        classes_of(root, how, "val")
    data = load_folder(root, 32, labelling=how)
    apart = held_out(data, str(root), None, labelling=how)
    assert apart is not None
    assert apart.counts == {"COVID+": 10, "normal": 10}


def test_without_one_the_folders_train_and_test_are_splits(tmp_path: Path):
    names = [f"{part}/{part}{i:02}.png" for part in ("train", "test") for i in range(N)]
    root = pictures(tmp_path / "set", names)
    table = "file,label\n" + "".join(f"{n},{even(i)}\n" for i, n in enumerate(names[:-1]))
    how = labelling(root, table)
    found = scan(root, labelling=how)
    assert found.entries[0].source.startswith("train/")
    assert (len(found.entries), found.left_out) == (N, {})
    with refused("'COVID+'", "1 images without a row"):
        scan(root, "test", how)


def test_held_out_folders_take_the_chosen_classes_and_their_order(root: Path, tmp_path: Path):
    other = tmp_path / "other"
    for seed, name in enumerate(("normal", "COVID+", "third")):
        for i in range(10):
            path = other / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image(1000 * (seed + 1) + i, 32, 32).save(path)
    how = labelling(root, PLAIN, classes="normal,COVID+")
    data = load_folder(root, 32, labelling=how)
    apart = held_out(data, str(root), str(other), labelling=how)
    assert apart is not None
    assert apart.classes == data.classes == ("normal", "COVID+")


# --- what is counted ------------------------------------------------------------------------------


def test_what_has_no_row_no_file_or_no_label_is_counted(root: Path):
    pictures(root, [f"more/{i}.png" for i in range(3)])
    (root / "notes.txt").write_text("x")
    table = PLAIN + "absent.png,normal\nmore/2.png,\n"
    data = load_folder(root, 32, labelling=labelling(root, table))
    assert data.n == N
    left_out = data.report.left_out
    words = (".txt", "images without a label", "without a row", "without a file")
    assert [counted(left_out, word) for word in words] == [1, 1, 2, 1]
    assert len(left_out) == 4


@pytest.mark.parametrize("name", ["labels.csv", "labels.CSV", "labels"])
def test_the_table_itself_is_no_file_that_was_left_out(root: Path, name: str):
    (root / name).write_text(PLAIN)
    assert scan(root, labelling=Labelling(labels=str(root / name))).left_out == {}


# --- what is refused ------------------------------------------------------------------------------

FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "two labels": (PLAIN + "00,COVID+\n", ("00.png", "line 2", "'normal'", "line 22", "'COVID+'")),
    "no file": (
        lines("file,label", lambda i: f"x{i}.png,{even(i)}"),
        ("'x0.png'", "'file'", "--label-columns file="),
    ),
    "no column of files": ("what,label\na,b\n", ("--label-columns file=", "what, label")),
    "no column of labels": (PLAIN.replace("label", "what"), ("--label-columns label=",)),
    "one class": (PLAIN.replace("COVID+", "normal"), ("'normal'", "--classes")),
    "nearly the same": (PLAIN.replace("02.png,normal", "02.png,Normal"), ("'Normal'", "'normal'")),
    "two splits of a patient": (
        lines("file,label,patient,split", lambda i: f"{i:02}.png,{even(i)},P{i // 2},"
              f"{'test' if i == 5 else 'train'}"),
        ("'P2'", "04.png", "line 6", "05.png", "line 7", "train", "test"),
    ),
    "two splits of a file": (
        lines("file,label,split", lambda i: f"{i:02}.png,{even(i)},train") + "00,normal,test\n",
        ("'train'", "'test'", "line 22"),
    ),
    "two patients": (
        lines("file,label,patient", lambda i: f"{i:02}.png,{even(i)},P{i}") + "00,normal,Q\n",
        ("'P0'", "'Q'", "00.png"),
    ),
    "another split": (
        lines("file,label,split", lambda i: f"{i:02}.png,{even(i)},fold{i}"),
        ("'fold0'", "line 2", "train, test, val", "--label-columns split="),
    ),
    "a long row": (PLAIN + "00.png,normal,x\n", ("line 22", "3", "2")),
    "only a header": ("file,label\n", ("labels.csv",)),
    "empty": ("", ("labels.csv",)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_tables_that_cannot_serve(root: Path, fault: str):
    text, parts = FAULTS[fault]
    with refused(*parts):
        scan(root, labelling=labelling(root, text))


def test_a_name_that_fits_several_files(root: Path):
    pictures(root, ["b/00.png", "b/30.png", "c/30.png"])
    assert classes_of(root, labelling(root, PLAIN)) == HALVES  # 00.png is the one at the top
    with refused("line 22", "'30.png'", "b/30.png", "c/30.png"):
        scan(root, labelling=labelling(root, PLAIN + "30.png,normal\n"))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"labels": ""}, ("--labels",)),
        ({"label_columns": "file=a"}, ("--label-columns", "--labels")),
        ({"labels": "x", "label_columns": "name=a"}, ("'name=a'", "file, label, patient, split")),
        ({"labels": "x", "label_columns": "file"}, ("'file'",)),
        ({"labels": "x", "label_columns": "file=a,file=b"}, ("file", "twice")),
    ],
)
def test_flags_that_cannot_be(settings: dict[str, str], parts: tuple[str, ...]):
    with refused(*parts):
        Labelling(**settings)


def test_a_table_must_be_there_and_goes_with_a_folder(root: Path):
    with refused("--labels", "absent.csv"):
        check_source(str(root), Labelling(labels="absent.csv"))
    with refused("--labels", root):
        check_source(str(root), Labelling(labels=str(root)))
    for how in (labelling(root, PLAIN), Labelling(classes="a,b")):
        with refused("--labels", "--classes", "phantom"):
            check_source("phantom", how)


def test_it_comes_back_from_what_a_study_records():
    how = Labelling("/labels.csv", "file=a,label=b", 'x,"y, z"')
    assert Labelling.of(how.settings) == Labelling.of({**how.settings, "trials": 3}) == how
    assert Labelling.of({}) == Labelling()
    assert how.chosen == ("x", "y, z")
    assert how.beside == Labelling(classes='x,"y, z"')
