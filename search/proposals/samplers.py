"""What comes next: Optuna's samplers, and the configurations that a user wants tried first."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from search.proposals.tpe_window import LEARNT
from search.study.config import StudyConfig
from spaces.catalog import Space
from spaces.describe import check_draw
from spaces.errors import InputError
from spaces.task import Params, Task
from trainable.basics.files import read_json

STARTUP = 10
"""Random trials before a sampler that learns is asked."""


def build_sampler(name: str, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """The sampler that proposes trial `number`, and no other.

    A new one for each proposal depends on the study and on its own seed alone, not on what it
    proposed before: so a resumed search proposes what an uninterrupted one would have. The cost is
    a look through the study's trials, which the proposal takes anyway.
    """
    own = int(np.random.SeedSequence([seed, number, 1]).generate_state(1)[0])
    with warnings.catch_warnings():  # multivariate, group and gp count as experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "random":
                return optuna.samplers.RandomSampler(seed=own)
            case "tpe":
                return optuna.samplers.TPESampler(
                    seed=own, multivariate=True, group=True, n_startup_trials=STARTUP
                )
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=own, n_startup_trials=STARTUP, warn_independent_sampling=False
                )
            case "nsgaii":
                return optuna.samplers.NSGAIISampler(seed=own, population_size=2 * STARTUP)
    raise ValueError(f"unknown sampler {name!r}")


def read_queue(path: Path, space: Space, task: Task) -> list[Params]:
    """The searched values in a JSON file: one object, or a list of them.

    Raises:
        InputError: the file cannot be read, or the space cannot draw what it asks for.
    """
    found = read_json("--enqueue", path)
    queue = found if isinstance(found, list) else [found]
    for place, values in enumerate(queue, start=1):
        if not isinstance(values, dict):
            raise InputError(
                f"--enqueue {path}: entry {place} is {values!r}, but must be an object of searched "
                'values, such as {"g_lr": 0.001}; python -m spaces NAME lists them'
            )
        try:
            check_draw(space, task, values)
        except InputError as error:
            raise InputError(f"--enqueue {path}: entry {place}: {error}") from error
    return queue


_SAME = {
    "data_digest": "images", "validation_digest": "images held back", "image_size": "image size",
    "fit": "fit", "objective": "objective",
    "protocol": "protocol", "weights_sha256": "extractor weights", "backbone": "backbone",
    "backbone_sha256": "backbone weights", "init_sha256": "first generator", "resource": "resource",
    "length": "length of a trial",
}  # fmt: skip


def learn_from(
    old: optuna.Study, config: StudyConfig, space_snapshot: dict[str, str]
) -> list[FrozenTrial]:
    """The ended trials of an earlier study, for the sampler of a new one to start from.

    Raises:
        InputError: scores or values of the two studies do not compare.
    """
    was = old.user_attrs["config"]
    now = config.to_json()
    differ = [
        f"{said} ({str(was.get(key))[:40]}, now {str(now[key])[:40]})"
        for key, said in _SAME.items()
        if was.get(key) != now[key]
    ]
    differ += space_differences(old.user_attrs["space"], space_snapshot)
    if differ:
        raise InputError(
            f"--warm-start {old.study_name}: its scores are not comparable with this study's, as "
            f"these differ: {'; '.join(differ)}. Its best configurations can still be tried "
            "first: --enqueue with its best.json"
        )
    return old.get_trials(states=LEARNT)


def space_differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """In what two portraits differ (see `spaces.describe.space_snapshot`), a phrase each."""
    return [
        f"{name} ({was.get(name, 'absent')}, now {now.get(name, 'absent')})"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
