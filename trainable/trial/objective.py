"""What a search minimises: a score, a weighted sum of scores, or two of them at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spaces.errors import InputError
from trainable.trial.report import CAS

_KEYS = {"fid": "fid", "kid": "kid", "is": "inception_score", "classifier": CAS}
_NAMES = {"fid": "FID", "kid": "KID", "is": "negative IS", "classifier": "classifier's error"}
_TERM = re.compile(r"(?:(\d+(?:\.\d+)?)\*)?([a-z]+)")
_MOST = 2


@dataclass(frozen=True)
class Goal:
    """One number to minimise: a score, or a weighted sum of FID, KID and the classifier's error.

    The Inception Score enters with its sign turned, and a classifier with its error, 1 less the
    classification accuracy score. In a sum each is divided by that of the untrained generator, so
    that equal weights weigh equally; a lone score stays as it is.

    Attributes:
        text: as the user gave it.
        terms: (weight, score) pairs.
    """

    text: str
    terms: tuple[tuple[float, str], ...]

    @property
    def name(self) -> str:
        """What its value is, for a reader: ``FID``, ``FID+0.5*classifier's error``."""
        return re.sub("[a-z]+", lambda term: _NAMES[term[0]], self.text)

    @property
    def shares(self) -> frozenset[tuple[str, float]]:
        """Each score's share of the weights: equal for goals that are one goal written twice."""
        total = sum(weight for weight, _ in self.terms)
        return frozenset((name, round(weight / total, 9)) for weight, name in self.terms)

    def shown(self, value: float) -> str:
        """Its value for a reader: ``62.1`` of a lone FID, ``7.0%`` of a lone classifier's error."""
        style = {"fid": ".1f", "classifier": ".1%"}.get(self.text, ".4g")
        return f"{value:{style}}"

    def value(self, scores: Mapping[str, float], untrained: Mapping[str, float]) -> float:
        """The number, from a generator's scores and the untrained generator's."""
        if len(self.terms) == 1:
            return _lower(self.terms[0][1], scores)
        total = sum(weight for weight, _ in self.terms)
        shares = ((w * _lower(name, scores), _lower(name, untrained)) for w, name in self.terms)
        return sum(score / reference for score, reference in shares) / total


def _lower(name: str, scores: Mapping[str, float]) -> float:
    """A score, turned so that lower is better."""
    value = scores[_KEYS[name]]
    return {"is": -value, "classifier": 1 - value}.get(name, value)


@dataclass(frozen=True)
class Objective:
    """What ``--objective`` asks for: a `Goal`, or two with a comma between them.

    Of two, neither is traded for the other: a search then looks for the Pareto front, the trials
    that no other beats in both.

    Attributes:
        text: as the user gave it.
        goals: one or two.
    """

    text: str
    goals: tuple[Goal, ...]

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read ``--objective``.

        Raises:
            InputError: the text is none.
        """
        goals = [_goal(part) for part in text.split(",")]
        good = [goal for goal in goals if goal is not None]
        different = {goal.shares for goal in good}
        if not len(different) == len(good) == len(goals) <= _MOST:
            raise InputError(
                f"--objective is {text!r}, but must be fid, kid, is, classifier, a sum of fid, kid "
                "and classifier with weights above 0 such as fid+0.5*kid, or two different ones of "
                "these such as fid,classifier"
            )
        return cls(text, tuple(good))

    @property
    def needs_validation(self) -> bool:
        """Whether it takes real images that no generator sees."""
        return any(name == "classifier" for goal in self.goals for _, name in goal.terms)

    def values(
        self, scores: Mapping[str, float], untrained: Mapping[str, float]
    ) -> tuple[float, ...]:
        """The number of each goal, all to be minimised."""
        return tuple(goal.value(scores, untrained) for goal in self.goals)


def _goal(text: str) -> Goal | None:
    matches = [_TERM.fullmatch(part) for part in text.strip().split("+")]
    terms = tuple((float(m[1] or 1), m[2]) for m in matches if m)
    names = [name for _, name in terms]
    lone = len(terms) == 1 and "*" not in text
    summed = len(terms) > 1 and len(set(names)) == len(names) and "is" not in names
    known = None not in matches and set(names) <= _KEYS.keys()
    if not known or not (lone or summed) or any(weight == 0 for weight, _ in terms):
        return None
    return Goal(text.strip(), terms)
