"""The metrics against scikit-learn and against numbers worked by hand."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from stock_assets.learning.metrics import score, skill

RNG = np.random.default_rng(3)
ACTUAL = np.floor(RNG.lognormal(10, 2, 500))
PREDICTED = ACTUAL * RNG.lognormal(0, 0.5, 500) + 1


def test_errors_are_those_of_scikit_learn() -> None:
    metrics = score(ACTUAL, PREDICTED)

    assert metrics["mae"] == pytest.approx(mean_absolute_error(ACTUAL, PREDICTED))
    assert metrics["mse"] == pytest.approx(mean_squared_error(ACTUAL, PREDICTED))
    assert metrics["rmse"] == pytest.approx(mean_squared_error(ACTUAL, PREDICTED) ** 0.5)
    assert metrics["r2_log"] == pytest.approx(r2_score(np.log1p(ACTUAL), np.log1p(PREDICTED)))


def test_worked_by_hand() -> None:
    metrics = score(np.array([0.0, 100.0, 200.0, 400.0]), np.array([10.0, 150.0, 180.0, 100.0]))

    assert metrics["mae"] == (10 + 50 + 20 + 300) / 4
    assert metrics["mse"] == (100 + 2500 + 400 + 90_000) / 4
    assert metrics["median_ape"] == 0.5
    assert metrics["wape"] == pytest.approx((10 + 50 + 20 + 300) / 700)


def test_r2_by_hand() -> None:
    assert score(np.expm1([1.0, 3.0]), np.expm1([2.0, 3.0]))["r2_log"] == pytest.approx(0.5)


def test_the_median_percentage_leaves_days_without_trading_out() -> None:
    assert score(np.array([0.0, 0.0, 10.0]), np.array([5.0, 5.0, 11.0]))["median_ape"] == pytest.approx(0.1)
    assert score(np.zeros(2), np.ones(2))["median_ape"] == 0


def test_without_any_volume_there_is_no_weighted_percentage() -> None:
    assert score(np.zeros(2), np.ones(2))["wape"] == 0


def test_a_perfect_prediction() -> None:
    assert score(ACTUAL, ACTUAL) == {"mae": 0, "mse": 0, "rmse": 0, "median_ape": 0, "wape": 0, "r2_log": 1}


def test_volume_that_never_varies_has_no_r2() -> None:
    assert score(np.full(3, 7.0), np.array([6.0, 7.0, 8.0]))["r2_log"] == 0


@pytest.mark.parametrize(("mae", "baseline", "expected"), [(75, 100, 0.25), (100, 100, 0), (150, 100, -0.5), (0, 0, 0)])
def test_skill_is_the_share_of_the_error_that_is_saved(mae: float, baseline: float, expected: float) -> None:
    assert skill(mae, baseline) == expected
