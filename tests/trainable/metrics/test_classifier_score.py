"""The classification accuracy score: planted cases, and what must stay as it was."""

import functools
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers.toys import make_workload, run_on, small_params
from trainable.data.phantom import phantom
from trainable.metrics import quick_classifier
from trainable.metrics.classifier_score import Validation
from trainable.trial import evaluation
from trainable.trial.evaluation import measure, validation_of
from trainable.trial.trial import Trial, assess


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Less training, which the phantom does not need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick_classifier, "STEPS", 40)
        yield


@functools.cache
def films(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = phantom(32, per_class=60, seed=seed)[:2]
    return torch.tensor(images), torch.tensor(labels)


@pytest.fixture(scope="module")
def validation() -> Validation:
    return Validation.of(*films(1), 2)


def test_other_films_teach_what_is_there_to_learn(validation):
    assert validation.score(*films(2), seed=0) > 0.75


def test_what_is_wrong_with_a_generator_costs(validation):
    images, labels = films(2)
    good = validation.score(images, labels, seed=0)
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, images.shape, generator=rng).byte()
    mixed = labels[torch.randperm(len(labels), generator=rng)]
    assert validation.score(images, 1 - labels, seed=0) == pytest.approx(1 - good, abs=0.1)
    assert abs(validation.score(noise, labels, seed=0) - 0.5) < 0.1
    assert abs(validation.score(images, mixed, seed=0) - 0.5) < 0.2


def test_classes_weigh_alike_in_it(validation):
    images, labels = films(1)
    rows = torch.cat([(labels == 0).nonzero()[:, 0][:10], (labels == 1).nonzero()[:, 0]])
    fewer = Validation.of(images[rows], labels[rows], 2)
    ones = torch.ones_like(labels)
    ones[0] = 0  # hardly one of class 0: all is taken for class 1
    assert 0.4 < fewer.score(images, ones, seed=0) < 0.6


def test_it_follows_its_seed_and_disturbs_nobody(validation):
    generated = films(2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    score = validation.score(*generated, seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert validation.score(*generated, seed=0) == score
    assert pickle.loads(pickle.dumps(validation)).score(*generated, seed=0) == score
    others = {validation.score(*generated, seed=seed) for seed in range(1, 4)}
    assert others - {score}


def test_over_seeds_it_is_their_mean_with_students_interval(validation, monkeypatch):
    monkeypatch.setattr(Validation, "score", lambda self, *_, seed: [0.5, 0.90, 0.92, 0.97][seed])
    found = validation.interval(*films(2), seeds=range(1, 4))
    ends = stats.ttest_1samp([0.90, 0.92, 0.97], 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.93)
    assert (found.low, found.high) == pytest.approx((ends.low, min(1.0, ends.high)))


def test_images_that_do_not_fit_are_refused(validation):
    images, labels = films(2)
    with pytest.raises(ValueError, match=r"labels .*0 to 1"):
        validation.score(images, labels + 1, seed=0)
    with pytest.raises(ValueError, match=r"float32"):
        validation.score(images.float(), labels, seed=0)


def test_a_trial_says_it_at_each_evaluation_and_so_does_its_assessment(data, tmp_path, monkeypatch):
    rows = np.arange(data.n) % 5 == 0
    workload = make_workload(data.at(~rows), tmp_path)
    workload = type(workload)(**{**vars(workload), "validation": validation_of(data.at(rows))})
    reports: list[Any] = run_on(Trial(workload, 0, small_params(workload.data)))
    assert all(0 <= report["cas"] <= 1 for report in reports)
    monkeypatch.setattr(evaluation, "SEEDS", range(1, 3))
    monkeypatch.setattr(evaluation, "GENERATED", 20)
    found = assess(workload, 0, small_params(workload.data), 30)
    assert found.cas is not None
    assert 0 <= found.cas.low <= found.cas.mean == found.scores["cas"] <= found.cas.high <= 1
    run = workload.build_run(Trial(workload, 1, small_params(workload.data)).run.config, 0)
    yardstick = measure(workload.evaluator, run, "tiny", seed=0)
    assert yardstick["cas"] is not None
    assert yardstick["cas"] > 0.9  # bright squares
    assert "cas" in yardstick["untrained"]


def test_without_images_held_back_there_is_none(data, tmp_path):
    workload = make_workload(data, tmp_path)
    assert "cas" not in run_on(Trial(workload, 0, small_params(data)))[0]
