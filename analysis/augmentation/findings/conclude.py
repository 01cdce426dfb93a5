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
    comparison_rows,
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
DIFFERENCES = (
    "differences in accuracy: 95 % and p by one test over repeats and test images; p adjusted for "
    "all comparisons here (Holm)"
)


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
    scores, compared = score_rows(findings, reach), comparison_rows(findings.comparisons)
    said = findings.sentences()
    if findings.diverged:
        said.append(f"{findings.diverged} cells diverged and are in no mean")
    page = folder / FOUND
    write_whole(
        page,
        "\n".join(f"- {escaped(line)}" for line in (*said, *about))
        + f"\n\nPercent, {MEANS}:\n\n{as_markdown(scores)}\n"
        f"{DIFFERENCES.capitalize()}:\n\n{as_markdown(compared)}",
    )
    figures: dict[str, Figure] = {
        "accuracy": draw.accuracy(findings, test),
        "errors": draw.errors(findings),
        "training": draw.training(findings),
    }
    for name, figure in figures.items():
        files += save(figure, folder, name)
    title = f"percent, {MEANS}; {page.name} has more scores"
    console.print(as_table(title, scores, ON_PAGE_ONLY))
    console.print(as_table(DIFFERENCES, compared))
    for line in said:
        say(console, line)
    files.append(page)
    for path in files:
        say(console, str(path))
    return files
