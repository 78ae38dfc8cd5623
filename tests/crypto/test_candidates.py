"""The three models: what they fit, against least squares by numpy, and that their texts say the same."""

import json

import numpy as np
import pytest

from stock_assets.crypto import candidates
from stock_assets.crypto.candidates import fit_lightgbm_returns, fit_linear_raw, fit_ridge_returns, load
from stock_assets.crypto.rows import INPUTS, NUMBERS, PUBLISHED_INPUTS, PriceRows

RNG = np.random.default_rng(8)


def rows(days: int = 300) -> PriceRows:
    """Two assets; the return to the next day is a tenth of the last one, and some noise."""
    numbers = {name: RNG.standard_normal(days) for name in NUMBERS}
    numbers["price"] = np.exp(RNG.standard_normal(days))
    numbers["marketCap"] = 1e10 * numbers["price"] + 1e8 * RNG.standard_normal(days)
    numbers["next_return"] = 0.1 * numbers["return_1"] + 0.01 * RNG.standard_normal(days)
    numbers["next_price"] = numbers["price"] * np.exp(numbers["next_return"])
    asset = np.array(["a", "b"], dtype=object)[np.arange(days) % 2]
    return PriceRows(asset, np.datetime64("2020-01-01") + np.arange(days), numbers)


def test_the_published_model_is_least_squares_of_each_asset() -> None:
    table = rows()
    model = fit_linear_raw(table)

    for places in table.by_asset().values():
        own = table.at(places)
        values = own.matrix(PUBLISHED_INPUTS)
        scaled = np.column_stack([np.ones(len(values)), values / values.std(axis=0)])
        wanted = scaled @ np.linalg.lstsq(scaled, own.next_price)[0]
        np.testing.assert_allclose(model.predict(own), np.maximum(wanted, 0), rtol=1e-8, atol=1e-12)


def test_the_published_model_says_nothing_of_an_asset_that_it_does_not_know() -> None:
    table = rows()
    predicted = fit_linear_raw(table.at(table.asset == "a")).predict(table)

    np.testing.assert_array_equal(np.isnan(predicted), table.asset == "b")


@pytest.mark.parametrize("alpha", [1.0, 500.0])
def test_the_ridge_is_the_closed_form(alpha: float) -> None:
    table = rows()
    values = table.matrix(INPUTS)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    label = table.numbers["next_return"]
    slopes = np.linalg.solve(scaled.T @ scaled + alpha * np.eye(len(INPUTS)), scaled.T @ (label - label.mean()))

    wanted = table.price * np.exp(label.mean() + scaled @ slopes)
    np.testing.assert_allclose(fit_ridge_returns(table, alpha).predict(table), wanted, rtol=1e-10)


def test_lightgbm_finds_what_there_is_to_find() -> None:
    table, other = rows(600), rows(300)
    model = fit_lightgbm_returns(table, other)
    fresh = rows(300)
    error = np.abs(model.predict(fresh) - fresh.next_price).mean()

    assert error < 0.5 * np.abs(fresh.price - fresh.next_price).mean()
    assert 1 <= model.parameters["num_iterations"] <= candidates.MAX_ROUNDS


def test_each_text_is_the_whole_model() -> None:
    table = rows()
    models = {
        "linear_raw": fit_linear_raw(table),
        "ridge_returns": fit_ridge_returns(table, 10),
        "lightgbm_returns": fit_lightgbm_returns(table, rows()),
    }

    for name, model in models.items():
        again = load(name, model.text().encode())
        np.testing.assert_array_equal(again.predict(table), model.predict(table), err_msg=name)
        assert again.parameters == model.parameters


@pytest.mark.parametrize(
    ("name", "text"),
    [("ridge_returns", "{}"), ("ridge_returns", "["), ("linear_raw", "[1]"), ("lightgbm_returns", "{}"), ("x", "{}")],
)
def test_another_text_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        load(name, text.encode())


def test_an_unknown_input_gives_no_prediction() -> None:
    table = rows()
    models = (fit_linear_raw(table), fit_ridge_returns(table, 10), fit_lightgbm_returns(table, rows()))
    table.numbers["rsi"][5] = np.nan

    for model in models:
        assert np.flatnonzero(np.isnan(model.predict(table))).tolist() == [5]


def test_a_text_of_coefficients_is_json_by_name() -> None:
    content = json.loads(fit_ridge_returns(rows(), 10).text())

    assert list(content["coefficients"]) == list(INPUTS)


def test_the_published_model_predicts_no_negative_price() -> None:
    table = rows()
    model = fit_linear_raw(table)
    lines = {asset: line._replace(intercept=line.intercept - 1e6) for asset, line in model.lines.items()}

    assert set(model._replace(lines=lines).predict(table)) == {0}
