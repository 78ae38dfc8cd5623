"""The baselines against pandas and scikit-learn, and what they are fitted on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from stock_assets.layout import Layout
from stock_assets.learning.smoothing import ALPHAS
from stock_assets.next_day.baselines import HAR, Baselines, choose_alpha, fit_har
from stock_assets.next_day.rows import Picked, Window, joined, read_windows
from tests.next_day.markets import read_features, source_of

WINDOW = np.datetime64("2015-01-01"), np.datetime64("2016-03-31")


@pytest.fixture(scope="module")
def picked(usual: Layout) -> list[Picked]:
    with source_of(usual) as source:
        return list(read_windows(source, Window(*WINDOW)))


@pytest.fixture(scope="module")
def table(usual: Layout, picked: list[Picked]) -> pd.DataFrame:
    """The features of the picked rows, in their order, with what pandas makes of each symbol's whole history."""
    features = read_features(usual)
    by_symbol = features.groupby("Symbol")["Volume"]
    logs = np.log1p(features["Volume"].astype(float)).groupby(features["Symbol"])
    for alpha in ALPHAS:
        smoothed = logs.transform(lambda values, alpha=alpha: values.ewm(alpha=alpha, adjust=False).mean())
        features[f"ewma_{alpha}"] = np.expm1(smoothed)
    features["next"] = by_symbol.shift(-1)
    for rows in (5, 20, 30):
        means = by_symbol.transform(lambda values, rows=rows: values.rolling(rows).mean())
        features[f"rolling_{rows}"] = means
    keys = [
        (part.series.symbols[symbol], pd.Timestamp(day))
        for part in picked
        for symbol, day in zip(part.series.symbol_at(part.places), part.rows.days, strict=True)
    ]
    return features.set_index(["Symbol", "Date"]).loc[keys]


def har_inputs(table: pd.DataFrame) -> np.ndarray:
    return np.nan_to_num(table[list(HAR)].to_numpy(float))


def test_the_smoothing_factor_is_that_with_the_smallest_error_in_shares(
    picked: list[Picked], table: pd.DataFrame
) -> None:
    errors = {alpha: (table[f"ewma_{alpha}"] - table["next"]).abs().mean() for alpha in ALPHAS}

    assert choose_alpha(picked) == min(errors, key=lambda alpha: errors[alpha])
    assert len({round(error) for error in errors.values()}) == len(ALPHAS)


def test_the_regression_is_that_of_scikit_learn(picked: list[Picked], table: pd.DataFrame) -> None:
    label = np.log1p(table["next"]) - table["log_mean_20"].astype(float)
    expected = LinearRegression().fit(har_inputs(table), label)
    found = fit_har(joined(picked))

    np.testing.assert_allclose(found.coefficients, [expected.intercept_, *expected.coef_], rtol=1e-6)


def test_baselines_are_volumes_that_pandas_gives(picked: list[Picked], table: pd.DataFrame) -> None:
    har = fit_har(joined(picked))
    parts = [Baselines(ALPHAS[2], har).predict(part) for part in picked]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    constant, *slopes = har.coefficients
    logs = table["log_mean_20"].astype(float) + constant + har_inputs(table) @ slopes

    assert list(found) == ["last", "mean_5", "mean_20", "mean_30", "ewma", "har"]
    np.testing.assert_array_equal(found["last"], table["Volume"])
    for rows in (5, 20, 30):
        np.testing.assert_allclose(found[f"mean_{rows}"], table[f"rolling_{rows}"], rtol=1e-12)
    np.testing.assert_allclose(found["ewma"], table[f"ewma_{ALPHAS[2]}"], rtol=1e-9)
    np.testing.assert_allclose(found["har"], np.maximum(np.expm1(logs), 0), rtol=1e-9)


def test_what_is_fitted_is_told_by_name(picked: list[Picked]) -> None:
    har = fit_har(joined(picked))
    told = Baselines(ALPHAS[2], har).as_json()

    assert told["ewma"] == {"alpha": ALPHAS[2]}
    assert list(told["har"]) == ["constant", "log_mean_20", "lag_0", "level_5", "level_60"]
    assert list(told["har"].values()) == har.coefficients.tolist()
