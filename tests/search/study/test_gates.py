"""What a winner must pass, and by how much it misses that."""

import pytest

from search.study.gates import GATES, failed_gates, shortfall

GOOD = {"pixel_copy_rate": 0.0, "copy_rate": 0.0, "diversity": 0.9, "coverage": 0.5}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.score)
def test_a_score_at_the_limit_passes_and_the_worst_misses_it_whole(gate):
    worst = 0.0 if gate.least else 1.0
    for value, missed in ((gate.limit, 0.0), ((gate.limit + worst) / 2, 0.5), (worst, 1.0)):
        scores = {**GOOD, gate.score: value}
        assert shortfall(scores) == pytest.approx(missed)
        assert bool(failed_gates(scores)) == bool(missed)


def test_an_evaluation_is_judged_by_what_it_has():
    assert shortfall({"fid": 50.0, "diversity": 0.41}) == pytest.approx(0.5)
    assert shortfall({}) == 0


@pytest.mark.parametrize(
    ("missed", "said"), [(0.8172, "0.817"), (0.82 - 1e-6, "0.819999"), (0.3, "0.30")]
)
def test_a_score_just_beyond_a_limit_is_not_rounded_to_it(missed, said):
    (fault,) = failed_gates({**GOOD, "diversity": missed})
    assert fault == f"within-class diversity {said}, at least 0.82"
