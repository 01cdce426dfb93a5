"""What all figures share: marks and colours of statuses, axes, and files."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import AutoLocator, LogLocator, NullLocator, StrMethodFormatter

from analysis.study.table import StudyTable
from spaces.errors import InputError

# Names of classes and studies are users' text: two dollar signs in one are no formula. Set here, as
# a text takes it when it is made, and ticks are made while a figure is drawn.
matplotlib.rcParams["text.parse_math"] = False

# Colours of Okabe and Ito, told apart by the colour-blind too; marks, so that grey print will do.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
STYLES = {
    "complete": ("o", BLUE),
    "pruned": ("s", ORANGE),
    "running": ("^", GREEN),
    "interrupted": ("v", "#56B4E9"),
    "failed": ("D", "#000000"),
    "diverged": ("X", RED),
    "out_of_memory": ("P", "#CC79A7"),
    "collapsed": ("<", "#882255"),  # of Tol: the yellow that is left is lost on paper
}
OTHER = ("h", "#7F7F7F")
"""Of a status that this version does not know."""
_NARROW = 1.5
"""Scores within such a factor get an axis as if they spanned it: two trainings differ by 5 %."""
_SHARE = 0.6
"""Of an axis, for the scores themselves."""
_LINE = 11  # points between two marks at one edge
_NO_FILES: Mapping[str, Callable[[], bytes]] = MappingProxyType({})


class Drawn(NamedTuple):
    """What each command's `drawn` gives: a figure, what it shows in lines of text, and the content
    of the files that are written beside it, by name."""

    figure: Figure
    said: Sequence[str] = ()
    files: Mapping[str, Callable[[], bytes]] = _NO_FILES


class Yardmark(NamedTuple):
    """An FID that others are held against, the style of its line, and what it is."""

    fid: float
    line: str | tuple[int, tuple[int, int]]
    text: str


def yardstick(table: StudyTable) -> list[Yardmark]:
    """A study's floor and untrained generator."""
    return [
        Yardmark(table.floor, "--", f"floor {table.floor:.1f}: real images against real"),
        Yardmark(table.untrained, ":", f"generator before training {table.untrained:.1f}"),
    ]


class NotebookFigure(Figure):
    """A figure that notebooks show without pyplot, which they otherwise need for that."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        write(self, file, format="png")
        return file.getvalue()


def canvas(width: float, height: float, *, loose: bool = False) -> Figure:
    """A figure, in inches, on a canvas of its own: pyplot and its state have no part in it.

    `loose` leaves the places of its parts to the caller.
    """
    layout = None if loose else "constrained"
    figure = NotebookFigure(figsize=(width, height), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def clean(ax: Axes) -> None:
    """A light grid behind the data, and no frame on the right and above."""
    ax.grid(color="0.92")
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


class _RoundTicks(LogLocator):
    """Ticks at 1, 2 and 5, or at more round numbers where these would be fewer than four."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Those between the two, and some beyond."""
        for subs in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
            self.set_params(subs=subs)
            found = super().tick_values(vmin, vmax)
            if sum(vmin <= value <= vmax for value in found) >= 4:
                return found
        return AutoLocator().tick_values(vmin, vmax)


def plain_log(ax: Axes, axis: str = "y") -> None:
    """A logarithmic axis with few round ticks, as plain numbers."""
    of = ax.yaxis if axis == "y" else ax.xaxis
    (ax.set_yscale if axis == "y" else ax.set_xscale)("log")
    of.set_major_locator(_RoundTicks())
    of.set_minor_locator(NullLocator())
    of.set_major_formatter(StrMethodFormatter("{x:,.6g}"))


def fid_axis(ax: Axes, fids: Iterable[float], yardstick: Sequence[Yardmark]) -> None:
    """A logarithmic axis of `fids`, with what they are held against: a line where that leaves the
    scores most of the axis, else a mark at its edge."""
    plain_log(ax)
    marks = [mark for mark in yardstick if mark.fid > 0]  # so not NaN
    own = [fid for fid in fids if 0 < fid < math.inf] or [mark.fid for mark in marks] or [1.0]
    low, high = min(own), max(own)
    most = max(math.log(high / low), math.log(_NARROW)) / _SHARE
    for mark in marks:
        if math.log(max(high, mark.fid) / min(low, mark.fid)) <= most:
            low, high = min(low, mark.fid), max(high, mark.fid)
    margin = max((high / low) ** 0.07, math.sqrt(_NARROW * low / high))
    ax.set_ylim(low / margin, high * margin)
    beyond = Counter[bool]()  # marks at the edges, by whether below: one above another
    for mark in marks:
        inside = low <= mark.fid <= high
        if inside:
            ax.axhline(mark.fid, linestyle=mark.line, color="0.25", linewidth=1.2, zorder=1)
        if not mark.text:
            continue
        below, above = mark.fid < low, mark.fid > high
        shift = 0 if inside else _LINE * beyond[below]
        beyond[below] += not inside
        at = (1, mark.fid) if inside else (1, 0 if below else 1)
        ax.annotate(
            mark.text if inside else f"{mark.text} {'▼' if below else '▲'}", at,
            xycoords=ax.get_yaxis_transform() if inside else "axes fraction",
            xytext=(-2, -3 - shift if above else 3 + shift), textcoords="offset points",
            ha="right", va="top" if above else "bottom", fontsize=8, color="0.25",
        )  # fmt: skip


def words(status: str) -> str:
    """A status as a reader may have it."""
    return status.replace("_", " ")


def in_order(trials: pd.DataFrame) -> list[str]:
    """The statuses that occur, in the order of `STYLES`."""
    there = set(trials["status"])
    return [*(s for s in STYLES if s in there), *sorted(there - set(STYLES))]


def legible(figure: Figure) -> str:
    """Have letters that the figure's font lacks drawn by installed fonts that have them.

    Returns what is to be said of letters that none has, or nothing.
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    own = get_font(findfont(FontProperties())).get_charmap()
    wanted = {c for text in texts for c in text.get_text() if c.isprintable() and ord(c) not in own}
    found = []
    fonts = [entry for entry in fontManager.ttflist if "Last Resort" not in entry.name]
    for entry in fonts if wanted else ():
        known = {c for c in wanted if ord(c) in get_font(entry.fname).get_charmap()}
        if known:
            found.append(entry.name)
            wanted -= known
    for text in texts if found else ():
        text.set_fontfamily([*matplotlib.rcParams["font.family"], *found])
    if not wanted:
        return ""
    return f"no installed font has {''.join(sorted(wanted))}; drawn as boxes"


def folder(out: Path | None, study: str) -> Path:
    """Where the figures of a study go; `out` is ``--out``."""
    return out or Path("runs", study, "figures")


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Make the folder, and say of what the block cannot write there that ``--out`` is at fault.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"--out {out} cannot be written to ({error.strerror}); choose another folder"
        ) from error


def write(figure: Figure, file: Path | BinaryIO, **options: Any) -> None:
    """`Figure.savefig`, without a warning for each letter that no font has: `legible` tells."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(file, **options)


def save(
    figure: Figure, out: Path, name: str, files: Mapping[str, Callable[[], bytes]] = _NO_FILES
) -> list[Path]:
    """Write ``NAME.png``, ``NAME.svg`` and `files` into `out`; equal figures make equal files.

    Raises:
        InputError: the folder cannot be written to.
    """
    paths = [out / f"{name}.png", out / f"{name}.svg"]
    # Text stays text, so that a figure can be searched, and mended for a paper.
    with (
        writable(out),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cgan-search"}),
    ):
        write(figure, paths[0])
        write(figure, paths[1], metadata={"Date": None})
        for file, content in files.items():
            (out / file).write_bytes(content())
    return [*paths, *(out / file for file in files)]
