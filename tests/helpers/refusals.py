"""What users must be told: flags, values, limits, commands; never the sentence around them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spaces.errors import InputError


def tells(text: str, *parts: object) -> bool:
    """For `assert tells(out, "--epochs", 5)`: a text holds each part, which fails by name if not.

    A part stands by itself: 5 is not in "50" nor in "0.5", and `--lr` is not in `--lr-decay`.
    """
    missing = [part for part in map(str, parts) if not re.search(_alone(part), text)]
    assert not missing, f"{missing} missing in:\n{text}"
    return True


def _alone(part: str) -> str:
    before = r"(?<![\w.])" if re.match(r"\w", part) else ""
    after = r"(?!\w|[.-]\w)" if re.match(r"\w", part[-1:]) else ""
    return before + re.escape(part) + after


@contextmanager
def refused(*parts: object) -> Iterator[pytest.ExceptionInfo[InputError]]:
    """The block raises `InputError`, whose text holds each part: what was given, the remedy."""
    with pytest.raises(InputError) as error:
        yield error
    assert tells(str(error.value), *parts)
