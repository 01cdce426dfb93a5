"""Pareto fronts against their definition, and the order within one by hand."""

import numpy as np
import pytest

from trainable.trial.pareto import first_front, fronts, order


def dominates(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one <= other).all() and (one < other).any())


@pytest.mark.parametrize("goals", [1, 2])
def test_a_front_is_of_those_that_only_earlier_fronts_dominate(goals):
    values = np.random.default_rng(0).integers(0, 6, (60, goals)).astype(float)
    found = fronts(values)
    for i, value in enumerate(values):
        above = [found[j] for j, other in enumerate(values) if dominates(other, value)]
        assert found[i] == (max(above) + 1 if above else 0)


def test_the_first_front_goes_by_the_first_goal_and_has_all_equal_rows():
    values = np.array([[30.0, 40.0], [20.0, 90.0], [5.0, 80.0], [1.0, 95.0], [30.0, 40.0]])
    assert first_front(values) == [3, 2, 0, 4]
    assert first_front(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])) == [0, 1, 2]
    assert first_front(np.empty((0, 2))) == []


def test_one_goal_is_sorted_and_equal_ones_keep_their_order():
    values = np.array([[3.0], [1.0], [2.0], [1.0]])
    assert order(values).tolist() == [1, 3, 2, 0]


def test_a_front_begins_with_its_ends_whatever_the_units():
    front = np.array([[2.0, 8.0], [1.0, 9.0], [9.0, 1.0], [5.0, 5.0], [3.0, 7.0]])
    for units in (1.0, 1000.0):
        values = np.vstack([front * [1.0, units], [[9.0, 9.0 * units]]])
        assert order(values).tolist() == [1, 2, 3, 4, 0, 5]


def test_rows_without_a_difference_keep_their_order():
    assert order(np.ones((3, 2))).tolist() == [0, 1, 2]
    assert order(np.empty((0, 2))).tolist() == []
