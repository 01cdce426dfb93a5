"""What a winner must pass, and by how much it misses that."""

import pytest

from search.study.gates import ALIKE, GATES, failed_gates, gates_of, shortfall
from tests.helpers.studies import record

GOOD = {"pixel_copy_rate": 0.0, "copy_rate": 0.0, "diversity": 0.9, "coverage": 0.5}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.score)
def test_a_score_at_the_limit_passes_and_the_worst_misses_it_whole(gate):
    worst = 0.0 if gate.least else 1.0
    for value, missed in ((gate.limit, 0.0), ((gate.limit + worst) / 2, 0.5), (worst, 1.0)):
        scores = {**GOOD, gate.score: value}
        assert shortfall(scores) == pytest.approx(missed)
        assert bool(failed_gates(scores, GATES)) == bool(missed)


def test_an_evaluation_is_judged_by_what_it_has():
    assert shortfall({"fid": 50.0, "diversity": 0.41}) == pytest.approx(0.5)
    assert shortfall({}) == 0


@pytest.mark.parametrize(
    ("missed", "said"), [(0.8172, "0.817"), (0.82 - 1e-6, "0.819999"), (0.3, "0.30")]
)
def test_a_score_just_beyond_a_limit_is_not_rounded_to_it(missed, said):
    (fault,) = failed_gates({**GOOD, "diversity": missed}, GATES)
    assert fault == f"within-class diversity {said}, at least 0.82"


@pytest.mark.parametrize(
    ("default", "limit"),
    [(0.95, 0.82), (0.82 + ALIKE, 0.82), (0.82, 0.82 - ALIKE), (0.769, 0.71), (0.7, 0.7)],
)
def test_where_the_default_varies_little_others_may_too_down_to_where_fid_pays_no_more(
    default, limit
):
    own = record(3, 60.0, origin="default", diversity=default)
    gates = gates_of([record(1, 50.0, diversity=0.5), own, record(4, 50.0, diversity=0.99)])
    (moved,) = [gate for gate in gates if gate.score == "diversity"]
    assert moved.limit == pytest.approx(limit)
    assert [gate for gate in gates if gate is not moved] == [
        gate for gate in GATES if gate.score != "diversity"
    ]
    assert failed_gates({**GOOD, "diversity": limit - 0.01}, gates)
    assert not failed_gates({**GOOD, "diversity": limit + 0.001}, gates)


@pytest.mark.parametrize(("status", "origin"), [("pruned", "default"), ("complete", "enqueued")])
def test_only_a_default_that_ran_to_the_end_moves_a_gate(status, origin):
    assert gates_of([record(0, 60.0, status, origin=origin, diversity=0.5)]) == GATES
    assert gates_of([]) == GATES
