"""DICOM files as people have them: inverted, rescaled, windowed, deep, compressed, no images."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import class_folder
from tests.helpers.refusals import refused, tells
from trainable.data.folders import dicom
from trainable.data.folders.decode import Picture, decode
from trainable.data.folders.inventory import inventory
from trainable.data.folders.limits import UnreadableError
from trainable.data.folders.listing import image_files
from trainable.data.folders.read import load_folder
from trainable.data.folders.scan import scan
from trainable.data.labelling import Labelling
from trainable.data.reading import Reading

pydicom = pytest.importorskip("pydicom")

SIDE = 32
RAMP = np.linspace(0, 4095, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)
NAME, ID = "Doe^Jane", "MRN-0042"


def lut(values: list[int], first: int = 0, bits: int = 16) -> Any:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return pydicom.Sequence([item])


def dicom_file(
    values: np.ndarray,
    bits: int = 12,
    patient: str = ID,
    syntax: str = "",
    **elements: Any,
) -> bytes:
    """A file of grey [H, W] or [n, H, W], or RGB [H, W, 3] values, with these `elements` set."""
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax or pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    ds.PatientName, ds.PatientID, ds.Modality = NAME, patient, "CR"
    colour = values.shape[-1] == 3
    ds.Rows, ds.Columns = values.shape[:2] if colour else values.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    if values.ndim == 3 and not colour:
        ds.NumberOfFrames = len(values)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8 * values.dtype.itemsize, bits, bits - 1
    ds.PixelRepresentation = int(values.dtype.kind == "i")
    ds.PixelData = values.tobytes()
    for name, value in elements.items():
        setattr(ds, name, value)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def read(data: bytes) -> Picture:
    return decode(data, None, Reading())


def grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    scaled = (values.astype(float) - low) / (high - low)
    return (scaled.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def off(picture: Picture, expected: np.ndarray) -> int:
    """By how many levels the picture is off, at most."""
    assert picture.pixels.shape == (1, *expected.shape)
    return int(np.abs(picture.pixels[0].astype(int) - expected).max())


def test_12_bits_in_16_are_scaled_by_the_range_of_the_set(tmp_path: Path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(10):
            dark = (RAMP // (i + 1)).astype(np.uint16)
            dark[0, 0] += label == "b"
            (tmp_path / label / f"{i}.dcm").write_bytes(dicom_file(dark))
    data = load_folder(tmp_path, SIDE)
    assert str(data.report.reading.levels) == "DICOM 0 to 4095"
    assert tells(str(data.report), "20 files", "DICOM 0 to 4095")
    darker = data.images[data.sources.index("a/9.dcm")]
    assert darker.max() == round(409 / 4095 * 255)  # not stretched by itself


def test_monochrome1_is_inverted():
    values = (RAMP // 16).astype(np.uint8)
    plain = read(dicom_file(values, 8))
    inverted = read(dicom_file(values, 8, PhotometricInterpretation="MONOCHROME1"))
    assert (plain.pixels == values).all()
    assert (inverted.pixels == 255 - values).all()
    assert (plain.depth, inverted.depth) == ("", "")
    deep = read(dicom_file(RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert (deep.depth, deep.span) == ("DICOM", (0, 4095))
    assert deep.pixels[0, 0, 0] == 255


WINDOW: dict[str, Any] = {"WindowCenter": 1000, "WindowWidth": 800}
RESCALED: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -1000}


@pytest.mark.parametrize(
    ("elements", "low", "high"),
    [
        (WINDOW, 600, 1400),
        ({"WindowCenter": [1000, 9], "WindowWidth": [800, 5]}, 600, 1400),  # the first of several
        ({**WINDOW, **RESCALED}, 800, 1200),  # of rescaled values: 600 and 1400
        ({**WINDOW, "VOILUTFunction": "LINEAR_EXACT"}, 600, 1400),
    ],
)
def test_values_are_rescaled_then_windowed(elements: dict[str, Any], low: float, high: float):
    picture = read(dicom_file(RAMP, **elements))
    assert off(picture, grey(RAMP, low, high)) <= 1
    assert picture.depth == ""  # the file says what is black, whatever the set is like
    inverted = read(dicom_file(RAMP, PhotometricInterpretation="MONOCHROME1", **elements))
    assert off(inverted, 255 - grey(RAMP, low, high)) <= 1


def test_a_negative_slope_turns_values_and_window_alike():
    turned = read(dicom_file(RAMP, RescaleSlope=-1, RescaleIntercept=4095, **WINDOW))
    assert off(turned, grey(4095 - RAMP.astype(int), 600, 1400)) <= 1


def test_signed_values():
    values = (RAMP.astype(np.int32) - 1024).astype(np.int16)
    assert off(read(dicom_file(values, 16, **WINDOW)), grey(values, 600, 1400)) <= 1
    deep = read(dicom_file(values, 16))
    assert deep.span == (-1024, 3071)
    assert off(deep, grey(values, -1024, 3071)) <= 1


def test_a_width_of_0_is_no_window():
    assert read(dicom_file(RAMP, WindowCenter=5, WindowWidth=0)).depth == "DICOM"


@pytest.mark.parametrize("bits", [8, 16])
def test_a_voi_lut_counts_before_a_window(bits: int):
    top = 2**bits - 1
    curve = [round(top * (i / 4095) ** 2) for i in range(4096)]
    data = dicom_file(RAMP, VOILUTSequence=lut(curve, bits=bits), **WINDOW)
    assert off(read(data), grey(np.array(curve)[RAMP], 0, top)) <= 1
    short = dicom_file(RAMP, VOILUTSequence=lut(curve[:1001], first=1000, bits=bits))
    expected = np.array(curve)[(RAMP.astype(int) - 1000).clip(0, 1000)]
    assert off(read(short), grey(expected, 0, curve[1000])) <= 1


def test_a_modality_lut_of_8_bits():
    curve = [255 * i // 4095 for i in range(4096)]
    data = dicom_file(RAMP, ModalityLUTSequence=lut(curve, bits=8))
    assert off(read(data), grey(np.array(curve)[RAMP], 0, 255)) <= 1


def test_colour_and_what_it_is_written_as():
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    assert (read(dicom_file(rgb, 8)).pixels == rgb.transpose(2, 0, 1)).all()
    same = np.broadcast_to(rgb[..., :1], rgb.shape)
    assert read(dicom_file(np.ascontiguousarray(same), 8)).pixels.shape[0] == 1


def test_colour_that_is_stored_otherwise():
    rgb = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    found = read(dicom_file(ybr, 8, PhotometricInterpretation="YBR_FULL")).pixels
    assert np.abs(found.astype(int) - rgb.transpose(2, 0, 1)).max() <= 3
    deep = dicom_file(rgb.astype(np.uint16) * 16 + 15, 12)
    assert (read(deep).pixels == rgb.transpose(2, 0, 1)).all()
    ramps = [np.arange(256), np.arange(255, -1, -1), np.full(256, 7)]
    tables: dict[str, Any] = {}
    for name, ramp in zip(("Red", "Green", "Blue"), ramps, strict=True):
        stem = f"{name}PaletteColorLookupTable"
        tables[f"{stem}Descriptor"] = [256, 0, 16]
        tables[f"{stem}Data"] = (ramp * 257).astype("<u2").tobytes()
    index = (RAMP // 16).astype(np.uint8)
    palette = read(dicom_file(index, 8, PhotometricInterpretation="PALETTE COLOR", **tables))
    assert (palette.pixels == np.stack([ramp[index] for ramp in ramps])).all()


def test_compressed_files_are_read_where_pillow_can():
    picture = Image.fromarray((RAMP // 16).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    data = dicom_file(
        (RAMP // 16).astype(np.uint8), 8, syntax=pydicom.uid.JPEGBaseline8Bit,
        PixelData=pydicom.encaps.encapsulate([buffer.getvalue()]),
    )  # fmt: skip
    assert off(read(data), np.asarray(picture)) <= 10


def _misfits() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    eight = (RAMP // 16).astype(np.uint8)
    fragment = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    lossless = dicom_file(eight, 8, syntax=pydicom.uid.JPEGLSLossless, PixelData=fragment)
    broken = dicom_file(eight, 8, syntax=pydicom.uid.JPEGBaseline8Bit, PixelData=fragment)
    report = dicom_file(eight, 8)
    ds = pydicom.dcmread(io.BytesIO(report))
    del ds.PixelData
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return {
        "several frames": (dicom_file(np.stack([eight] * 3), 8), ("3 frames",)),
        "no pixels": (buffer.getvalue(), ("without an image",)),
        "no decoder": (lossless, ("JPEG-LS", "pylibjpeg[all]")),
        "broken": (broken, ("broken DICOM",)),
        "cut short": (report[:-300], ("broken DICOM",)),
        "nothing but a mark": (b"\0" * 128 + b"DICM", ("DICOM",)),
        "of a private function": (
            dicom_file(RAMP, VOILUTFunction="JANE_DOE", **WINDOW), ("broken DICOM",)
        ),
    }  # fmt: skip


MISFITS = _misfits()


@pytest.mark.parametrize("kind", MISFITS)
def test_what_is_no_single_image_says_so(kind: str):
    data, parts = MISFITS[kind]
    with pytest.raises(UnreadableError) as error:
        read(data)
    assert tells(str(error.value), *parts)


# --- sets -----------------------------------------------------------------------------------------


def filled(root: Path, count: int = 12, **elements: Any) -> Path:
    """Two classes of windowed films, two of each patient."""
    for seed, label in enumerate("ab"):
        (root / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            rng = np.random.default_rng(100 * seed + i)
            values = rng.integers(0, 4096, (SIDE, SIDE + 8), dtype=np.uint16)
            data = dicom_file(values, patient=f"MRN{label}{i // 2}", **WINDOW, **elements)
            (root / label / f"{label}{i:02}.dcm").write_bytes(data)
    return root


def test_patients_are_told_by_headers_and_nobody_is_named(tmp_path: Path, caplog, capsys):
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        data = load_folder(filled(tmp_path, StudyDate="Jane's", PatientBirthDate="x" * 80), SIDE)
    assert tells(str(data.report), "patients of 24 of 24 images", "DICOM headers")
    assert len(set(data.patients)) == 12
    assert data.patients[0] == data.patients[1] != data.patients[2]
    said = "".join((str(data.report), *map(str, data.patients), caplog.text, *capsys.readouterr()))
    said += "".join(str(warning.message) for warning in warned)
    assert not any(text in said for text in ("MRN", "Jane", "Doe", "xxx"))


def test_a_table_of_labels_names_patients_before_headers_do(tmp_path: Path):
    root = filled(tmp_path / "set")
    known = ["" if i % 2 else f"P{i}" for i in range(12)]
    rows = [f"{label}{i:02},{label},{who}" for label in "ab" for i, who in enumerate(known)]
    (tmp_path / "labels.csv").write_text("\n".join(["patientId,Target name,patient", *rows]))
    how = Labelling(str(tmp_path / "labels.csv"), "file=patientId,label=Target name")
    data = load_folder(root, SIDE, labelling=how)
    assert data.counts == {"a": 12, "b": 12}
    assert data.patients[:4] == ("P0", "P0", "P2", "P2")  # of one patient by headers


def test_a_class_of_several_modalities_is_refused(tmp_path: Path):
    root = filled(tmp_path)
    (root / "a" / "x.dcm").write_bytes(dicom_file(RAMP, Modality="DX"))
    assert load_folder(root, SIDE).n == 25
    (root / "a" / "y.dcm").write_bytes(dicom_file(RAMP + 1, Modality="CT"))
    with refused("'a'", "1 CT", "12 CR"):
        load_folder(root, SIDE)


def test_dimensions_come_from_headers(tmp_path: Path):
    items, skipped = inventory(scan(filled(tmp_path)).entries)
    assert {(item.width, item.height) for item in items} == {(SIDE + 8, SIDE)}
    assert skipped == []


def test_beside_other_images_they_are_left_out(tmp_path: Path):
    class_folder(tmp_path / "a", 3, 0)
    (tmp_path / "a" / "1.dcm").write_bytes(dicom_file(RAMP))
    names, left_out = image_files(tmp_path / "a")
    assert (len(names), left_out) == (3, {".dcm files": 1})


def test_without_pydicom_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = filled(tmp_path)
    monkeypatch.setattr(dicom, "installed", lambda: False)
    with refused("24", "pydicom", "'.[dicom]'"):
        load_folder(root, SIDE)
