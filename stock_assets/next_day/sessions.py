"""What the calendar says, at a day's close, of the next session of the New York Stock Exchange.

Only closings on schedule count: that it would stay shut for a storm or a funeral was not known the day before.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.datetime64]

INPUTS = (
    "next_weekday",
    "days_to_next_session",
    "days_from_next_to_following_session",
    "sessions_left_in_month",
    "sessions_into_month",
    "week_of_year",
    "month_of_quarter",
    "third_friday",
    "half_day",
)
FAR = 10
"""Sessions: whether a month's end or begin is farther away makes no difference to the volume."""


class Calendar(NamedTuple):
    """Days without trading on schedule and days with a short session, both sorted."""

    closed: Days
    short: Days


def session_inputs(days: Days) -> NDArray[np.float32]:
    """`INPUTS` of the session that follows each day, shape (n, len(INPUTS)); `days` has shape (n,)."""
    calendar = _calendar(*(int(year) for year in _years(days)))
    session = next_session(days)
    following = next_session(session)
    month = session.astype("datetime64[M]")
    first, last = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
    weekday = (session.astype(np.int64) + 3) % 7
    day_of_month = (session - first).astype(np.int64) + 1
    columns = (
        weekday,
        (session - days).astype(np.int64),
        (following - session).astype(np.int64),
        np.minimum(np.busday_count(session, last, holidays=calendar.closed), FAR),
        np.minimum(np.busday_count(first, session, holidays=calendar.closed), FAR),
        (session - session.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7,
        month.astype(np.int64) % 3,
        (weekday == 4) & (day_of_month >= 15) & (day_of_month <= 21),
        np.isin(session, calendar.short),
    )
    return np.column_stack(columns).astype(np.float32)


def next_session(days: Days) -> Days:
    """The first session on schedule after each day, shape (n,)."""
    calendar = _calendar(*(int(year) for year in _years(days)))
    return np.asarray(np.busday_offset(days + 1, 0, roll="forward", holidays=calendar.closed))


def _years(days: Days) -> Days:
    years = days.astype("datetime64[Y]").astype(np.int64) + 1970
    return np.array([years.min(), years.max() + 1]) if len(years) else np.array([1970, 1970])


@cache
def _calendar(first_year: int, last_year: int) -> Calendar:
    from holidays.financial.ny_stock_exchange import NewYorkStockExchange  # noqa: PLC0415 - takes a quarter second

    class OnSchedule(NewYorkStockExchange):
        def _add_special_holidays(self, *_: object, **__: object) -> None:
            """Leave them out."""

    years = range(first_year, last_year + 1)
    closed, short = (
        np.array(sorted(OnSchedule(years=years, categories=(category,))), dtype="datetime64[D]")  # type: ignore[no-untyped-call]
        for category in ("public", "half_day")
    )
    return Calendar(closed, short)
