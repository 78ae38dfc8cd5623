"""The price and volume process of the demo market: arrays only, no files.

Log-volume is a sum of parts that fade at different speeds, which gives it the long memory of real volume
(Corsi, 2009, "A Simple Approximate Long-Memory Model of Realized Volatility").
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

LAST_DAY = date(2020, 4, 1)
"""The last day of the Kaggle dataset, and of every demo market."""

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]
Columns = dict[str, NDArray[np.generic]]
"""One file's rows by column name; prices in dollars with the precision of float32, volumes in shares."""

_FRIDAY = 4
_LARGEST_LOG_VOLUME = 22.0  # below 2**32 shares, as all real volumes are but one
_WEEKDAY_EFFECT = np.array([-0.10, 0.01, 0.04, 0.04, -0.01])


@dataclass(frozen=True)
class Market:
    """What all symbols share, one value for each trading day: log-returns, log-volatility, log-volume."""

    days: Days
    returns: Floats
    turmoil: Floats
    log_volume: Floats

    def since_listing(self, rows: int) -> "Market":
        """The last `rows` days, or all when there are fewer."""
        kept = slice(max(0, len(self.days) - rows), None)
        return Market(self.days[kept], self.returns[kept], self.turmoil[kept], self.log_volume[kept])


def draw_market(start: date, rng: Generator) -> Market:
    """The market-wide series from `start` to `LAST_DAY`."""
    days = _trading_days(start)
    shocks = rng.standard_normal((4, len(days)))
    turmoil = _fading(0.11 * shocks[0], 0.98)
    returns = 0.0002 + 0.0075 * np.exp(turmoil) * shocks[1]
    flow = _fading(0.07 * shocks[2], 0.93) + 0.08 * shocks[3] + 0.25 * turmoil
    return Market(days, returns, turmoil, flow + _growth(days) + _calendar_effect(days))


def draw_history(market: Market, least_rows: int, rng: Generator) -> Columns:
    """One symbol's rows from its listing to `LAST_DAY`: at least `least_rows`, or all days of the market.

    Dates are `datetime64[s]`. Prices are adjusted for splits, as Yahoo's are; `Adj Close` for dividends too.
    """
    market = market.since_listing(max(least_rows, _listing_age(rng)))
    rows = len(market.days)
    shocks = rng.standard_normal((9, rows))
    events = _events(rows, rng)
    turmoil = 0.6 * market.turmoil + _fading(0.07 * shocks[0], 0.97) + 0.4 * events
    volume = _volume(market, events + 0.25 * np.abs(shocks[1]), shocks[2:6], rng)
    spread = np.where(volume > 0, min(0.03, rng.lognormal(-4.3, 0.45)) * np.exp(turmoil), 0)
    returns = np.where(volume > 0, rng.normal(1, 0.4) * market.returns, 0) + spread * shocks[1]
    return {"Date": market.days} | _prices(market.days, returns, spread * shocks[6:9], rng) | {"Volume": volume}


def _trading_days(start: date) -> Days:
    """Weekdays from `start` to `LAST_DAY` without the New York exchange's holidays, roughly."""
    years = np.arange(start.year - 1970, LAST_DAY.year - 1969).astype("datetime64[Y]").astype("datetime64[M]")
    holidays = [
        years.astype("datetime64[D]"),
        np.busday_offset(years + 1, 2, "forward", weekmask="Mon"),
        np.busday_offset(years + 5, -1, "forward", weekmask="Mon"),
        (years + 6).astype("datetime64[D]") + 3,
        np.busday_offset(years + 8, 0, "forward", weekmask="Mon"),
        np.busday_offset(years + 10, 3, "forward", weekmask="Thu"),
        (years + 11).astype("datetime64[D]") + 24,
    ]
    days = np.arange(np.datetime64(start), np.datetime64(LAST_DAY) + 1)
    trading: Days = days[np.is_busday(days, holidays=np.concatenate(holidays))].astype("datetime64[s]")
    return trading


def _growth(days: Days) -> Floats:
    """What log-volume lacks of today's level: it rose by one in the twenty years before 2008."""
    years: Floats = (days - np.datetime64("2008-01-01")) / np.timedelta64(365, "D")
    return np.minimum(0, years / 20)


def _calendar_effect(days: Days) -> Floats:
    """Mondays are quiet; a month's last day and its third Friday, when options expire, are busy."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    weekday = (dates.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    day_of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    month_end = np.append(months[1:] != months[:-1], False)
    third_friday = (weekday == _FRIDAY) & (day_of_month >= 15) & (day_of_month <= 21)
    effect: Floats = _WEEKDAY_EFFECT[weekday] + 0.15 * month_end + 0.25 * third_friday
    return effect


def _fading(shocks: Floats, keep: float) -> Floats:
    """An AR(1) process: each shock fades by the factor `keep` a day.

    By doubling, 1 / (1 - kL) = (1 + kL)(1 + k²L²)(1 + k⁴L⁴)..., which needs no loop over days.
    """
    total = shocks.copy()
    lag = 1
    while lag < len(total) and keep**lag > 1e-3:
        total[lag:] += keep**lag * total[:-lag]
        lag *= 2
    return total


def _listing_age(rng: Generator) -> int:
    """Rows since a symbol's listing: most are young, a few as old as the market."""
    return 1 + int(14_600 * rng.beta(0.6, 1.87))


def _events(rows: int, rng: Generator) -> Floats:
    """What news adds to log-volume: quarterly earnings and surprises, each fading within days."""
    impulses = np.where(rng.random(rows) < 0.02, np.abs(rng.normal(0, 1.25, rows)), 0)
    impulses[rng.integers(63) :: 63] += rng.uniform(0.1, 1.1)
    return _fading(impulses, 0.55)


def _volume(market: Market, news: Floats, shocks: Floats, rng: Generator) -> NDArray[np.int64]:
    """Shares a day in lots of 100; few of a thinly traded symbol's days reach a lot."""
    level = min(16.4, rng.normal(12.6, 2.3)) - (6 if rng.random() < 0.2 else 0)
    noise = 0.16 + 0.2 * max(0.0, 12.5 - level)
    memory = _fading(0.03 * shocks[0], 0.999) + _fading(0.11 * shocks[1], 0.96) + _fading(0.15 * shocks[2], 0.5)
    log_volume = level + rng.uniform(0.5, 1.1) * market.log_volume + news + memory + noise * shocks[3]
    lots: NDArray[np.int64] = (np.exp(np.minimum(log_volume, _LARGEST_LOG_VOLUME)) / 100).astype(np.int64)
    return 100 * lots


def _prices(days: Days, returns: Floats, moves: Floats, rng: Generator) -> Columns:
    """Prices that follow `returns` to a last close of some dollars; `moves` are those within a day."""
    path = np.cumsum(returns)
    last_close = rng.lognormal(3.1, 0.9)
    close = last_close * np.exp(path - path[-1])
    opens = last_close * np.exp(path - path[-1] - 0.7 * returns + 0.3 * moves[0])
    ratio = _split_ratio(len(days), rng)
    columns = {
        "Open": _in_cents(opens, ratio),
        "High": _in_cents(np.maximum(opens, close) * np.exp(0.6 * np.abs(moves[1])), ratio),
        "Low": _in_cents(np.minimum(opens, close) * np.exp(-0.6 * np.abs(moves[2])), ratio),
        "Close": _in_cents(close, ratio),
    }
    columns["Adj Close"] = _as_float32(columns["Close"] * _dividend_factor(len(days), rng))
    if rng.random() < 0.4:  # in old data Yahoo has no opens of some symbols
        columns["Open"][days < np.datetime64("1984-01-01") + int(rng.integers(4000))] = 0
    return dict(columns)


def _split_ratio(rows: int, rng: Generator) -> Floats:
    """How many of today's shares one share of each day has become since."""
    splits = int(rng.poisson(rows / 4000))
    log_ratio = np.zeros(rows)
    log_ratio[rng.integers(rows, size=splits)] = np.log(rng.choice([1.5, 2, 2, 3, 0.1], size=splits))
    return _product_of_later(log_ratio)


def _dividend_factor(rows: int, rng: Generator) -> Floats:
    """What dividends paid later leave of each day's close; half of the symbols pay some each quarter."""
    paid = np.zeros(rows)
    paid[rng.integers(63) :: 63] = max(0.0, rng.normal(0, 0.008))
    return _product_of_later(np.log1p(-paid))


def _product_of_later(log_factors: Floats) -> Floats:
    """For each day, the product of the factors on the days after it."""
    product: Floats = np.exp(log_factors.sum() - np.cumsum(log_factors))
    return product


def _in_cents(prices: Floats, ratio: Floats) -> Floats:
    """Prices that were whole cents on their day, before splits divided them."""
    return _as_float32(np.maximum(np.rint(prices * ratio * 100), 1) / (100 * ratio))


def _as_float32(prices: Floats) -> Floats:
    return prices.astype(np.float32).astype(np.float64)
