"""Studies that another version of this project wrote: read if they can be, and else named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from search.study.config import StudyConfig
from spaces.errors import InputError

if TYPE_CHECKING:
    import optuna


def settings_of(study: optuna.Study) -> StudyConfig:
    """The study's settings.

    Raises:
        InputError: another version wrote them.
    """
    found = study.user_attrs["config"]
    try:
        return StudyConfig.from_json(found)
    except InputError:
        raise
    except Exception as error:  # of a wrong type, anything
        raise foreign(study, f"settings: {faults_of(found) or error}") from error


def faults_of(found: object) -> str:
    """Which settings of another version are unknown here, and which are missing in it."""
    known = [f.name for f in fields(StudyConfig)]
    settings = found if isinstance(found, Mapping) else {}
    faults = [f"{name} is unknown here" for name in settings if name not in known]
    return "; ".join(faults + [f"{name} is missing" for name in known if name not in settings])


def foreign(study: optuna.Study, fault: str) -> InputError:
    """What to raise for a study that another version wrote; `fault` is what shows it."""
    codes = [
        t.user_attrs["code"] for t in study.get_trials(deepcopy=False) if "code" in t.user_attrs
    ]
    version = f", {codes[-1].get('version')}" if codes else ""
    return InputError(
        f"study {study.study_name} is from another version of cgan-search{version}, which this "
        f"one cannot read ({fault}); use that version, or start a new study"
    )
