"""Finds the files of a folder by what people write for them."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Iterable

from trainable.data.folders.splits import split_of


class Files:
    """The files of a folder: see `fitting`.

    Args:
        names: their paths from the folder, posix.
        split: the split whose folder this is, if it is one's.
    """

    def __init__(self, names: Iterable[str], split: str | None):
        self._names, self._split = set(names), split
        self._whole: dict[str, list[str]] = {}
        self._ends: dict[str, list[str]] = {}

    def find(self, written: str) -> str | None:
        """The file that `written` means, as a path from it; None if there is none, or two."""
        found = self.fitting(written)
        return found[0] if len(found) == 1 else None

    def fitting(self, written: str) -> list[str]:
        """The files that `written` may mean.

        It may begin with more folders than there are, as absolute paths do, also those of another
        machine; or with fewer, if files' paths end so. Windows' backslashes, capitals, the
        composition of accents and a missing suffix make no difference if nothing fits as it is.
        """
        if written in self._names:
            return [written]
        path = posixpath.normpath(_key(written))
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        if not written or not parts:
            return []
        if not self._whole:
            self._index()
        for start in range(len(parts)):
            if (path := "/".join(parts[start:])) in self._whole:
                above = split_of(parts[start - 1]) if start else None
                # The same name in another split is another file.
                return self._whole[path] if above in (None, self._split) else []
        return self._ends.get("/".join(parts), [])

    def _index(self) -> None:
        for keep_suffix in (True, False):
            whole: dict[str, list[str]] = {}
            ends: dict[str, list[str]] = {}
            for name in sorted(self._names):
                key = _key(name if keep_suffix else posixpath.splitext(name)[0])
                parts = key.split("/")
                whole.setdefault(key, []).append(name)
                for start in range(1, len(parts)):
                    ends.setdefault("/".join(parts[start:]), []).append(name)
            self._whole = whole | self._whole
            self._ends = ends | self._ends


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/")).casefold()
