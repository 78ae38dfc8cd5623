"""The volume model's inputs for a symbol as of a day, from the published features."""

from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from serving.published import NotPublishedError, read_symbol
from serving.symbols import Symbol, UnknownSymbolError
from stock_assets.learning.volume import INPUTS, MAX_VOLUME

WINDOW = 30
"""Rows that both inputs look back on, the day's own included."""

Status = Literal["present", "stale", "warm_up"]


class AsOf(NamedTuple):
    """A symbol's last row up to the day `asked`, which is its `day`. `rows` counts its rows up to that one.

    Both inputs are None in the warm-up.
    """

    symbol: Symbol
    asked: date
    day: date
    rows: int
    volume: int
    vol_moving_avg: float | None
    adj_close_rolling_med: float | None

    def inputs(self) -> tuple[float, float] | None:
        """Both inputs if the model can answer them."""
        volume, price = self.vol_moving_avg, self.adj_close_rolling_med
        if volume is None or price is None or not (0 <= volume <= MAX_VOLUME and price >= 0):
            return None
        return volume, price

    @property
    def rows_missing(self) -> int:
        return max(WINDOW - self.rows, 0)

    @property
    def stale_days(self) -> int:
        return (self.asked - self.day).days

    @property
    def status(self) -> Status:
        if self.rows_missing:
            return "warm_up"
        return "stale" if self.stale_days else "present"


def as_of(features: Path, symbol: Symbol, asked: date) -> AsOf:
    """The last row on the day or before it.

    Raises `UnknownSymbolError` for a day before the first row, and `NotPublishedError` where there are no rows at all.
    """
    columns, _ = read_symbol(features, symbol.symbol, ("Date", "Volume", *INPUTS))
    days = columns["Date"]
    if not len(days):
        raise NotPublishedError(f"the features of {symbol.symbol} are not there yet; run the pipeline (make run)")
    row = int(np.searchsorted(days, np.datetime64(asked, "D"), side="right")) - 1
    if row < 0:
        raise UnknownSymbolError(
            f"{symbol.symbol} has no row on {asked} or before it: its first is of {days[0]}", [symbol]
        )
    volume, price = (float(columns[name][row]) for name in INPUTS)
    return AsOf(
        symbol=symbol,
        asked=asked,
        day=days[row].item(),
        rows=row + 1,
        volume=int(columns["Volume"][row]),
        vol_moving_avg=volume if np.isfinite(volume) else None,
        adj_close_rolling_med=price if np.isfinite(price) else None,
    )
