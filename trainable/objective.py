"""What a search minimises: a score, or a weighted sum of scores."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spaces.errors import InputError

SCORES = ("fid", "kid", "is")
_KEYS = {"fid": "fid", "kid": "kid", "is": "inception_score"}
_TERM = re.compile(r"(?:(\d+(?:\.\d+)?)\*)?(fid|kid|is)")


@dataclass(frozen=True)
class Objective:
    """``fid``, ``kid`` or ``is`` alone, or a weighted sum of FID and KID such as ``fid+0.5*kid``.

    Lower is always better: the Inception Score enters with its sign turned. In a sum each score is
    divided by that of the untrained generator, so that equal weights weigh equally; a lone score
    stays as it is.

    Attributes:
        text: as the user gave it.
        terms: (weight, score) pairs.
    """

    text: str
    terms: tuple[tuple[float, str], ...]

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``--objective``.

        Raises:
            InputError: the text is no such sum.
        """
        matches = [_TERM.fullmatch(part) for part in text.split("+")]
        terms = tuple((float(m[1] or 1), m[2]) for m in matches if m)
        names = [name for _, name in terms]
        lone = len(terms) == 1 and "*" not in text
        summed = len(terms) > 1 and len(set(names)) == len(names) and "is" not in names
        if None in matches or not (lone or summed) or sum(weight for weight, _ in terms) == 0:
            raise InputError(
                f"--objective is {text!r}, but must be fid, kid, is, or a weighted sum of fid and "
                "kid such as fid+0.5*kid"
            )
        return cls(text, terms)

    def value(self, scores: Mapping[str, float], untrained: Mapping[str, float]) -> float:
        """The number to minimise, from a generator's scores and the untrained generator's."""
        if len(self.terms) == 1:
            ((_, name),) = self.terms
            return -scores[_KEYS[name]] if name == "is" else scores[name]
        total = sum(weight for weight, _ in self.terms)
        return sum(w * scores[name] / untrained[name] for w, name in self.terms) / total
