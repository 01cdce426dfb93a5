"""What a search found, for Python: its leaderboard, its best configuration, figures, generator.

pandas, PyTorch, MLflow and Matplotlib are imported by what needs them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from search.commands import COMMANDS
from search.study.folder import NO_WINNERS, StudyFolder
from search.study.locate import placed
from spaces.errors import InputError
from spaces.task import Params
from trainable.basics.parser import Word
from trainable.basics.wording import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.study.table import StudyTable
    from trainable.generators.sampler import Sampler

FIGURES = tuple(
    name.removeprefix("figures ")
    for name in COMMANDS
    if name.startswith("figures ") and name != "figures compare"
)
"""Names of the figures of one study."""


@dataclass(frozen=True)
class Kept:
    """A trial that was scored again on fresh images, and whose generator was kept.

    Attributes:
        trial: its number.
        wins: whether it passes the gates.
        params: its configuration, in full.
        scores: by name, those on fresh images among them.
        folder: where its files are.
    """

    trial: int
    wins: bool
    params: Params
    scores: Mapping[str, float]
    folder: Path

    @cached_property
    def generator(self) -> Sampler:
        """Draws images: ``generator.sample(n, label)``.

        Raises:
            InputError: its file cannot be read.
        """
        from trainable.generators.export import WEIGHTS
        from trainable.generators.sampler import Sampler
        from trainable.generators.saved import SavedGenerator

        weights = self.folder / WEIGHTS
        return Sampler.of(SavedGenerator.read(str(weights), weights, "the generator"))


@dataclass(frozen=True)
class Result:
    """What a study that has ended found."""

    folder: StudyFolder

    @classmethod
    def load(
        cls, name: str | Path, output: str | Path = "runs", tracking_uri: str | None = None
    ) -> Result:
        """Of the study of that name under `output`, or in the folder `name`.

        Raises:
            InputError: there is no such study.
        """
        root, name = placed(Path(output), str(name), "the study")
        found = StudyFolder(root / name, tracking_uri)
        if not found.began:
            found.check_there()
        return cls(found)

    @property
    def name(self) -> str:
        """The study's."""
        return self.folder.name

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """All trials, ranked, a row each: ``rank``, ``trial``, ``status``, ``objective``, ``fid``,
        every other score, and the parameters in which trials differ.

        Raises:
            InputError: the search has not ended yet.
        """
        import pandas as pd

        if not self.folder.leaderboard.is_file():
            raise InputError(self._unfinished("leaderboard"))
        # Else a parameter whose value is "none" or "NA" would be lost.
        return pd.read_csv(self.folder.leaderboard, keep_default_na=False, na_values=[""])

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """The trials that were scored again on fresh images, winners first, then by rank.

        Raises:
            InputError: the search has not ended yet.
        """
        if not self.folder.winners.is_dir():
            raise InputError(self._unfinished("winners"))
        lost = self.folder.winners / NO_WINNERS
        return tuple(
            _kept(folder, wins=place != lost)
            for place in (self.folder.winners, lost)
            for folder in sorted(place.glob("[0-9]*"), key=lambda path: int(path.name))
        )

    @property
    def best(self) -> Kept:
        """The champion; without one, the best on fresh images, see its `wins`.

        Raises:
            InputError: no trial was scored on fresh images.
        """
        if not self.kept:
            raise InputError(f"study {self.name} has no trial that was scored on fresh images")
        return self.kept[0]

    @property
    def best_params(self) -> Params:
        """The configuration of `best`, in full."""
        return self.best.params

    @property
    def generator(self) -> Sampler:
        """The champion's: ``generator.sample(n, label)``.

        Raises:
            InputError: there is no champion.
        """
        if not self.best.wins:
            raise InputError(
                f"study {self.name} has no champion, as no trial passes the gates; the generator "
                f"of trial {self.best.trial}, the best on fresh images, is best.generator"
            )
        return self.best.generator

    def figure(self, name: str, **words: Word) -> Figure:
        """The figure that ``cgan-search figures NAME`` draws, with that command's other flags as
        words, such as ``figure("fid-vs-time", within="10m")``. A notebook shows it.

        Raises:
            InputError: there is no such figure or word, or MLflow lacks what it needs.
        """
        known = name.replace("_", "-")
        if known not in FIGURES:
            hint = did_you_mean(known, FIGURES) or f"; there are {', '.join(FIGURES)}"
            raise InputError(f"there is no figure {name!r} of one study{hint}")
        module, source = COMMANDS[f"figures {known}"].module, f"figure({name!r})"
        own = {"study": self.name, "tracking_uri": self.folder.tracking, "out": None}
        if taken := own.keys() & words.keys():
            raise InputError(
                f"{source} does not take {taken.pop()}: it is of this study, and its savefig(FILE) "
                "writes it"
            )
        p = import_module(module).parser()
        args = p.parse_args(p.words({**own, **words}, source))
        from analysis.figures.style import legible

        figure = import_module(module.replace(".", ".figures.", 1)).drawn(self.table, args).figure
        legible(figure)
        return figure

    @cached_property
    def table(self) -> StudyTable:
        """The study as MLflow has it: see `analysis.study.table.StudyTable`.

        Raises:
            InputError: the store cannot be read, or lacks it.
        """
        from analysis.study.table import load_study

        return load_study(self.name, self.folder.tracking)

    def _unfinished(self, lacking: str) -> str:
        return (
            f"study {self.name} has no {lacking} yet; "
            f"Search.resume({str(self.folder.path)!r}).run() ends it"
        )


def _kept(folder: Path, *, wins: bool) -> Kept:
    from trainable.generators.export import CONFIG

    about = json.loads((folder / CONFIG).read_text())
    return Kept(about["trial"], wins, about["params"], about["scores"], folder)
