"""Texts of figures that must not touch each other."""

import pytest

from analysis.augmentation.findings.draw import size_labels


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
    assert size_labels(sizes) == shown
