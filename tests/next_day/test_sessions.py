"""The calendar of the New York Stock Exchange, against dates known by hand, pandas' rules and real prices."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.tseries.holiday import (
    AbstractHolidayCalendar,
    GoodFriday,
    Holiday,
    USLaborDay,
    USMartinLutherKingJr,
    USMemorialDay,
    USPresidentsDay,
    USThanksgivingDay,
    nearest_workday,
    sunday_to_monday,
)

from stock_assets.next_day.sessions import INPUTS, next_session, session_inputs

UNSCHEDULED = (
    "1985-09-27", "1994-04-27", "2001-09-11", "2004-06-11", "2007-01-02", "2012-10-29", "2018-12-05",
)  # fmt: skip
"""Storms, attacks and funerals since 1980, each with the first day that was shut."""


class NewYork(AbstractHolidayCalendar):
    """Closings on schedule since 1998, by other rules than those under test. 1 January falls on a Saturday unmoved."""

    rules = (
        Holiday("New Year", month=1, day=1, observance=sunday_to_monday),
        USMartinLutherKingJr,
        USPresidentsDay,
        GoodFriday,
        USMemorialDay,
        Holiday("Juneteenth", month=6, day=19, start_date="2022-01-01", observance=nearest_workday),
        Holiday("Independence", month=7, day=4, observance=nearest_workday),
        USLaborDay,
        USThanksgivingDay,
        Holiday("Christmas", month=12, day=25, observance=nearest_workday),
    )


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def inputs_of(day: str) -> dict[str, float]:
    """The inputs at the close of one day, by name."""
    return dict(zip(INPUTS, session_inputs(days(day))[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("day", "session"),
    [
        ("2001-09-10", "2001-09-11"),  # nobody knew
        ("2012-10-26", "2012-10-29"),  # a storm was coming, but no closing was on schedule
        ("2018-12-04", "2018-12-05"),  # a funeral
        ("2019-04-18", "2019-04-22"),  # Good Friday
        ("1997-01-17", "1997-01-20"),  # before it was a holiday
        ("1998-01-16", "1998-01-20"),  # the first Martin Luther King Day
        ("2020-07-02", "2020-07-06"),  # the 4th on a Saturday
        ("2021-06-18", "2021-06-21"),  # before Juneteenth
        ("2022-06-17", "2022-06-21"),
        ("2021-12-30", "2021-12-31"),  # New Year's Day on a Saturday
        ("2021-12-31", "2022-01-03"),
        ("2019-12-31", "2020-01-02"),
        ("2019-12-24", "2019-12-26"),
        ("2020-02-28", "2020-03-02"),
        ("2020-02-29", "2020-03-02"),  # a Saturday
        ("2020-04-01", "2020-04-02"),
    ],
)
def test_the_next_session_is_that_on_schedule(day: str, session: str) -> None:
    assert next_session(days(day)).astype(str).tolist() == [session]


def test_sessions_are_those_of_independent_rules() -> None:
    every = np.arange(np.datetime64("1998-01-01"), np.datetime64("2027-12-31"))
    holidays = NewYork().holidays("1998-01-01", "2028-01-31").to_numpy().astype("datetime64[D]")
    expected = np.busday_offset(every, 1, roll="backward", holidays=holidays)

    np.testing.assert_array_equal(next_session(every), expected)


@pytest.mark.parametrize("day", ["1973-05-04", "1998-12-31", "2019-12-31", "2020-04-01"])
def test_a_day_alone_gets_what_it_gets_among_others(day: str) -> None:
    """The calendar is made for the years that are asked for."""
    among = days("1962-01-02", day, "2030-06-03")

    np.testing.assert_array_equal(session_inputs(among)[1], session_inputs(days(day))[0])


def test_no_days_give_no_rows() -> None:
    assert session_inputs(days()).shape == (0, len(INPUTS))
    assert next_session(days()).shape == (0,)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2018-11-21", 1),
        ("2018-11-20", 0),
        ("2020-12-23", 1),
        ("2020-12-24", 0),
        ("2018-07-02", 1),
        ("2019-12-23", 1),
        ("2020-03-30", 0),
    ],
)
def test_half_days_are_those_of_the_next_session(day: str, expected: float) -> None:
    assert inputs_of(day)["half_day"] == expected


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2020-03-19", 1),
        ("2020-03-20", 0),
        ("2020-03-12", 0),
        ("2020-03-26", 0),
        ("2020-05-14", 1),
        ("2020-08-20", 1),  # the 21st, the latest that it can be
        ("2019-04-18", 0),  # it was Good Friday
    ],
)
def test_third_fridays_are_marked(day: str, expected: float) -> None:
    assert inputs_of(day)["third_friday"] == expected


def test_the_weekday_and_the_days_between_sessions() -> None:
    thursday = inputs_of("2019-04-18")  # the next session is the Monday after Good Friday
    friday = inputs_of("2020-01-17")  # the next session is the Tuesday after a holiday
    wednesday = inputs_of("2019-04-17")

    names = ("next_weekday", "days_to_next_session", "days_from_next_to_following_session")
    assert [thursday[name] for name in names] == [0, 4, 1]
    assert [friday[name] for name in names] == [1, 4, 1]
    assert [wednesday[name] for name in names] == [3, 1, 4]


@pytest.mark.parametrize(
    ("day", "left", "into"),
    [
        ("2020-03-30", 1, 10),  # the next session is the last one of March
        ("2020-03-27", 2, 10),
        ("2020-03-31", 10, 0),  # the first one of April
        ("2020-04-01", 10, 1),
        ("2019-12-31", 10, 0),  # 2 January: a holiday is no session
        ("2018-03-28", 1, 10),  # 29 March 2018: the 30th was Good Friday
        ("2020-02-12", 10, 8),
    ],
)
def test_sessions_to_the_ends_of_the_month(day: str, left: int, into: int) -> None:
    found = inputs_of(day)

    assert (found["sessions_left_in_month"], found["sessions_into_month"]) == (left, into)


def test_the_place_in_the_year() -> None:
    assert [inputs_of(day)["month_of_quarter"] for day in ("2019-12-31", "2020-01-31", "2020-03-02")] == [0, 1, 2]
    assert inputs_of("2019-12-31")["week_of_year"] == 0
    assert inputs_of("2020-01-07")["week_of_year"] == 1
    assert inputs_of("2020-12-30")["week_of_year"] == 52


def test_nothing_of_the_day_itself_but_its_date_counts() -> None:
    """Saturday, Sunday and Friday have the same next session, so they differ in the days up to it only."""
    found = session_inputs(days("2020-03-06", "2020-03-07", "2020-03-08"))
    other = [place for place, name in enumerate(INPUTS) if name != "days_to_next_session"]

    assert found[:, INPUTS.index("days_to_next_session")].tolist() == [3, 2, 1]
    np.testing.assert_array_equal(found[:, other], np.repeat(found[:1, other], 3, axis=0))


@pytest.mark.slow
def test_the_real_market_was_open_on_schedule(real_prices: Path) -> None:
    """From 1980 on, where there are enough symbols to tell a stray row on a holiday from a session."""
    dates = pd.concat([pd.read_csv(path, usecols=["Date"])["Date"] for path in real_prices.glob("*/*.csv")])
    rows = dates[dates >= "1980-01-01"].value_counts().sort_index()
    traded = rows.index[rows > rows.rolling(21, min_periods=1).median() / 5].to_numpy().astype("datetime64[D]")
    expected = next_session(traded[:-1])
    missed = set(expected[expected != traded[1:]].astype(str))

    assert len(traded) > 10_000
    assert {"2001-09-11", "2012-10-29"} <= missed <= set(UNSCHEDULED)
