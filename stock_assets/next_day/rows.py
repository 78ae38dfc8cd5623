"""From published next-day features to arrays: a symbol's own inputs, the market's of the day, the next session's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.errors import UserError
from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import NextDayRows
from stock_assets.learning.smoothing import ewma
from stock_assets.learning.split import Days
from stock_assets.next_day.sessions import INPUTS as SESSION_INPUTS
from stock_assets.next_day.sessions import session_inputs
from stock_assets.statements import columns, run

HISTORY = 30
"""Rows of a symbol before one is forecast from: the longest mean that the forecast is held against."""
LONGEST_GAP = np.timedelta64(7, "D")
"""A row that comes later is not the next trading day's: no exchange was ever shut for longer on schedule."""

OWN_INPUTS = (
    "log_mean_20", "lag_0", "lag_1", "lag_2", "lag_3", "lag_4", "lag_5", "lag_6", "lag_7", "lag_8", "lag_9", "lag_14",
    "lag_19", "same_weekday", "ewma", "change", "z_score", "level_3", "level_5", "level_10", "level_60", "level_250",
    "mean_level_5", "mean_level_20", "deviation_20", "deviation_60", "lowest_5", "highest_5", "lowest_20", "highest_20",
    "quarter_ago", "quarter_ago_mean", "quarter_ago_highest", "year_ago", "year_ago_mean", "year_ago_highest",
    "zero_share_20", "zero_share_60", "move", "move_abs", "move_abs_lag_1", "move_abs_5", "move_abs_20",
    "move_abs_ratio", "move_5", "move_20", "span", "span_lag_1", "span_5", "span_20", "span_ratio", "gap",
    "close_in_range", "below_highest_price", "above_lowest_price", "log_price", "log_dollars", "age",
)  # fmt: skip
"""Columns of the table `next_day_features`; its SQL file says what they are."""
MARKET_INPUTS = (
    "market_surprise", "market_surprise_change", "market_surprise_lag_1", "market_surprise_lag_4", "market_level_5",
    "market_level_60", "market_z_score", "market_move", "market_move_abs", "market_shares",
)  # fmt: skip
MILLION = 1_000_000
RELATIVE = "lag_0_less_market"
INPUTS = (*OWN_INPUTS, *MARKET_INPUTS, *SESSION_INPUTS, RELATIVE)
"""The inputs of the model, in their order."""
MEANS = ("mean_5", "mean_20", "mean_30")

Places = NDArray[np.intp]
Table = dict[str, NDArray[Any]]


class Market(NamedTuple):
    """By day, m of them in order: how many rows there are, and the inputs that all symbols share, (m, k)."""

    days: Days
    rows: NDArray[np.int64]
    inputs: NDArray[np.float32]


class Source(NamedTuple):
    """Where rows come from: a connection to the published database, the features' files by letter, the market."""

    connection: DuckDBPyConnection
    files: Mapping[str, Path]
    market: Market


class Window(NamedTuple):
    """Days from `first` to `last`, both included; with a `limit` about so many of all letters' rows."""

    first: np.datetime64
    last: np.datetime64
    limit: int | None = None


class Series(NamedTuple):
    """The rows of one letter, one symbol after the other: `starts` has the place of the first row of each symbol."""

    symbols: list[str]
    is_etf: NDArray[np.bool_]
    starts: Places
    days: Days
    volume: Array

    def next_volume(self) -> Array:
        """The volume of each symbol's next trading day; not a number where that is unknown or not the next one."""
        following = np.full(len(self.volume), np.nan)
        following[:-1] = np.where(np.diff(self.days) <= LONGEST_GAP, self.volume[1:], np.nan)
        following[self.starts[1:] - 1] = np.nan
        following[-1:] = np.nan
        return following

    def ewma(self, alpha: float) -> Array:
        """The exponentially weighted mean of log volume, as a volume."""
        return np.expm1(ewma(np.log1p(self.volume), self.starts, alpha))

    def symbol_at(self, places: Places) -> Places:
        """Which of `symbols` the rows at these places belong to."""
        return np.searchsorted(self.starts, places, side="right") - 1


class Picked(NamedTuple):
    """Rows of one letter that were asked for, with their places in its series and the means of their volumes."""

    letter: str
    series: Series
    places: Places
    rows: NextDayRows
    means: dict[str, Array]


def open_source(connection: DuckDBPyConnection, files: Mapping[str, Path]) -> Source:
    """The features of these letters, with the market of each day of all of them.

    Raises `UserError` where no symbol has enough history.
    """
    paths = [str(path) for path in files.values()]
    table = columns(connection, "models/next_day_days", files=paths, history=HISTORY)
    days = table["Date"].astype("datetime64[D]")
    if not len(days):
        raise UserError(
            f"no symbol of next_day_features has {HISTORY} rows: add prices, or materialize more letters of it"
        )
    inputs = np.column_stack([_filled(table, MARKET_INPUTS), session_inputs(days)])
    return Source(connection, files, Market(days, np.asarray(table["rows"]), inputs))


def read_windows(source: Source, *windows: Window) -> Iterator[Picked]:
    """By letter, the rows of these windows whose next trading day is known, in the order of the file."""
    wanted = _wanted_days(source.market, windows)
    source.connection.register("wanted_days", wanted)
    for letter, path in source.files.items():
        table = columns(source.connection, "models/next_day_rows", path=str(path), history=HISTORY)
        picked = _pick(source, letter, table)
        known = np.flatnonzero(np.isfinite(picked.rows.volume))
        yield at(picked, known[np.argsort(picked.places[known])])


def in_window(picked: Sequence[Picked], window: Window) -> Iterator[Picked]:
    """By letter, those of the rows that lie in a window."""
    for letter in picked:
        yield at(letter, (letter.rows.days >= window.first) & (letter.rows.days <= window.last))


def read_last_rows(source: Source) -> Iterator[Picked]:
    """By letter, the last row of each symbol: what the next session is forecast from."""
    for letter, path in source.files.items():
        table = columns(source.connection, "models/next_day_last_rows", path=str(path), history=HISTORY)
        yield _pick(source, letter, table)


def read_series(connection: DuckDBPyConnection, path: Path) -> Series:
    found = run(connection, "models/next_day_symbols", path=str(path))
    table = columns(connection, "models/next_day_series", path=str(path))
    lengths = np.array([rows for _, rows, _ in found], dtype=np.intp)
    return Series(
        symbols=[symbol for symbol, _, _ in found],
        is_etf=np.array([is_etf for _, _, is_etf in found], dtype=bool),
        starts=np.cumsum(lengths) - lengths,
        days=table["Date"].astype("datetime64[D]"),
        volume=table["Volume"].astype(np.float64),
    )


def at(picked: Picked, chosen: NDArray[Any]) -> Picked:
    means = {name: values[chosen] for name, values in picked.means.items()}
    return picked._replace(places=picked.places[chosen], rows=picked.rows.at(chosen), means=means)


def joined(picked: Iterable[Picked]) -> NextDayRows:
    """The rows of all letters, in their order."""
    return stacked(letter.rows for letter in picked)


def stacked(parts: Iterable[NextDayRows]) -> NextDayRows:
    return NextDayRows._make(np.concatenate(values) for values in zip(*parts, strict=True))


def _wanted_days(market: Market, windows: Sequence[Window]) -> Table:
    """The days of these windows, which do not overlap, and how many of a million rows of each are wanted."""
    of_a_million = np.zeros(len(market.days), dtype=np.int64)
    for window in windows:
        within = (market.days >= window.first) & (market.days <= window.last)
        rows = max(1, int(market.rows[within].sum()))
        of_a_million[within] = min(MILLION, window.limit * MILLION // rows) if window.limit else MILLION
    chosen = of_a_million > 0
    return {"wanted": market.days[chosen].astype("datetime64[us]"), "of_a_million": of_a_million[chosen]}


def _pick(source: Source, letter: str, table: Table) -> Picked:
    series, market = read_series(source.connection, source.files[letter]), source.market
    places = np.asarray(table["file_row_number"], dtype=np.intp)
    days = table["Date"].astype("datetime64[D]")
    own = _filled(table, OWN_INPUTS)
    shared = market.inputs[np.searchsorted(market.days, days)]
    relative = own[:, OWN_INPUTS.index("lag_0")] - shared[:, MARKET_INPUTS.index("market_surprise")]
    log_mean, smoothed = (own[:, OWN_INPUTS.index(name)].astype(np.float64) for name in ("log_mean_20", "ewma"))
    means = {name: np.ma.filled(table[name], np.nan) for name in MEANS}
    rows = NextDayRows(
        days=days,
        inputs=np.column_stack([own, shared, relative]),
        offset=log_mean + smoothed,
        log_mean=log_mean,
        mean=means["mean_30"],
        volume=series.next_volume()[places],
    )
    return Picked(letter, series, places, rows, means)


def _filled(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    """These columns side by side, shape (n, len(names)); not a number where there is none."""
    filled = np.empty((len(table[names[0]]), len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        filled[:, place] = np.ma.filled(table.pop(name), np.nan)
    return filled
