"""Where trials keep their files: beside the study, in another folder, or in an object store.

``OUTPUT/STUDY/trials`` is always there for whoever reads on the driver's machine: the folder
itself, a link to another, or what has been fetched from the store, whose address stands in
``OUTPUT/STUDY/storage``.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from search.study.folder import STORAGE, TRIALS, check_folder
from spaces.errors import InputError
from trainable.basics.files import write_whole
from trainable.trial.object_store import ObjectStore, scratch


def create_storage(asked: str, inside: str) -> ObjectStore | Path:
    """The folder `inside` what a user names with --storage, made, and tried by a write.

    Raises:
        InputError: it cannot be written to.
    """
    if "://" not in asked:
        place = Path(asked).resolve() / inside
        check_folder(place, "--storage")
        return place
    object_store = ObjectStore(_within(asked, inside))
    folder = f".{uuid.uuid4().hex}"
    try:
        object_store.write(f"{folder}/mark", b"")
        for name in object_store.names(folder):
            object_store.delete(name)
    except Exception as error:  # pyarrow's are OSError, ValueError and its own
        raise InputError(
            f"--storage {asked} cannot be written to ({error}); check the address and the "
            "credentials in the environment"
        ) from error
    return object_store


def _within(url: str, inside: str) -> str:
    base, query, rest = url.partition("?")
    return f"{base.rstrip('/')}/{inside}{query}{rest}"


def attach_storage(folder: Path, asked: str | None) -> ObjectStore | None:
    """Make the trials' folder of the study in `folder`; the store behind it, if there is one.

    `asked` is what a user names with --storage; a study keeps what it began with.

    Raises:
        InputError: it cannot be used, is not where the study's trials are, or holds another's.
    """
    trials, mark = folder / TRIALS, folder / STORAGE
    began = trials.exists() or trials.is_symlink()
    if asked is None:
        if began:
            existing_storage(folder)
        trials.mkdir(exist_ok=True)
        return _check_scratch(_object_store(folder))
    inside = f"{folder.name}/{TRIALS}"
    if "://" in asked:
        _check_same(folder, began, mark.exists() and mark.read_text() == _within(asked, inside))
    else:
        _check_same(folder, began, trials.resolve() == Path(asked).resolve() / inside)
    place = create_storage(asked, inside)
    if not began and (place.names("") if isinstance(place, ObjectStore) else any(place.iterdir())):
        raise InputError(
            f"--storage {asked} holds trials of another study {folder.name}; choose another name "
            "with --study, or another place"
        )
    if isinstance(place, ObjectStore):
        write_whole(mark, place.url)
        trials.mkdir(exist_ok=True)
        return _check_scratch(place)
    if not began and trials.resolve() != place:
        trials.symlink_to(place)
    return None


def _check_scratch(object_store: ObjectStore | None) -> ObjectStore | None:
    """It, if trials on this machine have a folder to work in; InputError where others took it."""
    if object_store is not None:
        scratch(object_store.url)
    return object_store


def _check_same(folder: Path, began: bool, same: bool) -> None:
    if began and not same:
        raise InputError(
            f"--storage: study {folder.name} keeps its trials in {_display_name(folder)}; leave "
            "the flag out"
        )


def existing_storage(folder: Path) -> ObjectStore | Path:
    """Where the study in `folder` keeps its trials.

    Raises:
        InputError: that is a folder which is not there.
    """
    object_store, place = _object_store(folder), (folder / TRIALS).resolve()
    if object_store is None and not place.is_dir():
        raise InputError(
            f"study {folder.name} keeps its trials in {place}, which is not there; mount it again"
        )
    return object_store or place


def _display_name(folder: Path) -> str:
    object_store = _object_store(folder)
    return object_store.url if object_store else str((folder / TRIALS).resolve())


def _object_store(folder: Path) -> ObjectStore | None:
    mark = folder / STORAGE
    return ObjectStore(mark.read_text()) if mark.exists() else None


def fetch(trial: Path, pattern: str) -> None:
    """Have the files of a trial that `pattern` matches in its folder, from wherever they are."""
    object_store = _object_store(trial.parent.parent)
    if object_store is not None:
        object_store.pull(trial, pattern)


def send(path: Path) -> None:
    """Have a file of a trial's folder where its trial will see it."""
    object_store = _object_store(path.parent.parent.parent)
    if object_store is not None:
        object_store.write(path.relative_to(path.parent.parent).as_posix(), path.read_bytes())
