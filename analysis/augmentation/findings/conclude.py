"""The end of an augmentation study: tables, figures, and a page with the sentences on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from analysis.augmentation.design.cells import Cell, Result
from analysis.augmentation.findings import draw
from analysis.augmentation.findings.results import Findings
from analysis.augmentation.findings.tables import (
    ON_PAGE_ONLY,
    as_markdown,
    as_table,
    claim_rows,
    comparison_rows,
    rate_rows,
    score_rows,
    write_comparisons,
    write_table,
)
from analysis.figures.style import save
from trainable.basics.files import write_whole
from trainable.basics.markdown import escaped
from trainable.basics.terminal import say

FOUND = "findings.md"
MEANS = "mean of repeats ± half of the 95 % interval"
CLAIMED = (
    "what is claimed of synthetic images: they help where they beat every control, by one test "
    "over repeats and test images; p adjusted for all claims (Holm), which tells below {:.2g} at "
    "this look"
)
DIFFERENCES = (
    "all differences in accuracy, by the same test; each stands by itself, so that one in twenty "
    "leaves out 0 by chance"
)
RATES = "optimiser steps to {:.0%} on validation, as a multiple of a control's"


def conclude(
    folder: Path,
    findings: Findings,
    results: Mapping[Cell, Result],
    about: Sequence[str],
    test: int,
    reach: float,
    console: Console,
) -> list[Path]:
    """Print and write what was found; returns the files.

    `about` says how the study was made; `test` is the number of test images, and `reach` the
    accuracy that steps are counted to.

    Raises:
        OSError: the folder cannot be written to.
    """
    files = [write_table(folder, results, reach)]
    if not findings.complete:
        say(console, "no classifier could be trained: see the reasons above")
        return files
    files += write_comparisons(folder, findings)
    claimed_title = CLAIMED.format(findings.level)
    scores, claimed = score_rows(findings, reach), claim_rows(findings.claims)
    compared = comparison_rows(findings.comparisons)
    said = findings.sentences()
    if findings.diverged:
        said.append(f"{findings.diverged} cells diverged and are in no mean")
    page = folder / FOUND
    write_whole(
        page,
        "\n".join(f"- {escaped(line)}" for line in (*said, *about))
        + f"\n\nPercent, {MEANS}:\n\n{as_markdown(scores)}\n"
        + "\n".join(
            f"{title[0].upper()}{title[1:]}:\n\n{as_markdown(rows)}"
            for title, rows in (
                (claimed_title, claimed),
                (DIFFERENCES, compared),
                (RATES.format(reach), rate_rows(findings.rates(reach))),
            )
            if rows[1]
        ),
    )
    figures: dict[str, Figure] = {
        "accuracy": draw.accuracy(findings, test),
        "benefit": draw.benefit(findings),
        "errors": draw.errors(findings),
        "training": draw.training(findings),
    }
    for name, figure in figures.items():
        files += save(figure, folder, name)
    title = f"percent, {MEANS}; {page.name} has more scores, and every difference"
    console.print(as_table(title, scores, (*ON_PAGE_ONLY, scores[0][-1])))
    if findings.claims:
        console.print(as_table(claimed_title, claimed))
    for line in said:
        say(console, line)
    files.append(page)
    for path in files:
        say(console, str(path))
    return files
