"""The population stability index and its bins against numbers worked by hand and counting."""

import math
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from stock_assets.learning.drift import Drift, bins, stability

DAY = date(2020, 1, 1)
HALVES = {"edges": [10.0], "shares": [0.5, 0.5]}

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200)


def drift_of(
    training: dict[str, dict[str, list[float]]], after: date = DAY, **inputs: Sequence[float | None]
) -> dict[str, Drift]:
    """The drift of inputs given by name, one row a day from the day after `DAY` on."""
    count = max(len(column) for column in inputs.values())
    table = pl.DataFrame({"Date": [DAY + timedelta(days=n + 1) for n in range(count)], **inputs}, strict=False)
    with TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1}) as connection:
        halves = [Path(folder) / "one.parquet", Path(folder) / "two.parquet"]
        table[: count // 2].write_parquet(halves[0])
        table[count // 2 :].write_parquet(halves[1])
        return stability(connection, training, halves, str(after))


def test_a_worked_example() -> None:
    found = drift_of({"x": HALVES}, x=[1.0] * 6 + [11.0] * 4)

    # 0.1 * ln 1.2 + 0.1 * ln 1.25
    assert found == {"x": Drift(10, pytest.approx(0.040546511))}


def test_the_same_shares_have_not_drifted() -> None:
    training = {"x": {"edges": [1.0, 2.0], "shares": [0.2, 0.3, 0.5]}}

    assert drift_of(training, x=[0.0] * 2 + [1.0] * 3 + [2.0] * 5) == {"x": Drift(10, pytest.approx(0))}


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    assert drift_of({"x": HALVES}, x=[math.nextafter(10, 0), 10.0]) == {"x": Drift(2, pytest.approx(0))}


def test_an_empty_bin_counts_as_a_ten_thousandth() -> None:
    expected = (1 - 0.5) * math.log(1 / 0.5) + (0.0001 - 0.5) * math.log(0.0001 / 0.5)

    assert drift_of({"x": HALVES}, x=[1.0, 2.0]) == {"x": Drift(2, pytest.approx(expected))}
    assert drift_of({"x": {"edges": [10.0], "shares": [1.0, 0.0]}}, x=[1.0, 2.0]) == {
        "x": Drift(2, pytest.approx((0.0001 - 0.0001) * 0))
    }


def test_each_input_has_its_own_bins_and_rows_without_it_are_left_out() -> None:
    training = {"x y": HALVES, "Z": {"edges": [], "shares": [1.0]}}
    found = drift_of(training, **{"x y": [1.0, None, 11.0, None], "Z": [1.0, 2.0, 3.0, None], "other": [7.0] * 4})

    assert found == {"x y": Drift(2, pytest.approx(0)), "Z": Drift(3, pytest.approx(0))}


def test_whole_numbers_and_numbers_with_a_fraction_go_together() -> None:
    found = drift_of({"whole": HALVES, "x": HALVES}, whole=[1, 11], x=[1.5, 11.5])

    assert found == {"whole": Drift(2, pytest.approx(0)), "x": Drift(2, pytest.approx(0))}


def test_only_rows_after_the_day_count() -> None:
    numbers = [1.0] * 5 + [1.0, 11.0]

    assert drift_of({"x": HALVES}, DAY + timedelta(days=5), x=numbers) == {"x": Drift(2, pytest.approx(0))}
    assert drift_of({"x": HALVES}, DAY + timedelta(days=7), x=numbers) == {}


@property_settings(max_examples=30)
@given(before=values, now=values)
def test_it_is_the_sum_over_counted_shares(before: list[float], now: list[float]) -> None:
    training = bins(np.array(before))
    edges = [-math.inf, *training["edges"], math.inf]
    actual = [sum(low <= number < high for number in now) / len(now) for low, high in pairwise(edges)]
    pairs = [(max(a, 1e-4), max(e, 1e-4)) for a, e in zip(actual, training["shares"], strict=True)]
    expected = sum((a - e) * math.log(a / e) for a, e in pairs)

    assert drift_of({"x": training}, x=now) == {"x": Drift(len(now), pytest.approx(expected, abs=1e-9))}


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
