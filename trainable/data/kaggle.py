"""The layout of Kaggle's paediatric chest X-rays (Kermany et al. 2018).

Folders NORMAL and PNEUMONIA; the file's name tells bacterial from viral pneumonia, and the patient:
``person1000_virus_1681.jpeg``, ``IM-0133-0001.jpeg``, ``NORMAL2-IM-0389-0001.jpeg``. Each kind (IM,
NORMAL2-IM, bacteria, virus) is counted by itself, from 1, and on through the splits: of 500 films,
test has bacteria of persons 78 to 174, training of 23 to 74 and 253 to 1943. So a number is a
patient within its kind. Four numbers are of both bacteria and virus; their films are as unlike as
strangers' (difference hashes 13 to 24 bits apart, of strangers 16, of one patient 10 in the median)
and show other builds and markers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from trainable.data.layout import Place

_PNEUMONIA = re.compile(r"(person\d+_(bacteria|virus))_\d+", re.IGNORECASE)
_NORMAL = re.compile(r"((?:NORMAL\d*-)?IM-\d+)-\d+", re.IGNORECASE)


class KaggleXray:
    """Classes normal and bacterial_pneumonia; viral_pneumonia is left out, unless `viral`."""

    name = "Kaggle chest X-ray"

    def __init__(self, viral: bool = False):
        self.viral = viral

    @staticmethod
    def recognises(files: Mapping[str, Sequence[str]]) -> bool:
        """Whether class folders (name to file names) follow this layout."""
        folders = {folder.upper(): names for folder, names in files.items()}
        if set(folders) != {"NORMAL", "PNEUMONIA"}:
            return False
        return any(_PNEUMONIA.match(name) for name in folders["PNEUMONIA"])

    def place(self, folder: str, name: str) -> Place:
        """Class and patient of the file `name` in the class folder `folder`."""
        if folder.upper() == "NORMAL":
            match = _NORMAL.match(name)
            return Place("normal", match[1] if match else None)
        if not (match := _PNEUMONIA.match(name)):
            return Place(None, reason="pneumonia of unknown cause")
        if match[2].lower() == "bacteria":
            return Place("bacterial_pneumonia", match[1])
        if self.viral:
            return Place("viral_pneumonia", match[1])
        return Place(None, reason="viral_pneumonia")
