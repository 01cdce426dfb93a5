"""Two folders of images, real and generated, to one page of scores with what they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spaces.errors import InputError
from trainable.basics.files import read_json, whole_file
from trainable.basics.progress import Stage, silent
from trainable.data.dataset import Dataset, check_image_size
from trainable.data.folders.entries import Scan
from trainable.data.reading import Reading
from trainable.data.sheets import check_place, draw_pairs
from trainable.metrics.frechet import FeatureStats, frechet_distance
from trainable.metrics.inception_score import inception_score
from trainable.metrics.intervals import extrapolated_floor
from trainable.metrics.pixels import Copies, pixel_copies
from trainable.metrics.scores import RealSet, Scores, all_scores, copied
from trainable.metrics.two_folders.read import (
    FEW,
    PIXELS,
    Folder,
    check_classes,
    list_images,
    read_images,
    size_warnings,
)
from trainable.metrics.two_folders.result import Conditions, Options, Result
from trainable.pretrained.extractors import Extractor, load_extractor
from trainable.pretrained.feature_cache import ImagesKey, kept_features
from trainable.pretrained.resize import RULES

PAIRS = 24
"""Generated images on the sheet of neighbours."""


def compare(
    real: Path,
    fake: Path,
    options: Options,
    *,
    say: Callable[[str], None] | None = None,
    stage: Stage = silent,
) -> Result:
    """Every score of the images in `fake` against those in `real`.

    `say` is told what the feature cache has to tell; `stage` begins what takes long.

    Raises:
        InputError: a folder, file or combination cannot be used.
    """
    size, neighbours = options.size, options.neighbours
    if size is not None:
        check_image_size(size)
    if options.resize not in RULES:
        raise InputError(f"--protocol is {options.resize!r}, but must be one of {', '.join(RULES)}")
    before = None if options.baseline is None else _read_baseline(options.baseline)
    roots = [real, fake, *([] if options.train is None else [options.train])]
    listed = [list_images(root) for root in roots]  # all, before any is read
    check_classes(*listed[:2])
    if neighbours is not None:
        check_place(neighbours, roots)
    warnings: list[str] = []
    reals, fakes, *others = _read(listed, options, warnings.append, stage)
    trained = others[0] if others else reals
    warnings += size_warnings(reals, fakes)
    extractor, line = load_extractor(
        options.features, options.weights, resize=options.resize, unverified=options.unverified
    )
    classes = reals.data.classes if fakes.data.classes else ()
    conditions = Conditions(
        protocol=extractor.protocol + ("" if size else f"/files-as-they-are/pixels-{PIXELS}"),
        weights=extractor.sha256,
        image_size=size,
        n_real=reals.data.n,
        n_fake=fakes.data.n,
        n_train=trained.data.n,
        real_digest=reals.digest,
        train_digest=trained.digest,
        classes=list(classes),
    )
    if before is not None:
        _check_alike(before, conditions, f"--baseline {options.baseline}")

    def kept(folder: Folder, which: str) -> Tensor:
        key: ImagesKey = {
            "data": folder.digest,
            "n": folder.data.n,
            "channels": folder.data.task.channels,
            "image_size": size,
        }
        with stage(f"features of {which} images") as progress:
            compute = partial(folder.features, extractor, progress)
            of_all = kept_features(extractor, compute, key, say=say)
        return _finite(of_all, folder.data)

    with stage("features of generated images") as progress:
        found = _finite(fakes.features(extractor, progress), fakes.data)
    known = kept(reals, "real")
    theirs = kept(trained, "training") if others else None
    with stage("scoring"):
        scores = _scores(extractor, reals, known, fakes.data, found, len(classes))
        if theirs is not None:
            scores["copy_rate"] = copied(theirs, found)
        if theirs is not None or neighbours is not None:
            images = torch.tensor(fakes.data.images)
            copies = pixel_copies(torch.tensor(trained.data.images), images)
            scores["pixel_copy_rate"] = copies.rate
            if neighbours is not None:
                warnings += _draw(neighbours, fakes.data, trained.data, copies)
    named = {_named(key, classes): _number(score) for key, score in scores.items()}
    return Result(
        scores=named,
        conditions=conditions,
        pixel_size=size or PIXELS,
        features=line,
        warnings=[
            *warnings,
            *_number_warnings(reals.data.n, fakes.data.n),
            *_floor_warnings(scores),
        ],
        baseline=None if before is None else {key: _number(before.get(key)) for key in named},
    )


def _read(
    listed: Sequence[Scan], options: Options, note: Callable[[str], None], stage: Stage
) -> list[Folder]:
    """Real, generated and, if there are any, training images; all read as the real ones are."""
    read: list[Folder] = []
    how = Reading(background=options.background)
    for found, which in zip(listed, ("real", "generated", "training"), strict=False):
        unique = which != "generated"
        with stage(f"reading {which} images") as progress:
            read.append(
                read_images(
                    found, options.size, unique=unique, note=note, how=how, progress=progress
                )
            )
        how = read[0].data.report.reading
    return read


def _scores(
    extractor: Extractor, reals: Folder, known: Tensor, fakes: Dataset, found: Tensor, classes: int
) -> Scores:
    """Every score by features `known` and `found`, but without classes none of a class."""
    labels, asked = torch.tensor(reals.data.labels), torch.tensor(fakes.labels)
    if not classes:
        labels, asked = torch.zeros_like(labels), torch.zeros_like(asked)
    real = RealSet.of(known, labels, max(1, classes))
    own, images = torch.tensor(reals.data.images), torch.tensor(fakes.images)
    scores = all_scores(real, own, found, images, asked, extractor.logits(found))
    if len(reals.counted) > reals.data.n:
        every, of_every = known[reals.counted], labels[reals.counted]
        scores["fid"] = frechet_distance(FeatureStats.of(every), found)
        for index in range(classes):
            mine = FeatureStats.of(every[of_every == index])
            scores[f"fid/{index}"] = frechet_distance(mine, found[asked == index])
    scores["inception_score_real"] = inception_score(extractor.logits(known))
    scores["floor"] = extrapolated_floor(known, len(found), seed=0).floor
    for index in range(classes):
        mine, theirs = known[labels == index], found[asked == index]
        scores[f"floor/{index}"] = extrapolated_floor(mine, len(theirs), seed=0).floor
    return {key: score for key, score in scores.items() if classes or "/" not in key}


def _finite(features: Tensor, data: Dataset) -> Tensor:
    if not torch.isfinite(features).all():
        raise InputError(
            f"the extractor's features of {data.name} are not finite, so nothing can be scored; "
            "choose different --features or --features-weights"
        )
    return features


def _draw(path: Path, fakes: Dataset, trained: Dataset, copies: Copies) -> list[str]:
    """Draw the sheet of neighbours; a warning if that fails, as the scores took minutes."""
    best = copies.similarity.argsort(descending=True, stable=True)[:PAIRS].numpy()
    similarity, nearest = copies.similarity.numpy()[best], copies.nearest.numpy()[best]
    sheet = draw_pairs(fakes.images[best], trained.images[nearest], similarity, copies.threshold)
    try:
        with whole_file(path) as part:
            sheet.save(part, format="PNG")
    except OSError as error:  # the disk filled up meanwhile
        return [f"{path} could not be written: {error.strerror}"]
    return []


def _number_warnings(n_real: int, n_fake: int) -> list[str]:
    few = [(n, what) for n, what in ((n_real, "real"), (n_fake, "generated")) if n < FEW]
    return [
        f"{n} {what} images are few: FID and similar scores depend on chance" for n, what in few
    ]


def _floor_warnings(scores: Scores) -> list[str]:
    if not scores["fid"] < scores["floor"]:
        return []
    return [
        f"an FID below the floor, {scores['floor']:.4g}, is not better than real images: it "
        "means copies, less variety, more images than the real set has, or luck"
    ]


def _read_baseline(path: Path) -> dict[str, Any]:
    """An earlier `Result`, as JSON has it."""
    result = read_json("--baseline", path)
    if not isinstance(result, dict) or "protocol" not in result:
        raise InputError(f"--baseline {path} is not what this command prints with --json")
    return result


def _check_alike(before: Mapping[str, Any], now: Conditions, name: str) -> None:
    """Raise InputError unless the earlier scores were made the same way."""
    for key, value in asdict(now).items():
        if before.get(key) != value:
            raise InputError(
                f"{name} has {key} {before.get(key)}, but here it is {value}; scores of "
                "different protocols are not comparable"
            )


def _named(key: str, classes: Sequence[str]) -> str:
    """``fid/1`` under the second class's name."""
    name, _, number = key.partition("/")
    return f"{name}/{classes[int(number)]}" if number else key


def _number(value: object) -> float | None:
    """A finite number, or None: JSON knows no other kind."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None  # pyright: ignore
