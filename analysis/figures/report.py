"""A study as one HTML file that needs no network.

The answer in a few sentences, FID against training time with a gallery behind each point, the
leaderboard, and every figure. Images are kept small: WebP, and as many trials' as `--megabytes`
holds, winners first and then the best.
"""

from __future__ import annotations

import argparse
import html
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console

from analysis.figures import (
    fid_vs_time,
    hyperparameters,
    interactions,
    learning_curves,
    parallel,
    samples,
)
from analysis.figures.pictures import embedded, moving_image, still_image
from analysis.figures.style import STYLES, folder, words, writable
from analysis.study.artifacts import fetch_grids, keep
from analysis.study.rungs import at, at_rung, rungs
from analysis.study.table import StudyTable, load_study
from analysis.study.trials import BROKEN, best, feasible, winners
from analysis.study.verdict import verdict
from spaces.errors import InputError
from trainable.basics.files import write_whole
from trainable.basics.progress import Progress, Stage, silent, stage
from trainable.basics.terminal import say
from trainable.data.sheets import spread
from trainable.gan.config import TrialConfig
from trainable.gan.fields import meanings
from trainable.tracking.client import reason

_T = TypeVar("_T")
PAGE = Path(__file__).with_name("report.html")
EPOCHS = 10
"""Pictures of a trial, spread over its training."""
ROWS = 100
"""Of the leaderboard."""
READING = """
<p><b>FID</b> (Fréchet inception distance) measures how unlike two sets of images are, to a network
that was trained on photographs; less is better. It depends on the network and on the number of
images, so only scores with the same label compare. <b>Floor</b> is what real images score against
other real ones: about as good as can be had. <b>Fresh</b> is FID on images that the search never
used, with a 95 % interval: the best of many scores flatters itself, this does not. A
<b>winner</b> is a trial that was scored so and passed the <b>gates</b>: limits on copies of
training images, on sameness, and on how little of the real images is covered.</p>
<p>A trial that is <b>pruned</b> was stopped early because others were better after as much
training; <b>diverged</b> and <b>collapsed</b> ones broke down. A generator that copies its
training images would score well: see the copy rates, and
<code>cgan-search figures neighbours</code>.</p>
"""
OF_PATIENTS = """
<p>The training images are of patients, those shown here are not. Synthetic images of this kind are
for research on methods and must not be used for diagnosis.</p>
"""


def answer(table: StudyTable) -> list[str]:
    """Who won, what is best and what it costs, and what decides, in a sentence each."""
    trials, found = feasible(table, "train_seconds"), best(table)
    if trials.empty or found is None:
        return ["No trial of this study has a score without breaking down."]
    return [verdict(table), *_cost(trials, *found, table.floor), _decides(table)]


def _cost(trials: pd.DataFrame, number: int, how: str, floor: float) -> list[str]:
    """The score of the trial `number`, and who has one near it for less training."""
    rows = [row for row in trials.to_dict("records") if row["number"] == number]
    if not rows:  # it trained in no known time
        return []
    own = rows[0]
    said = f"Trial {number}, {how}: FID {own['fid']:.1f}"
    if math.isfinite(own.get("fresh", math.nan)):
        said += (
            f", and {own['fresh']:.1f} ({own['fresh_low']:.1f} to {own['fresh_high']:.1f}) on "
            "fresh images"
        )
    if math.isfinite(floor):
        said += f", {_over(own, floor):.2f} times the floor of {floor:.1f}"
    lines = [said + f", after {own['train_seconds']:.0f} s of training."]
    columns = (trials[c].tolist() for c in ("train_seconds", "fid", "number"))
    near = [row for row in zip(*columns, strict=True) if row[1] <= 1.1 * own["fid"]]
    seconds, fid, fastest = min(near)
    if fastest == number:
        return [*lines, "No trial within 10 % of its FID took less training."]
    return [
        *lines,
        f"Within 10 % of its FID, trial {fastest} took the least training: {seconds:.0f} s, "
        f"FID {fid:.1f}.",
    ]


def _over(row: dict[str, Any], floor: float) -> float:
    """FID over the floor as the leaderboard has it: of fresh images where there are any."""
    fresh = row.get("fresh", math.nan)
    return (fresh if math.isfinite(fresh) else row["fid"]) / floor


def _decides(table: StudyTable) -> str:
    first, fault = _attempt(table, lambda: hyperparameters.found(table)[0])
    if first is None:
        return f"Which hyperparameters decide cannot be said: {fault}."
    clear = [name for name, of in first.by_name.items() if not of.chance][:3]
    where = at(table, first.rung)
    if clear:
        return f"{', '.join(clear)} mattered most for FID {where}."
    return f"No hyperparameter mattered for FID {where} by more than chance would give."


def _attempt(table: StudyTable, do: Callable[[], _T]) -> tuple[_T | None, str]:
    """What `do` gives, or None and why: one part of a page must not take the others down."""
    try:
        return do(), ""
    except InputError as error:
        return None, str(error).removeprefix(f"--study {table.name}: ")
    except Exception as error:  # a fault of ours, or of a library, in a study unlike all before
        return None, f"this failed ({type(error).__name__}: {reason(error)})"


def ranked(table: StudyTable) -> pd.DataFrame:
    """The trials: winners by rank, then others scored on fresh images, then those that trained by
    last FID, then the rest."""
    trials = table.trials.copy()
    trials["broken"] = trials["status"].isin(BROKEN)
    order = ["winner", "rank", "broken", "fid", "number"]
    return trials.sort_values(order, na_position="last")


def gallery(
    table: StudyTable, order: Sequence[int], limit: int, progress: Progress
) -> tuple[dict[int, list[dict[str, Any]]], list[str]]:
    """Pictures by trial, each with its epoch and FID, in all at most `limit` bytes as text; and why
    some trials' cannot be had.

    `progress` is told how many trials' are fetched.
    """
    fids = {
        (number, epoch): fid
        for number, epoch, fid in zip(
            *(table.curves[c].tolist() for c in ("number", "epoch", "fid")), strict=True
        )
    }
    found: dict[int, list[dict[str, Any]]] = {}
    faults, spent = [], 0
    for done, number in enumerate(order, start=1):
        grids, fault = _attempt(table, partial(fetch_grids, table, number))
        progress(done, len(order))
        if grids is None:
            faults.append(fault)
            continue
        pictures = [
            {"epoch": e, "fid": _number(fids.get((number, e))), "image": embedded(grids[e])}
            for e in spread(sorted(grids), EPOCHS)
        ]
        spent += sum(len(picture["image"]) for picture in pictures)
        if spent > limit:
            break
        if pictures:
            found[number] = pictures
    return found, faults


def page(table: StudyTable, megabytes: float, stage: Stage = silent) -> str:
    """The whole file; `stage` begins what takes long."""
    order = ranked(table)
    reached = set(at_rung(table, rungs(table)[min(1, len(rungs(table)) - 1)]).observed.index)
    asked = [n for n in order["number"].tolist() if n in reached]
    with stage("fetching pictures") as progress:
        pictures, faults = gallery(table, asked, int(megabytes * 1e6), progress)
    parts, figures = _parts(table), []
    with stage("drawing figures") as progress:
        for title, make in parts.items():
            said = html.escape(title)
            made, fault = _attempt(table, partial(make, said))
            figures.append(
                f"<figure><h3>{said}</h3>{made}</figure>"
                if made
                else f"<p class='note'>{said}: {html.escape(fault)}</p>"
            )
            progress(len(figures), len(parts))
    trials = [_trial(row, pictures, table.floor) for row in order.to_dict("records")]
    data = {
        "trials": trials,
        "meanings": meanings(TrialConfig),
        "floor": _number(table.floor),
        "score": table.score,
        "colours": {status: colour for status, (_, colour) in STYLES.items()},
        "shown": ROWS,
    }
    counts = Counter(order["status"])
    said = ", ".join(f"{n} {words(status)}" for status, n in counts.most_common())
    # The folder's name alone: a page is made to be shared, and a path may name a patient.
    about = (
        f"{len(order)} trials ({said}) of space {table.settings.get('space', '?')} on "
        f"{Path(table.settings.get('data', '?')).name}, "
        f"{table.settings.get('image_size', '?')} pixels; scores are {table.score}."
    )
    kept = (
        f"Images of {len(pictures)} of {len(order)} trials: those that reached the second rung, "
        f"winners and the best first, up to {megabytes:g} MB. "
        + (f" Those of {len(faults)} trials are missing: {faults[0]}." if faults else "")
    )
    names = ", ".join(f"<bdi>{html.escape(name)}</bdi>" for name in table.counts)
    more = f" The best {ROWS}; leaderboard.csv of the study has all." if len(order) > ROWS else ""
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(f"Study {table.name}"),
        about=html.escape(about),
        answer="".join(f"<p>{html.escape(line)}</p>" for line in answer(table)),
        gallery=f"{html.escape(kept)} A row a class{f': {names}' if names else ''}.",
        standings=html.escape("Click a row to see its images." + more),
        figures="\n".join(figures),
        reading=READING + (OF_PATIENTS if table.of_patients else ""),
        data=json.dumps(data).replace("<", "\\u003c"),
    )


def _parts(table: StudyTable) -> dict[str, Callable[[str], str]]:
    """What makes the HTML of each picture of the page from its title, by title."""
    who = "winner" if winners(table) else "best trial, which is not a winner,"

    def pairs() -> Figure:
        return interactions.draw(table, interactions.strongest(table))

    def shown() -> int:
        return samples.shown_trial(table, None)

    drawings: dict[str, Callable[[], Figure]] = {
        f"What the {who} learned to draw": lambda: samples.draw(table, shown())[0],
        "FID as trials trained": lambda: learning_curves.draw(table),
        "Which hyperparameters matter, and which way": lambda: hyperparameters.draw(table),
        "Pairs of hyperparameters": pairs,
        "Configurations of good trials": lambda: parallel.draw(table),
        "FID against training time, for print": lambda: fid_vs_time.draw(table),
    }
    film = {
        f"How the {who} learned": lambda said: moving_image(samples.frames(table, shown()), said)
    }
    return film | {title: partial(_drawn, draw) for title, draw in drawings.items()}


def _drawn(draw: Callable[[], Figure], said: str) -> str:
    return still_image(draw(), said)


def _trial(
    row: dict[str, Any], pictures: dict[int, list[dict[str, Any]]], floor: float
) -> dict[str, Any]:
    fresh = ""
    if math.isfinite(row.get("fresh", math.nan)):
        fresh = f"{row['fresh_low']:.0f} to {row['fresh_high']:.0f}"
    params = {
        str(name).removeprefix("params."): f"{value:.4g}"
        if isinstance(value, float)
        else str(value)
        for name, value in row.items()
        if str(name).startswith("params.") and value is not None and value == value
    }
    return {
        "number": row["number"],
        "status": row["status"],
        "broken": bool(row["broken"]),
        "winner": _number(row["winner"]),
        "fid": _number(row["fid"]),
        "fresh": fresh,
        "over": _number(_over(row, floor)),
        "tie": bool(row["tie"]),
        "copies": _number(row["copy_rate"]),
        "coverage": _number(row["coverage"]),
        "gates": _gates(row["failed"]),
        "epoch": _number(row["epoch"]),
        "seconds": _number(row["train_seconds"]),
        "params": params,
        "pictures": pictures.get(row["number"], []),
    }


def _gates(failed: str | float) -> str:
    """What the leaderboard says of them; nothing for a trial that was not assessed."""
    if not isinstance(failed, str):
        return ""
    return f"fails: {failed}" if failed else "passed"


def _number(value: float | None) -> float | None:
    """A finite number, whole if it is; None otherwise, as JSON knows no NaN."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else round(float(value), 4)


def report(args: argparse.Namespace, console: Console) -> None:
    """Read the study, write the page, and say what it answers.

    Raises:
        InputError: the study cannot be read, or the page not be written.
    """
    with stage(console, "reading trials") as progress:
        table = load_study(args.study, args.tracking_uri, progress)
    text = page(table, args.megabytes, partial(stage, console))
    out = folder(args.out, table.name)
    path = out / "report.html"
    with writable(out):
        write_whole(path, text.encode(errors="backslashreplace"))  # of names not in UTF-8
    for line in filter(None, [table.note, *answer(table)]):
        say(console, line)
    with stage(console, "keeping the report in MLflow"):
        fault = keep(table, path)
    kept = "also in MLflow" if fault is None else f"not in MLflow ({fault})"
    say(console, f"{path}, {path.stat().st_size / 1e6:.1f} MB, {kept}")
