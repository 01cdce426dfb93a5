"""The chest X-rays and OCT scans of Kermany et al. 2018: what their file names tell.

Kaggle's folders NORMAL and PNEUMONIA; the file's name tells bacterial from viral pneumonia, and the
patient: ``person1000_virus_1681.jpeg``, ``IM-0133-0001.jpeg``, ``NORMAL2-IM-0389-0001.jpeg``. Each
kind (IM, NORMAL2-IM, bacteria, virus) is counted by itself, from 1, and on through the splits: of
500 films, test has bacteria of persons 78 to 174, training of 23 to 74 and 253 to 1943. So a number
is a patient within its kind. Four numbers are of both bacteria and virus; their films are as unlike
as strangers' (difference hashes 13 to 24 bits apart, of strangers 16, of one patient 10 in the
median) and show other builds and markers.

The third version at Mendeley and the OCT scans are named by "(disease)-(randomized patient
ID)-(image number by this patient)": ``BACTERIA-1008087-0001.jpeg``, ``CNV-1016042-1.jpeg``.

The films are in many other sets, in folders of other names: BACTERIA and NORMAL, or beside COVID19.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from trainable.data.folders.layout import Place

_PERSON = re.compile(r"(?<![a-z0-9])person(\d+)_(bacteria|virus)_\d", re.IGNORECASE)
_NORMAL = re.compile(r"(?<![a-z0-9])((?:NORMAL(\d*)-)?IM-\d+)-\d", re.IGNORECASE)
_CODED = re.compile(
    r"(?<![a-z0-9])(?:BACTERIA|VIRUS|NORMAL|CNV|DME|DRUSEN)-(\d{4,})-\d", re.IGNORECASE
)
# Names that others may have given too count where they fill half a folder, and the images of one
# number are as few as one patient's: viewers also export series of slices as IM-0001-0001 and on.
# On average a number has 1.1 normal films, and a patient 14 to 47 OCT scans of a kind.
_SHARE = 0.5
_FILMS, _SCANS = 3, 50
_FEWEST_CODES = 5  # fewer numbers might be years


def patients_by_name(files: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The patient of each file, as ``folder/name``, whose name tells one.

    Args:
        files: class folders, whatever they are called, to file names, which may have folders in
            front.
    """
    sure: dict[str, str] = {}
    numbered: dict[str, dict[str, str]] = defaultdict(dict)
    coded: dict[str, dict[str, str]] = defaultdict(dict)
    for folder, names in files.items():
        for path in names:
            file, name = f"{folder}/{path}", path.rpartition("/")[2]
            if match := _PERSON.search(name):
                sure[file] = f"person{match[1]}_{match[2].lower()}"
            elif match := _NORMAL.search(name):
                numbered[folder][file] = who = match[1].upper()
                if match[2]:
                    sure[file] = who
            elif match := _CODED.search(name):
                coded[folder][file] = match[1]
    found = dict(sure)
    for folder, names in files.items():
        told = numbered[folder]
        if len(told) <= len(sure) or _fills(told, len(names), _FILMS):
            found |= told
        told = coded[folder]
        if len(set(told.values())) >= _FEWEST_CODES and _fills(told, len(names), _SCANS):
            found |= told
    return found


def _fills(told: Mapping[str, str], names: int, most: int) -> bool:
    """Whether half of a folder's `names` tell a patient, of `most` images at most on average."""
    return len(told) >= _SHARE * names and len(told) <= most * len(set(told.values()))


class KaggleXray:
    """Classes normal and bacterial_pneumonia, and viral_pneumonia where it is asked for."""

    name = "Kaggle chest X-ray"
    on_request = frozenset({"viral_pneumonia"})

    @staticmethod
    def recognises(files: Mapping[str, Sequence[str]]) -> bool:
        """Whether class folders (name to file names) follow this layout."""
        folders = {folder.upper(): names for folder, names in files.items()}
        if set(folders) != {"NORMAL", "PNEUMONIA"}:
            return False
        names = folders["PNEUMONIA"]
        return sum(bool(_PERSON.search(name)) for name in names) > _SHARE * len(names)

    def place(self, folder: str, name: str) -> Place:
        """Class of the file `name` in the class folder `folder`."""
        if folder.upper() == "NORMAL":
            return Place("normal")
        if not (match := _PERSON.search(name)):
            return Place(None, "pneumonia of unknown cause")
        bacterial = match[2].lower() == "bacteria"
        return Place("bacterial_pneumonia" if bacterial else "viral_pneumonia")
