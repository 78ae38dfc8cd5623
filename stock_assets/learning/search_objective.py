"""What a trial of a search is measured by: a fit on the training window, and its error on a part of validation.

Validation is cut in two by date, with the gap that all windows have between them: on the older half a fit stops early,
on the newer one its error is measured. So no trial is chosen by the rows that it stopped on, and none sees the test
window.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from stock_assets.errors import UserError
from stock_assets.learning.fitting import Train, train_here
from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import NextDayRows, Trainer
from stock_assets.learning.next_day import fit as fit_next_day
from stock_assets.learning.rows import MIN_ROWS, VolumeRows, Windows
from stock_assets.learning.split import GAP, Days, Mask
from stock_assets.learning.training import fit_log_ratio


class Measured(NamedTuple):
    """The mean absolute error of a trial in shares, and its trees."""

    mae: float
    trees: int


class Objective(NamedTuple):
    """How a trial of these parameters does on the newer half of validation: its rows, first and last day."""

    measure: Callable[[Mapping[str, Any]], Measured]
    rows: int
    first: str
    last: str


def halves(days: Days) -> tuple[Mask, Mask]:
    """The older and the newer half of a window's trading days, `GAP` of them between: masks of rows, (n,) each.

    Trading days are the weekdays among `days`, as everywhere. Raises `UserError` where a half has fewer than
    `MIN_ROWS` rows.
    """
    dates = np.unique(days.astype("datetime64[D]"))
    weekdays = dates[np.is_busday(dates)]
    half = max(1, (len(weekdays) - GAP) // 2)
    older, newer = days <= weekdays[half - 1], days >= weekdays[-half]
    rows = min(int(older.sum()), int(newer.sum())) if len(weekdays) > GAP else 0
    if rows < MIN_ROWS:
        raise UserError(
            f"half of the validation window has {rows} usable rows, fewer than {MIN_ROWS}, too few for a search: "
            "add prices, or raise STOCK_ASSETS_VALIDATION_SHARE"
        )
    return older, newer


def volume_objective(windows: Windows, threads: int, train: Train = train_here) -> Objective:
    """Of `lightgbm_log_ratio`, fitted on the rows that its training has. Raises `UserError` for too few rows."""
    older, newer = halves(windows.validation.days)
    stop, check = windows.validation.at(older), windows.validation.at(newer)

    def measure(parameters: Mapping[str, Any]) -> Measured:
        model = fit_log_ratio(Windows(windows.training, stop), threads, parameters, train)
        return Measured(_mae(check, model.predict(check.inputs, threads)), model.booster.num_trees())

    return _objective(measure, check)


def next_day_objective(training: NextDayRows, validation: NextDayRows, trainer: Trainer) -> Objective:
    """Of the point forecast of the next day. Raises `UserError` for too few rows."""
    older, newer = halves(validation.days)
    stop, check = validation.at(older), validation.at(newer)

    def measure(parameters: Mapping[str, Any]) -> Measured:
        booster = fit_next_day(training, stop, parameters, trainer)
        logs = check.offset + booster.predict(check.inputs, num_threads=trainer.threads)
        return Measured(_mae(check, np.maximum(np.expm1(logs), 0)), booster.num_trees())

    return _objective(measure, check)


def _objective(measure: Callable[[Mapping[str, Any]], Measured], check: VolumeRows | NextDayRows) -> Objective:
    return Objective(measure, len(check.days), str(check.days.min()), str(check.days.max()))


def _mae(check: VolumeRows | NextDayRows, volumes: Array) -> float:
    return float(np.mean(np.abs(volumes - check.volume)))
