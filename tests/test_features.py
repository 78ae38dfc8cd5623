"""The two windows against pandas, and what no feature may depend on."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stock_assets.engines.local import LocalEngine
from stock_assets.features import update_features
from stock_assets.layout import LETTERS, Layout, letter_of
from stock_assets.provenance import stale_letters
from stock_assets.statements import run
from tests.conftest import HEADER, Built, build_tables, open_database, price_line, price_text, snapshot, write_market

WINDOWS = ["vol_moving_avg", "adj_close_rolling_med"]
VIEW = """SELECT * EXCLUDE (letter) FROM features {} ORDER BY "Symbol", "Date" """
FIRST_DAY = date(2020, 1, 1)
SIZES = {"SHORT": 29, "EXACT": 30, "LONG": 31, "UNO": 1, "3DX": 65, "TWO": 90}
Line = tuple[float, int]

lines = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 10**10)), min_size=31, max_size=36)
few_examples = property_settings(max_examples=10)


def shuffled(text: str) -> str:
    """A price file with its rows in another order."""
    header, *rows = text.splitlines(keepends=True)
    return header + "".join(np.random.default_rng(1).permutation(rows))


@pytest.fixture(scope="module")
def sizes_market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Symbols with around one window of rows; the rows of `TWO` are in no order."""
    folder = tmp_path_factory.mktemp("sizes")
    files = {f"stocks/{symbol}.csv": price_text(rows) for symbol, rows in SIZES.items()}
    files["stocks/TWO.csv"] = shuffled(files["stocks/TWO.csv"])
    layout, root = Layout(folder / "data"), write_market(folder / "market", files)
    manifest = snapshot(layout, root)
    return Built(layout, root, manifest, build_tables(layout, manifest))


@pytest.fixture(scope="module")
def real_market(real_prices: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    layout = Layout(tmp_path_factory.mktemp("real") / "data")
    manifest = snapshot(layout, real_prices)
    return Built(layout, real_prices, manifest, build_tables(layout, manifest))


@pytest.fixture(params=["sizes_market", "demo_market", "real_market"])
def market(request: pytest.FixtureRequest) -> Built:
    built: Built = request.getfixturevalue(request.param)
    return built


def frame(market: Built, statement: str) -> pd.DataFrame:
    with open_database(market.layout) as connection:
        return connection.execute(statement).df()


def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The view `features` over these rows of `combined`, which need only what the windows are made of."""
    with duckdb.connect(config={"threads": 1}) as connection:
        run(connection, "create_combined")
        run(connection, "create_features")
        connection.register("given_rows", rows)
        connection.execute(
            """
            INSERT INTO combined
            SELECT "Symbol", NULL, "Date", 0, 0, 0, 0, "Adj Close", "Volume", letter FROM given_rows
            """
        )
        return connection.execute(VIEW.format("")).df()


def history(symbol: str, values: Sequence[Line]) -> pd.DataFrame:
    """One row a day of an adjusted close and a volume."""
    return pd.DataFrame(
        {
            "Symbol": symbol,
            "letter": letter_of(symbol),
            "Date": [FIRST_DAY + timedelta(days=day) for day in range(len(values))],
            "Adj Close": np.array([price for price, _ in values]),
            "Volume": np.array([volume for _, volume in values], dtype=np.int64),
        }
    )


def windows(table: pd.DataFrame, symbol: str) -> NDArray[np.float64]:
    return table.loc[table["Symbol"] == symbol, WINDOWS].to_numpy()


def test_the_median_is_that_of_pandas(market: Built) -> None:
    table = frame(market, VIEW.format(""))
    expected = table.groupby("Symbol")["Adj Close"].rolling(30).median().to_numpy()

    np.testing.assert_array_equal(table["adj_close_rolling_med"].to_numpy(), expected)


def test_the_mean_is_that_of_pandas(market: Built) -> None:
    table = frame(market, VIEW.format(""))
    expected = table.groupby("Symbol")["Volume"].rolling(30).mean().to_numpy()

    # After a huge volume the running sum of pandas keeps a trace of it.
    np.testing.assert_allclose(table["vol_moving_avg"].to_numpy(), expected, rtol=1e-12, atol=1e-6)


def test_the_mean_is_the_exact_sum_of_30_volumes_divided_by_30(market: Built) -> None:
    table = frame(market, VIEW.format(""))
    for _, rows in table.groupby("Symbol"):
        sums = np.cumsum(np.concatenate([[0], rows["Volume"].to_numpy(dtype=np.int64)]))
        expected = (sums[30:] - sums[:-30]) / 30
        np.testing.assert_allclose(rows["vol_moving_avg"].to_numpy()[29:], expected, rtol=1e-15)


def test_the_first_29_rows_of_a_symbol_have_no_features(market: Built) -> None:
    table = frame(market, VIEW.format(""))
    first = (table.groupby("Symbol").cumcount() < 29).to_numpy()

    for name in WINDOWS:
        np.testing.assert_array_equal(table[name].isna().to_numpy(), first)


@pytest.mark.parametrize(("symbol", "with_features"), [("SHORT", 0), ("EXACT", 1), ("LONG", 2), ("UNO", 0)])
def test_around_one_window(sizes_market: Built, symbol: str, with_features: int) -> None:
    table = frame(sizes_market, VIEW.format(f"WHERE \"Symbol\" = '{symbol}'"))

    assert len(table) == SIZES[symbol]
    assert table[WINDOWS].notna().sum().tolist() == [with_features, with_features]


def test_features_are_combined_with_two_more_columns(market: Built) -> None:
    combined = frame(market, 'SELECT * EXCLUDE (letter) FROM combined ORDER BY "Symbol", "Date"')
    features = frame(market, VIEW.format(""))
    types = frame(market, "DESCRIBE features").set_index("column_name")["column_type"]

    assert list(types.index) == [*combined.columns, *WINDOWS, "letter"]
    assert types[WINDOWS].tolist() == ["DOUBLE", "DOUBLE"]
    pd.testing.assert_frame_equal(features[combined.columns], combined, check_exact=True)


@pytest.mark.parametrize("letter", LETTERS)
def test_parquet_equals_the_view(market: Built, letter: str) -> None:
    path = market.layout.parquet("features", letter)
    with open_database(market.layout) as connection:
        rows = connection.execute(VIEW.format(f"WHERE letter = '{letter}'")).fetchall()

    assert path.exists() == bool(rows)
    if rows:
        assert pl.read_parquet(path, hive_partitioning=False).rows() == rows


def test_some_letters_are_built_alone(demo_market: Built, tmp_path: Path) -> None:
    paths = {"T": tmp_path / "T.parquet", "0": tmp_path / "0.parquet"}
    with open_database(demo_market.layout) as connection:
        stale = stale_letters(connection, Layout(tmp_path), "features", paths)
        facts = update_features(connection, list(paths), stale, paths, LocalEngine(1, print))

    for letter, path in paths.items():
        assert pl.read_parquet(path).equals(
            pl.read_parquet(demo_market.layout.parquet("features", letter), hive_partitioning=False)
        )
    assert [(fact.letter, fact.rows) for fact in facts] == [
        (letter, len(pl.read_parquet(path))) for letter, path in paths.items()
    ]


def test_shuffling_the_future_changes_no_earlier_feature(demo_market: Built) -> None:
    rows = frame(demo_market, 'SELECT * FROM combined ORDER BY "Symbol", "Date"')
    before = features_of(rows)
    today = rows["Date"].sort_values().iloc[len(rows) // 2]
    future = (rows["Date"] > today).to_numpy()
    order = np.random.default_rng(1).permutation(np.flatnonzero(future))
    for name in ("Adj Close", "Volume"):
        rows.loc[future, name] = rows[name].to_numpy()[order]
    after = features_of(rows)

    past = (before["Date"] <= today).to_numpy()
    pd.testing.assert_frame_equal(after[past], before[past], check_exact=True)
    assert before.loc[past, "vol_moving_avg"].notna().sum() > 1000
    assert not after[~past].equals(before[~past])


@few_examples
@given(ours=lines, theirs=lines, other=st.sampled_from(["AB", "A", "aa", "B"]))
def test_no_feature_depends_on_another_symbol(ours: list[Line], theirs: list[Line], other: str) -> None:
    alone = features_of(history("AA", ours))
    together = features_of(pd.concat([history(other, theirs), history("AA", ours)]))

    np.testing.assert_array_equal(windows(together, "AA"), windows(alone, "AA"))


@few_examples
@given(values=lines, future=lines, past=st.integers(1, 36))
def test_no_feature_depends_on_later_rows(values: list[Line], future: list[Line], past: int) -> None:
    before = features_of(history("AA", values))
    after = features_of(history("AA", [*values[:past], *future]))

    np.testing.assert_array_equal(windows(after, "AA")[: len(values[:past])], windows(before, "AA")[:past])


@property_settings(max_examples=6)
@given(values=lines, data=st.data())
def test_the_order_of_lines_does_not_matter(values: list[Line], data: st.DataObject) -> None:
    text = [price_line(FIRST_DAY + timedelta(days=day), *value) for day, value in enumerate(values)]
    mixed = data.draw(st.permutations(text))
    files = {"stocks/A.csv": HEADER + "".join(text), "stocks/AMIX.csv": HEADER + "".join(mixed)}
    with TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "data")
        build_tables(layout, snapshot(layout, write_market(Path(folder) / "market", files)))
        rows = pl.read_parquet(layout.parquet("features", "A"), hive_partitioning=False)

    in_order, not_in_order = rows.partition_by("Symbol", include_key=False, maintain_order=True)
    assert len(in_order) == len(values)
    assert in_order.equals(not_in_order)
