"""Scores of classifiers: closed forms, scikit-learn as an oracle, thresholds fed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score, roc_curve

from analysis.augmentation.classifier.scores import (
    choose_threshold,
    classification_scores,
    positive_class,
    steps_to,
)
from tests.helpers.refusals import tells

NAMES = [
    "accuracy", "balanced_accuracy", "auroc", "sensitivity", "specificity", "type_1_error",
    "type_2_error", "specificity_at_90", "ece",
]  # fmt: skip


def binary(scores: list[float]) -> np.ndarray:
    """Probabilities of which the last column is the positive class's."""
    return np.stack([1 - np.array(scores), np.array(scores)], 1)


def drawn(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of two decimals, so that some are equal, and labels that follow them a bit."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    scores = rng.random((n, classes)) + 0.5 * np.eye(classes)[labels]
    parts = np.round(scores[:, :-1] / scores.sum(1, keepdims=True), 2)
    return np.concatenate([parts, 1 - parts.sum(1, keepdims=True)], 1), labels


# Which class is positive


@pytest.mark.parametrize(
    ("classes", "index"),
    [
        (("NORMAL", "PNEUMONIA"), 1),
        (("effusion", "No_Finding"), 0),
        (("covid-negative", "covid-positive"), 1),
        (("atypical", "healthy2"), 0),
        (("malignant", "Benign"), 0),
        (("case", "control"), 0),
        (("NORMAL", "abnormal"), 1),
        (("Target", "no Target"), 0),  # as a column of 0 and 1 is read
        (("no finding", "pneumonia"), 1),
        (("Non-covid", "covid"), 1),
        (("mass", "no_mass"), 0),
        (("COVID+", "COVID-"), 0),
        (("HER2", "HER2-"), 0),
    ],
)
def test_the_other_of_a_healthy_name_is_positive(classes, index):
    found, why = positive_class(classes)
    assert found == index
    healthy = classes[1 - index]
    assert tells(why, classes[index], healthy)
    assert why.index(f" {classes[index]}") < why.index(f" {healthy}")


@pytest.mark.parametrize("classes", [("bacteria", "virus"), ("normal", "not_normal")])
def test_the_last_is_positive_where_names_do_not_say(classes):
    found, why = positive_class(classes)
    assert found == 1
    assert tells(why, classes[1], "last")
    assert f" {classes[0]}" not in why


def test_three_classes_have_no_positive_one():
    with pytest.raises(ValueError, match="3 classes"):
        positive_class(["normal", "bacteria", "virus"])


# Thresholds


def threshold(negative: ArrayLike, positive: ArrayLike) -> float:
    scores, known = (
        np.r_[negative, positive],
        np.r_[np.zeros(np.size(negative)), np.ones(np.size(positive))],
    )
    order = np.random.default_rng(0).permutation(len(scores))
    return choose_threshold(scores[order], known[order] > 0)


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [
        ([0.1, 0.2], [0.8, 0.9], 0.5),
        ([0.2], [0.8], 0.5),
        ([0.3], [0.3], 0.3),
        ([0.5], [0.9], 0.75),  # logits 0 and log 9: halfway log 3
        ([0.9], [0.2], 0.6),  # logits log 9 and -log 4: halfway log 1.5
        ([0.0], [1.0], 0.5),
    ],
)
def test_thresholds_by_hand(negative, positive, expected):
    assert threshold(negative, positive) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_is_of_the_logistic_model_whose_one_parameter_is_its_intercept(seed):
    rng = np.random.default_rng(seed)
    scores, known = rng.uniform(0.01, 0.99, 30), rng.uniform(size=30) < 0.3
    weights = np.where(known, 1 / known.sum(), 1 / (~known).sum())

    def cross_entropy(shift: float) -> float:
        p = expit(logit(scores) + shift)
        return -float((weights * np.log(np.where(known, p, 1 - p))).sum())

    found: Any = minimize_scalar(cross_entropy, bounds=(-9, 9), method="bounded")
    assert choose_threshold(scores, known) == pytest.approx(expit(-found.x), abs=1e-4)


def test_classes_count_alike_however_many_images_they_have():
    once = threshold([0.1, 0.4], [0.3, 0.9])
    assert threshold([0.1, 0.4] * 7, [0.3, 0.9]) == pytest.approx(once)


def test_few_images_give_it_less_luck_than_the_best_of_them():
    """Of normal logits, a unit apart, whose best threshold is known to be 0.5."""
    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        scores = expit(rng.normal([[-0.5], [0.5]], 1, (2, 12)))
        false, true, at = roc_curve(np.repeat([0, 1], 12), scores.ravel())
        found.append((threshold(*scores), at[(true - false).argmax()]))
    ours, youden = np.abs(np.array(found) - 0.5).mean(axis=0)
    assert ours < youden / 2


@pytest.mark.parametrize(
    ("scores", "positive"),
    [([0.1, 0.2], [True, True]), ([], []), ([0.1, math.nan], [True, False]),
     ([0.1, 1.1], [True, False])],
)  # fmt: skip
def test_scores_without_a_threshold_are_refused(scores, positive):
    with pytest.raises(ValueError, match=r"scores must|one class"):
        choose_threshold(np.array(scores), np.array(positive))


# Scores


def test_scores_by_hand():
    # Negative: 0.1, 0.45, 0.55, 0.9; positive: 0.35, 0.55, 0.95. Threshold 0.5.
    probabilities = binary([0.1, 0.45, 0.55, 0.9, 0.35, 0.55, 0.95])
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    found = classification_scores(probabilities, labels, positive=1, threshold=0.5)
    assert list(found) == NAMES
    # Pairs: 0.35 beats 1 of 4; 0.55 beats 2 and ties with 1; 0.95 beats 4.
    # A sensitivity of 0.9 takes all three, at 0.35: one negative is below.
    # Bins, confidence less accuracy: (0.5, 0.6] 0.55 right, wrong, right; (0.6, 0.7] 0.65 wrong;
    # (0.8, 0.9] 0.9 right and 0.9 wrong; (0.9, 1] 0.95 right.
    ece = (abs(3 * 0.55 - 2) + 0.65 + abs(2 * 0.9 - 1) + 0.05) / 7
    expected = [4 / 7, (2 / 3 + 2 / 4) / 2, 7.5 / 12, 2 / 3, 2 / 4, 2 / 4, 1 / 3, 1 / 4, ece]
    assert list(found.values()) == pytest.approx(expected)


def test_the_positive_class_may_be_the_first():
    probabilities, labels = drawn(30, 2)
    first = classification_scores(probabilities, labels, positive=0, threshold=0.3)
    turned = classification_scores(probabilities[:, ::-1], 1 - labels, positive=1, threshold=0.3)
    assert first == pytest.approx(turned)
    expected = recall_score(labels == 0, probabilities[:, 0] >= 0.3)
    assert first["sensitivity"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_agree_with_scikit_learn(seed):
    probabilities, labels = drawn(33, 2, seed)
    found = classification_scores(probabilities, labels, positive=1, threshold=0.4)
    decided = probabilities[:, 1] >= 0.4
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, probabilities[:, 1]))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, decided))
    assert found["accuracy"] == pytest.approx((decided == labels).mean())
    assert found["specificity"] == pytest.approx(recall_score(labels, decided, pos_label=0))
    assert found["type_1_error"] == pytest.approx(1 - found["specificity"])
    assert found["type_2_error"] == pytest.approx(1 - found["sensitivity"])
    false, true, _ = roc_curve(labels, probabilities[:, 1], drop_intermediate=False)
    assert found["specificity_at_90"] == pytest.approx(1 - false[true >= 0.9 - 1e-9].min())


@pytest.mark.parametrize("seed", range(5))
def test_three_classes_agree_with_scikit_learn(seed):
    probabilities, labels = drawn(50, 3, seed)
    found = classification_scores(probabilities, labels, positive=None, threshold=None)
    decided = probabilities.argmax(1)
    each = [recall_score(labels != c, decided != c) for c in range(3)]
    auroc = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert found["auroc"] == pytest.approx(auroc)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, decided))
    assert found["sensitivity"] == pytest.approx(found["balanced_accuracy"])
    assert found["specificity"] == pytest.approx(np.mean(each))


def test_what_is_certain_and_right_is_perfect_and_what_is_certain_and_wrong_is_not():
    labels = np.array([0, 1, 0, 1])
    right = classification_scores(np.eye(2)[labels], labels, positive=1, threshold=0.5)
    wrong = classification_scores(np.eye(2)[1 - labels], labels, positive=1, threshold=0.5)
    assert list(right.values()) == [1, 1, 1, 1, 1, 0, 0, 1, 0]
    assert list(wrong.values()) == [0, 0, 0, 0, 0, 1, 1, 0, 1]


def test_calibrated_confidence_has_no_error():
    # Of ten images of confidence 0.7, seven are right.
    probabilities = binary([0.3] * 5 + [0.7] * 5)
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    found = classification_scores(probabilities, labels, positive=1, threshold=0.5)
    assert found["ece"] == pytest.approx(0)


@pytest.mark.parametrize(
    ("probabilities", "labels", "positive", "threshold"),
    [
        (binary([0.1, 0.2]), [0, 0], 1, 0.5),
        (binary([0.1, 0.2]), [0, 2], 1, 0.5),
        (binary([0.1, 0.2]), [0], 1, 0.5),
        (binary([0.1, math.nan]), [0, 1], 1, 0.5),
        (binary([0.1, 1.2]), [0, 1], 1, 0.5),
        (binary([0.1, 0.2]), [0, 1], None, 0.5),
        (binary([0.1, 0.2]), [0, 1], 1, None),
        (binary([0.1, 0.2]), [0, 1], 2, 0.5),
        (np.eye(3), [0, 1, 2], 1, 0.5),
        (np.eye(3), [0, 1, 1], None, None),
        (np.ones((2, 1)), [0, 0], None, None),
        (np.zeros((0, 2)), [], 1, 0.5),
    ],
)
def test_what_has_no_scores_is_refused(probabilities, labels, positive, threshold):
    with pytest.raises(ValueError, match=r"labels|classes|probabilities"):
        classification_scores(
            probabilities, np.array(labels), positive=positive, threshold=threshold
        )


def test_the_first_step_that_reaches_an_accuracy():
    pairs = ((10, 0.5), (20, 0.8), (30, 0.7), (40, 0.9))
    history = [{"step": step, "valid_accuracy": accuracy} for step, accuracy in pairs]
    assert steps_to(history, 0.8) == 20
    assert steps_to(history, 0.85) == 40
    assert steps_to(history, 0) == 10
    assert steps_to(history, 0.95) == math.inf
    assert steps_to([], 0) == math.inf
