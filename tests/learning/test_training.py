"""Training and evaluation on synthetic rows: repeatable, honest, and blind to the future."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.learning import training
from stock_assets.learning.metrics import score
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import BASELINE, MIN_ROWS, VolumeRows, evaluate, input_ranges, train
from stock_assets.learning.volume import INPUTS, predict_volume

DAYS, SYMBOLS = 500, 16
SHARES = (0.7, 0.15)


def market(days: int = DAYS, symbols: int = SYMBOLS) -> VolumeRows:
    """Right-skewed volume around its moving average, less of it where prices are high."""
    rng = np.random.default_rng(5)
    count = days * symbols
    average, price = rng.lognormal(12, 1, count), rng.lognormal(3, 1, count)
    volume = np.floor(average * rng.lognormal(-0.3, 0.6, count) * np.where(price > 20, 0.6, 1.2))
    dates = np.repeat(np.busday_offset("2015-01-05", np.arange(days)), symbols)
    return VolumeRows(dates, volume, np.column_stack([average, price]))


ROWS = market()
SPLIT = split_by_date(ROWS.days, *SHARES)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return train(ROWS, SPLIT, threads=1)


def text(booster: lightgbm.Booster) -> str:
    return str(booster.model_to_string())


def skill_of(booster: lightgbm.Booster, rows: VolumeRows) -> float:
    return float(evaluate(booster, rows, SPLIT, threads=1)["skill"][BASELINE])


@pytest.mark.parametrize("threads", [1, 2])
def test_training_again_gives_the_identical_text(booster: lightgbm.Booster, threads: int) -> None:
    again = text(train(ROWS, SPLIT, threads)).replace(f"[num_threads: {threads}]", "[num_threads: 1]")

    assert again == text(booster)


def test_it_beats_the_baseline_on_right_skewed_volume(booster: lightgbm.Booster) -> None:
    assert skill_of(booster, ROWS) > 0.1


def test_metrics_are_those_of_the_test_rows(booster: lightgbm.Booster) -> None:
    metrics = evaluate(booster, ROWS, SPLIT, threads=1)
    test = ROWS.days >= SPLIT.test_from
    window = {"rows": int(test.sum()), "from": str(SPLIT.test_from), "to": str(ROWS.days.max())}
    average = ROWS.inputs[test, 0]
    predicted = average * np.exp(booster.predict(ROWS.inputs[test]))

    assert metrics["test"] == pytest.approx(window | score(ROWS.volume[test], predicted))
    assert metrics["baselines"] == {BASELINE: window | score(ROWS.volume[test], average)}
    assert metrics["skill"][BASELINE] == pytest.approx(
        1 - metrics["test"]["mae"] / metrics["baselines"][BASELINE]["mae"]
    )
    assert metrics["split"] == SPLIT.as_json()


def test_a_model_of_shuffled_labels_has_no_skill() -> None:
    shuffled = replace(ROWS, volume=np.random.default_rng(1).permutation(ROWS.volume))

    assert skill_of(train(shuffled, SPLIT, threads=1), ROWS) <= 0


def test_a_perfect_baseline_cannot_be_beaten() -> None:
    perfect = replace(ROWS, volume=ROWS.inputs[:, 0])

    assert skill_of(train(perfect, SPLIT, threads=1), perfect) <= 0


def test_what_is_after_the_validation_window_does_not_change_the_model(booster: lightgbm.Booster) -> None:
    future = ROWS.days > SPLIT.validation_to
    volume, inputs = ROWS.volume.copy(), ROWS.inputs.copy()
    volume[future], inputs[future] = 1, 7

    assert text(train(VolumeRows(ROWS.days, volume, inputs), SPLIT, threads=1)) == text(booster)


def test_what_is_in_the_gap_does_not_change_the_model(booster: lightgbm.Booster) -> None:
    gap = (ROWS.days > SPLIT.train_to) & (ROWS.days < SPLIT.validation_from)

    assert gap.any()
    assert text(train(ROWS.at(~gap), SPLIT, threads=1)) == text(booster)


def test_large_windows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    third = np.zeros(len(ROWS.days), dtype=bool)
    third[np.flatnonzero(SPLIT.train(ROWS.days))[::3]] = True
    expected = text(train(ROWS.at(third | SPLIT.validation(ROWS.days)), SPLIT, threads=1))
    monkeypatch.setattr(training, "MAX_ROWS", SPLIT.train(ROWS.days).sum() // 2 - 1)

    assert text(train(ROWS, SPLIT, threads=1)) == expected


def test_the_validation_window_stops_the_training() -> None:
    noise = replace(ROWS, volume=np.floor(ROWS.inputs[:, 0] * np.random.default_rng(2).lognormal(0, 1, len(ROWS.days))))

    assert train(noise, SPLIT, threads=1).num_trees() < 100


def test_days_without_trading_are_taken(booster: lightgbm.Booster) -> None:
    quiet = np.arange(len(ROWS.days)) % 10 == 0
    volume, inputs = ROWS.volume.copy(), ROWS.inputs.copy()
    volume[quiet], inputs[quiet, 0] = 0, 0
    volume[1::10] = 0
    rows = VolumeRows(ROWS.days, volume, inputs)
    trained = train(rows, SPLIT, threads=1)

    assert np.isfinite(trained.predict(inputs)).all()
    assert evaluate(trained, rows, SPLIT, threads=1)["test"]["rows"] == SPLIT.test(ROWS.days).sum()
    assert (predict_volume(trained, inputs[quiet], threads=1) == 0).all()


def test_a_prediction_is_a_factor_on_the_moving_average(booster: lightgbm.Booster) -> None:
    inputs = ROWS.inputs[:50]

    np.testing.assert_allclose(predict_volume(booster, inputs, 1), inputs[:, 0] * np.exp(booster.predict(inputs)))
    assert booster.feature_name() == list(INPUTS)


@pytest.mark.parametrize("window", ["training", "validation"])
def test_too_few_rows_to_train_on_are_told(window: str) -> None:
    mask = SPLIT.train(ROWS.days) if window == "training" else SPLIT.validation(ROWS.days)
    few = ~mask | (np.cumsum(mask) < MIN_ROWS)

    with pytest.raises(
        UserError, match=rf"^the {window} window has {MIN_ROWS - 1} usable rows, fewer than {MIN_ROWS}: "
    ):
        train(ROWS.at(few), SPLIT, threads=1)


def test_rows_without_any_trading_are_no_rows_to_train_on() -> None:
    silent = VolumeRows(ROWS.days, np.zeros(len(ROWS.days)), np.zeros_like(ROWS.inputs))

    with pytest.raises(UserError, match="has 0 usable rows"):
        train(silent, SPLIT, threads=1)


def test_too_few_rows_to_measure_on_are_told(booster: lightgbm.Booster) -> None:
    test = SPLIT.test(ROWS.days)
    few = ROWS.at(~test | (np.cumsum(test) < MIN_ROWS))

    with pytest.raises(UserError, match="the test window has 499 usable rows"):
        evaluate(booster, few, SPLIT, threads=1)


def test_input_ranges_are_those_of_the_training_rows() -> None:
    ranges = input_ranges(ROWS, SPLIT)
    average = ROWS.inputs[SPLIT.train(ROWS.days), 0]

    assert set(ranges) == set(INPUTS)
    assert ranges["vol_moving_avg"] == {
        "min": average.min(),
        "p01": np.quantile(average, 0.01),
        "median": np.median(average),
        "p99": np.quantile(average, 0.99),
        "max": average.max(),
    }
