"""Trials' files in an object store, for clusters whose nodes share no folder.

A trial works in a folder of its node, as ever. When it begins, that folder is filled from the
store; after each save what is new goes there, and what it outdates is dropped. An object appears
whole or not at all, so nothing needs to be renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import InputError
from trainable.basics.addresses import hides_secrets
from trainable.basics.files import write_whole
from trainable.basics.private import private_folder

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

CLAIM = "claim"
"""In an attempt's folder: that its number is taken, before there is a checkpoint to tell."""
_SENT = (".pt", ".png")
# Azure names a container, and Google nobody, before the @.
_KEY = re.compile(r"^s3://[^/?]*@|://[^/?]*:[^/?]*@")


class ObjectStore:
    """The folder `url` of an object store: ``s3://bucket/path``, or whatever else pyarrow opens.

    Attributes:
        url: the address; credentials come from the environment, never from here.
    """

    def __init__(self, url: str):
        """InputError if `url` holds a key."""
        if _KEY.search(url) or hides_secrets(url):
            raise InputError(
                "--storage contains an access key, which would be written to the study's files; "
                "put it in the environment instead, such as AWS_ACCESS_KEY_ID"
            )
        self.url = url
        self._opened: tuple[FileSystem, str] | None = None
        self._sent: set[str] = set()

    def __getstate__(self) -> dict[str, str]:
        """It travels to workers by its address alone."""
        return {"url": self.url}

    def __setstate__(self, state: dict[str, str]) -> None:
        """Not yet opened."""
        self.url, self._opened, self._sent = state["url"], None, set()

    def _open(self) -> tuple[FileSystem, str]:
        if self._opened is None:
            from pyarrow.fs import FileSystem  # which a machine that only trains may not have

            system, base = FileSystem.from_uri(self.url)
            self._opened = system, base.rstrip("/")
        return self._opened

    def names(self, folder: str) -> set[str]:
        """Paths, relative to the store's address, of all files under `folder`.

        Raises:
            OSError: the store does not answer.
        """
        from pyarrow.fs import FileSelector, FileType

        system, base = self._open()
        selector = FileSelector(f"{base}/{folder}", allow_not_found=True, recursive=True)
        infos = system.get_file_info(selector)
        return {f.path.removeprefix(f"{base}/") for f in infos if f.type == FileType.File}

    def write(self, name: str, content: bytes) -> None:
        """Put a file, whole."""
        system, base = self._open()
        if system.type_name == "local":  # others have no folders
            system.create_dir(f"{base}/{name}".rpartition("/")[0], recursive=True)
        with system.open_output_stream(f"{base}/{name}") as out:
            out.write(content)

    def read(self, name: str) -> bytes:
        """Get a file; FileNotFoundError if there is none."""
        system, base = self._open()
        with system.open_input_stream(f"{base}/{name}") as file:
            return file.read()

    def delete(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        system, base = self._open()
        try:
            system.delete_file(f"{base}/{name}")
        except FileNotFoundError:
            return

    def pull(self, trial: Path, pattern: str = "*") -> None:
        """Fill the folder of a trial with the store's files that it lacks and `pattern` matches."""
        for name in sorted(self.names(trial.name)):
            path = trial.parent / name
            if path.exists() or not fnmatch(name, pattern) or ".." in path.parts:
                continue  # a key of a store may lead out of the trial's folder
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.read(name))

    def refill(self, trial: Path, pattern: str = "*") -> None:
        """The same on a node that works on the trial: nothing that the node had there remains.

        That may be of an earlier study at the same address.
        """
        shutil.rmtree(trial, ignore_errors=True)
        self.pull(trial, pattern)

    def push(self, trial: Path, attempt: int) -> None:
        """Send what is new in a trial's folder, and drop what it lacks of this and older attempts.

        Later attempts are another worker's, which has taken over: they are left alone.
        """
        files = (p for p in trial.rglob("*") if p.suffix in _SENT or p.name == CLAIM)
        here = {path.relative_to(trial.parent).as_posix(): path for path in files}
        there = self.names(trial.name)
        for name in sorted(here.keys() - self._sent):
            # A checkpoint's name is that of its content; a picture's is not.
            if name not in there or not name.endswith(".pt"):
                self.write(name, here[name].read_bytes())
            self._sent.add(name)
        for name in sorted(there - here.keys()):
            match = re.search(r"/attempt-(\d+)/", name)
            if match is not None and int(match[1]) <= attempt:
                self.delete(name)


def scratch(url: str) -> Path:
    """Where a node keeps the trials at `url` that it works on; of this user alone.

    Raises:
        InputError: somebody else has made it first.
    """
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    return private_folder(Path(tempfile.gettempdir()) / f"cgan-search-{os.geteuid()}-{key}")
