"""`python -m search.publish STUDY`: write to MLflow what it lacks of a study, winners included.

For a store that was away while the study was searched, or for another store. It trains nothing, and
does nothing twice.
"""

from __future__ import annotations

import sys
from pathlib import Path

from search.study.flags import OUTPUT, add_stores, check_stores
from search.study.folder import StudyFolder
from search.study.locate import placed
from trainable.basics.command import command_line
from trainable.basics.parser import Parser, program
from trainable.basics.progress import stage
from trainable.basics.terminal import make_console


@command_line()
def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if the store did not take all, or 2 for bad input."""
    args = parser().parse_args(argv)
    args.output, args.study = placed(args.output, args.study, "the study")
    check_stores(args)
    folder = StudyFolder.of(args, args.study)
    folder.check_there()
    console = make_console()
    with stage(console, "starting"):  # PyTorch, Optuna and MLflow take seconds to import
        from search.winners.publish import publish

    return publish(folder, console)


def parser() -> Parser:
    """The command line's."""
    p = Parser(
        prog=program("search.publish"),
        description="Write to MLflow whatever it is missing of a study, winners included.",
    )
    p.add_argument("study", help="the study's name")
    p.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder of all studies (default: runs)"
    )
    add_stores(p)
    return p


if __name__ == "__main__":
    sys.exit(main())
