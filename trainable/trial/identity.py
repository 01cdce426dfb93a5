"""What the scores of a run hang on, beside its parameters and its number. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from trainable.data.labelling import Labelling
from trainable.data.reading import Reading

_NAMES = {
    "data_digest": "images",
    "held_out_digest": "held-out images",
    "validation_digest": "images held back",
    "protocol": "network of FID",
    "weights_sha256": "weights of that network",
    "backbone_sha256": "backbone",
    "init_sha256": "first generator",
    "seed": "seed",
}
"""The facts that tell, wherever files lie, whether two runs must be alike; and what to call them.
Single runs keep them in run.json under these names, so that the names must stay."""
_TYPES = {"image_size": int, "hold_back": float, "seed": int}


class Difference(NamedTuple):
    """A fact in which two runs differ."""

    fact: str
    name: str
    was: object
    now: object

    def __str__(self) -> str:
        """Such as ``images (0b1c…, now 77aa…)``."""
        return f"{self.name} ({str(self.was)[:40]}, now {str(self.now)[:40]})"


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """Which images, networks and seed a run has; before they are read, which it is to have.

    Attributes:
        data, labels, label_columns, classes: where images are from, and which classes they have
            (see `Labelling`); `data_digest` says what was found there.
        image_size, fit, background, levels: how they are read (see `Reading`).
        held_out: where held-out images are from, None for a default; `held_out_digest` what they
            are.
        hold_back: share of each class that generators do not see; `validation_digest` what that is.
        features: the network that scores are computed on; `protocol` and `weights_sha256` fix it.
            Before it is loaded, the protocol is its resize rule.
        backbone: the network that discriminators may stand on, or ``none``; `backbone_sha256` fixes
            its weights.
        init_from: where generators' first weights come from, or None; `init_sha256` fixes them.
        seed: what all random draws follow from.
    """

    data: str = "phantom"
    labels: str | None = None
    label_columns: str | None = None
    classes: str | None = None
    data_digest: str | None = None
    image_size: int = 64
    fit: str = "crop"
    background: str = "black"
    levels: str | None = None
    held_out: str | None = None
    held_out_digest: str | None = None
    hold_back: float = 0.0
    validation_digest: str | None = None
    features: str = "auto"
    protocol: str = "bilinear"
    weights_sha256: str | None = None
    backbone: str = "none"
    backbone_sha256: str | None = None
    init_from: str | None = None
    init_sha256: str | None = None
    seed: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> RunIdentity:
        """The one that a record says, as of values or, in MLflow, of their text.

        Other settings in it are passed over. What it lacks has the default, as former versions did.
        """
        known = {f.name: settings.get(f.name) for f in fields(cls)}
        return cls(**{
            name: _TYPES.get(name, str)(value)
            for name, value in known.items()
            if value is not None and value != "None"
        })  # fmt: skip

    @property
    def settings(self) -> dict[str, Any]:
        """What a record says of it; `of` is the inverse."""
        return asdict(self)

    @property
    def reading(self) -> Reading:
        """How image files become pixels."""
        return Reading.of(self.settings)

    @property
    def labelling(self) -> Labelling:
        """Where the images' classes are from."""
        return Labelling.of(self.settings)

    @property
    def named(self) -> dict[str, Any]:
        """The facts that tell whether two runs must be alike, by their names."""
        return {name: getattr(self, fact) for fact, name in _NAMES.items()}

    def differences(self, other: RunIdentity) -> list[Difference]:
        """In which of those facts `other`, the present, differs."""
        facts = [
            Difference(fact, name, getattr(self, fact), getattr(other, fact))
            for fact, name in _NAMES.items()
        ]
        return [fact for fact in facts if fact.was != fact.now]
