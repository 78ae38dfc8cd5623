"""The boosters of the next-day model on synthetic rows: what they learn, that they repeat, what a forecast is."""

import lightgbm
import numpy as np
import pytest

from stock_assets.learning import next_day
from stock_assets.learning.boosters import as_published
from stock_assets.learning.evaluation import LIQUIDITY_LABELS
from stock_assets.learning.next_day import (
    PARAMETERS,
    NextDayBoosters,
    NextDayRows,
    Trainer,
    explain,
    fit,
    fit_quantile,
    forecast,
    predict_logs,
    weights,
)

NAMES = ("drive", "noise", "unknown")
ROWS = 6000


def synthetic(seed: int, rows: int = ROWS, start: str = "2010-01-04") -> NextDayRows:
    """The label follows the first input with Laplace errors; every tenth day has no volume."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(0, 1, (rows, 3)).astype(np.float32)
    inputs[::4, 2] = np.nan
    level = rng.uniform(2, 17, rows)
    volume = np.floor(np.exp(level + np.where(inputs[:, 0] > 0, 0.8, -0.8) + rng.laplace(0, 0.2, rows)))
    volume[::50] = 0
    days = np.datetime64(start) + np.sort(rng.integers(0, 2000, rows))
    return NextDayRows(days, inputs, level, level - 0.1, np.expm1(level), volume)


TRAINING, VALIDATION, NEW = synthetic(1), synthetic(2, 2000, "2016-01-04"), synthetic(3, 3000, "2018-01-03")
MARGINS = {label: 0.1 * place - 0.2 for place, label in enumerate(LIQUIDITY_LABELS)}


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_day, "MAX_ROUNDS", 60)
    monkeypatch.setattr(next_day, "QUANTILE_ROUNDS", 25)


def fitted(threads: int = 1) -> NextDayBoosters:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(next_day, "MAX_ROUNDS", 60)
        patch.setattr(next_day, "QUANTILE_ROUNDS", 25)
        return NextDayBoosters(
            fit(TRAINING, VALIDATION, PARAMETERS, Trainer(NAMES, threads)),
            fit_quantile(TRAINING, 0.1, Trainer(NAMES, threads)),
            fit_quantile(TRAINING, 0.9, Trainer(NAMES, threads)),
        )


@pytest.fixture(scope="module")
def boosters() -> NextDayBoosters:
    return fitted()


def texts(boosters: NextDayBoosters) -> list[str]:
    return [booster.model_to_string() for booster in boosters]


def test_labels_by_hand() -> None:
    rows = synthetic(1, 3)._replace(volume=np.array([0.0, np.e - 1, np.nan]), offset=np.array([2.0, 3.0, 1.0]))

    np.testing.assert_allclose(rows.label(), [-2, -2, np.nan])


def test_rows_are_chosen_together() -> None:
    chosen = np.array([5, 1])

    for before, after in zip(NEW, NEW.at(chosen), strict=True):
        np.testing.assert_array_equal(after, before[chosen])


def test_weights_by_hand() -> None:
    rows = synthetic(1, 3)._replace(
        days=np.array(["2010-01-01", "2020-01-01", "2020-01-01"], "M8[D]"), log_mean=np.array([10.0, 10.0, 15.0])
    )
    oldest, newest, larger = weights(rows)

    assert newest == pytest.approx(np.exp(next_day.SIZE_POWER * 10))
    assert oldest / newest == pytest.approx(np.exp(-3652 / 365.25 / next_day.RECENCY_YEARS))
    assert larger / newest == pytest.approx(np.exp(next_day.SIZE_POWER * 5))


def test_weights_of_rows_do_not_hang_on_the_label() -> None:
    np.testing.assert_array_equal(weights(TRAINING._replace(volume=TRAINING.volume * 10)), weights(TRAINING))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_rows_give_the_same_bytes_with_any_number_of_threads(boosters: NextDayBoosters, threads: int) -> None:
    assert texts(fitted(threads)) == texts(boosters)


def test_other_rows_give_other_bytes(boosters: NextDayBoosters) -> None:
    changed = TRAINING._replace(volume=TRAINING.volume + 100)
    other = fit(changed, VALIDATION, PARAMETERS, Trainer(NAMES, 1))

    assert other.model_to_string() != boosters.point.model_to_string()


def test_it_stops_early_on_validation_that_no_longer_gets_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation whose labels are noise: the first trees are the best."""
    shuffled = VALIDATION._replace(volume=np.random.default_rng(5).permutation(VALIDATION.volume))
    monkeypatch.setattr(next_day, "PATIENCE", 5)

    assert fit(TRAINING, shuffled, PARAMETERS, Trainer(NAMES, 1)).num_trees() <= 3
    assert fit(TRAINING, VALIDATION, PARAMETERS, Trainer(NAMES, 1)).num_trees() > 3


def test_it_learns_what_there_is_to_learn(boosters: NextDayBoosters) -> None:
    gains = dict(zip(NAMES, boosters.point.feature_importance("gain"), strict=True))
    errors = np.abs(forecast(boosters, MARGINS, NEW, 1).point - NEW.volume).mean()

    assert gains["drive"] > 10 * max(gains["noise"], gains["unknown"])
    assert errors < 0.7 * np.abs(np.expm1(NEW.offset) - NEW.volume).mean()


def test_the_ends_are_quantiles_of_new_rows(boosters: NextDayBoosters) -> None:
    logs = predict_logs(boosters, NEW, 1)
    actual = np.log1p(NEW.volume)
    closed = np.isfinite(logs.low)

    assert closed.mean() > 0.5
    assert np.mean(actual[closed] < logs.low[closed]) == pytest.approx(0.1, abs=0.035)
    assert np.mean(actual[closed] > logs.high[closed]) == pytest.approx(0.1, abs=0.035)


def test_an_interval_from_zero_has_all_misses_above(boosters: NextDayBoosters) -> None:
    quiet = NEW._replace(offset=np.zeros(len(NEW.days)))
    point, _, high = (booster.predict(quiet.inputs) for booster in boosters)
    logs = predict_logs(boosters, quiet, 1)
    open_below = np.isneginf(logs.low)

    assert open_below.any()
    np.testing.assert_allclose(logs.high[open_below], (point + 0.75 * (high - point))[open_below])
    assert (forecast(boosters, MARGINS, quiet, 1).low[open_below] == 0).all()


def test_a_forecast_is_what_the_boosters_say(boosters: NextDayBoosters) -> None:
    found = forecast(boosters, MARGINS, NEW, 1)
    point, low, high = (NEW.offset + booster.predict(NEW.inputs) for booster in boosters)
    edges = [1e3, 1e4, 1e5, 1e6, 1e7]
    margin = np.array([MARGINS[LIQUIDITY_LABELS[sum(mean >= edge for edge in edges)]] for mean in NEW.mean])

    np.testing.assert_allclose(found.point, np.maximum(np.exp(point) - 1, 0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        found.low, np.maximum(np.exp(np.minimum(low - margin, point)) - 1, 0), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(found.high, np.maximum(np.exp(np.maximum(high + margin, point)) - 1, 0), rtol=1e-9)


def test_a_forecast_is_its_level_and_what_the_inputs_did_to_it(boosters: NextDayBoosters) -> None:
    level, contributions = explain(boosters.point, NEW, 1)
    found = forecast(boosters, MARGINS, NEW, 1).point

    assert contributions.shape == NEW.inputs.shape
    assert (level < found).any()
    np.testing.assert_allclose(
        np.maximum((1 + level) * np.exp(contributions.sum(axis=1)) - 1, 0), found, rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(np.log1p(level) - NEW.offset, np.log1p(level[0]) - NEW.offset[0], atol=1e-9)


def test_contributions_are_shapley_values_by_their_definition() -> None:
    """A tree of two inputs, by hand: an unknown one is averaged over the rows of each branch."""
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50, dtype=np.float32)
    label = np.where(inputs[:, 0] > 0, np.where(inputs[:, 1] > 0, 8.0, 4.0), 0.0)
    small = {"objective": "l2", "learning_rate": 1, "num_leaves": 3, "min_data_in_leaf": 1, "boost_from_average": False}
    booster = lightgbm.train(small | {"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(inputs, label), 1)
    rows = synthetic(1, 4)._replace(inputs=inputs[:4], offset=np.full(4, 2.0))
    level, contributions = explain(booster, rows, 1)

    # Without any input 3; of the first alone 0 or 6; of the second alone 2 or 4.
    np.testing.assert_allclose(level, np.exp(2.0 + 3) - 1)
    np.testing.assert_allclose(contributions, [[-2.5, -0.5], [-3.5, 0.5], [2.5, -1.5], [3.5, 1.5]], atol=1e-9)


@pytest.mark.parametrize("margin", [-5.0, 0.0, 5.0])
def test_an_interval_holds_its_forecast_whatever_its_margin(boosters: NextDayBoosters, margin: float) -> None:
    """Also where nothing was ever traded, and where nothing is known."""
    quiet = NEW._replace(
        offset=np.where(np.arange(len(NEW.days)) % 2 == 0, 0.0, NEW.offset),
        inputs=np.where(np.arange(len(NEW.days))[:, None] % 3 == 0, np.nan, NEW.inputs).astype(np.float32),
        mean=np.where(np.arange(len(NEW.days)) % 2 == 0, 0.0, NEW.mean),
    )
    found = forecast(boosters, dict.fromkeys(LIQUIDITY_LABELS, margin), quiet, 1)

    assert all(np.isfinite(values).all() for values in found)
    assert (found.low >= 0).all()
    assert (found.low <= found.point).all()
    assert (found.point <= found.high).all()


def test_what_is_measured_is_what_is_published(boosters: NextDayBoosters) -> None:
    for booster in boosters:
        read = lightgbm.Booster(model_str=booster.model_to_string())

        np.testing.assert_array_equal(read.predict(NEW.inputs), booster.predict(NEW.inputs))
        assert read.model_to_string() == booster.model_to_string()
        assert read.feature_name() == list(NAMES)


def test_two_threads_predict_what_one_does(boosters: NextDayBoosters) -> None:
    one, two = (forecast(boosters, MARGINS, NEW, threads) for threads in (1, 2))

    for values, others in zip(one, two, strict=True):
        np.testing.assert_array_equal(values, others)


def test_only_the_trees_up_to_the_best_are_published() -> None:
    dataset = lightgbm.Dataset(TRAINING.inputs, TRAINING.label())
    booster = lightgbm.train({"verbosity": -1, "num_threads": 1}, dataset, 12)

    published = as_published(booster, 7)
    assert published.num_trees() == 7
    assert "[num_threads: 0]" in published.model_to_string()
    np.testing.assert_allclose(published.predict(NEW.inputs), booster.predict(NEW.inputs, num_iteration=7), rtol=1e-12)
