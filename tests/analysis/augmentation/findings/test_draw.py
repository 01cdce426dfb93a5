"""Texts of figures that must not touch each other."""

import math

import pytest

from analysis.augmentation.findings.draw import labels_apart


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([176], ["176"]),
        ([25, 50, 100, 200, 400, 800], ["25", "50", "100", "200", "400", "800"]),
        ([25, 50, 100, 200, 400, 800, 1137], ["25", "50", "100", "200", "400", "", "1137"]),
        ([100, 101, 102, 200], ["", "", "102", "200"]),
        ([25, 900, 1000, 1100], ["25", "", "", "1100"]),
    ],
)
def test_a_size_is_written_where_there_is_room(sizes, shown):
    assert labels_apart(sizes, [math.log(size) for size in sizes]) == shown


def test_so_is_a_ratio():
    ratios = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
    assert labels_apart(ratios, ratios) == ["", "0.25", "", "1", "2", "4"]
