"""The candidates against scikit-learn and scipy, all of them measured on the same rows."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from stock_assets.errors import UserError
from stock_assets.learning import candidates, regressions
from stock_assets.learning.candidates import (
    AS_PUBLISHED,
    ENSEMBLE,
    MEMBERS,
    NAMES,
    Checked,
    check,
    evaluate,
    fit,
    predict,
    refit,
    walk,
)
from stock_assets.learning.metrics import Array
from stock_assets.learning.models import BoosterModel, Ensemble, Model
from stock_assets.learning.regressions import (
    fit_ensemble,
    fit_linear,
    fit_log_log,
    fit_polynomial,
    fit_random_forest,
)
from stock_assets.learning.rows import VolumeRows, Windows, fitting_windows
from stock_assets.learning.split import walk_forward
from stock_assets.learning.training import refit_log_ratio
from stock_assets.learning.volume import BASELINE
from tests.learning.synthetic import ROWS, SPLIT, market, with_quiet_days

WINDOWS = fitting_windows(ROWS, SPLIT)
TRAINING = WINDOWS.training
TEST = ROWS.at(SPLIT.test(ROWS.days))
SERVABLE = ("lightgbm_log_ratio", "lightgbm_raw", "constant_multiple")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return dict(fit(NAMES, WINDOWS, threads=1))


@pytest.fixture(scope="module")
def final(models: dict[str, Model]) -> dict[str, Model]:
    return refit(models, WINDOWS, threads=1)


@pytest.fixture(scope="module")
def checked(models: dict[str, Model]) -> dict[str, Checked]:
    return check(models, WINDOWS.validation, threads=1)


@pytest.fixture(scope="module")
def metrics(final: dict[str, Model], checked: dict[str, Checked]) -> dict[str, dict[str, Any]]:
    return evaluate(final, checked, ROWS, SPLIT, threads=1)


def test_candidates_are_these(models: dict[str, Model]) -> None:
    assert tuple(models) == NAMES == (
        "lightgbm_log_ratio", "lightgbm_raw", "random_forest", "polynomial", "linear", "log_log", "constant_multiple",
        "ensemble",
    )  # fmt: skip
    assert [name for name, model in models.items() if isinstance(model, BoosterModel)] == [
        "lightgbm_log_ratio", "lightgbm_raw", "constant_multiple",
    ]  # fmt: skip


def test_only_what_is_wanted_is_fitted() -> None:
    assert [name for name, _ in fit(["log_log", "linear"], WINDOWS, threads=1)] == ["linear", "log_log"]


def test_the_forest_is_scikit_learns() -> None:
    expected = RandomForestRegressor(n_estimators=100, max_depth=6, random_state=7)
    expected.fit(TRAINING.inputs, TRAINING.volume)

    np.testing.assert_allclose(
        fit_random_forest(WINDOWS, threads=2).predict(TEST.inputs, 1), expected.predict(TEST.inputs)
    )


def test_the_forest_is_fitted_on_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regressions, "FOREST_ROWS", len(TRAINING.days) // 2 - 1)
    expected = RandomForestRegressor(n_estimators=100, max_depth=6, random_state=7)
    expected.fit(TRAINING.inputs[::3], TRAINING.volume[::3])

    np.testing.assert_allclose(
        fit_random_forest(WINDOWS, threads=1).predict(TEST.inputs, 1), expected.predict(TEST.inputs)
    )


def test_the_linear_ones_are_least_squares() -> None:
    line = LinearRegression().fit(TRAINING.inputs, TRAINING.volume)
    curve = make_pipeline(PolynomialFeatures(2), LinearRegression())
    # Scaled by hand, as squares of millions of shares beside dollars are too much for least squares.
    curve.fit(TRAINING.inputs / [1e6, 1e2], TRAINING.volume)

    np.testing.assert_allclose(fit_linear(WINDOWS, 1).predict(TEST.inputs, 1), np.maximum(line.predict(TEST.inputs), 0))
    np.testing.assert_allclose(
        fit_polynomial(WINDOWS, 1).predict(TEST.inputs, 1),
        np.maximum(curve.predict(TEST.inputs / [1e6, 1e2]), 0),
        rtol=1e-6,
    )


def test_log_log_is_least_squares_of_logarithms() -> None:
    rows = with_quiet_days(ROWS)
    windows = fitting_windows(rows, SPLIT)
    used = windows.training.volume > 0
    assert not used.all()
    line = LinearRegression().fit(np.log(windows.training.inputs[used]), np.log(windows.training.volume[used]))
    model = fit_log_log(windows, 1)
    traded = TEST.inputs[:, 0] > 0

    np.testing.assert_allclose(model.predict(TEST.inputs[traded], 1), np.exp(line.predict(np.log(TEST.inputs[traded]))))
    assert model.intercept == pytest.approx(line.intercept_)
    assert model.predict(np.array([[0.0, 10.0]]), 1) == [0]


class Given:
    """A model whose volumes are given."""

    def __init__(self, factors: Array) -> None:
        self.factors = factors

    def predict(self, inputs: Array, threads: int) -> Array:  # noqa: ARG002
        return inputs[:, 0] * self.factors[: len(inputs)]


def test_the_weights_are_the_best_non_negative_ones_by_linear_programming() -> None:
    check = WINDOWS.validation.thinned(300)
    rng = np.random.default_rng(4)
    members: dict[str, Model] = {f"m{place}": Given(rng.lognormal(-0.3, 0.5, 300)) for place in range(3)}
    members["too much"] = Given(np.full(300, 1e3))
    found = fit_ensemble(members, check, 1)
    volumes = np.column_stack([model.predict(check.inputs, 1) for model in members.values()])
    rows, width = volumes.shape
    # Minimise the sum of t with -t <= actual - volumes @ weights <= t.
    identity = np.eye(rows)
    best = linprog(
        np.concatenate([np.zeros(width), np.ones(rows)]),
        A_ub=np.block([[volumes, -identity], [-volumes, -identity]]),
        b_ub=np.concatenate([check.volume, -check.volume]),
    )

    assert min(found.weights.values()) >= 0
    assert found.weights["too much"] < 0.01
    assert mean_absolute_error(check.volume, found.predict(check.inputs, 1)) == pytest.approx(best.fun / rows, rel=1e-3)


def test_the_ensemble_is_the_weighted_sum(models: dict[str, Model]) -> None:
    ensemble = models[ENSEMBLE]
    assert isinstance(ensemble, Ensemble)
    expected = sum(weight * models[name].predict(TEST.inputs, 1) for name, weight in ensemble.weights.items())

    assert set(ensemble.weights) == set(MEMBERS)
    np.testing.assert_allclose(predict(models, TEST.inputs, 1)[ENSEMBLE], expected)
    np.testing.assert_allclose(ensemble.predict(TEST.inputs, 1), expected)


@pytest.mark.parametrize("name", NAMES)
def test_quiet_days_break_none_of_them(name: str) -> None:
    rows = with_quiet_days(ROWS)
    volumes = predict(dict(fit([name], fitting_windows(rows, SPLIT), threads=1)), rows.inputs, 1)[name]

    assert np.isfinite(volumes).all()
    assert (volumes >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_inputs_that_the_service_takes_break_none_of_them(models: dict[str, Model], name: str) -> None:
    inputs = np.array([[0, 0], [1e15, 0], [0, 1e9], [1e-3, 1e-9]], dtype=np.float64)

    assert np.isfinite(models[name].predict(inputs, 1)).all()


def _changed(rows: VolumeRows) -> VolumeRows:
    """Other values behind the validation window."""
    future = rows.days > SPLIT.validation_to
    volume, inputs = rows.volume.copy(), rows.inputs.copy()
    volume[future], inputs[future] = volume[future] * 3 + 1, inputs[future] / 7
    return rows._replace(volume=volume, inputs=inputs)


def test_none_of_them_sees_the_test_window(final: dict[str, Model]) -> None:
    windows = fitting_windows(_changed(ROWS), SPLIT)
    again = refit(dict(fit(NAMES, windows, threads=2)), windows, threads=2)

    for name, model in final.items():
        np.testing.assert_array_equal(again[name].predict(TEST.inputs, 1), model.predict(TEST.inputs, 1))


def test_all_are_measured_on_the_same_rows(metrics: dict[str, dict[str, dict[str, object]]]) -> None:
    windows = [[found["test"][key] for key in ("rows", "from", "to")] for found in metrics.values()]

    assert windows == [[len(TEST.days), str(SPLIT.test_from), str(SPLIT.test_to)]] * len(NAMES)
    assert all(found["baselines"] == metrics["linear"]["baselines"] for found in metrics.values())


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_those_of_the_test_window(
    final: dict[str, Model], metrics: dict[str, dict[str, dict[str, object]]], name: str
) -> None:
    found = metrics[name]

    assert found["test"]["mae"] == pytest.approx(mean_absolute_error(TEST.volume, final[name].predict(TEST.inputs, 1)))
    assert set(found["slices"]) == {"liquidity", "kind", "year", "letter"}
    assert found["split"] == SPLIT.as_json()
    json.dumps(found, allow_nan=False)


def test_validation_chooses_by_models_that_have_not_learnt_from_it(
    models: dict[str, Model], checked: dict[str, Checked], metrics: dict[str, dict[str, Any]]
) -> None:
    window = WINDOWS.validation

    for name, model in models.items():
        expected = mean_absolute_error(window.volume, model.predict(window.inputs, 1))
        assert checked[name].errors["mae"] == pytest.approx(expected)
        assert metrics[name]["validation"] == checked[name].errors
    assert checked["linear"].errors["to"] == str(SPLIT.validation_to)


def ends_by_hand(ratios: Array) -> list[float]:
    """The tenth and the ninetieth of a hundred, in sorted order and counted in n + 1."""
    tenth = (len(ratios) + 1) // 10
    return np.sort(ratios)[[tenth - 1, -tenth]].tolist()


@pytest.mark.parametrize("name", SERVABLE)
def test_ratios_are_those_of_validation_by_a_model_that_has_not_learnt_from_it(
    models: dict[str, Model], final: dict[str, Model], checked: dict[str, Checked], name: str
) -> None:
    window, found = WINDOWS.validation, checked[name].ratios
    assert found is not None
    ratios = window.volume / models[name].predict(window.inputs, 1)
    middle = (window.inputs[:, 0] >= 1e5) & (window.inputs[:, 0] < 1e6)
    assert (window.inputs[:, 0] < 1e3).sum() == 0

    assert [found.low[3], found.high[3]] == pytest.approx(ends_by_hand(ratios[middle]))
    assert [found.low[0], found.high[0]] == pytest.approx(ends_by_hand(ratios))
    if name == "lightgbm_log_ratio":
        learnt = window.volume / final[name].predict(window.inputs, 1)
        assert [found.low[0], found.high[0]] != pytest.approx(ends_by_hand(learnt), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_is_measured_with_the_published_model_on_the_test_window(
    final: dict[str, Model], checked: dict[str, Checked], metrics: dict[str, dict[str, Any]], name: str
) -> None:
    found = checked[name].ratios
    assert (found is not None) == ("interval" in metrics[name]) == (name in SERVABLE)
    if found:
        bucket = np.digitize(TEST.inputs[:, 0], [1e3, 1e4, 1e5, 1e6, 1e7])
        ratio = TEST.volume / final[name].predict(TEST.inputs, 1)
        inside = (ratio >= found.low[bucket]) & (ratio <= found.high[bucket])

        assert metrics[name]["interval"]["coverage"] == pytest.approx(inside.mean())
        assert metrics[name]["interval"]["by_liquidity"]["1 M to 10 M"] == pytest.approx(inside[bucket == 4].mean())
        assert inside.mean() == pytest.approx(0.8, abs=0.04)  # about 1,000 rows: 3 standard errors


def test_rows_of_which_nothing_is_predicted_have_no_ratio() -> None:
    windows = fitting_windows(with_quiet_days(ROWS), SPLIT)
    window = windows.validation
    (pair,) = fit(["constant_multiple"], windows, threads=1)
    found = check(dict([pair]), window, threads=1)["constant_multiple"].ratios
    assert found is not None
    traded = window.inputs[:, 0] > 0
    assert 0 < (~traded).sum() < len(traded)
    ratios = window.volume[traded] / pair[1].predict(window.inputs[traded], 1)

    low, _ = ends_by_hand(ratios)
    assert low == found.low[0] == 0  # so all that it may miss is above: a fifth of 101 parts of the rows
    assert found.high[0] == pytest.approx(np.sort(ratios)[-((len(ratios) + 1) // 5)], rel=0.01)


def test_too_few_rows_for_an_interval_are_told(models: dict[str, Model]) -> None:
    inputs = WINDOWS.validation.inputs.copy()
    inputs[400:, 0] = 0
    window = WINDOWS.validation._replace(inputs=inputs)

    with pytest.raises(UserError, match="the validation window has 400 usable rows"):
        check({"constant_multiple": models["constant_multiple"]}, window, threads=1)


def test_the_log_ratio_is_fitted_again_on_both_windows(models: dict[str, Model], final: dict[str, Model]) -> None:
    first, last = models["lightgbm_log_ratio"], final["lightgbm_log_ratio"]
    assert isinstance(first, BoosterModel)
    assert isinstance(last, BoosterModel)
    both = ROWS.at(SPLIT.train(ROWS.days) | SPLIT.validation(ROWS.days))
    again = refit_log_ratio(first, Windows(both, both.at(slice(0))), threads=1)

    assert last.booster.num_trees() == first.booster.num_trees()
    assert last.booster.model_to_string() != first.booster.model_to_string()
    np.testing.assert_allclose(last.predict(TEST.inputs, 1), again.predict(TEST.inputs, 1), rtol=0.05)
    assert {name for name in NAMES if final[name] is not models[name]} == {"lightgbm_log_ratio", "ensemble"}
    assert final["ensemble"].members["lightgbm_log_ratio"] is last


def test_slices_by_kind_and_letter_are_those_of_the_rows(metrics: dict[str, dict[str, dict[str, object]]]) -> None:
    slices = metrics["linear"]["slices"]
    assert isinstance(slices["kind"], dict)
    assert isinstance(slices["letter"], dict)

    assert {label: facts["rows"] for label, facts in slices["kind"].items()} == {
        "stock": (~TEST.is_etf).sum(),
        "ETF": TEST.is_etf.sum(),
    }
    assert slices["letter"]["0"]["rows"] == (TEST.letter == 0).sum()
    assert slices["letter"]["C"]["rows"] == (TEST.letter == 3).sum()


def test_the_random_split_stands_beside_the_split_by_time(metrics: dict[str, dict[str, dict[str, object]]]) -> None:
    claimed, measured = metrics[AS_PUBLISHED]["random_split"], metrics[AS_PUBLISHED]["test"]
    by_date = claimed["by_date"]
    assert isinstance(by_date, dict)
    assert isinstance(claimed["rows"], int)

    assert by_date["mae"] == pytest.approx(measured["mae"])
    assert by_date["skill"] == metrics[AS_PUBLISHED]["skill"]
    assert claimed["rows"] == pytest.approx(0.2 * len(ROWS.days), rel=0.1)
    assert set(claimed) >= {"mae", "r2", "skill", "test_share"}
    assert [name for name, found in metrics.items() if "random_split" in found] == [AS_PUBLISHED]


def test_a_claim_has_the_r2_of_scikit_learn() -> None:
    predicted = TEST.inputs[:, 0] * 0.8
    claimed = candidates.claim(TEST, predicted)

    assert claimed["r2"] == pytest.approx(r2_score(TEST.volume, predicted))
    assert claimed["skill"][BASELINE] == pytest.approx(
        1 - mean_absolute_error(TEST.volume, predicted) / mean_absolute_error(TEST.volume, TEST.inputs[:, 0])
    )


def test_folds_are_fitted_on_what_was_before_them() -> None:
    rows = market(days=1200, symbols=20)
    folds = walk_forward(rows.days, 0.7, 0.15, 2)
    found = walk(["log_log"], rows, folds, threads=1)["log_log"]

    for fold, facts in zip(folds, found, strict=True):
        test = rows.at(fold.test(rows.days))
        model = fit_log_log(fitting_windows(rows, fold), 1)
        error = mean_absolute_error(test.volume, model.predict(test.inputs, 1))
        baseline = mean_absolute_error(test.volume, test.inputs[:, 0])
        assert (facts["from"], facts["to"], facts["rows"]) == (str(fold.test_from), str(fold.test_to), len(test.days))
        assert facts["train_to"] == str(fold.train_to)
        assert facts["mae"] == pytest.approx(error)
        assert facts["skill"][BASELINE] == pytest.approx(1 - error / baseline)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("lightgbm_log_ratio", "lightgbm_raw")])
def test_the_pickle_is_the_model(models: dict[str, Model], name: str) -> None:
    again = pickle.loads(pickle.dumps(models[name]))  # noqa: S301 - our own bytes

    np.testing.assert_array_equal(again.predict(TEST.inputs, 1), models[name].predict(TEST.inputs, 1))


def test_too_few_rows_to_measure_on_are_told(models: dict[str, Model], checked: dict[str, Checked]) -> None:
    few = ROWS.at(ROWS.days <= SPLIT.validation_to)

    with pytest.raises(UserError, match="the test window has 0 usable rows"):
        evaluate(models, checked, few, SPLIT, threads=1)
