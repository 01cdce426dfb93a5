"""Scoring runs, assessing winners, and the yardstick that scores are held against."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from spaces.errors import InputError
from tests.helpers.toys import TinyExtractor, make_data, real_set, small_config, witness
from trainable.data.dataset import Dataset
from trainable.gan.run import DivergedError, Run
from trainable.metrics.intervals import Interval
from trainable.trial import evaluation
from trainable.trial.evaluation import (
    GENERATED,
    Assessment,
    Evaluator,
    fewest_to_assess,
    measure,
    spread_labels,
)

EVALUATION = {
    "fid", "kid", "inception_score", "one_nn", "coverage", "copy_rate", "diversity",
    "diversity/0", "diversity/1", "pixel_kid", "pixel_diversity", "class_agreement_train",
}  # fmt: skip


@pytest.fixture
def run(data: Dataset) -> Run:
    # Untrained, but with images that vary.
    return Run(small_config(data, init="he"), data, seed=0)


def test_scores_are_those_of_an_evaluation_and_fixed_by_the_seed(evaluator: Evaluator, run: Run):
    first, again, other = (evaluator.scores(run, seed=s) for s in (1, 1, 2))
    assert first.keys() == EVALUATION
    assert first == again
    assert first != other
    assert all(isinstance(v, float) for v in first.values())
    assert first["fid"] > 0


def test_scores_come_from_as_many_images_as_said_in_the_real_proportions(
    evaluator: Evaluator, run: Run, monkeypatch
):
    asked = []
    sample = run.sample
    monkeypatch.setattr(run, "sample", lambda y, seed: asked.append(y) or sample(y, seed=seed))
    evaluator.scores(run, seed=0)
    assert asked[0].bincount().tolist() == [GENERATED // 2] * 2


def test_an_assessment_has_every_score_and_intervals_about_their_means(
    evaluator: Evaluator, run: Run, monkeypatch
):
    monkeypatch.setattr(evaluation, "GENERATED", 30)
    found = evaluator.assess(run, 30, seed=3)
    assert found.generated == 60
    assert found.scores.keys() > EVALUATION
    for key in ("fid", "kid", "diversity"):
        assert {f"{key}/0", f"{key}/1"} <= found.scores.keys()
    for interval in (found.fid, found.kid):
        assert interval.low < interval.mean < interval.high
    # Fewer images in a draw than in all: FID is higher, KID, which is unbiased, about equal.
    assert found.fid.mean > found.scores["fid"]
    assert found.kid.low < found.scores["kid"] < found.kid.high
    assert evaluator.assess(run, 30, seed=3) == found
    assert evaluator.assess(run, 30, seed=4) != found


def test_intervals_keep_the_real_proportions(data: Dataset, run: Run, monkeypatch):
    """Winners are generated evenly by class, but an evaluation is not: 30 to 10 here."""
    extractor: Any = TinyExtractor()
    uneven = real_set(data, extractor)
    uneven.labels[:] = torch.arange(40) // 30
    sizes = []

    def spied(statistic, real, fake, size, **kwargs):
        sizes.append((len(fake), size))
        return None

    monkeypatch.setattr("trainable.trial.evaluation.interval", spied)
    Evaluator(data, extractor, uneven, witness(data)).assess(run, 30, seed=0)
    assert sizes == [(40, GENERATED)] * 2


def test_a_perfect_generator_of_uneven_classes_is_not_told_that_it_makes_too_many_of_one(
    data: Dataset, run: Run, monkeypatch
):
    """30 real images to 10; it makes just these, the ten over and over."""
    monkeypatch.setattr(evaluation, "GENERATED", 20)
    uneven = real_set(data, extractor := cast("Any", TinyExtractor()))
    uneven.labels[:] = torch.arange(40) // 30
    real = torch.tensor(data.images)

    def sample(labels: torch.Tensor, seed: int) -> torch.Tensor:
        place = torch.cat([torch.arange(n) for n in labels.bincount().tolist()])
        return real[torch.where(labels == 0, place, 30 + place % 10)]

    monkeypatch.setattr(run, "sample", sample)
    found = Evaluator(data, extractor, uneven, witness(data)).assess(run, 30, seed=0)
    assert found.generated == 60
    assert found.scores["fid"] == pytest.approx(0, abs=1e-3)
    assert found.scores["kid"] < 0  # of copies
    assert found.scores["pixel_kid"] < 0


def test_a_rare_class_that_is_only_copies_is_seen(data: Dataset, run: Run, monkeypatch):
    """30 real images to 10: the ten are made over and over, the thirty are noise."""
    monkeypatch.setattr(evaluation, "GENERATED", 20)
    uneven = real_set(data, extractor := cast("Any", TinyExtractor()))
    uneven.labels[:] = torch.arange(40) // 30
    real = torch.tensor(data.images)

    def sample(labels: torch.Tensor, seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 256, (len(labels), *real.shape[1:]), generator=rng)
        noise[labels == 1] = real[30:].repeat(3, 1, 1, 1).long()
        return noise.to(torch.uint8)

    monkeypatch.setattr(run, "sample", sample)
    found = Evaluator(data, extractor, uneven, witness(data)).assess(run, 30, seed=0)
    assert found.whole == 40
    assert found.scores["pixel_copy_rate"] == 0.5


def test_a_sample_smaller_than_an_evaluation_is_not_passed_off_as_one(
    evaluator: Evaluator, run: Run
):
    with pytest.raises(ValueError, match=f"size is {GENERATED}"):
        evaluator.assess(run, GENERATED // 2, seed=0)


@pytest.mark.parametrize("counts", [(20, 20), (30, 10), (67, 66, 66), (1500, 10), (3,) * 40])
def test_the_fewest_that_are_assessed_make_two_samples_in_the_real_proportions(counts):
    least = fewest_to_assess(counts)

    def sample(per_class: int) -> int:  # as `assess` draws it
        return sum(-(-per_class * count // max(counts)) for count in counts)

    assert sample(least) >= 2 * GENERATED > sample(least - 1) - len(counts)


@pytest.mark.parametrize("call", ["scores", "assess"])
def test_features_that_are_not_finite_mean_divergence(
    evaluator: Evaluator, run: Run, monkeypatch, call
):
    whole = evaluator.extractor.forward

    def broken(images):
        features = whole(images)
        features[0, 0] = torch.nan
        return features

    monkeypatch.setattr(evaluator.extractor, "forward", broken)
    with pytest.raises(DivergedError, match=r"features .*\b0$"):
        evaluator.scores(run, seed=0) if call == "scores" else evaluator.assess(run, 20, seed=0)


def test_the_yardstick_lies_where_it_should(data: Dataset):
    extractor: Any = TinyExtractor()
    scorer = Evaluator(data, extractor, real_set(data, extractor), witness(data))
    config = small_config(data)
    found = measure(scorer, Run(config, data, seed=0), "tiny/mean-8", seed=0)
    assert found["protocol"] == "tiny/mean-8"
    assert (found["n_real"], found["n_generated"], found["half_n"]) == (40, GENERATED, 20)
    assert 0 < found["floor"] < found["half_floor"] < found["untrained"]["fid"] / 3
    assert found["untrained"].keys() == EVALUATION
    assert found["untrained"] == scorer.scores(Run(config, data, seed=0), seed=0)
    assert found["witness"] == witness(data).accuracy
    assert measure(scorer, Run(config, data, seed=0), "tiny/mean-8", seed=0) == found


def test_an_assessment_comes_back_from_json_as_it_was():
    fid, kid, cas = Interval(1.0, 3.0, 2.0), Interval(0.1, 0.3, 0.2), Interval(0.7, 0.9, 0.8)
    for found in (Assessment({"fid": 2.5}, 40, fid, kid, cas, 8, 30), Assessment({}, 40, fid, kid)):
        assert Assessment.from_json(json.loads(json.dumps(found.to_json()))) == found
    old = Assessment({}, 40, fid, kid).to_json()
    del old["cas"], old["images_seen"], old["whole"]
    assert Assessment.from_json(old).ends == {
        "fresh_fid_low": 1.0, "fresh_fid_high": 3.0, "fresh_fid_mean": 2.0,
        "fresh_kid_low": 0.1, "fresh_kid_high": 0.3, "fresh_kid_mean": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "classes", "n", "counts"),
    [
        ([0] * 30 + [1] * 10, 2, 8, [6, 2]),
        ([0, 1, 2], 3, 200, [67, 67, 66]),
        ([2, 2, 0], 3, 3, [1, 0, 2]),
        ([1] * 5, 2, 7, [0, 7]),
        ([0] * 999 + [1], 2, 200, [200, 0]),
    ],
)
def test_generated_labels_follow_the_real_proportions(labels, classes, n, counts):
    spread = spread_labels(torch.tensor(labels), classes, n)
    assert spread.bincount(minlength=classes).tolist() == counts
    assert spread.tolist() == sorted(spread.tolist())


def test_a_class_as_scarce_as_can_be_is_scored():
    assert spread_labels(torch.tensor([0] * 1500 + [1] * 10), 2, 200).bincount().tolist() == [
        198, 2,
    ]  # fmt: skip
    assert spread_labels(torch.tensor([0] * 3000 + [1, 1, 2, 2]), 3, 200).bincount().tolist() == [
        196, 2, 2,
    ]  # fmt: skip
    many = torch.arange(150).repeat(2)
    assert spread_labels(many, 150, 200).bincount().tolist() == [2] * 50 + [1] * 100


def test_a_class_without_any_variety_is_refused_before_a_search():
    data = make_data()
    images = data.images.copy()
    images[data.labels == 1] = 128  # plain grey, as from a broken export
    plain = replace(data, images=images)
    extractor: Any = TinyExtractor()
    scorer = Evaluator(plain, extractor, real_set(plain, extractor), witness(plain))
    run = Run(small_config(plain), plain, seed=0)
    with pytest.raises(InputError, match=r"^made .*\(\w*diversity .*nan .*cgan-search data show"):
        measure(scorer, run, "tiny", seed=0)
