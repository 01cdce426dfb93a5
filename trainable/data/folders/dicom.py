"""DICOM files, by the optional package pydicom: pixels as they are meant to be seen.

Stored values are rescaled first, then brought through the VOI LUT or the first window, where the
file has one, and last inverted where white is stored as 0 (MONOCHROME1), which pydicom leaves.

Headers name people. Of each, only the elements that pixels need are read, with the modality and
the patient's ID, which leaves this module as a keyed hash. No text of a header, nor of an error
that may quote one, is shown or logged.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import BinaryIO

import numpy as np

from trainable.data.folders.limits import UnreadableError, check_size

SUFFIXES = (".dcm", ".dicom")
"""In small letters."""
PACKAGE = "the package pydicom: pip install -c constraints.txt -e '.[dicom]'"
"""Without which nothing can be read."""
_MARK, _MARK_AT = b"DICM", 128
_FAR = 1e9
"""Beyond the values of any window."""
_KEY = secrets.token_bytes(32)
"""Of hashed patients: another in each process, so that none can be found by trying all IDs."""
_NEEDED = (
    "Modality", "PatientID",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "PixelData", "FloatPixelData", "DoubleFloatPixelData",
)  # fmt: skip
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def is_dicom(file: BinaryIO) -> bool:
    """Whether a file begins as DICOM files do; it is left at its start."""
    file.seek(_MARK_AT)
    mark = file.read(len(_MARK))
    file.seek(0)
    return mark == _MARK


def installed() -> bool:
    """Whether DICOM files can be read here."""
    return importlib.util.find_spec("pydicom") is not None


class DicomFile:
    """An image in a DICOM file.

    Attributes:
        size: width and height.
        patient: a hash of the patient's ID, equal for equal IDs within this process; None if the
            header has none.
        modality: two to six letters, such as 'CR'; '' if the header has none.

    Raises:
        UnreadableError: it cannot be read, holds no image or several, or one of too many pixels.
    """

    def __init__(self, file: BinaryIO, pixels: bool = True):
        dicom = _pydicom()
        with _unquoted():
            self._set = dicom.dcmread(
                file, stop_before_pixels=not pixels, specific_tags=list(_NEEDED)
            )
            modality = str(self._set.get("Modality", "") or "")
            self.modality = modality if re.fullmatch("[A-Z]{2,6}", modality) else ""
            rows, columns = self._set.get("Rows"), self._set.get("Columns")
            if not (rows and columns) or (pixels and not any(p in self._set for p in _PIXELS)):
                raise UnreadableError("DICOM without an image")
            if (frames := int(self._set.get("NumberOfFrames") or 1)) > 1:
                raise UnreadableError(f"DICOM of {frames} frames, but only single images are read")
            self.size = int(columns), int(rows)
            check_size(*self.size)
            who = str(self._set.get("PatientID", "") or "").strip()
            self.patient = _hashed(who) if who else None

    def values(self) -> tuple[np.ndarray, tuple[float, float] | None]:
        """Grey values float64 [H, W], and which of them are black and white, if the file tells.

        Colour is uint8 [H, W, 3], without those.

        Raises:
            UnreadableError: the pixels are broken, or compressed in a way that needs a decoder.
        """
        from pydicom.pixels.processing import apply_color_lut
        from pydicom.pixels.utils import pixel_array

        ds = self._set
        with _unquoted():
            _check_decoder(ds.file_meta.TransferSyntaxUID)
            stored = pixel_array(ds)  # RGB, where it is stored as YBR
            bits = int(ds.get("BitsStored", 8))
            if ds.PhotometricInterpretation == "PALETTE COLOR":
                stored = apply_color_lut(stored, ds)
                bits = 8 * stored.dtype.itemsize
            if stored.ndim == 3:
                return (stored[..., :3] >> max(0, bits - 8)).astype(np.uint8), None
            return _grey(stored, ds, bits)


def _grey(stored: np.ndarray, ds, bits: int) -> tuple[np.ndarray, tuple[float, float] | None]:
    """As `DicomFile.values`, from stored values."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

    _widen(ds)
    signed = int(ds.get("PixelRepresentation", 0)) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    values = apply_modality_lut(stored, ds)
    whole, ends = (0.0, 0.0), None
    if stored.dtype.kind in "iu":
        limits = apply_modality_lut(np.array([low, high], stored.dtype), ds)
        whole = float(limits.min()), float(limits.max())
        ends = whole if whole == (0.0, 255.0) else None
    if ds.get("VOILUTSequence"):
        count, first, _ = ds.VOILUTSequence[0].LUTDescriptor
        last = first + (count or 2**16) - 1
        values = apply_voi(values.round().clip(first, last).astype(np.int64), ds)
        table = apply_voi(np.arange(first, last + 1), ds)
        ends = float(table.min()), float(table.max())
    elif _windowed(ds):
        with np.errstate(over="ignore"):  # of exp, in a sigmoid
            values = apply_windowing(values, ds)
            black, white = apply_windowing(np.array([-_FAR, _FAR]), ds)
        ends = float(black), float(white)
    values = values.astype(np.float64)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        values = sum(ends or whole) - values
    return values, ends


def _widen(ds) -> None:
    """Let look-up tables of 8 bits have more than 256 entries, which pydicom would wrap."""
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in ds.get(name) or ():
            count, first, _ = item.LUTDescriptor
            item.LUTDescriptor = [count, first, 16]


def _windowed(ds) -> bool:
    """Whether there is a window that can be applied: a width of 0 is written for none."""
    if "WindowWidth" not in ds or "WindowCenter" not in ds:
        return False
    with suppress(TypeError, ValueError):
        width = ds.WindowWidth
        return float(width if ds["WindowWidth"].VM < 2 else width[0]) >= 1
    return False


def _check_decoder(syntax) -> None:
    """Raise UnreadableError if pixels of a transfer syntax cannot be decoded here."""
    from pydicom.pixels.decoders.base import get_decoder

    if not syntax.is_compressed or syntax.is_deflated:
        return
    name = syntax.name if not syntax.is_private else "a private syntax"
    try:
        able = get_decoder(syntax).is_available
    except NotImplementedError:
        raise UnreadableError("DICOM in a syntax that pydicom does not read") from None
    if not able:
        raise UnreadableError(
            f"DICOM compressed as {name}, which needs a decoder: pip install 'pylibjpeg[all]'"
        )


def _hashed(patient: str) -> str:
    return f"patient {hashlib.blake2b(patient.encode(), key=_KEY, digest_size=8).hexdigest()}"


@contextmanager
def _unquoted() -> Iterator[None]:
    """What pydicom raises in the block becomes an UnreadableError without its text, which may quote
    the header."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(f"broken DICOM ({type(error).__name__})") from None


@functools.cache
def _pydicom() -> ModuleType:
    """The package, told to say nothing of what it reads.

    Raises:
        UnreadableError: it is not installed.
    """
    try:
        import pydicom
        from pydicom import config
    except ImportError:
        raise UnreadableError(f"DICOM, which needs {PACKAGE}") from None
    config.settings.reading_validation_mode = config.IGNORE
    config.logger.disabled = True  # its warnings quote values
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom
