"""The arms of an augmentation study: what a classifier learns from, and in what way.

``real + synthetic`` alone shows nothing. Each further arm rules out one cheap explanation of a
gain: the number of images (duplicates), their softness (blurred), any regulariser (classical
augmentation, mixup), how well the generator was trained (early). ``oracle`` and ``selected`` ask
how much better generated images could do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from spaces.errors import InputError

Added = Literal["synthetic", "duplicates", "blurred", "early", "selected", "oracle"]
"""What a ratio above 0 counts: images of the generator; real images again; these as soft as the
generator's; images of a generator that was stopped early; those of the generator's images that a
classifier of the real ones agrees with; images of the generator under study, which saw more real
images than the cell has."""
Taught = Literal["plain", "classical", "mixup"]
"""How a classifier learns: from images as they are, varied in each batch (see
`analysis.augmentation.classifier.fit.CLASSICAL`), or mixed in pairs."""


@dataclass(frozen=True)
class Arm:
    """One of them.

    Attributes:
        name: in tables and files.
        taught: how it learns.
        added: what it learns from besides the real images; None for the arms of ratio 0.
        alone: whether it learns from what is added without the real images.
        usual: whether it runs unless other arms are asked for.
    """

    name: str
    taught: Taught
    added: Added | None = None
    alone: bool = False
    usual: bool = True


REAL, CLASSICAL, MIXUP = "real", "classical", "mixup"
ADDED, DUPLICATES, BLURRED = "real + synthetic", "real + duplicates", "real + blurred"
BOTH, AGAIN, SOFTENED = "classical + synthetic", "classical + duplicates", "classical + blurred"
ALONE, BLURRED_ALONE = "synthetic only", "blurred only"
EARLY, SELECTED, ORACLE = "real + early", "real + selected", "real + oracle"

_ALL = (
    Arm(REAL, "plain"),
    Arm(CLASSICAL, "classical"),
    Arm(MIXUP, "mixup"),
    Arm(ADDED, "plain", "synthetic"),
    Arm(DUPLICATES, "plain", "duplicates"),
    Arm(BLURRED, "plain", "blurred"),
    Arm(BOTH, "classical", "synthetic"),
    Arm(AGAIN, "classical", "duplicates"),
    Arm(SOFTENED, "classical", "blurred"),
    Arm(ALONE, "plain", "synthetic", alone=True),
    Arm(BLURRED_ALONE, "plain", "blurred", alone=True),
    Arm(EARLY, "plain", "early", usual=False),
    Arm(SELECTED, "plain", "selected", usual=False),
    Arm(ORACLE, "plain", "oracle", usual=False),
)
ARMS: Final = {arm.name: arm for arm in _ALL}
"""All arms by name, in the order of tables."""
USUAL: Final = tuple(arm.name for arm in _ALL if arm.usual)

CONTROLS: Final = {
    ADDED: (REAL, DUPLICATES, BLURRED),
    BOTH: (CLASSICAL, AGAIN, SOFTENED),
}
"""What an arm with synthetic images has to beat, before they are said to help: the same training
without them, with as many duplicates, and with as many real images made as soft."""
PAIRS: Final = (
    *((control, arm) for arm, controls in CONTROLS.items() for control in controls),
    (CLASSICAL, ADDED),
    (MIXUP, ADDED),
    (REAL, ALONE),
    (BLURRED_ALONE, ALONE),
    (EARLY, ADDED),
    (ADDED, SELECTED),
    (ADDED, ORACLE),
    (REAL, DUPLICATES),
    (DUPLICATES, BLURRED),
    (REAL, CLASSICAL),
    (REAL, MIXUP),
)
"""Which arm is held against which."""


def parse_arms(text: str) -> tuple[str, ...]:
    """``real,real+synthetic`` as names of arms, in the order of tables; spaces do not matter.

    Raises:
        InputError: a name that is not an arm's, or that comes twice.
    """
    known = {name.replace(" ", ""): name for name in ARMS}
    asked = ["".join(part.split()) for part in text.split(",")]
    for name in asked:
        if name not in known:
            raise InputError(
                f"--arms is {text!r}, but {name!r} is not an arm; choose from {', '.join(known)}"
            )
        if asked.count(name) > 1:
            raise InputError(f"--arms is {text!r}, but {name} appears twice")
    return tuple(name for short, name in known.items() if short in asked)
