"""Any two snapshots, compared by the statements and by pandas; and what cannot be compared."""

import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_assets.layout import Layout
from stock_assets.restatements import find_restatements
from tests.conftest import HEADER, Built, price_line, snapshot, write_market
from tests.helpers import query
from tests.restated_market import PRICES, RATIOS, Market, assert_same, edit, expected, publish, put, report_of, scaled


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda file: file.write_bytes(b"no database"), "not a valid DuckDB database"),
        (lambda file: os.truncate(file, file.stat().st_size // 2), "Could not read enough bytes"),
        (lambda file: edit(file, "ALTER TABLE source_files DROP COLUMN sha256"), "has no source_files.sha256"),
    ],
)
def test_what_cannot_be_compared_is_told(
    demo_market: Built, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    told: list[str] = []
    published, new = (Path(shutil.copy(demo_market.layout.database, tmp_path / name)) for name in ("published", "new"))
    harm(published)
    with duckdb.connect(str(new)) as connection:
        find_restatements(connection, published, told.append)
        assert connection.execute("FROM restatements").fetchall() == []
        assert connection.execute("SELECT count(*) FROM duckdb_databases() WHERE NOT internal").fetchall() == [(1,)]
    assert len(told) == 1
    assert said in told[0]


def test_a_ratio_that_is_no_number_is_left_out(layout: Layout, tmp_path: Path) -> None:
    day = date(2021, 1, 4)
    for price in (1e-300, 1e300):
        root = write_market(tmp_path / "market", {"stocks/A.csv": HEADER + price_line(day, price)})
        publish(layout, snapshot(layout, root))
    ((changed, *ratios),) = query(layout.database, f"SELECT rows_changed, {', '.join(RATIOS)} FROM restatements")

    assert changed == 1
    assert ratios == [None, None, None, None, 1]


row_values = st.tuples(*[st.integers(-1, 1)] * len(PRICES), st.integers(0, 1))
histories = st.dictionaries(st.integers(0, 9), row_values, min_size=1, max_size=6)
markets = st.dictionaries(st.sampled_from(["AA", "AB", "7", "B"]), histories, min_size=1)


def drawn(market: dict[str, dict[int, tuple[int, ...]]]) -> Market:
    return {name: frame(rows) for name, rows in market.items()}


def frame(rows: dict[int, tuple[int, ...]]) -> pd.DataFrame:
    days = [pd.Timestamp("2021-01-04") + pd.Timedelta(days=day) for day in rows]
    values = pd.DataFrame(rows.values(), columns=[*PRICES, "Volume"]).astype(dict.fromkeys(PRICES, float))
    return values.assign(Date=days)[["Date", *PRICES, "Volume"]].sort_values("Date")


@settings(max_examples=8)
@given(before=markets, after=markets)
def test_any_two_snapshots_are_compared_as_by_pandas(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, Any], after: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    layout = Layout(folder / "data")
    for market in (before, after):
        publish(layout, snapshot(layout, put(folder / "market", drawn(market))))
    wanted = expected(drawn(before), drawn(after))
    found = report_of(layout.data_dir)

    assert len(found) == len(wanted)
    if len(found):
        assert_same(found, wanted)


def test_real_prices_restated_are_compared_as_by_pandas(real_prices: Path, layout: Layout, tmp_path: Path) -> None:
    paths = sorted(real_prices.glob("*/*.csv"), key=lambda path: path.stat().st_size)[::10]
    before = {path.name.removesuffix(".csv"): sound(path) for path in paths}
    changes = [dividend_of_2020, split_of_2020, lambda table: table, lambda table: table.iloc[3:]]
    after = {name: changes[place % 4](table) for place, (name, table) in enumerate(before.items())}
    for market in (before, after):
        publish(layout, snapshot(layout, put(tmp_path / "market", market)))

    assert_same(report_of(layout.data_dir), expected(before, after).reset_index(drop=True))


def sound(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, parse_dates=["Date"]).dropna().drop_duplicates("Date", keep="last")
    return table.astype({"Volume": "int64"})


def dividend_of_2020(table: pd.DataFrame) -> pd.DataFrame:
    return scaled(table, ["Adj Close"], 0.99, pd.Timestamp("2020-01-02"))


def split_of_2020(table: pd.DataFrame) -> pd.DataFrame:
    table = scaled(table, PRICES, 0.5, pd.Timestamp("2020-01-02"))
    return table.assign(Volume=table["Volume"].where(table["Date"] >= "2020-01-02", table["Volume"] * 2))
