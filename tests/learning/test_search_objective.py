"""What a trial is measured by: fitted and stopped on rows that are older than those of its error."""

import lightgbm
import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.learning.rows import MIN_ROWS, Windows, fitting_windows
from stock_assets.learning.search_objective import halves, volume_objective
from stock_assets.learning.split import GAP, split_by_date
from stock_assets.learning.training import LOG_RATIO
from tests.learning import synthetic


def long_windows() -> Windows:
    rows = synthetic.market(days=1000)
    return fitting_windows(rows, split_by_date(rows.days, 0.7, 0.15))


def test_validation_is_halved_by_date_with_the_gap() -> None:
    rows = long_windows().validation
    older, newer = halves(rows.days)
    days = np.unique(rows.days)

    assert not (older & newer).any()
    assert len(np.unique(rows.days[older])) == len(np.unique(rows.days[newer])) == (len(days) - GAP) // 2
    assert np.busday_count(rows.days[older].max(), rows.days[newer].min()) > GAP
    assert (rows.days[older].min(), rows.days[newer].max()) == (days[0], days[-1])


@pytest.mark.parametrize("days", [1, GAP, GAP + 1, GAP + 2, GAP + 40])
def test_too_short_a_validation_window_is_told(days: int) -> None:
    dates = np.repeat(np.busday_offset("2020-01-06", np.arange(days)), (MIN_ROWS - 1) // max(1, (days - GAP) // 2))

    with pytest.raises(UserError, match=r"^half of the validation window has \d+ usable rows, fewer than 500"):
        halves(dates)


def test_a_trial_is_measured_in_shares_on_the_newer_half() -> None:
    windows = long_windows()
    older, newer = (windows.validation.at(half) for half in halves(windows.validation.days))
    chosen = LOG_RATIO | {"num_leaves": 5, "num_threads": 1}
    data = [
        lightgbm.Dataset(rows.inputs, np.log(rows.volume / rows.inputs[:, 0]), params=chosen)
        for rows in (windows.training, older)
    ]
    stop = lightgbm.early_stopping(20, verbose=False)
    booster = lightgbm.train(chosen, data[0], 300, valid_sets=[data[1].set_reference(data[0])], callbacks=[stop])
    predicted = newer.inputs[:, 0] * np.exp(booster.predict(newer.inputs, num_iteration=booster.best_iteration))

    objective = volume_objective(windows, 1)
    measured = objective.measure(LOG_RATIO | {"num_leaves": 5})

    assert measured.mae == pytest.approx(np.abs(predicted - newer.volume).mean())
    assert measured.trees == booster.best_iteration
    bounds = (len(newer.days), str(newer.days.min()), str(newer.days.max()))
    assert (objective.rows, objective.first, objective.last) == bounds
