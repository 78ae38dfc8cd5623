"""Two snapshots of one market, the later one restated, and how they are compared by pandas."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from stock_assets.combined import update_combined
from stock_assets.ingest.snapshot import Manifest, compare
from stock_assets.layout import Layout, letter_of
from stock_assets.publishing import staged
from tests.conftest import open_database, write_market

PRICES = ["Open", "High", "Low", "Close", "Adj Close"]
RATIOS = ["adj_close_ratio", "adj_close_ratio_min", "adj_close_ratio_max", "close_ratio", "volume_ratio"]
REPORT = 'FROM restatements ORDER BY "Symbol"'
ROWS = 300
EX_DATE = pd.Timestamp("2021-10-15")
Market = dict[str, pd.DataFrame]


def prices(seed: int, rows: int = ROWS, start: str = "2021-01-04") -> pd.DataFrame:
    """A symbol's daily prices; the same seed goes on where fewer rows end."""
    dice = np.random.default_rng(seed)
    close = np.round(20 * np.exp(np.cumsum(dice.normal(0, 0.01, 2 * ROWS))), 2)[:rows]
    volume = dice.integers(0, 5000, 2 * ROWS)[:rows] * 100
    columns = {"Open": close + 0.25, "High": close + 0.5, "Low": close - 0.5, "Close": close, "Adj Close": close}
    return pd.DataFrame({"Date": pd.bdate_range(start, periods=rows)} | columns | {"Volume": volume})


def scaled(table: pd.DataFrame, columns: list[str], factor: float, until: pd.Timestamp = EX_DATE) -> pd.DataFrame:
    """The columns times the factor, on the days before `until`."""
    table = table.astype(dict.fromkeys(columns, float))
    table.loc[table["Date"] < until, columns] *= factor
    return table


def split(table: pd.DataFrame) -> pd.DataFrame:
    """Four shares for one."""
    table = scaled(scaled(table, PRICES, 0.25), ["Volume"], 4)
    return table.astype({"Volume": int})


def dividend(table: pd.DataFrame) -> pd.DataFrame:
    return scaled(table, ["Adj Close"], 0.993)


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Three volumes that were wrong."""
    table = table.copy()
    table.loc[[7, 100, 101], "Volume"] += [100, 300, 200]
    return table


def without(table: pd.DataFrame, *rows: int) -> pd.DataFrame:
    return table.drop(index=list(rows))


def worthless(table: pd.DataFrame) -> pd.DataFrame:
    """Adjusted closes that are 0 until later dividends made them so small that nothing was left."""
    table = table.copy()
    table.loc[:49, "Adj Close"] = 0.0
    return table


SYMBOLS = ["AA", "AB", "AC", "SAME", "GONE", "BAD", "LOST", "BB", "MIX", "7", "ZERO"]
BEFORE: Market = {name: prices(seed) for seed, name in enumerate(SYMBOLS)}
BEFORE["NIL"] = worthless(prices(50))
BEFORE["LATE"] = without(prices(51), 10, 11)

LONGER: Market = {name: prices(seed, ROWS + 5) for seed, name in enumerate(BEFORE)}
AFTER: Market = {
    "AA": dividend(LONGER["AA"]),
    "AB": split(LONGER["AB"]),
    "AC": corrected(BEFORE["AC"]),
    "SAME": BEFORE["SAME"],
    "LOST": without(BEFORE["LOST"], *range(20), 150),
    "BB": LONGER["BB"],
    "MIX": without(dividend(split(corrected(LONGER["MIX"]))), 30, 31),
    "7": dividend(LONGER["7"]),
    "ZERO": BEFORE["ZERO"].assign(Volume=0),
    "NIL": prices(50),
    "LATE": prices(51, ROWS + 1),
    "NEW": prices(60),
}
RESTATED = ["7", "AA", "AB", "AC", "BAD", "GONE", "LOST", "MIX", "NIL", "ZERO"]
"""All but one that is the same, one that is new, and two that have only new rows, some of them between old ones."""


def files_of(market: Mapping[str, pd.DataFrame]) -> dict[str, str | bytes]:
    return {
        f"{'etfs' if len(name) == 3 else 'stocks'}/{name}.csv": table.to_csv(index=False)
        for name, table in market.items()
    }


def put(root: Path, market: Mapping[str, pd.DataFrame], **others: str) -> Path:
    """The market as the files below `root`, and nothing else."""
    shutil.rmtree(root, ignore_errors=True)
    return write_market(root, files_of(market) | {f"stocks/{name}.csv": text for name, text in others.items()})


def expected(before: Mapping[str, pd.DataFrame], after: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The report by pandas, symbol by symbol; all values of both are sound."""
    empty = prices(0, 0)
    found = [compared(name, table, after.get(name, empty)) for name, table in sorted(before.items())]
    return pd.DataFrame([row for row in found if row["rows_changed"] or row["rows_removed"]])


def compared(name: str, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    both = before.merge(after, on="Date", how="outer", suffixes=("", " now"), indicator=True)
    removed = both["_merge"] == "left_only"
    differs = np.logical_or.reduce([both[column] != both[f"{column} now"] for column in [*PRICES, "Volume"]])
    changed = differs & (both["_merge"] == "both")
    days = both.loc[changed | removed, "Date"]

    def ratio(column: str) -> pd.Series:
        rows = both[changed & (both[column] != 0)]
        return rows[f"{column} now"] / rows[column]

    return {
        "Symbol": name,
        "letter": letter_of(name),
        "rows_before": len(before),
        "rows_changed": int(changed.sum()),
        "rows_removed": int(removed.sum()),
        "rows_added": int((both["_merge"] == "right_only").sum()),
        "first_changed": days.min(),
        "last_changed": days.max(),
        "adj_close_ratio": ratio("Adj Close").median(),
        "adj_close_ratio_min": ratio("Adj Close").min(),
        "adj_close_ratio_max": ratio("Adj Close").max(),
        "close_ratio": ratio("Close").median(),
        "volume_ratio": ratio("Volume").median(),
    }


def publish(layout: Layout, manifest: Manifest) -> None:
    """The database alone, from nothing."""
    with staged(layout.database) as file, duckdb.connect(str(file), config={"threads": 1}) as connection:
        update_combined(connection, layout, manifest, compare({}, manifest.fingerprints), lambda _: None)


def report_of(data_dir: Path) -> pd.DataFrame:
    with open_database(Layout(data_dir)) as connection:
        return connection.execute(REPORT).df()


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    found = found.drop(columns=["snapshot_before", "snapshot"])
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-12)


def edit(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)
