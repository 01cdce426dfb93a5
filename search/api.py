"""A search from Python, in a script or a notebook, by the words of the command's flags.

    from search import Search

    result = Search(data="chest_xray", image_size=32, trials=16, time_budget="15m").run()
    result.leaderboard                          # a pandas DataFrame
    result.figure("fid-vs-time")                # a Matplotlib figure
    result.generator.sample(8, "normal")        # images, uint8

It is the same search as ``cgan-search run``: the same parser, the same checks, the same session.
"""

from __future__ import annotations

import copy
import inspect
import time
import warnings
from pathlib import Path

from search.result import Result
from search.run import start
from search.study.asked import new_settings
from search.study.flags import OUTPUT, parser
from search.study.folder import StudyFolder
from search.study.locate import resume_placed
from search.study.names import free_name
from search.study.settings_file import read_flags
from spaces.errors import InputError
from trainable.basics.addresses import pasted
from trainable.basics.parser import Word
from trainable.basics.stopping import stopped_by_signals

# What Ray and MLflow import asks in notebooks for a package that only draws bars, which are off.
warnings.filterwarnings("ignore", "IProgress not found")

_ELSEWHERE = {
    "resume": "Search.resume(NAME)",
    "dry_run": "Search(...).dry_run()",
    "write_config": "Search(...).dry_run(write_config=FILE)",
}
"""Flags that are methods here."""


class Search:
    """A search that can be run, or a study that can be resumed.

    The words are the flags of ``cgan-search run``, with _ for -: ``data``, ``image_size``,
    ``trials``, ``time_budget`` and so on; ``config`` names a file of them. None is a flag that is
    not given. A space of the notebook's own is ``space="__main__:my_space"``.
    """

    def __init__(self, **words: Word):
        """Raises InputError for an unknown word, or a value that cannot be read."""
        for word in _ELSEWHERE.keys() & words.keys():
            raise InputError(f"Search() does not take {word}; use {_ELSEWHERE[word]}")
        p = parser()
        self._args = read_flags(p, p.words(words, "Search()"))

    @classmethod
    def resume(cls, name: str, **words: Word) -> Search:
        """The stopped study of that name, or in that folder; `words` are those that may change, as
        ``trials`` and ``time_budget``, and those that say where it is and runs.

        Raises:
            InputError: as of a new one.
        """
        found = cls(**words)
        found._args.resume = str(name)
        return found

    def run(self) -> Result:
        """Search to the end, telling of it as the command does, and return what was found.

        Raises:
            InputError: something that the words ask for cannot be done.
            KeyboardInterrupt: it was interrupted, and shut down cleanly.
            RuntimeError: it could not go on, for a reason that it has said.
        """
        began, args = time.time(), copy.copy(self._args)
        if args.resume is None:
            asked = new_settings(args)
            args.study = args.study or free_name(
                args.output, asked["space"], asked["data"], asked["image_size"]
            )
        resume_placed(args)
        folder = StudyFolder.of(args, args.resume or args.study)
        try:
            with stopped_by_signals():
                code = start(args, began)
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt("stopped; nothing was started or changed") from error
        if code > 128:
            raise KeyboardInterrupt(f"the search was stopped; {_again(folder)}")
        if code != 0:
            raise RuntimeError(
                f"study {folder.name} could not go on, as said above; {_again(folder)}"
            )
        return Result(folder)

    def dry_run(self, write_config: str | Path | None = None) -> None:
        """Print the resolved study, and write it for ``config`` if a file is named; run nothing.

        Raises:
            InputError: something that the words ask for cannot be done.
        """
        args = copy.copy(self._args)
        args.dry_run, args.write_config = True, None if write_config is None else Path(write_config)
        start(args, time.time())


def _again(folder: StudyFolder) -> str:
    """How to resume a study; by its name where studies usually are."""
    name = folder.name if folder.path.parent == OUTPUT else str(folder.path.absolute())
    stores = {"database": folder.database, "tracking_uri": folder.tracking_uri}
    words = [f", {word}={pasted(url, 'URL')!r}" for word, url in stores.items() if url]
    return f"Search.resume({name!r}{''.join(words)}).run() resumes it"


def _signature() -> inspect.Signature:
    """The words, for whoever asks an editor or a notebook for them."""
    words = [name for name in vars(parser().parse_args([])) if name not in (*_ELSEWHERE, "repeats")]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature([inspect.Parameter(w, kind, default=None) for w in words])


Search.__signature__ = _signature()  # pyright: ignore[reportAttributeAccessIssue]
