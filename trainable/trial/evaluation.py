"""Scoring a run's generator against all real images, and what the scores are held against."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from spaces.errors import InputError
from trainable.basics.progress import Progress
from trainable.data.dataset import Dataset
from trainable.gan.run import DivergedError, Run
from trainable.metrics.classifier_score import Validation
from trainable.metrics.frechet import frechet_distance
from trainable.metrics.independent import Witness
from trainable.metrics.intervals import Interval, extrapolated_floor, interval
from trainable.metrics.kernel import kernel_distance
from trainable.metrics.scores import (
    RealSet,
    Scores,
    all_scores,
    evaluation_scores,
)
from trainable.pretrained.extractors import Extractor
from trainable.pretrained.feature_cache import cached_features
from trainable.trial.report import CAS
from trainable.trial.yardstick import Yardstick

GENERATED = 200
"""Images generated for each evaluation of a trial."""
_PAIR = 2
"""Images of a class that its diversity needs."""
SEEDS = range(1, 6)
"""Of an assessment's classifiers: none is 0, which the evaluations have that chose the winners."""


@dataclass(frozen=True)
class Assessment:
    """A winner, scored again on latents that the search never used.

    Attributes:
        scores: `all_scores` of the images generated for it: of the set as a whole in the real
            classes' proportions; of each class, of copies and by classifiers with all.
        generated: how many those are.
        fid, kid: what one evaluation of the study's own size would give: mean and 95 % interval.
        cas: mean of the classification accuracy score over classifiers of several seeds, and its 95
            % interval; None if no images are held back.
        images_seen: real images that the generator was trained on until then; None if it was scored
            before this was kept.
        whole: of how many images the set as a whole is judged; None if it was scored before this
            was kept, and then by all, whatever the real proportions are.
    """

    scores: Scores
    generated: int
    fid: Interval
    kid: Interval
    cas: Interval | None = None
    images_seen: int | None = None
    whole: int | None = None

    @property
    def intervals(self) -> dict[str, Interval]:
        """Those that there are, by score."""
        known = {"fid": self.fid, "kid": self.kid}
        return known if self.cas is None else {**known, CAS: self.cas}

    @property
    def ends(self) -> dict[str, float]:
        """The same as ``fresh_fid_low``, ``fresh_fid_high``, ``fresh_fid_mean`` and so on."""
        return {
            f"fresh_{score}_{end}": value
            for score, known in self.intervals.items()
            for end, value in asdict(known).items()
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Assessment:
        """From `to_json`'s dict; older ones lack what may be None."""
        intervals = {
            name: Interval(**values[name]) for name in ("fid", "kid", CAS) if values.get(name)
        }
        return cls(
            values["scores"], values["generated"], **intervals,
            images_seen=values.get("images_seen"), whole=values.get("whole"),
        )  # fmt: skip


class Evaluator:
    """Scores runs on one data set by one protocol, with an independent witness beside it."""

    def __init__(
        self,
        data: Dataset,
        extractor: Extractor,
        real: RealSet,
        witness: Witness,
        validation: Validation | None = None,
    ):
        """`validation`: real images held back, by which ``cas`` is computed if there are any."""
        self.data = data
        self.extractor = extractor
        self.real = real
        self.witness = witness
        self.validation = validation
        self.labels = spread_labels(real.labels, real.classes, GENERATED)

    def scores(self, run: Run, *, seed: int) -> Scores:
        """`evaluation_scores` of images from the latents of `seed`, classes as in the reals.

        With them come the witness's scores, ``diversity/CLASS`` for each class, and ``cas`` if
        images are held back for it.

        Raises:
            DivergedError: a feature or a score is no finite number.
        """
        images, features = self._generate(run, self.labels, seed)
        logits = self.extractor.logits(features)
        scores = evaluation_scores(self.real, features, self.labels, logits)
        scores |= self.witness.scores(images, self.labels)
        if self.validation is not None:
            scores[CAS] = self.validation.score(images, self.labels, seed=0)
        for name, value in scores.items():
            if not math.isfinite(value):
                raise DivergedError(f"{name} is {value} in epoch {run.epoch}")
        return scores

    def assess(self, run: Run, per_class: int, *, seed: int) -> Assessment:
        """Everything about `per_class` images a class from the latents of `seed`: no fewer than
        `fewest_to_assess`.

        Raises:
            DivergedError: a feature is no finite number.
        """
        labels = torch.arange(self.real.classes).repeat_interleave(per_class)
        images, features = self._generate(run, labels, seed)
        # As a whole they are judged in the real classes' proportions: of images evenly by class a
        # perfect generator would be told that its rare ones are too many.
        counts = self.real.labels.bincount(minlength=self.real.classes).tolist()
        keep = [min(per_class, max(_PAIR, -(-per_class * n // max(counts)))) for n in counts]
        own = torch.cat([(labels == c).nonzero()[:k, 0] for c, k in enumerate(keep)])
        real_images, logits = torch.tensor(self.data.images), self.extractor.logits(features)
        scores = all_scores(self.real, real_images, features, images, labels, logits, own)
        scores |= self.witness.scores(images, labels, own)
        cas = None
        if self.validation is not None:
            cas = self.validation.interval(images, labels, seeds=SEEDS)
            scores[CAS] = cas.mean
        sample = features[own]  # the intervals are those of an evaluation of `GENERATED` images
        fid = interval(frechet_distance, self.real.stats, sample, GENERATED, seed=seed)
        kid = interval(
            lambda own, part: kernel_distance(self.real.features, part, own),
            self.real.own_kernel, sample, GENERATED, seed=seed,
        )  # fmt: skip
        return Assessment(scores, len(labels), fid, kid, cas, run.images_seen, len(own))

    def _generate(self, run: Run, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Images and their features, both on the CPU."""
        images = run.sample(labels, seed=seed)
        features = self.extractor(images).cpu()
        if not torch.isfinite(features).all():
            raise DivergedError(f"generated images have no finite features in epoch {run.epoch}")
        return images.cpu(), features


def real_set(
    data: Dataset,
    extractor: Extractor,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> RealSet:
    """The real images as scores need them, their features from disk where they are kept.

    `say` and `progress` are those of `cached_features`.
    """
    features = cached_features(extractor, data.images, data.digest, say=say, progress=progress)
    return RealSet.of(features, torch.tensor(data.labels), len(data.classes))


def witness_of(data: Dataset, apart: Dataset | None, *, seed: int) -> Witness:
    """The independent witness for `data`, which knows the held-out images `apart` if there are."""
    held_out = None if apart is None else (apart.images, apart.labels)
    return Witness.of(data.images, data.labels, len(data.classes), held_out, seed)


def validation_of(held: Dataset | None) -> Validation | None:
    """What the images that are held back say of generators, if there are any."""
    return None if held is None else Validation.of(held.images, held.labels, len(held.classes))


def fewest_to_assess(counts: Collection[int]) -> int:
    """The fewest images a class by which a generator is assessed, where there are so many real ones
    of each: enough for two samples of an evaluation's size in the real proportions. FID of smaller
    samples is higher, and would be compared with other generators' all the same."""
    return -(-2 * GENERATED * max(counts) // sum(counts))


def check_classes(data: Dataset) -> None:
    """Raise InputError where there are more classes than an evaluation has two images of each."""
    if (count := len(data.classes)) > (most := GENERATED // _PAIR):
        raise InputError(
            f"{data.name} has {count} classes, but at most {most} can be scored, as {GENERATED} "
            f"images are generated at a time, {_PAIR} of each at least; choose some with --classes"
        )


def spread_labels(labels: Tensor, classes: int, n: int) -> Tensor:
    """`n` class indices in order, with the proportions of `labels` (largest remainders).

    A class of two or more gets two at least, taken from the largest: of one image there is no
    variety to measure, and a set of 1,500 images and 10 could not be searched at all.
    """
    counts = labels.bincount(minlength=classes).double()
    exact = counts / counts.sum() * n
    shares = exact.floor().long()
    extra = (exact - shares).argsort(descending=True, stable=True)[: n - int(shares.sum())]
    shares[extra] += 1
    while (scarce := (shares < _PAIR) & (counts >= _PAIR)).any() and shares.max() > _PAIR:
        shares[shares.argmax()] -= 1
        shares[scarce.nonzero()[0]] += 1
    return torch.repeat_interleave(torch.arange(classes), shares)


def measure(evaluator: Evaluator, run: Run, protocol: str, *, seed: int) -> Yardstick:
    """The yardstick of a study whose scores go by `protocol`; `run` has not been trained.

    Raises:
        InputError: the real images do not allow a score, as where a class has but one image, again
            and again.
    """
    data, real = evaluator.data, evaluator.real
    floor = extrapolated_floor(real.features, GENERATED, seed)
    try:
        untrained = evaluator.scores(run, seed=seed)
    except DivergedError as error:
        raise InputError(
            f"{data.name} cannot be scored ({error}): look for images that are all alike with "
            "cgan-search data show"
        ) from error
    return Yardstick(
        protocol=protocol,
        n_real=data.n,
        n_generated=GENERATED,
        counts=data.counts,
        floor=floor.floor,
        half_floor=floor.halves,
        half_n=floor.half_n,
        untrained=untrained,
        witness=evaluator.witness.accuracy,
        cas=None
        if evaluator.validation is None
        else evaluator.validation.score(
            torch.tensor(data.images), torch.tensor(data.labels), seed=0
        ),
    )
