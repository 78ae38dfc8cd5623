"""The next-day features against pandas, one symbol at a time, on prices with all that real ones have."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from stock_assets.layout import Layout
from stock_assets.next_day.rows import MEANS, OWN_INPUTS
from tests.conftest import open_database
from tests.helpers import letter_files, query
from tests.next_day.markets import TABLE, build, load, prices, publish_features, read_features, write_frames

EXACT = ["history", "mean_5", "mean_20", "mean_30"]
ALPHA = 0.6


def awkward_market() -> dict[str, pd.DataFrame]:
    """Two letters and the one of other symbols; each but `AA` has something that a formula may stumble over."""
    frames = {f"stocks/{name}": prices(seed, 330) for seed, name in enumerate(("AA", "AB", "AC", "BA"))}
    frames["stocks/AB"].loc[60:90, "Volume"] = 0
    frames["stocks/AB"].loc[::7, "Volume"] = 0
    frames["stocks/AB"].loc[100:140, ["Open", "High", "Low", "Close", "Adj Close"]] = 5.0
    frames["stocks/AC"].loc[:99, "Open"] = 0.0
    frames["stocks/AC"].loc[120:125, "Low"] = 0.0
    frames["stocks/AC"].loc[150:160, "Close"] = 0.0
    frames["stocks/AC"].loc[:80, "Adj Close"] = np.linspace(-9, 0, 81)
    frames["stocks/AC"].loc[200:260:4, "Adj Close"] = -1.0
    frames["stocks/BA"].loc[10::13, "High"] = frames["stocks/BA"].loc[10::13, "Low"] * 0.75
    frames["etfs/BB"] = prices(7, 330).assign(Volume=2500)
    frames["etfs/BC"] = prices(8, 330).drop(index=[*range(50, 62), 200])
    frames |= {f"stocks/S{rows}": prices(rows, rows) for rows in (1, 2, 29, 30, 31)}
    frames["stocks/7"] = prices(9, 1010, "2010-01-04", level=15)
    return frames


def blank(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows without values, which go to the quarantine."""
    frame = frame.astype({"Volume": float})
    frame.loc[[5, 100], list(frame.columns[1:])] = np.nan
    return frame


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    market = awkward_market() | {"stocks/GAPS": blank(prices(10, 200))}
    return build(tmp_path_factory.mktemp("awkward"), market)


@pytest.fixture(scope="module")
def found(built: Layout) -> pd.DataFrame:
    return read_features(built)


@pytest.fixture(scope="module")
def combined(built: Layout) -> pd.DataFrame:
    with open_database(built) as connection:
        return connection.execute('FROM combined ORDER BY "Symbol", "Date"').df()


@pytest.fixture(scope="module")
def expected(combined: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([oracle(frame) for _, frame in combined.groupby("Symbol")], ignore_index=True)


def log_above_zero(values: pd.Series) -> pd.Series:
    return np.log(values.where(values > 0))


def oracle(frame: pd.DataFrame) -> pd.DataFrame:
    """What each column says of itself in words, of one symbol."""
    frame = frame.reset_index(drop=True)
    volume, logs = frame["Volume"].astype(float), np.log1p(frame["Volume"].astype(float))
    price, adjusted = log_above_zero(frame["Close"]), log_above_zero(frame["Adj Close"])
    high, low = frame["High"], frame["Low"]
    move, span = adjusted.diff(), np.log(high / low.where((low > 0) & (high >= low)))

    def over(series: pd.Series, rows: int) -> pd.core.window.Rolling:
        return series.rolling(rows, min_periods=1)

    def deviation(rows: int) -> pd.Series:
        spread = over(logs, rows).max() > over(logs, rows).min()
        return over(logs, rows).apply(np.std, raw=True).where(spread, 0.0)

    def around(nearest: int, farthest: int) -> pd.core.window.Rolling:
        return over(logs.shift(nearest), farthest - nearest + 1)

    level = over(logs, 20).mean()
    lags = {f"lag_{rows}": logs.shift(rows) - level for rows in (*range(10), 14, 19)}
    same_weekday = sum(logs.shift(rows) for rows in (4, 9, 14, 19)) / 4
    weighed = logs.rolling(10).apply(lambda last: np.average(last[::-1], weights=ALPHA ** np.arange(10)), raw=True)
    moves = move.abs()
    quarter, year = around(45, 80).mean(), around(232, 270).mean()
    columns = {
        "letter": frame["letter"],
        "Symbol": frame["Symbol"],
        "Date": frame["Date"],
        "Volume": frame["Volume"],
        "history": np.arange(len(frame)) + 1,
        **{f"mean_{rows}": over(volume, rows).mean() for rows in (5, 20, 30)},
        "log_mean_20": level,
        **lags,
        "same_weekday": same_weekday - level,
        "ewma": weighed - level,
        "change": logs.diff(),
        "z_score": (logs - level) / deviation(20).replace(0, np.nan),
        **{f"level_{rows}": logs.rolling(rows).mean() - level for rows in (3, 5, 10)},
        **{f"level_{rows}": over(logs, rows).mean() - level for rows in (60, 250)},
        **{f"mean_level_{rows}": np.log1p(over(volume, rows).mean()) - level for rows in (5, 20)},
        "deviation_20": deviation(20),
        "deviation_60": deviation(60),
        **{f"lowest_{rows}": over(logs, rows).min() - level for rows in (5, 20)},
        **{f"highest_{rows}": over(logs, rows).max() - level for rows in (5, 20)},
        "quarter_ago": logs.shift(62) - quarter,
        "quarter_ago_mean": around(60, 64).mean() - quarter,
        "quarter_ago_highest": around(60, 64).max() - quarter,
        "year_ago": logs.shift(251) - year,
        "year_ago_mean": around(249, 253).mean() - year,
        "year_ago_highest": around(249, 253).max() - year,
        **{f"zero_share_{rows}": over((volume == 0).astype(float), rows).mean() for rows in (20, 60)},
        "move": move,
        "move_abs": moves,
        "move_abs_lag_1": moves.shift(1),
        "move_abs_5": over(moves, 5).mean(),
        "move_abs_20": over(moves, 20).mean(),
        "move_abs_ratio": moves / mean_above_zero(moves),
        "move_5": adjusted.diff(5),
        "move_20": adjusted.diff(20),
        "span": span,
        "span_lag_1": span.shift(1),
        "span_5": over(span, 5).mean(),
        "span_20": over(span, 20).mean(),
        "span_ratio": span / mean_above_zero(span),
        "gap": log_above_zero(frame["Open"]) - price.shift(1),
        "close_in_range": ((frame["Close"] - low) / (high - low)).where(high > low),
        "below_highest_price": adjusted - over(adjusted, 250).max(),
        "above_lowest_price": adjusted - over(adjusted, 250).min(),
        "log_price": price,
        "log_dollars": price + level,
        "age": np.minimum(np.arange(len(frame)) + 1, 1000),
    }
    return pd.DataFrame(columns)


def mean_above_zero(values: pd.Series) -> pd.Series:
    """The mean of 20 rows, unknown where all of them are 0."""
    window = values.rolling(20, min_periods=1)
    return window.mean().where(window.max() > 0)


def test_there_is_one_row_for_each_of_combined(found: pd.DataFrame, combined: pd.DataFrame) -> None:
    keys = ["letter", "Symbol", "Date", "Volume"]

    pd.testing.assert_frame_equal(found[keys], combined[keys], check_dtype=False)
    assert not found.duplicated(["Symbol", "Date"]).any()
    assert {"GAPS", "S1", "S29", "7"} <= set(found["Symbol"])


def test_the_columns_are_the_inputs_and_the_means(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    names = ["Symbol", "Date", "Volume", "history", *MEANS, *OWN_INPUTS]

    assert sorted(found.columns) == sorted([*names, "letter"]) == sorted(expected.columns)
    assert {str(found[name].dtype) for name in OWN_INPUTS} == {"float32"}


@pytest.mark.parametrize("column", [*EXACT, *OWN_INPUTS])
def test_a_column_is_what_pandas_makes_it(found: pd.DataFrame, expected: pd.DataFrame, column: str) -> None:
    actual, wanted = found[column].astype(float), expected[column].astype(float)

    assert wanted.notna().any()
    assert actual.isna().tolist() == wanted.isna().tolist()
    np.testing.assert_allclose(actual, wanted, rtol=1e-6, atol=2e-6)


def test_rows_of_a_file_are_by_symbol_and_date(built: Layout) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute('SELECT "Symbol", "Date" FROM read_parquet($f)', {"f": str(path_of(built, "A"))})
        keys = rows.fetchall()

    assert keys == sorted(keys)
    assert len({symbol for symbol, _ in keys}) == 3


def path_of(layout: Layout, letter: str) -> Path:
    return layout.parquet("next_day_features", letter)


def test_constant_volumes_have_neither_deviation_nor_score(found: pd.DataFrame) -> None:
    constant = found[found["Symbol"] == "BB"]

    assert (constant["deviation_20"] == 0).all()
    assert constant["z_score"].isna().all()


@pytest.fixture
def own(built: Layout, tmp_path: Path) -> Layout:
    shutil.copytree(built.data_dir.parent, tmp_path / "own")
    return Layout(tmp_path / "own" / "data")


def test_a_refresh_of_one_file_is_a_full_build(own: Layout, tmp_path: Path) -> None:
    before = letter_files(own.data_dir, TABLE)
    frame = prices(0, 335)
    frame.loc[40:200, "Volume"] //= 3
    root = write_frames(own.data_dir.parent / "market", {"stocks/AA": frame})
    load(own, root)
    facts = {fact.letter: fact for fact in publish_features(own)}
    after = letter_files(own.data_dir, TABLE)
    full = Layout(tmp_path / "full")
    load(full, root)
    publish_features(full)

    assert (facts["A"].symbols_computed, facts["A"].symbols, facts["A"].skipped) == (1, 3, False)
    assert all(facts[letter].skipped for letter in "BGS0")
    assert {letter for letter in before if before[letter] != after[letter]} == {"A"}
    pd.testing.assert_frame_equal(read_features(own), read_features(full), check_exact=True)


def test_a_refresh_keeps_the_rows_that_need_no_windows(own: Layout) -> None:
    """The present file is changed by hand where nobody looks: such rows are taken over as they are."""
    mark = path_of(own, "A")
    change(mark, "* REPLACE (CAST(42 AS FLOAT) AS age)")
    load(own, write_frames(own.data_dir.parent / "market", {"stocks/AA": prices(0, 331)}))
    publish_features(own)
    ages = dict(query_ages(mark))

    assert ages["AA"] == 331
    assert ages["AB"] == ages["AC"] == 42


def change(path: Path, select: str) -> None:
    """Other rows in a published file, which says what it said of what it was made from."""
    copy = path.with_name("copy.parquet")
    with duckdb.connect() as connection:
        ((made_from,),) = connection.execute(
            "SELECT decode(value) FROM parquet_kv_metadata($p) WHERE decode(key) = 'made_from'", {"p": str(path)}
        ).fetchall()
        connection.execute(
            f"COPY (SELECT {select} FROM read_parquet($p, hive_partitioning = false)) TO $c "
            "(FORMAT parquet, KV_METADATA {made_from: $m})",
            {"p": str(path), "c": str(copy), "m": made_from},
        )
    copy.replace(path)


def query_ages(path: Path) -> list[tuple[str, float]]:
    with duckdb.connect() as connection:
        return connection.execute(
            'SELECT "Symbol", max(age) FROM read_parquet($p) GROUP BY ALL', {"p": str(path)}
        ).fetchall()


def test_nothing_is_made_twice(own: Layout) -> None:
    before = letter_files(own.data_dir, TABLE)
    facts = publish_features(own)

    assert all(fact.skipped for fact in facts)
    assert letter_files(own.data_dir, TABLE) == before


def test_a_damaged_file_is_made_anew(own: Layout, built: Layout) -> None:
    path_of(own, "A").write_bytes(path_of(own, "A").read_bytes()[:-200])
    publish_features(own)

    assert letter_files(own.data_dir, TABLE)["A"][0] == letter_files(built.data_dir, TABLE)["A"][0]


def test_other_statements_make_all_letters_anew(own: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stock_assets.provenance.recipe", lambda _: "another one")

    assert not any(fact.skipped for fact in publish_features(own) if fact.rows)


def test_the_features_are_rows_of_the_database(built: Layout, found: pd.DataFrame) -> None:
    ((rows,),) = query(built.database, "SELECT count(*) FROM combined")

    assert len(found) == rows
