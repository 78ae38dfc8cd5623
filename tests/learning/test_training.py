"""The LightGBM candidates on synthetic rows: repeatable, blind to the future, and what their parameters say."""

import lightgbm
import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.learning import rows as rows_module
from stock_assets.learning.metrics import score, skill
from stock_assets.learning.models import BoosterModel
from stock_assets.learning.rows import MIN_ROWS, VolumeRows, fitting_windows, input_ranges, measured_window
from stock_assets.learning.split import Split
from stock_assets.learning.training import fit_constant_multiple, fit_log_ratio, fit_published
from stock_assets.learning.volume import INPUTS, predict_volume, volume_of
from tests.learning.synthetic import ROWS, SPLIT, with_quiet_days

FITS = [fit_log_ratio, fit_published, fit_constant_multiple]


def train(rows: VolumeRows, split: Split = SPLIT, threads: int = 1) -> BoosterModel:
    return fit_log_ratio(fitting_windows(rows, split), threads)


@pytest.fixture(scope="module")
def model() -> BoosterModel:
    return train(ROWS)


def text(model: BoosterModel) -> str:
    return str(model.booster.model_to_string())


def skill_of(model: BoosterModel, rows: VolumeRows) -> float:
    test = measured_window(rows, SPLIT)
    errors = [
        score(test.volume, volumes)["mae"] for volumes in (model.predict(test.inputs, 1), test.inputs[:, 0].copy())
    ]
    return skill(*errors)


@pytest.mark.parametrize("fit", FITS)
def test_training_again_gives_the_identical_text_with_any_number_of_threads(fit: type) -> None:
    windows = fitting_windows(ROWS, SPLIT)

    assert text(fit(windows, 2)) == text(fit(windows, 1))


def test_it_beats_the_baseline_on_right_skewed_volume(model: BoosterModel) -> None:
    assert skill_of(model, ROWS) > 0.1


def test_a_model_of_shuffled_labels_has_no_skill() -> None:
    shuffled = ROWS._replace(volume=np.random.default_rng(1).permutation(ROWS.volume))

    assert skill_of(train(shuffled), ROWS) <= 0


def test_a_perfect_baseline_cannot_be_beaten() -> None:
    perfect = ROWS._replace(volume=ROWS.inputs[:, 0])

    assert skill_of(train(perfect), perfect) <= 0


@pytest.mark.parametrize("fit", FITS)
def test_what_is_after_the_validation_window_does_not_change_the_model(fit: type) -> None:
    future = ROWS.days > SPLIT.validation_to
    volume, inputs = ROWS.volume.copy(), ROWS.inputs.copy()
    volume[future], inputs[future] = 1, 7
    changed = ROWS._replace(volume=volume, inputs=inputs)

    assert text(fit(fitting_windows(changed, SPLIT), 1)) == text(fit(fitting_windows(ROWS, SPLIT), 1))


def test_what_is_in_the_gap_does_not_change_the_model(model: BoosterModel) -> None:
    gap = (ROWS.days > SPLIT.train_to) & (ROWS.days < SPLIT.validation_from)

    assert gap.any()
    assert text(train(ROWS.at(~gap))) == text(model)


def test_large_windows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    train_rows, check_rows = (np.flatnonzero(mask(ROWS.days)) for mask in (SPLIT.train, SPLIT.validation))
    third = ROWS.at(np.concatenate([train_rows[::3], check_rows]))
    expected = text(train(third))
    monkeypatch.setattr(rows_module, "MAX_ROWS", len(train_rows) // 2 - 1)

    assert text(train(ROWS)) == expected


def test_the_validation_window_stops_the_training() -> None:
    noise = np.floor(ROWS.inputs[:, 0] * np.random.default_rng(2).lognormal(0, 1, len(ROWS.days)))

    assert train(ROWS._replace(volume=noise)).booster.num_trees() < 100


@pytest.mark.parametrize("fit", FITS)
def test_days_without_trading_are_taken(fit: type) -> None:
    rows = with_quiet_days(ROWS)
    volumes = fit(fitting_windows(rows, SPLIT), 1).predict(rows.inputs, 1)

    assert np.isfinite(volumes).all()
    assert (volumes >= 0).all()
    if fit is not fit_published:
        assert (volumes[::10] == 0).all()


def test_a_log_ratio_is_a_factor_on_the_moving_average(model: BoosterModel) -> None:
    inputs = ROWS.inputs[:50]

    assert model.target == "log_ratio"
    np.testing.assert_allclose(model.predict(inputs, 1), inputs[:, 0] * np.exp(model.booster.predict(inputs)))
    assert model.booster.feature_name() == list(INPUTS)


def test_the_model_as_published_is_lightgbm_with_those_parameters() -> None:
    windows = fitting_windows(ROWS, SPLIT)
    model = fit_published(windows, 1)
    parameters = {"num_leaves": 50, "learning_rate": 0.01, "verbosity": -1, "num_threads": 1, "force_col_wise": True}
    dataset = lightgbm.Dataset(windows.training.inputs, windows.training.volume, params=parameters)
    expected = lightgbm.train(parameters, dataset, 100)

    assert (model.target, model.booster.num_trees()) == ("volume", 100)
    np.testing.assert_allclose(model.predict(ROWS.inputs, 1), np.maximum(expected.predict(ROWS.inputs), 0))


def test_the_constant_multiple_is_the_median_ratio() -> None:
    windows = fitting_windows(with_quiet_days(ROWS), SPLIT)
    model = fit_constant_multiple(windows, 1)
    average = windows.training.inputs[:, 0]
    factor = np.median(np.maximum(windows.training.volume, 1)[average > 0] / average[average > 0])

    assert (model.target, model.booster.num_trees()) == ("log_ratio", 1)
    np.testing.assert_allclose(model.predict(ROWS.inputs, 1), ROWS.inputs[:, 0] * factor, rtol=1e-3)


def test_volumes_are_never_negative() -> None:
    scores, average = np.array([-5.0, 0.0, 3.0]), np.array([10.0, 0.0, 1.0])

    assert list(volume_of(scores, average, "volume")) == [0, 0, 3]
    np.testing.assert_allclose(volume_of(scores, average, "log_ratio"), [10 * np.exp(-5), 0, np.exp(3)])


def test_predicted_volumes_are_those_of_the_target(model: BoosterModel) -> None:
    inputs = ROWS.inputs[:9]
    scores = model.booster.predict(inputs)

    np.testing.assert_allclose(predict_volume(model.booster, inputs, 1, "volume"), np.maximum(scores, 0))


@pytest.mark.parametrize("window", ["training", "validation"])
def test_too_few_rows_to_train_on_are_told(window: str) -> None:
    mask = SPLIT.train(ROWS.days) if window == "training" else SPLIT.validation(ROWS.days)
    few = ~mask | (np.cumsum(mask) < MIN_ROWS)

    with pytest.raises(
        UserError, match=rf"^the {window} window has {MIN_ROWS - 1} usable rows, fewer than {MIN_ROWS}: "
    ):
        train(ROWS.at(few))


@pytest.mark.parametrize("fit", [fit_log_ratio, fit_constant_multiple])
def test_rows_without_any_trading_are_no_rows_to_train_on(fit: type) -> None:
    silent = ROWS._replace(volume=np.zeros(len(ROWS.days)), inputs=np.zeros_like(ROWS.inputs))

    with pytest.raises(UserError, match="has 0 usable rows"):
        fit(fitting_windows(silent, SPLIT), 1)


def test_too_few_rows_to_measure_on_are_told() -> None:
    test = SPLIT.test(ROWS.days)

    with pytest.raises(UserError, match="the test window has 499 usable rows"):
        measured_window(ROWS.at(~test | (np.cumsum(test) < MIN_ROWS)), SPLIT)


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
