"""What `--data` may name: the embedded phantom, PneumoniaMNIST, or a folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from spaces.errors import InputError
from trainable.basics.files import check_text
from trainable.basics.progress import Progress
from trainable.basics.wording import did_you_mean
from trainable.data.dataset import Dataset, LoadReport, check_image_size
from trainable.data.folders.decode import fit_square
from trainable.data.folders.listing import check_folder
from trainable.data.folders.read import load_folder
from trainable.data.folders.splits import SPLITS
from trainable.data.labelling import AS_FOLDERS, Labelling
from trainable.data.reading import USUAL, Reading

EMBEDDED = ("phantom", "pneumoniamnist")
PHANTOMS_PER_CLASS = 100

# The smallest size that medmnist offers (28, 64, 128, 224) at or above the wanted one; 256 is
# enlarged from 224. 28 is offered too, but never the smallest at or above 32.
_MNIST_SIZE = {32: 64, 64: 64, 128: 128, 256: 224}


def located(flag: str, spec: str) -> str:
    """What `flag` names, as it is called from any folder: a path whole, all else as it is.

    Raises:
        InputError: the path cannot be kept in a database.
    """
    if spec in EMBEDDED:
        return spec
    check_text(flag, spec)
    if not os.path.exists(spec):  # noqa: PTH110  (which Path refuses to tell of some paths)
        return spec  # a model's name, or a mistake that is told better as it was typed
    return str(Path(spec).absolute())


def check_source(spec: str, labelling: Labelling = AS_FOLDERS) -> None:
    """Raise InputError unless `spec` names a data set; what is in a folder is not looked at.

    Nor is what is in its table of labels, which must be there.
    """
    if not spec:
        raise InputError("--data is empty; give phantom, pneumoniamnist or a folder")
    labelling.check()
    if spec in EMBEDDED:
        if labelling != AS_FOLDERS:
            raise InputError(
                f"--labels and --classes are for folders, but the data set is {spec}; leave them "
                "out, or give a folder with --data"
            )
        return
    if spec == Path(spec).name and not os.path.exists(spec):  # noqa: PTH110  (as above)
        raise InputError(_unknown(spec))
    check_text("--data", spec)
    check_folder(Path(spec))


def check_sources(data: str | None, beside: str | None, labelling: Labelling) -> None:
    """Raise InputError unless each that is given names a data set; the table is of `data`."""
    if data is not None:
        check_source(data, labelling)
    else:
        labelling.check()
    if beside is not None:
        check_source(beside)


def load(
    spec: str,
    size: int,
    *,
    how: Reading = USUAL,
    labelling: Labelling = AS_FOLDERS,
    split: str = "train",
    seed: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """Load the data set that `spec` names.

    Args:
        spec: 'phantom', 'pneumoniamnist' or a folder; './phantom' is a folder of that name.
        size: side of the square images, a power of two from 32 to 256.
        how: how files become pixels, for folders.
        labelling: where the classes of a folder's images are from.
        split: 'train', 'test' or 'val'; phantoms have no splits.
        seed: of the phantoms.
        progress: told how many files are done.

    Raises:
        InputError: `spec` names nothing, or what it names cannot serve.
    """
    check_image_size(size)
    check_source(spec, labelling)
    if split not in SPLITS:
        raise InputError(f"split is {split!r}, but must be one of {', '.join(SPLITS)}")
    if spec not in EMBEDDED:
        return load_folder(spec, size, how=how, labelling=labelling, split=split, progress=progress)
    if spec == "pneumoniamnist":
        return _pneumoniamnist(size, split, how)
    if split != "train":
        raise InputError(f"--split is {split!r}, but phantom has only train; choose another --seed")
    return _phantom(size, seed, how)


def _unknown(spec: str) -> str:
    return (
        f"data {spec!r} is not a folder; give 'phantom' (embedded), 'pneumoniamnist' "
        f"(downloaded) or the path of a folder of images{did_you_mean(spec, EMBEDDED)}"
    )


def _phantom(size: int, seed: int, how: Reading) -> Dataset:
    from trainable.data.phantom import CLASSES, phantom

    images, labels, sources = phantom(size, per_class=PHANTOMS_PER_CLASS, seed=seed)
    report = LoadReport(files=0, reading=how, layout="phantom")
    return Dataset(images, labels, CLASSES, sources, (None,) * len(images), "phantom", report)


def _pneumoniamnist(size: int, split: str, how: Reading) -> Dataset:
    try:
        import medmnist  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"data 'pneumoniamnist' needs the package medmnist ({error}); "
            "pip install -c constraints.txt -e '.[pneumoniamnist]'"
        ) from error
    stored = _MNIST_SIZE[size]
    try:
        source = medmnist.PneumoniaMNIST(split=split, download=True, size=stored)
    except Exception as error:  # medmnist wraps what its download raises in a bare RuntimeError
        raise InputError(
            f"pneumoniamnist ({stored} pixels) cannot be downloaded or opened: {error}; check "
            "the network, or put the file in ~/.medmnist yourself"
        ) from error
    images = np.stack([_resized(image, size) for image in source.imgs])[:, None]
    labels = np.asarray(source.labels).reshape(-1).astype(np.int64)
    names = source.info["label"]
    classes = tuple(str(names[str(i)]) for i in range(len(names)))
    sources = tuple(f"pneumoniamnist/{split}/{i}" for i in range(len(images)))
    report = LoadReport(files=len(images), reading=how, layout="pneumoniamnist")
    patients = (None,) * len(images)
    return Dataset(images, labels, classes, sources, patients, "pneumoniamnist", report)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(fit_square(Image.fromarray(image), size, "crop"))
