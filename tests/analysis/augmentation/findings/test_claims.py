"""What is claimed, by planted truths; and how often something is claimed where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from analysis.augmentation.design.arms import (
    ADDED,
    ALONE,
    ARMS,
    BLURRED,
    DUPLICATES,
    PAIRS,
    REAL,
)
from analysis.augmentation.design.cells import Cell, plan
from analysis.augmentation.findings.claims import (
    level_of,
    looks_before,
    plain,
    power_sentence,
)
from analysis.augmentation.findings.results import Findings
from analysis.augmentation.findings.statistics import (
    Spread,
    holm,
    paired_differences,
    paired_test,
)
from analysis.augmentation.findings.tables import claim_rows
from tests.helpers.refusals import tells

CONTROLLED: tuple[str, ...] = (REAL, ADDED, DUPLICATES, BLURRED)


def findings(
    leads: Mapping[str, float], repeats: int = 5, looks: tuple[int, ...] = (5,), seed: int = 0,
    sizes: tuple[int, ...] = (20, 40), images: int = 200, spread: float = 0.1,
) -> Findings:  # fmt: skip
    """A study in which arms do better by their `leads`, in units of how hard images differ."""
    rng, labels = np.random.default_rng(seed), np.arange(images) % 2
    hard = rng.standard_normal(images)
    own = {(size, arm): 0.3 * rng.standard_normal(images) for size in sizes for arm in leads}
    results: dict[Cell, Any] = {}
    for cell in plan(sizes, [1.0], repeats, tuple(arm for arm in ARMS if arm in leads)):
        of = 0.5 + leads[cell.arm] + hard + own[cell.size, cell.arm]
        right = of + spread * rng.standard_normal() + 0.5 * rng.standard_normal(images) > 0
        positive = np.where(right, labels, 1 - labels).astype(float)
        results[cell] = {
            "status": "complete", "threshold": 0.5, "history": [], "generator": "own",
            "probabilities": np.stack([1 - positive, positive], axis=1).tolist(),
            "scores": {"accuracy": float(right.mean())},
        }  # fmt: skip
    return Findings(results, labels, 1, looks=looks)


def ways(found: Findings) -> set[int]:
    return {claim.told for claim in found.claims}


def test_images_help_only_if_they_beat_every_control():
    equal = dict.fromkeys(CONTROLLED, 0.0)
    assert ways(findings({**equal, ADDED: 1.0})) == {1}
    for control in (REAL, DUPLICATES, BLURRED):
        found = findings({**equal, ADDED: 1.0, control: 1.0})
        assert ways(found) == {0}
        assert {claim.against for claim in found.claims} == {control}
    assert ways(findings(equal)) == {0}


def test_images_harm_if_they_are_worse_than_none_and_than_duplicates():
    equal = dict.fromkeys(CONTROLLED, 0.0)
    harmful = findings({**equal, ADDED: -1.0})
    assert ways(harmful) == {-1}
    assert tells(harmful.sentences()[0], "harm", ADDED, "over", "5 repeats")
    assert ways(findings({**equal, ADDED: -1.0, DUPLICATES: -1.0})) == {0}
    assert ways(findings({**equal, ADDED: -1.0, BLURRED: -1.0})) == {-1}  # a blur may harm as well


def test_interval_and_p_are_of_one_test_and_all_claims_one_family():
    found = findings({**dict.fromkeys((*CONTROLLED, ALONE), 0.0), ADDED: 0.6})
    assert {(c.first, c.second) for c in found.comparisons} == {
        (first, second) for first, second in PAIRS if {first, second} <= {*CONTROLLED, ALONE}
    }
    for c in found.comparisons:
        assert (c.p < 0.05) == (c.difference.low > 0 or c.difference.high < 0)
    claims = found.claims
    assert [c.adjusted for c in claims] == holm([c.p for c in claims])
    for claim in claims:
        controls = [c for c in found.comparisons if (c.size, c.second) == (claim.size, ADDED)]
        assert claim.p == max(c.p for c in controls)
        assert claim.ceiling == min(c.difference.high for c in controls)


def test_what_a_look_found_stands_though_a_later_one_does_not_see_it():
    lucky = findings({ADDED: 1.0, DUPLICATES: 0.0})
    later = findings({ADDED: -1.0, DUPLICATES: 0.0}, repeats=10)
    results = later._results | lucky._results  # the first five repeats are lucky ones
    assert ways(Findings(results, later._labels, 1, looks=(10,))) == {0}
    both = Findings(results, later._labels, 1, looks=(5, 10))
    assert ways(both) == {1}
    for claim in both.claims:  # with the figures that told it, not those that speak against it
        assert claim.gain.low > 0
        assert claim.repeats == 5
    again = Findings(results, later._labels, 1, looks=(10, 5))  # looked at ten first
    assert again.level == again.upto(5).level == level_of(2)


def test_a_claim_names_the_controls_that_it_could_not_be_held_against():
    found = findings({ADDED: 1.0, REAL: 0.0})
    assert {claim.missing for claim in found.claims} == {(DUPLICATES, BLURRED)}
    assert tells(found.sentences()[0], "help", f"not compared with {DUPLICATES} and {BLURRED}")
    equal = findings({ADDED: 0.0, REAL: 0.0})
    assert tells(equal.sentences()[0], "not seen to help", DUPLICATES)
    assert findings(dict.fromkeys(CONTROLLED, 0.0)).claims[0].missing == ()


def test_of_one_repeat_or_one_group_of_images_nothing_is_foretold():
    assert findings({ADDED: 0.0, DUPLICATES: 0.0}, repeats=1).spreads == []
    found = findings({ADDED: 0.0, DUPLICATES: 0.0})
    one = Findings(found._results, found._labels, 1, np.zeros(200, int))
    assert one.spreads == []
    assert [len(controls) for controls in found.spreads] == [1, 1]


def test_equal_decisions_settle_as_much_as_their_images_can():
    """No test image tells the arms apart: of 40 one in 13 others may yet, of 200 one in 67."""
    perfect = {ADDED: 99.0, DUPLICATES: 99.0}
    few, many = (findings(perfect, images=images) for images in (40, 200))
    assert [claim.ceiling for claim in few.claims] == pytest.approx([3 / 40] * 2)
    assert (plain(few.claims, 0.03), plain(many.claims, 0.03)) == (False, True)
    said = power_sentence(few.spreads, 10, 0.03, lambda _: 1)
    assert tells(said, "3.0% takes more test images")


def test_of_a_handful_of_patients_nothing_is_claimed_and_no_ceiling_told():
    found = findings({ADDED: 99.0, DUPLICATES: -99.0})
    few = Findings(found._results, found._labels, 1, np.arange(200) % 5, looks=(5,))
    assert (ways(found), ways(few)) == ({1}, {0})
    assert not plain(few.claims, 0.5)
    assert few.spreads == []
    assert tells(few.sentences()[0], "6 test images or patients")
    assert "nan" not in str([few.sentences(), claim_rows(few.claims)])


def test_a_rate_is_the_geometric_mean_ratio_of_steps_and_never_counts_as_one_look_more():
    found = findings({ADDED: 0, DUPLICATES: 0}, repeats=2, sizes=(20,))
    reached = {(ADDED, 0): 10, (DUPLICATES, 0): 20, (ADDED, 1): 20, (DUPLICATES, 1): None}
    for cell, result in found.complete.items():
        at = reached[cell.arm, cell.repeat]
        result["history"] = [
            {"step": step, "valid_accuracy": 0.9 if at is not None and step >= at else 0.5}
            for step in (10, 20)
        ]
    (rate,) = found.rates(0.8)
    assert rate.times.mean == pytest.approx(math.sqrt(1 / 2 * 20 / 30))
    assert (rate.first, rate.second) == (DUPLICATES, ADDED)


def test_looks_share_five_percent_however_many_there_will_be():
    assert sum(level_of(k) for k in range(1, 50)) == pytest.approx(0.05)
    assert looks_before(3) == looks_before(5) == []
    assert looks_before(21) == [5, 10, 20]


def test_of_studies_without_any_effect_one_in_twenty_claims_one_at_most():
    """200 studies of 2 claims, looked at twice, with one control: more make claims rarer."""
    wrong = 0
    for seed in range(200):
        found = findings({ADDED: 0, DUPLICATES: 0}, 10, (5, 10), seed, images=60, spread=0.2)
        wrong += any(claim.told for claim in found.claims)
    assert 1 <= wrong <= 10


def test_an_answer_is_plain_where_claims_are_told_or_gains_must_be_small():
    helpful = findings({**dict.fromkeys(CONTROLLED, 0.0), ADDED: 1.0}, 10, (5,))
    helps = helpful.upto(5).claims
    equal = findings(dict.fromkeys(CONTROLLED, 0.0)).claims
    assert plain(helps, 0.001)
    assert not plain(equal, 0.001)
    assert plain(equal, 0.5)
    assert not plain([], 0.5)


def test_the_detectable_difference_is_found_as_often_as_said():
    """Its spread is estimated from studies of 3 repeats, and tried in ones of 10."""
    images, repeats, tries = 80, 10, 300
    rng = np.random.default_rng(1)

    def decisions(r: int, lead: float) -> tuple[np.ndarray, np.ndarray]:
        hard, arms = 2 * rng.standard_normal(images), []
        for of in (0.0, lead):
            easy = hard + 0.8 * rng.standard_normal(images) + 0.3 * rng.standard_normal((r, 1))
            arms.append(1 + of + easy + 0.5 * rng.standard_normal((r, images)) > 0)
        return arms[0], arms[1]

    pilots = [Spread.of(paired_differences(*decisions(3, 0.5))) for _ in range(50)]
    least = float(np.median([spread.detectable(repeats, 0.05, 0.8) for spread in pilots]))
    lead = min(np.linspace(0.1, 2, 60), key=lambda lead: abs(_true(lead) - least))
    found = [paired_test(*decisions(repeats, lead))[1] < 0.05 for _ in range(tries)]
    assert 0.7 <= np.mean(found) <= 0.92


def _true(lead: float) -> float:
    scale = math.sqrt(2**2 + 0.8**2 + 0.3**2 + 0.5**2)
    rng = np.random.default_rng(0).standard_normal(200_000) * scale
    return float((1 + lead + rng > 0).mean() - (1 + rng > 0).mean())


@pytest.mark.parametrize(
    ("spread", "detect", "parts"),
    [
        (Spread(0.2, 0.0, 500), 0.2, ["10 repeats"]),
        (Spread(5.0, 0.0, 500), 0.05, ["10 repeats", "5.0% would take --repeats"]),
        (Spread(0.2, 0.2, 100), 0.03, ["3.0% takes more test images", "no number of repeats"]),
    ],
)
def test_a_study_says_what_it_will_be_able_to_tell(spread, detect, parts):
    said = power_sentence([[spread], [spread, Spread(0.0, 0.0, 500)]], 10, detect, lambda _: 2)
    assert tells(said, *parts, "2 claims")


def test_of_more_repeats_than_are_ever_proposed_it_says_what_they_can_tell():
    said = power_sentence([[Spread(0.2, 0.2, 100)]], 600, 0.03, lambda _: 2)
    assert tells(said, "600 repeats", "no number of repeats")
    assert "inf" not in said
