"""Margins and ratios worked by hand, coverage on rows that were not used, and what holds of any rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stock_assets.learning.evaluation import Group
from stock_assets.learning.intervals import MIN_ROWS, NOMINAL, Ratios, coverage, margin_of, margins, ratios

LABELS = ("thin", "middle", "liquid")


def one_group(rows: int) -> Group:
    return Group(np.zeros(rows, np.intp), ("all",))


@pytest.mark.parametrize(("rows", "rank"), [(100, 81), (101, 82), (250, 201)])
def test_a_margin_by_hand(rows: int, rank: int) -> None:
    """The smallest of n misses, by rank, that is at least the share 0.8 of n + 1: 80.8, 81.6 and 200.8."""
    misses = np.random.default_rng(6).permutation(np.arange(1.0, rows + 1))

    assert margins(np.zeros(rows), np.zeros(rows), misses, one_group(rows)) == {"all": rank}


@pytest.mark.parametrize(
    ("actual", "margin"),
    [
        (np.array([5.0, 3.01, 6]), -0.01),  # inside by 0.01 at least: both ends move inwards
        (np.array([5.0, 4, 6]), -0.02),  # by 1 at least, but that is too much
        (np.array([5.0, 4, 11]), 1.0),
        (np.array([-2.0, 4, 11]), 2.0),
    ],
)
def test_few_rows_are_covered_one_and_all(actual: np.ndarray, margin: float) -> None:
    """0.8 * 4 / 3 is more than 1. An interval of 3 to 10 with 5, 4 and 6 in it has 2, 1 and 3 to spare."""
    low, high = np.full(3, 3.0), np.full(3, 10.0)
    if margin > 0:
        low = np.zeros(3)

    assert margins(low, high, actual, one_group(3)) == {"all": pytest.approx(margin)}


def test_a_zero_is_inside_what_is_open_below_whatever_the_margin() -> None:
    """Eight zeros of ten, and two misses above: 0.8 * 1.1 of ten is nine."""
    actual = np.array([0.0] * 8 + [5, 6])
    low, high = np.full(10, -np.inf), np.full(10, 4.0)

    assert margins(low, high, actual, one_group(10)) == {"all": 1.0}
    assert margins(low, high, np.zeros(10), one_group(10)) == {"all": -0.02}


def test_a_bucket_with_few_rows_takes_the_margin_of_all() -> None:
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 2, 1], [MIN_ROWS, 5 * MIN_ROWS, MIN_ROWS - 1])
    actual = rng.normal(0, np.array([3, 100, 1])[codes])
    zero = np.zeros(len(codes))
    found = margins(zero, zero, actual, Group(codes, (*LABELS, "empty")))
    overall = margins(zero, zero, actual, one_group(len(codes)))["all"]

    assert found["middle"] == found["empty"] == overall
    assert found["thin"] == margins(zero[:MIN_ROWS], zero[:MIN_ROWS], actual[:MIN_ROWS], one_group(MIN_ROWS))["all"]
    assert found["thin"] != overall != found["liquid"]


def test_each_row_gets_the_margin_of_its_bucket() -> None:
    group = Group(np.array([2, 0, 0, 1]), LABELS)

    assert margin_of({"liquid": 0.5, "middle": 0.1, "thin": -1.0}, group).tolist() == [0.5, -1, -1, 0.1]


def test_intervals_that_were_too_narrow_or_too_wide_hold_four_fifths_of_new_rows() -> None:
    """Each bucket has errors of its own size, and ends that are wrong in its own way; half of the rows are new."""
    rng = np.random.default_rng(2)
    rows = 40_000
    codes = rng.integers(0, 3, rows)
    group = Group(codes, LABELS)
    level, size = rng.normal(0, 5, rows), np.array([2.0, 0.5, 0.1])[codes]
    actual = level + rng.normal(0, size)
    low, high = level - np.array([0.1, 0.5, 0.14])[codes], level + np.array([0.1, 0.9, 0.14])[codes]
    known = np.arange(rows) % 2 == 0
    found = margins(low[known], high[known], actual[known], Group(codes[known], LABELS))
    margin = margin_of(found, group)
    new = ~known
    held = coverage((low - margin)[new], (high + margin)[new], actual[new], Group(codes[new], LABELS))
    raw = coverage(low[new], high[new], actual[new], Group(codes[new], LABELS))

    assert found["thin"] > 0 > found["liquid"]
    assert held["coverage"] == pytest.approx(NOMINAL, abs=0.01)
    assert held["by_liquidity"] == pytest.approx(dict.fromkeys(LABELS, NOMINAL), abs=0.015)
    assert raw["by_liquidity"]["thin"] < 0.1
    assert raw["by_liquidity"]["liquid"] > 0.82


@pytest.mark.parametrize(("rows", "low", "high"), [(100, 10, 91), (101, 10, 92), (250, 25, 226), (8, 1, 8)])
def test_ratios_by_hand(rows: int, low: int, high: int) -> None:
    """By rank, of n ratios: at most a tenth of n + 1 lies below or at the low end, nine tenths below or at the high."""
    actual = np.random.default_rng(6).permutation(np.arange(1.0, rows + 1))
    found = ratios(np.full(rows, 4.0), actual, one_group(rows))

    assert (found.low.tolist(), found.high.tolist()) == ([low / 4], [high / 4])


def test_where_more_than_a_tenth_has_no_trading_the_interval_begins_at_0_and_can_miss_above_only() -> None:
    actual = np.arange(200.0) - 30
    found = ratios(np.full(200, 10.0), np.maximum(actual, 0), one_group(200))

    assert (found.low.tolist(), found.high.tolist()) == ([0.0], [13.0])  # rank 161 of 200 has 130 shares


def test_a_bucket_with_few_rows_takes_the_ratios_of_all() -> None:
    rng = np.random.default_rng(1)
    codes = np.repeat([0, 2, 1], [MIN_ROWS, 5 * MIN_ROWS, MIN_ROWS - 2])
    predicted = rng.lognormal(8, 2, len(codes))
    actual = predicted * rng.lognormal(0, np.array([1.0, 9, 0.1])[codes])
    found = ratios(predicted, actual, Group(codes, (*LABELS, "empty")))
    by_hand = {
        label: np.sort((actual / predicted)[rows])[[(len(codes[rows]) + 1) // 10 - 1, -((len(codes[rows]) + 1) // 10)]]
        for label, rows in {"thin": codes == 0, "liquid": codes == 2, "all": codes >= 0}.items()
    }

    for place, label in enumerate(("thin", "all", "liquid", "all")):
        assert [found.low[place], found.high[place]] == pytest.approx(by_hand[label].tolist()), place


def test_both_ends_are_multiples_of_the_prediction_by_bucket() -> None:
    found = Ratios(np.array([0.0, 0.5, 0.9]), np.array([7.0, 2, 1.25]))
    low, high = found.ends(np.array([10.0, 100, 1000, 0]), Group(np.array([0, 2, 1, 1]), LABELS))

    assert low.tolist() == [0, 90, 500, 0]
    assert high.tolist() == [70, 125, 2000, 0]


def test_ratios_of_some_rows_hold_four_fifths_of_others() -> None:
    """Each bucket has errors of its own size, skewed and around a median of its own; half of the rows are new."""
    rng = np.random.default_rng(3)
    rows = 40_000
    codes = rng.integers(0, 3, rows)
    predicted = rng.lognormal(8, 3, rows)
    actual = predicted * rng.gamma(np.array([0.5, 2, 20])[codes], np.array([3, 0.3, 0.06])[codes])
    known = np.arange(rows) % 2 == 0
    old, new = Group(codes[known], LABELS), Group(codes[~known], LABELS)

    found = ratios(predicted[known], actual[known], old)
    pooled = Ratios(*(np.repeat(end, 3) for end in ratios(predicted[known], actual[known], one_group(rows // 2))))
    held = coverage(*found.ends(predicted[~known], new), actual[~known], new)
    alike = coverage(*pooled.ends(predicted[~known], new), actual[~known], new)

    assert held["coverage"] == pytest.approx(NOMINAL, abs=0.01)
    assert held["by_liquidity"] == pytest.approx(dict.fromkeys(LABELS, NOMINAL), abs=0.02)
    assert alike["by_liquidity"]["thin"] < 0.7
    assert alike["by_liquidity"]["liquid"] > 0.95


def test_coverage_by_hand() -> None:
    low, high = np.array([0.0, 1, 2, 3]), np.array([1.0, 2, 3, 4])
    actual = np.array([0.0, 2, 3.1, 2.9])
    found = coverage(low, high, actual, Group(np.array([0, 0, 2, 0]), LABELS))

    assert found == {
        "nominal": 0.8,
        "coverage": 0.5,
        "by_liquidity": {"thin": pytest.approx(2 / 3), "liquid": 0.0},
    }


VALUES = arrays.arrays(np.float64, 30, elements=st.floats(-1e6, 1e6))


@given(VALUES, VALUES, VALUES, st.floats(-100, 100), st.floats(0, 100))
def test_a_larger_margin_never_covers_less(
    low: np.ndarray, high: np.ndarray, actual: np.ndarray, margin: float, more: float
) -> None:
    group = one_group(30)
    narrow = coverage(low - margin, high + margin, actual, group)["coverage"]
    wide = coverage(low - margin - more, high + margin + more, actual, group)["coverage"]

    assert wide >= narrow


@given(VALUES, VALUES, VALUES)
def test_margins_cover_the_rows_that_they_are_of(low: np.ndarray, high: np.ndarray, actual: np.ndarray) -> None:
    """At least four fifths of them, but for the last digit of sums; where the ends cross, an interval is empty."""
    margin = margins(low, high, actual, one_group(30))["all"] + 1e-6
    inside = (low - margin <= actual) & (actual <= high + margin)

    assert inside.mean() >= NOMINAL
