"""How files become pixels: one `Reading` for all images of a study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spaces.errors import InputError

FITS = ("crop", "pad", "stretch")
BACKGROUNDS = "black, white or #rrggbb"
SHARE = 8
"""What it uses is stretched in a set of 16-bit images, if that is under 1 / SHARE of its range."""
_FULL = {"16-bit": (0.0, 65535.0)}
_HEX = {"black": "#000000", "white": "#ffffff"}


@dataclass(frozen=True)
class Levels:
    """Values of deep images that become black and white: the same for every image of a set.

    Attributes:
        ranges: (depth, black, white), depth being '16-bit', '32-bit', 'float' or 'DICOM'; empty
            where they are not known, or not needed as all images have 8 bits.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()

    @classmethod
    def of(cls, spans: Iterable[tuple[str, float, float]]) -> Levels:
        """Those of a set whose images have these depths, least and greatest values.

        16-bit images keep their full range if the set uses an eighth of it or more, so that such
        sets are read alike. Else it is what the set uses: 12 bits in 16, or 32-bit values.
        """
        used: dict[str, tuple[float, float]] = {}
        for depth, low, high in spans:
            least, greatest = used.get(depth, (low, high))
            used[depth] = (min(least, low), max(greatest, high))
        for depth, (black, white) in _FULL.items():
            least, greatest = used.get(depth, (0, 0))
            if depth in used and (greatest - least) * SHARE >= white - black:
                used[depth] = (black, white)
        return cls(tuple((depth, *ends) for depth, ends in sorted(used.items())))

    @classmethod
    def parse(cls, text: str | None) -> Levels:
        """The inverse of `str`; None or 'None' are unknown levels."""
        if text in (None, "", "None"):
            return cls()
        parts = (part.split() for part in text.split(", "))
        return cls(tuple((depth, float(low), float(high)) for depth, low, _, high in parts))

    def __str__(self) -> str:
        """Such as ``16-bit 0 to 4095``."""
        return ", ".join(f"{d} {_exact(low)} to {_exact(high)}" for d, low, high in self.ranges)

    def __or__(self, other: Levels) -> Levels:
        """These, and those of `other` for depths that have none here."""
        ranges = {r[0]: r for r in (*other.ranges, *self.ranges)}
        return Levels(tuple(ranges[depth] for depth in sorted(ranges)))

    def at(self, depth: str, span: tuple[float, float]) -> tuple[float, float]:
        """Black and white of images of `depth`; where not known, the full range, or `span`."""
        known: Mapping[str, tuple[float, float]] = {d: (low, high) for d, low, high in self.ranges}
        return known.get(depth) or _FULL.get(depth, span)

    @property
    def stretched(self) -> Levels:
        """Without those that are the full range of their depth."""
        return Levels(tuple(r for r in self.ranges if _FULL.get(r[0]) != r[1:]))


@dataclass(frozen=True)
class Reading:
    """How image files become square 8-bit pixels.

    Attributes:
        fit: 'crop' to the centre square, 'pad' with black, or 'stretch' either side to the square.
        background: what transparent pixels are laid on: 'black', 'white' or '#rrggbb'.
        levels: the range of images of more than 8 bits; unknown ones follow from the set that is
            read, and hold for whatever is compared with it.
    """

    fit: str = "crop"
    background: str = "black"
    levels: Levels = Levels()

    def __post_init__(self) -> None:
        """Raise InputError for a value that is none of those; colours get one spelling."""
        if self.fit not in FITS:
            raise InputError(f"--fit is {self.fit!r}, but must be one of {', '.join(FITS)}")
        plain = self.background.lower()
        if plain not in _HEX and not re.fullmatch("#[0-9a-f]{6}", plain):
            raise InputError(
                f"--background is {self.background!r}, but must be {BACKGROUNDS}, such as #f0f0f0"
            )
        names = {colour: name for name, colour in _HEX.items()}
        object.__setattr__(self, "background", names.get(plain, plain))

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Reading:
        """The one that the settings of a study or of a generator record.

        Records from before there were backgrounds and levels lack them; theirs was black.
        """
        levels = settings.get("levels")
        return cls(
            str(settings.get("fit", "crop")),
            str(settings.get("background", "black")),
            Levels.parse(None if levels is None else str(levels)),
        )

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The background's red, green and blue, 0 to 255."""
        red, green, blue = bytes.fromhex(_HEX.get(self.background, self.background)[1:])
        return red, green, blue

    @property
    def settings(self) -> dict[str, str | None]:
        """What a study records of it; `of` is the inverse."""
        levels = str(self.levels) or None
        return {"fit": self.fit, "background": self.background, "levels": levels}


def _exact(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


USUAL = Reading()
