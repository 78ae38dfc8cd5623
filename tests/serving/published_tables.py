"""A few symbols as the pipeline publishes them, small enough to work their answers out by hand or with polars."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from stock_assets.layout import Layout, letter_of

NEWEST = date(2020, 6, 30)
ROWS = {"AAA": 60, "AAB": 45, "ABC.A": 60, "NEW": 10, "ZED": 40}
"""Trading days of each symbol, every day of the week one; `AAB` ends five days before the others."""
NAMES = {
    "AAA": "Alpha, Inc. - Common Stock",
    "AAB": "The Beta & Gamma Bank",
    "ABC.A": "Abacus ETF",
    "ZED": "Zed Alpaca",
}
VERSION = "20200701T000000000000-abcdef01"


def features() -> pl.DataFrame:
    return pl.concat([_features(symbol) for symbol in ROWS])


def _features(symbol: str) -> pl.DataFrame:
    last = NEWEST - timedelta(5 if symbol == "AAB" else 0)
    days = pl.date_range(last - timedelta(ROWS[symbol] - 1), last, eager=True)
    along = pl.Series(range(ROWS[symbol]), dtype=pl.Int64)
    volume, price = 1000 + 137 * (along * 7 % 11), 20.0 + along * 5 % 13
    return pl.DataFrame(
        {
            "Symbol": [symbol] * len(days),
            "Date": days,
            "Adj Close": price,
            "Volume": volume,
            "vol_moving_avg": volume.cast(pl.Float64).rolling_mean(30),
            "adj_close_rolling_med": price.rolling_median(30),
        }
    )


def symbols() -> pl.DataFrame:
    table = features().group_by("Symbol", maintain_order=True)
    days = table.agg(first_date=pl.min("Date"), last_date=pl.max("Date"), rows=pl.len().cast(pl.Int64))
    names = pl.col("Symbol").replace_strict(NAMES, default=None, return_dtype=pl.String)
    return days.with_columns(names.alias("Security Name"), is_etf=pl.col("Symbol") == "ABC.A")


def forecasts() -> pl.DataFrame:
    """`ZED` had no volume for 20 days; `AAB` is forecast from five days before the others."""
    as_of = [NEWEST, NEWEST - timedelta(5), NEWEST, NEWEST]
    columns: dict[str, Any] = {
        "Symbol": ["AAA", "AAB", "ABC.A", "ZED"],
        "as_of": as_of,
        "forecast_for": [day + timedelta(1) for day in as_of],
        "forecast": [1500, 300, 9000, 7],
        "low": [1000, 100, 8000, 0],
        "high": [2000, 700, 9500, 40],
        "baseline_last": [1400, 300, 9100, 0],
        "baseline_mean_5": [1300, 310, 9200, 0],
        "baseline_mean_20": [1000, 400, 9000, 0],
        "baseline_mean_30": [1100, 500, 8800, 1],
        "baseline_ewma": [1200, 320, 9050, 0],
        "baseline_har": [1250, 330, 9060, 2],
    }
    return pl.DataFrame(columns)


def explanations() -> pl.DataFrame:
    """`AAA`: 1 + 1500 is 1 + 749.5 times two: one input trebles it, one takes a third, one does nothing."""
    told = {"Symbol": "AAA", "as_of": NEWEST, "forecast_for": NEWEST + timedelta(1), "forecast": 1500, "level": 749.5}
    inputs = [("lag_0", 0.25, -0.4054651081081644), ("gap", None, 1.0986122886681098), ("age", 3.0, 0.0)]
    return pl.DataFrame(
        [told | {"input": name, "value": value, "contribution": one} for name, value, one in inputs],
        schema_overrides={"value": pl.Float64},
    )


def backtest() -> pl.DataFrame:
    """Every day of `AAA` and `ABC.A` but the last forecast as that day's own volume."""
    return (
        features()
        .filter(pl.col("Symbol").is_in(["AAA", "ABC.A"]))
        .select(
            "Symbol",
            as_of="Date",
            next_volume=pl.col("Volume").shift(-1).over("Symbol"),
            forecast="Volume",
            low=pl.col("Volume") - 100,
            high=pl.col("Volume") + 100,
        )
        .drop_nulls()
    )


def publish(data_dir: Path) -> Layout:
    """All of these tables in a data folder."""
    layout = Layout(data_dir)
    for letter in sorted({letter_of(symbol) for symbol in ROWS}):
        of_letter = [symbol for symbol in ROWS if letter_of(symbol) == letter]
        write(features().filter(pl.col("Symbol").is_in(of_letter)), layout.parquet("features", letter))
    write(symbols(), layout.symbols)
    write(forecasts(), layout.next_day("forecasts"), model=VERSION)
    write(explanations(), layout.next_day("explanations"), model=VERSION)
    write(backtest(), layout.next_day("backtest"))
    return layout


def write(table: pl.DataFrame, path: Path, group: int = 50, **metadata: str) -> None:
    """Publish by rename, as the pipeline does, with so many rows a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path.with_name("scratch"), row_group_size=group, metadata=metadata)
    path.with_name("scratch").rename(path)
