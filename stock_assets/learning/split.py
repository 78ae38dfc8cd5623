"""Splits by time: the past trains, the future tests, and a gap keeps a window from touching both."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stock_assets.errors import UserError

GAP = 30
"""Trading days between two windows: one feature window, so that no row of one is inside a mean of the other."""

Days = NDArray[np.datetime64]
Mask = NDArray[np.bool_]


class Split(NamedTuple):
    """Days that bound the three windows, each included."""

    train_to: np.datetime64
    validation_from: np.datetime64
    validation_to: np.datetime64
    test_from: np.datetime64

    def train(self, days: Days) -> Mask:
        return np.asarray(days <= self.train_to)

    def validation(self, days: Days) -> Mask:
        return np.asarray((days >= self.validation_from) & (days <= self.validation_to))

    def test(self, days: Days) -> Mask:
        return np.asarray(days >= self.test_from)

    def as_json(self) -> dict[str, Any]:
        return {name: str(day) for name, day in self._asdict().items()} | {"gap_trading_days": GAP}


def split_by_date(days: Days, train_share: float, validation_share: float) -> Split:
    """Cut rows at dates so that the windows hold about these shares of them; the gaps are left out.

    `days` is one date a row, shape (n,), in any order. Trading days are the weekdays among them: a stray
    weekend row must not shorten the gap. Raises `UserError` where the rows span too few days.
    """
    calendar, rows = np.unique(days.astype("datetime64[D]"), return_counts=True)
    weekdays = calendar[np.is_busday(calendar)]
    share = np.cumsum(rows) / max(len(days), 1)

    def day_at(wanted: float) -> np.datetime64:
        return np.datetime64(calendar[min(int(np.searchsorted(share, wanted)), len(calendar) - 1)])

    def after_gap(day: np.datetime64) -> np.datetime64 | None:
        place = int(np.searchsorted(weekdays, day, side="right")) + GAP
        return np.datetime64(weekdays[place]) if place < len(weekdays) else None

    if len(weekdays):
        train_to, validation_to = day_at(train_share), day_at(train_share + validation_share)
        validation_from, test_from = after_gap(train_to), after_gap(validation_to)
        if validation_from is not None and test_from is not None and validation_from <= validation_to:
            return Split(train_to, validation_from, validation_to, test_from)
    raise UserError(
        f"too few trading days to split by time ({len(weekdays)} with features, and two gaps of {GAP} are left out): "
        "add prices, or change STOCK_ASSETS_TRAIN_SHARE and STOCK_ASSETS_VALIDATION_SHARE"
    )
