"""Splits by time: the past trains, the future tests, and a gap keeps a window from touching both."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stock_assets.errors import UserError

GAP = 30
"""Trading days between two windows: one feature window, so that no row of one is inside a mean of the other."""

ROUNDING = 1e-12
"""Shares are sums of fractions: one that a date reaches exactly must not fall behind it."""

Days = NDArray[np.datetime64]
Mask = NDArray[np.bool_]


class Split(NamedTuple):
    """Days that bound the three windows, each included."""

    train_to: np.datetime64
    validation_from: np.datetime64
    validation_to: np.datetime64
    test_from: np.datetime64
    test_to: np.datetime64

    def train(self, days: Days) -> Mask:
        return np.asarray(days <= self.train_to)

    def validation(self, days: Days) -> Mask:
        return np.asarray((days >= self.validation_from) & (days <= self.validation_to))

    def test(self, days: Days) -> Mask:
        return np.asarray((days >= self.test_from) & (days <= self.test_to))

    def as_json(self) -> dict[str, Any]:
        return {name: str(day) for name, day in self._asdict().items()} | {"gap_trading_days": GAP}


def split_by_date(
    days: Days, train_share: float, validation_share: float, rows: NDArray[np.int64] | None = None
) -> Split:
    """Cut rows at dates so that the windows hold about these shares of them; the gaps are left out.

    `days` is one date a row, shape (n,), in any order; or each date once, in order, with its number of `rows`.
    Trading days are the weekdays among them: a stray weekend row must not shorten the gap. Raises `UserError` where
    the rows span too few days.
    """
    calendar = _Calendar.of(days) if rows is None else _Calendar.counted(days, rows)
    return calendar.split(train_share, train_share + validation_share, 1)


def walk_forward(days: Days, train_share: float, validation_share: float, folds: int) -> list[Split]:
    """Expanding-window folds over the rows before the test window of `split_by_date`, oldest first.

    The rows up to the end of validation are cut into `folds` + 1 equal parts: each part but the first is the test
    window of a fold, and all rows before it, with the same gaps, are its training and validation. Raises `UserError`
    where a fold spans too few days.
    """
    calendar = _Calendar.of(days)
    known = train_share + validation_share
    step, inner = known / (folds + 1), train_share / known
    return [calendar.split(fold * step * inner, fold * step, (fold + 1) * step) for fold in range(1, folds + 1)]


class _Calendar(NamedTuple):
    """The dates of the rows, the weekdays among them, and the share of the rows up to each date."""

    dates: Days
    weekdays: Days
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, days: Days) -> "_Calendar":
        return cls.counted(*np.unique(days.astype("datetime64[D]"), return_counts=True))

    @classmethod
    def counted(cls, dates: Days, rows: NDArray[np.int64]) -> "_Calendar":
        return cls(dates, dates[np.is_busday(dates)], np.cumsum(rows) / max(int(rows.sum()), 1))

    def split(self, train: float, validation: float, test: float) -> Split:
        """The windows that end at these shares of the rows."""
        if len(self.weekdays):
            train_to, validation_to, test_to = map(self._day_at, (train, validation, test))
            validation_from, test_from = self._after_gap(train_to), self._after_gap(validation_to)
            # Compared with NaT, which stands for no such day, everything is false.
            if validation_from <= validation_to and test_from <= test_to:
                return Split(train_to, validation_from, validation_to, test_from, test_to)
        raise UserError(
            f"too few trading days to split by time ({len(self.weekdays)} with features, and two gaps of {GAP} are "
            "left out): add prices, or change STOCK_ASSETS_TRAIN_SHARE, STOCK_ASSETS_VALIDATION_SHARE or "
            "STOCK_ASSETS_FOLDS"
        )

    def _day_at(self, share: float) -> np.datetime64:
        place = int(np.searchsorted(self.shares, share - ROUNDING))
        return np.datetime64(self.dates[min(place, len(self.dates) - 1)])

    def _after_gap(self, day: np.datetime64) -> np.datetime64:
        """The first day of the next window, NaT where there is none."""
        place = int(np.searchsorted(self.weekdays, day, side="right")) + GAP
        return np.datetime64(self.weekdays[place] if place < len(self.weekdays) else "NaT")
