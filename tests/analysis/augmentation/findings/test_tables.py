"""An augmentation study's tables on a terminal."""

from __future__ import annotations

import io

import pytest

from analysis.augmentation.design.arms import ARMS, CONTROLS
from analysis.augmentation.findings.results import SCORES
from analysis.augmentation.findings.tables import ON_PAGE_ONLY, as_table, claim_rows
from trainable.basics.terminal import make_console

SCORE_HEAD = ["real", "arm", "ratio", "repeats", *SCORES.values(), "steps to 90%"]
CLAIM_HEAD, _ = claim_rows([])
CLAIMED = max(CONTROLS, key=len)
LONGEST = max(ARMS, key=len)


@pytest.mark.parametrize("width", [80, 120])
def test_every_figure_is_whole_within_a_terminals_columns(width):
    scores = ["1200", LONGEST, "0.5", "10", *["100.0 ± 12.3"] * len(SCORES), "never"]
    claim = ["1200", "0.5", CLAIMED, LONGEST, "-10.2", "-20.1 to +20.3", "0.999", "not told"]
    out = io.StringIO()
    console = make_console(file=out, width=width)
    console.print(as_table("scores", (SCORE_HEAD, [scores]), (*ON_PAGE_ONLY, SCORE_HEAD[-1])))
    console.print(as_table("claims", (CLAIM_HEAD, [claim])))
    said = out.getvalue()
    assert all(len(line) <= width for line in said.splitlines())
    assert "…" not in said
    assert said.count("100.0 ± 12.3") == len(SCORES) + 1 - len(ON_PAGE_ONLY)  # repeats is no score
    for value in ("1200", "-20.1 to +20.3", "0.999"):
        assert value in said
    assert (said.count(LONGEST) >= 2) == (width == 120)  # else names break
