"""The population stability index and its bins against numbers worked by hand and counting."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_assets.learning.drift import bins, shares_of, stability_index

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200)


def test_a_worked_example() -> None:
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)

    assert stability_index([0.5, 0.5], [0.6, 0.4]) == pytest.approx(expected)


def test_the_same_shares_have_not_drifted() -> None:
    assert stability_index([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]) == 0


def test_an_empty_bin_is_much_drift_but_finite() -> None:
    assert 1 < stability_index([0.5, 0.5], [1, 0]) < 10


def test_bins_hold_a_tenth_each() -> None:
    found = bins(np.arange(1000.0))

    assert len(found["edges"]) == 9
    assert found["shares"] == pytest.approx([0.1] * 10)


def test_many_equal_values_make_fewer_bins() -> None:
    found = bins(np.array([0.0] * 95 + [1, 2, 3, 4, 5]))

    assert found == {"edges": [0.0], "shares": [0.0, 1.0]}


@given(values)
def test_shares_are_counted_between_the_edges(numbers: list[float]) -> None:
    found = bins(np.array(numbers))
    edges = [-math.inf, *found["edges"], math.inf]
    counted = [sum(low <= number < high for number in numbers) for low, high in pairwise(edges)]

    assert found["shares"] == pytest.approx([count / len(numbers) for count in counted])


def test_shares_of_counts_that_lack_a_bin() -> None:
    assert shares_of({0: 1, 2: 3}, 4) == [0.25, 0, 0.75, 0]
