"""What each input did to a forecast: that it adds up, that it is the booster's word, how it is published."""

from itertools import pairwise
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import pandas as pd
import pytest

from stock_assets.layout import Layout
from stock_assets.next_day.forecasts import Published
from stock_assets.next_day.rows import INPUTS, joined, read_last_rows
from stock_assets.statements import run
from stock_assets.versions import Trained
from tests.next_day.markets import forecast, load, prices, publish_features, read, source_of, write_frames

Known = tuple[Layout, Trained]
Forecast = tuple[Layout, Published]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick")]


@pytest.fixture(scope="module")
def table(made: Forecast) -> pd.DataFrame:
    return read(made[0])


@pytest.fixture(scope="module")
def why(made: Forecast) -> pd.DataFrame:
    return read(made[0], "explanations")


def test_each_forecast_is_its_level_and_what_the_inputs_did_to_it(table: pd.DataFrame, why: pd.DataFrame) -> None:
    by_symbol = why.groupby("Symbol", sort=False)
    level, sums = by_symbol["level"].first(), by_symbol["contribution"].sum()
    shares = (1 + level) * np.exp(sums) - 1

    assert by_symbol["level"].nunique().eq(1).all()
    assert (sums.abs() > 0.01).any()
    assert list(level.index) == table["Symbol"].tolist()
    assert np.rint(np.maximum(shares, 0)).tolist() == table["forecast"].tolist()
    for column in ("as_of", "forecast_for", "forecast"):
        assert by_symbol[column].unique().explode().tolist() == table[column].tolist()


def test_contributions_are_those_of_the_booster_to_the_last_rows(trained: Known, why: pd.DataFrame) -> None:
    """Of a stock and an ETF; a few of their inputs also from the price files, by numpy."""
    root, booster = trained[0].data_dir.parent / "market", lightgbm.Booster(model_file=trained[1].folder / "model.txt")
    with source_of(trained[0]) as source:
        found = list(read_last_rows(source))
    symbols = [part.series.symbols[place] for part in found for place in part.series.symbol_at(part.places)]
    inputs = joined(found).inputs
    for symbol, file in {"AD": "stocks/AD.csv", "BB": "etfs/BB.csv"}.items():
        said = why[why["Symbol"] == symbol].set_index("input").loc[list(INPUTS)]
        row = inputs[[symbols.index(symbol)]]
        contributions = booster.predict(row, pred_contrib=True)[0]
        logs = np.log1p(pd.read_csv(root / file)["Volume"].to_numpy(dtype=float))
        weights = 0.4 * 0.6 ** np.arange(10)
        level = logs[-20:].mean()
        smoothed = logs[-1:-11:-1] @ weights / weights.sum() - level
        by_hand = {"log_mean_20": level, "lag_0": logs[-1] - level, "lag_9": logs[-10] - level, "ewma": smoothed}

        np.testing.assert_array_equal(said["value"], row[0])
        np.testing.assert_array_equal(said["contribution"], contributions[:-1])
        np.testing.assert_allclose(said["level"], np.exp(level + smoothed + contributions[-1]) - 1, rtol=1e-5)
        for name, value in (by_hand | {"next_weekday": 0, "days_to_next_session": 3}).items():
            assert said["value"][name] == pytest.approx(value, abs=1e-5)


def test_the_inputs_of_a_symbol_are_in_the_order_of_what_they_did(why: pd.DataFrame) -> None:
    for _, rows in why.groupby("Symbol"):
        assert rows["contribution"].abs().is_monotonic_decreasing
        assert sorted(rows["input"]) == sorted(INPUTS)
    assert why["Symbol"].is_monotonic_increasing


def test_explanations_are_of_days_shares_and_logs_by_the_model(made: Forecast) -> None:
    path = {"path": str(made[0].next_day("explanations"))}
    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE FROM read_parquet($path)", path).fetchall()
        said = connection.execute("SELECT decode(key), decode(value) FROM parquet_kv_metadata($path)", path).fetchall()

    assert [row[:2] for row in described] == [
        ("Symbol", "VARCHAR"),
        ("as_of", "DATE"),
        ("forecast_for", "DATE"),
        ("forecast", "BIGINT"),
        ("level", "DOUBLE"),
        ("input", "VARCHAR"),
        ("value", "DOUBLE"),
        ("contribution", "DOUBLE"),
    ]
    assert said == [("model", made[1].version)]


def test_one_of_many_symbols_lies_in_a_small_part_of_the_explanations(tmp_path: Path) -> None:
    symbols, inputs = 2000, 30
    rows = {
        "Symbol": np.repeat(np.array([f"S{place:04}" for place in range(symbols)], dtype=object), inputs),
        "as_of": np.full(symbols * inputs, np.datetime64("2020-03-31", "us")),
        "forecast_for": np.full(symbols * inputs, np.datetime64("2020-04-01", "us")),
        "input": np.tile(np.array([f"input_{place}" for place in range(inputs)], dtype=object), symbols),
        "contribution": np.random.default_rng(1).normal(size=symbols * inputs),
    }
    path = str(tmp_path / "many.parquet")
    with duckdb.connect() as connection:
        connection.register("explained_inputs", rows)
        run(connection, "models/next_day_export_explanations", path=path, version="a")
        parts = connection.execute(
            """SELECT row_group_num_rows, stats_min_value, stats_max_value FROM parquet_metadata($path)
               WHERE path_in_schema = 'Symbol' ORDER BY row_group_id""",
            {"path": path},
        ).fetchall()

    assert sum(rows for rows, _, _ in parts) == symbols * inputs
    assert all(rows <= 20480 for rows, _, _ in parts)
    assert all(before[2] <= after[1] for before, after in pairwise(parts))


def test_a_symbol_of_which_little_is_known_is_explained_all_the_same(own: Layout) -> None:
    """Nothing was traded in its 60 rows: it has no deviation, and no year to look back on."""
    frames = {"stocks/NIL": prices(60, 100, "2017-01-30").assign(Volume=0)}
    load(own, write_frames(own.data_dir.parent / "market", frames))
    publish_features(own)
    forecast(own)
    found = read(own, "explanations").query("Symbol == 'NIL'").set_index("input")
    unknown = set(found.index[found["value"].isna()])
    with duckdb.connect() as connection:
        ((nulls,),) = connection.execute(
            """SELECT count(*) FROM read_parquet($path) WHERE "Symbol" = 'NIL' AND value IS NULL""",
            {"path": str(own.next_day("explanations"))},
        ).fetchall()
    shares = (1 + found["level"].iloc[0]) * np.exp(found["contribution"].sum()) - 1

    assert {"z_score", "year_ago", "level_250"} - unknown == {"level_250"}
    assert nulls == len(unknown)
    assert np.isfinite(found[["level", "contribution"]].to_numpy()).all()
    assert round(max(shares, 0)) == found["forecast"].iloc[0]
