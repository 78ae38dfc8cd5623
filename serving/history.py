"""The last days of a symbol: prices, volumes, and what was forecast for them."""

import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from serving.forecasts import Forecast
from serving.published import Columns, NotPublishedError, read_symbol

DAY_COLUMNS = ("Date", "Adj Close", "Volume", "vol_moving_avg")
BACKTEST_COLUMNS = ("as_of", "forecast", "low", "high", "next_volume")


class Days(BaseModel):
    """Columns of the same length, oldest day first."""

    date: list[datetime.date]
    close: list[float | None] = Field(description="Last price of the day in dollars, adjusted for splits and dividends")
    volume: list[int] = Field(description="Shares traded.")
    vol_moving_avg: list[float | None] = Field(
        description="Mean volume of the day and the 29 trading days before it, in shares; null while there are fewer."
    )


class Backtest(BaseModel):
    """Columns of the same length: what was forecast for a day from the one before, by models that had not seen it."""

    date: list[datetime.date] = Field(description="The day that was forecast.")
    forecast: list[int] = Field(description="Forecast volume, in shares.")
    low: list[int] = Field(description="Lower end of the 80 % interval, in shares.")
    high: list[int] = Field(description="Upper end of the 80 % interval, in shares.")
    actual: list[int] = Field(description="The volume that came, in shares.")


NO_BACKTEST = Backtest(date=[], forecast=[], low=[], high=[], actual=[])


class History(BaseModel):
    """What a chart of a symbol shows."""

    symbol: str
    name: str | None = Field(description="The security's name; null where the source has none.")
    days: Days
    backtest: Backtest
    forecast: Forecast | None = Field(description="As of GET /forecast/{symbol}; null where there is none.")


def last_days(features: Path, symbol: str, count: int) -> Columns:
    """The last rows of a symbol, oldest first. Raises `NotPublishedError`."""
    columns, _ = read_symbol(features, symbol, DAY_COLUMNS)
    if not len(columns["Date"]):
        raise NotPublishedError(f"the features of {symbol} are not there yet; run the pipeline (make run)")
    return {name: values[-count:] for name, values in columns.items()}


def backtest_of(path: Path, symbol: str, days: NDArray[np.datetime64]) -> Backtest:
    """The back-test for these days of a symbol but the first, which only says what the second one followed."""
    columns, _ = read_symbol(path, symbol, BACKTEST_COLUMNS)
    after = np.searchsorted(days, columns["as_of"].astype(days.dtype), side="right")
    known = (after > 0) & (after < len(days))
    known[known] = days[after[known] - 1] == columns["as_of"][known]
    shown: dict[str, list[Any]] = {name: columns[name][known].tolist() for name in BACKTEST_COLUMNS}
    return Backtest(
        date=days[after[known]].tolist(),
        forecast=shown["forecast"],
        low=shown["low"],
        high=shown["high"],
        actual=shown["next_volume"],
    )


def days_of(columns: Columns) -> Days:
    """JSON has no NaN: it becomes null."""
    return Days(
        date=columns["Date"].tolist(),
        close=_or_none(columns["Adj Close"]),
        volume=columns["Volume"].tolist(),
        vol_moving_avg=_or_none(columns["vol_moving_avg"]),
    )


def _or_none(values: NDArray[np.float64]) -> list[float | None]:
    return [value if isfinite(value) else None for value in values.tolist()]
