"""How two folders are to be compared, and what comes of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from trainable.data.reading import USUAL


@dataclass(frozen=True, kw_only=True)
class Options:
    """How two folders are to be compared.

    Attributes:
        size: side of the squares that images become first, as a search reads its images. With None
            each file goes to the extractor's input as it is, as in pytorch-fid, and only scores in
            pixels are of squares.
        features, weights, resize, unverified: the extractor, see
            `trainable.pretrained.extractors.load_extractor`.
        background: colour behind transparent pixels.
        train: a folder with the generator's training images, to look for copies of; those of the
            real folder if None.
        baseline: the JSON of an earlier result to hold this one against.
        neighbours: a PNG to draw the nearest pairs on.
    """

    size: int | None = None
    features: str = "auto"
    weights: Path | None = None
    resize: str = "bilinear"
    unverified: bool = False
    background: str = USUAL.background
    train: Path | None = None
    baseline: Path | None = None
    neighbours: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What must be equal for two results to compare.

    Attributes:
        protocol: extractor, resize rule, and whether images were squares or files as they are.
        weights: SHA-256 of the extractor's weights, in hex.
        image_size: side of the squares that features are of; None for files as they are.
        n_real, n_fake, n_train: images in each set; those of training are the real ones where no
            others were given.
        real_digest, train_digest: SHA-256 of what scores depend on, in hex.
        classes: names of the classes, in order; empty if not both folders have them.
    """

    protocol: str
    weights: str
    image_size: int | None
    n_real: int
    n_fake: int
    n_train: int
    real_digest: str
    train_digest: str
    classes: list[str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The scores of a folder of generated images.

    Attributes:
        scores: those of `trainable.metrics.scores.all_scores`, class names for numbers
            (``fid/cats``), ``inception_score_real``, ``floor``, and ``floor/<class>`` for each
            class; None where there is no finite number.
        conditions: what they rest on.
        pixel_size: side of the squares that scores in pixels compare.
        features: the extractor, in words.
        warnings: what the reader should be told, in lines.
        baseline: the earlier scores, if there are any to compare with.
    """

    scores: dict[str, float | None]
    conditions: Conditions
    pixel_size: int
    features: str
    warnings: list[str]
    baseline: dict[str, float | None] | None

    def to_json(self) -> dict[str, object]:
        """One object, scores and conditions side by side; ``baseline`` only if there is one."""
        earlier = {} if self.baseline is None else {"baseline": self.baseline}
        return {
            **self.scores,
            **asdict(self.conditions),
            "pixel_size": self.pixel_size,
            "features": self.features,
            "warnings": self.warnings,
            **earlier,
        }
