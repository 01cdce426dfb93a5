"""Which study --resume and its like mean: a name, or the path of the study's folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from search.study.flags import OUTPUT
from search.study.folder import StudyFolder
from spaces.errors import InputError


def placed(output: Path, given: str, flag: str) -> tuple[Path, str]:
    """The folder of all studies, and the name, of a study that is there.

    `given` is a name under `output`, or the path of the study's folder, such as ``runs/chg/``.

    Raises:
        InputError: it names nothing.
    """
    path = Path(given)
    if path.name in ("", ".."):
        raise InputError(f"{flag} is {given!r}, but must be a study's name")
    known = path.parent == Path() and StudyFolder(output / path.name).began
    return (path.parent if StudyFolder(path).began and not known else output), path.name


def resume_placed(args: argparse.Namespace) -> None:
    """Have `args.output` and `args.resume` say where the study to go on with is, if there is one.

    Raises:
        InputError: --resume is a path, and --output another.
    """
    if args.resume is None:
        return
    output, name = placed(args.output, args.resume, "--resume")
    if output.resolve() != args.output.resolve() and args.output != OUTPUT:
        raise InputError(
            f"--resume is {args.resume!r}, but --output is {str(args.output)!r}; give only the "
            "study's name, or leave out --output"
        )
    args.output = output if output.resolve() != args.output.resolve() else args.output
    args.resume = name
