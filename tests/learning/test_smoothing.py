"""Exponential smoothing against pandas, least squares against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from stock_assets.learning.smoothing import ALPHAS, LeastSquares, ewma


def random_series(seed: int, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(seed).normal(10, 3, sum(lengths))
    return values, np.cumsum([0, *lengths[:-1]])


@pytest.mark.parametrize("alpha", [ALPHAS[0], 0.4, ALPHAS[-1]])
def test_smoothing_is_that_of_pandas_by_series(alpha: float) -> None:
    lengths = [1, 2, 300, 1, 45]
    values, starts = random_series(1, lengths)
    series = pd.Series(values).groupby(np.repeat(np.arange(5), lengths))
    expected = series.transform(lambda part: part.ewm(alpha=alpha, adjust=False).mean())

    np.testing.assert_allclose(ewma(values, starts, alpha), expected, rtol=1e-12)


def test_smoothing_by_hand() -> None:
    found = ewma(np.array([4.0, 8.0, 0.0, 100.0, 50.0]), np.array([0, 3]), 0.25)

    np.testing.assert_allclose(found, [4, 5, 3.75, 100, 87.5])


@given(st.integers(1, 40), st.integers(0, 39), st.sampled_from(ALPHAS))
def test_a_later_value_changes_no_earlier_one(rows: int, place: int, alpha: float) -> None:
    values, starts = random_series(rows, [rows, 5])
    place = min(place, rows - 1)
    changed = values.copy()
    changed[place] += 1
    before, after = ewma(values, starts, alpha), ewma(changed, starts, alpha)

    np.testing.assert_array_equal(after[:place], before[:place])
    np.testing.assert_array_equal(after[rows:], before[rows:])
    assert after[place] > before[place]


def test_smoothing_leaves_its_input_alone() -> None:
    values, starts = random_series(2, [10])
    before = values.copy()
    ewma(values, starts, 0.3)

    np.testing.assert_array_equal(values, before)


def test_factors_are_between_0_and_1_in_order() -> None:
    assert list(ALPHAS) == sorted(set(ALPHAS))
    assert 0 < ALPHAS[0] < ALPHAS[-1] < 1


def test_least_squares_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(0, 2, (500, 3)).astype(np.float32)
    label = 1.5 + inputs @ [0.5, -2, 0.1] + rng.normal(0, 1, 500)
    expected = LinearRegression().fit(inputs.astype(np.float64), label)
    found = LeastSquares.fit(inputs, label)

    np.testing.assert_allclose(found.coefficients, [expected.intercept_, *expected.coef_], rtol=1e-9)
    np.testing.assert_allclose(found.predict(inputs), expected.predict(inputs.astype(np.float64)), rtol=1e-9)


def test_not_a_number_counts_as_0() -> None:
    rng = np.random.default_rng(4)
    inputs = rng.normal(0, 1, (200, 2)).astype(np.float32)
    inputs[::3, 1] = np.nan
    label = rng.normal(0, 1, 200)
    filled = np.where(np.isnan(inputs), 0, inputs).astype(np.float32)

    np.testing.assert_array_equal(
        LeastSquares.fit(inputs, label).coefficients, LeastSquares.fit(filled, label).coefficients
    )
    model = LeastSquares(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(model.predict(np.array([[np.nan, 1], [1, np.nan]], np.float32)), [5, 3])
