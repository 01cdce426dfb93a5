"""A search from a file, ``--config``: flags by name in TOML or JSON, or a study's study.json.

Its words are put before those of the command line, so that the same parser reads both, the command
line wins, and what contradicts is refused as ever.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from search.study.config import FLAGS, LENGTH_FLAG, StudyConfig
from search.study.flags import parser
from search.study.versions import faults_of
from spaces.errors import InputError
from trainable.basics.addresses import without_password
from trainable.basics.files import read_json, write_whole
from trainable.basics.parser import Parser, Word
from trainable.pretrained.protocol import SHARED, resize_rule

_ENDINGS = (".toml", ".json")
_NOT_KEPT = ("config", "write_config", "dry_run", "resume", "progress", "repeats")
"""What one command is told, and no other search."""
_LENGTH = ("epochs", "train-time")


def read_flags(p: Parser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """What the parser of a search makes of `argv` and of the file that ``--config`` names.

    `repeats` of it is the identity of the study whose study.json that is, or None.

    Raises:
        InputError: a word, the file, or one of its keys or values cannot be understood.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    args = p.parse_args(given)
    if args.config is None:
        return args
    source = f"--config {args.config}"
    found, study = read_settings(args.config), None
    if "data_digest" in found:
        study = _study(found, source)
        found = settings_of_study(study)
    for name in {"config", "write-config"} & found.keys():
        raise InputError(f"{source} has {name!r}, which is for the command line alone; remove it")
    told = p.words(found, source)
    try:
        args = p.parse_args([*told, *given])
    except InputError as error:  # of the file, as the command line alone was understood
        raise InputError(f"{source}: {error}") from error
    args.repeats = None if study is None else study.identity
    return args


def read_settings(path: Path) -> dict[str, Word]:
    """What a file of settings holds.

    Raises:
        InputError: it cannot be read, or is neither TOML nor JSON, or no table.
    """
    _check_ending("--config", path)
    if path.suffix == ".json":
        found = read_json("--config", path)
    else:
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise InputError(f"--config {path} cannot be read ({error.strerror})") from error
        except ValueError as error:  # TOML's own, and of bytes that are not UTF-8
            raise InputError(f"--config {path} is not valid TOML ({error})") from error
    if not isinstance(found, dict):
        raise InputError(
            f"--config {path} is a JSON {type(found).__name__}, but must be an object of flags, "
            'such as {"image-size": 32}'
        )
    return found


def settings_of_study(config: StudyConfig) -> dict[str, Word]:
    """The flags that ask for such a study again, by name; its own name is left out."""
    values = config.to_json()
    values[LENGTH_FLAG[config.resource].removeprefix("--").replace("-", "_")] = config.length
    values["protocol"] = resize_rule(config.protocol)
    found = {
        str(flag).removeprefix("--"): flag.word(values[name])
        for name, flag in FLAGS.items()
        if values.get(name) is not None
    }
    return found | ({"allow-shared-features": True} if SHARED in config.protocol else {})


def write_settings(
    path: Path, config: StudyConfig, args: argparse.Namespace, auto: Collection[str]
) -> list[str]:
    """Write the resolved study for ``--config``, and whatever else `args` say that is not usual.

    Paths are written whole. Settings that are still `auto`, see `search.plan.undecided`, are left
    out. Returns the flags that are left out as they hold a password.

    Raises:
        InputError: the file cannot be written.
    """
    found, usual, hidden = settings_of_study(config), vars(parser().parse_args([])), []
    for name in auto:
        for flag in _LENGTH if name == "length" else (name.replace("_", "-"),):
            found.pop(flag, None)
    for name, value in vars(args).items():
        flag = name.replace("_", "-")
        if name in (*FLAGS, *_NOT_KEPT) or value == usual[name]:
            continue
        if isinstance(value, str) and without_password(value) != value:
            hidden.append(f"--{flag}")
        else:
            found[flag] = str(Path(value).absolute()) if _is_path(name, value) else value
    try:
        write_whole(path, _text(path, found))
    except OSError as error:
        raise InputError(f"--write-config {path} cannot be written ({error.strerror})") from error
    return hidden


def _is_path(name: str, value: object) -> bool:
    """Whether a flag's value is a path here; a bucket's address and a study's name are none."""
    if name == "storage":
        return "://" not in str(value)
    if name == "warm_start":  # as `search.study.locate.placed` reads it
        return Path(str(value)).parent != Path()
    return isinstance(value, Path)


def check_write(args: argparse.Namespace) -> None:
    """Raise InputError for a ``--write-config`` that has nothing to write, or no place to."""
    path: Path | None = args.write_config
    if path is None:
        return
    if not args.dry_run:
        raise InputError(
            "--write-config needs --dry-run; a search keeps its settings itself, in "
            "OUTPUT/STUDY/study.json, which --config reads too"
        )
    _check_ending("--write-config", path)
    if not path.absolute().parent.is_dir():
        raise InputError(f"--write-config {path}: there is no folder {path.parent}; make it first")


def _check_ending(flag: str, path: Path) -> None:
    if path.suffix not in _ENDINGS:
        raise InputError(f"{flag} is {str(path)!r}, but must end in {' or '.join(_ENDINGS)}")


def _study(found: Mapping[str, object], source: str) -> StudyConfig:
    """The settings of a study.json.

    Raises:
        InputError: another version wrote them that this one cannot read.
    """
    try:
        return StudyConfig.from_json(found)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except Exception as error:  # of a wrong type, anything
        raise InputError(
            f"{source} is a study of another version of cgan-search, which this one cannot read "
            f"({faults_of(found) or error}); write the flags that it needs into a file instead"
        ) from error


def _text(path: Path, found: Mapping[str, Word]) -> str:
    if path.suffix == ".json":
        return json.dumps(found, indent=2) + "\n"
    import tomli_w

    return f"# cgan-search run --config {path.name}\n{tomli_w.dumps(found)}"
