"""A sample of published features computed again in another way: from `combined`, by numpy."""

from collections.abc import Iterator, Mapping
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
    offenders, rows = [], 0
    for symbol_rows in _by_symbol(table):
        last = len(symbol_rows["Symbol"]) - 1
        chosen = np.unique(np.append(rng.integers(0, last, ROWS_PER_SYMBOL - 1, endpoint=True), last))
        rows += len(chosen)
        offenders += [row for place in chosen if (row := _differs(symbol_rows, int(place)))]
    return offenders, rows


def _by_symbol(table: Rows) -> Iterator[Rows]:
    symbols = table["Symbol"]
    bounds = {0, *(np.flatnonzero(symbols[1:] != symbols[:-1]) + 1), len(symbols)}
    for start, end in pairwise(sorted(bounds)):
        yield {name: values[start:end] for name, values in table.items()}


def _differs(rows: Rows, place: int) -> dict[str, Any] | None:
    """The row at that place, beside what was expected there, if it is not that."""
    window = slice(place - WINDOW + 1, place + 1)
    full = place >= WINDOW - 1
    expected = {
        "vol_moving_avg": float(np.mean(rows["Volume"][window])) if full else np.nan,
        "adj_close_rolling_med": float(np.median(rows["Adj Close"][window])) if full else np.nan,
    }
    found = {name: float(np.ma.filled(rows[name][place], np.nan)) for name in expected}
    if all(np.isclose(found[name], expected[name], rtol=TOLERANCE, atol=0, equal_nan=True) for name in expected):
        return None
    key = {name: str(rows[name][place]) for name in ("letter", "Symbol")}
    day = {"Date": str(np.datetime64(rows["Date"][place], "D"))}
    return key | day | found | {f"expected {name}": value for name, value in expected.items()}
