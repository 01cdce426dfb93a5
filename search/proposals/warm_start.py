"""What an earlier study has taught, for the sampler of a new one: ``--warm-start``."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.proposals.history import SHORTFALL
from search.proposals.tpe_window import LEARNT
from search.study.config import StudyConfig
from search.study.gates import shortfall
from search.study.records import read_record
from search.study.versions import settings_of
from spaces.errors import InputError
from trainable.trial.identity import Difference

_FREE = ("held_out_digest", "seed")
"""Facts of a run that no score of the search hangs on."""
_SETTINGS = {
    "image_size": "image size", "fit": "fit", "objective": "objective", "resource": "resource",
    "length": "length of a trial",
}  # fmt: skip
"""Settings beside a run's facts that must be alike, and what to call them."""


def learn_from(
    old: optuna.Study, config: StudyConfig, space_snapshot: dict[str, str]
) -> list[FrozenTrial]:
    """The ended trials of an earlier study, for the sampler of a new one to start from: of their
    attributes they have what the sampler looks at.

    Raises:
        InputError: scores or values of the two studies do not compare.
    """
    was = settings_of(old)
    differ = [
        *(d for d in was.identity.differences(config.identity) if d.fact not in _FREE),
        *(
            Difference(key, name, getattr(was, key), getattr(config, key))
            for key, name in _SETTINGS.items()
            if getattr(was, key) != getattr(config, key)
        ),
        *space_differences(old.user_attrs["space"], space_snapshot),
    ]
    if differ:
        raise InputError(
            f"--warm-start {old.study_name}: its scores are not comparable with this study's, as "
            f"these differ: {'; '.join(map(str, differ))}. Its best configurations can still be "
            "tried first: --enqueue with its best.json"
        )
    trials = old.get_trials(states=LEARNT)
    for trial in trials:
        last = read_record(trial).last if trial.state is TrialState.COMPLETE else None
        trial.user_attrs = {SHORTFALL: shortfall(last)} if last else {}
    return trials


def space_differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """In what two snapshots differ (see `spaces.describe.space_snapshot`), a phrase each."""
    return [
        f"{name} ({was.get(name, 'absent')}, now {now.get(name, 'absent')})"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
