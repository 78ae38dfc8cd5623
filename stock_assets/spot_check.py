"""A sample of published features computed again in another way: from `combined`, by numpy."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.statements import columns

SAMPLE = "checks/features/sampled_rows"
WINDOW = 30
ROWS_PER_SYMBOL = 20
TOLERANCE = 1e-9
"""Relative: sums of 30 numbers in another order differ by less."""

Floats = NDArray[np.float64]
Rows = dict[str, NDArray[Any]]


def spot_check(connection: DuckDBPyConnection, parameters: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The sampled rows whose features are not the mean volume and the median price of 30 rows, and how many it took.

    The parameters are those of `sampled_rows.sql`. Of each symbol there the last row is taken and some others, which
    hang on the version of the tables.
    """
    table = columns(connection, SAMPLE, **parameters)
    rng = np.random.default_rng(int.from_bytes(parameters["version"].encode()))
    offenders: list[dict[str, Any]] = []
    rows = 0
    for symbol_rows in _by_symbol(table):
        last = len(symbol_rows["Symbol"]) - 1
        chosen = np.unique(np.append(rng.integers(0, last, ROWS_PER_SYMBOL - 1, endpoint=True), last))
        rows += len(chosen)
        offenders += _offenders(symbol_rows, chosen)
    return offenders, rows


def _by_symbol(table: Rows) -> Iterator[Rows]:
    symbols = table["Symbol"]
    bounds = {0, *(np.flatnonzero(symbols[1:] != symbols[:-1]) + 1), len(symbols)}
    for start, end in pairwise(sorted(bounds)):
        yield {name: values[start:end] for name, values in table.items()}


def _offenders(rows: Rows, places: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """Those of the rows at these places whose features are not what was expected there, beside that."""
    expected = {
        "vol_moving_avg": _over_windows(np.mean, rows["Volume"], places),
        "adj_close_rolling_med": _over_windows(np.median, rows["Adj Close"], places),
    }
    found = {name: np.ma.filled(rows[name][places].astype(np.float64), np.nan) for name in expected}
    same = [np.isclose(found[name], expected[name], rtol=TOLERANCE, atol=0, equal_nan=True) for name in expected]
    for index in np.flatnonzero(~np.all(same, axis=0)):
        key = {name: str(rows[name][places[index]]) for name in ("letter", "Symbol")}
        day = {"Date": str(np.datetime64(rows["Date"][places[index]], "D"))}
        values = {name: float(found[name][index]) for name in found}
        yield key | day | values | {f"expected {name}": float(expected[name][index]) for name in expected}


def _over_windows(statistic: Callable[..., Floats], values: NDArray[Any], places: NDArray[np.int64]) -> Floats:
    """A statistic of the rows up to each place, shape (n,); NaN where they are fewer than `WINDOW`."""
    result = np.full(len(places), np.nan)
    full = places >= WINDOW - 1
    if full.any():
        windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, np.float64), WINDOW)
        result[full] = statistic(windows[places[full] - (WINDOW - 1)], axis=1)
    return result
