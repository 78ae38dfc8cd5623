"""A small published market, as the pipeline leaves it: the tables, a volume model and a next-day model with cards."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_assets.layout import Layout
from stock_assets.registry import MODEL_FILE, promote, publish_version
from tests.serving.conftest import sound_facts, train

DAYS = 300
NEWEST = date(2020, 6, 30)
SYMBOLS = {"ABC": "Abacus Makers Inc.", "ABLE": "Able & Sons <Holding>", "ACE": None, "NEW": "Newcomer Ltd."}
"""`NEW` has three days only; a name with markup must be shown as it is."""
USUAL = {"ABC": 2_000_000, "ABLE": 90_000_000, "ACE": 0, "NEW": 5_000}
BASELINES = ("last", "mean_5", "mean_20", "mean_30", "ewma", "har")
SCORES = {"rows": 900, "from": "2020-01-02", "to": "2020-06-29", "mae": 1000.5, "median_ape": 0.25, "wape": 0.2}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def publish_tables(data_dir: Path) -> None:
    """Symbols, features, forecasts, explanations and the back-test of `SYMBOLS`."""
    layout = Layout(data_dir)
    features = pl.concat([_features(symbol) for symbol in SYMBOLS])
    _write(features, layout.parquet("features", "A"), "ABC", "ABLE", "ACE")
    _write(features, layout.parquet("features", "N"), "NEW")
    symbols = features.group_by("Symbol", maintain_order=True).agg(
        pl.first("Security Name"),
        is_etf=pl.lit(False),
        first_date=pl.min("Date"),
        last_date=pl.max("Date"),
        rows=pl.len().cast(pl.Int64),
        letter=pl.first("Symbol").str.slice(0, 1),
    )
    _write(symbols, layout.symbols, data_version="tables-1", source="demo")
    backtest = pl.concat([_backtest(features, symbol) for symbol in ("ABC", "ABLE", "ACE")])
    _write(backtest, layout.next_day("backtest"), model="next-1")
    forecasts = backtest.group_by("Symbol", maintain_order=True).last().drop("next_volume")
    forecasts = forecasts.with_columns(as_of=pl.lit(NEWEST), forecast_for=pl.lit(NEWEST + timedelta(1)))
    _write(forecasts, layout.next_day("forecasts"), model="next-1")
    _write(_explanations(forecasts), layout.next_day("explanations"), model="next-1")


def publish_volume_model(data_dir: Path, level: float = 0.0) -> str:
    """A promoted version with a card, a picture, an interval and measured candidates; gives the version."""
    booster = train(level)
    interval = {"nominal": 0.8, "edges": [1000.0], "low": [0.5, 0.6], "high": [2.0, 1.5]}
    ranges = {"vol_moving_avg": {"min": 0, "max": 1e6}, "adj_close_rolling_med": {"min": 0, "max": 1000}}
    candidates = {
        name: {"validation_mae": mae, "mae": mae, "skill": {"vol_moving_avg": 0.1}, "servable": True}
        for name, mae in (("lightgbm_log_ratio", 900.0), ("linear", 1100.0))
    }
    facts = sound_facts(booster) | {
        "interval": interval,
        "input_ranges": ranges,
        "candidate": "lightgbm_log_ratio",
        "baseline": "vol_moving_avg",
        "metrics": _metrics("vol_moving_avg") | {"candidates": candidates},
    }
    return _promoted(data_dir, "volume_model", booster.model_to_string(), facts)


def publish_next_day_model(data_dir: Path) -> str:
    """A promoted version, of which the service only tells what it is worth."""
    facts = {"baseline": "ewma", "metrics": _metrics(*BASELINES)}
    return _promoted(data_dir, "next_day_model", "not read here", facts)


def publish_next_prices(data_dir: Path) -> str:
    """Two crypto assets of 400 days and a model of them that was not promoted; only `beacon` beats the random walk."""
    facts = {"baseline": "random_walk", "candidate": "ridge_returns", "metrics": _metrics("random_walk")}
    version = _version(data_dir, "next_price_model", '{"coefficients": []}', facts)
    walk = _price_scores(2.5, 0, (0, 0))
    assets = {"alder": _price_scores(2.6, -0.04, (-0.1, 0.01)), "beacon": _price_scores(2, 0.2, (0.1, 0.3))}
    told = {
        "version": version,
        "candidate": "ridge_returns",
        "promoted": False,
        "verdict": "It does not beat it.",
        "test": {"from": "2020-03-02", "to": "2020-06-29", "rows": 240},
        "assets": {asset: {"model": scores, "random_walk": walk} for asset, scores in assets.items()},
    }
    prices = pl.concat([_next_prices(asset, asset == "beacon") for asset in assets])
    _write(prices, Layout(data_dir).crypto("next_price_predictions"), model=json.dumps(told), source="folder")
    return version


def _promoted(data_dir: Path, name: str, text: str, facts: dict[str, Any]) -> str:
    version = _version(data_dir, name, text, facts)
    promote(Layout(data_dir).models / name, version, name, "a-run")
    return version


def _version(data_dir: Path, name: str, text: str, facts: dict[str, Any]) -> str:
    data = {"until": str(NEWEST), "rows": 1000, "fingerprint": "f" * 64}

    def write(place: Path) -> dict[str, Any]:
        (place / MODEL_FILE).write_text(text)
        (place / "card.html").write_text(f"<!DOCTYPE html><html lang=en><title>{name}</title><h1>{name}</h1>")
        (place / "plots").mkdir()
        (place / "plots" / "skill_by_model.png").write_bytes(PIXEL)
        return facts | {"data": data}

    return publish_version(Layout(data_dir).models / name, write)[0]


def _metrics(*baselines: str) -> dict[str, Any]:
    return {
        "test": SCORES,
        "baselines": {name: SCORES | {"mae": 1250.5} for name in baselines},
        "skill": dict.fromkeys(baselines, 0.2),
        "skill_interval": dict.fromkeys(baselines, (0.15, 0.25)),
        "interval": {"nominal": 0.8, "coverage": 0.79, "by_liquidity": {"under 1,000": 0.7}},
    }


def _features(symbol: str) -> pl.DataFrame:
    """The last weekdays up to `NEWEST`; volumes swing around the usual one."""
    days = pl.date_range(NEWEST - timedelta(2 * DAYS), NEWEST, eager=True)
    days = days.filter(days.dt.weekday() <= 5).tail(3 if symbol == "NEW" else DAYS)
    along = np.arange(len(days))
    price = 20 + along / 20 + np.sin(along / 9)
    frame = pl.DataFrame({"Date": days, "Adj Close": price, "Close": price})
    volume = (USUAL[symbol] * (1 + 0.4 * np.sin(along / 7) + 0.3 * (along % 11 == 0))).astype(np.int64)
    return frame.select(
        pl.lit(symbol).alias("Symbol"),
        pl.lit(SYMBOLS[symbol], pl.String).alias("Security Name"),
        "Date",
        "Close",
        "Adj Close",
        pl.Series("Volume", volume),
        vol_moving_avg=pl.Series(volume).rolling_mean(30),
        adj_close_rolling_med=pl.col("Adj Close").rolling_median(30),
    )


def _backtest(features: pl.DataFrame, symbol: str) -> pl.DataFrame:
    """Each of the last 200 days forecast as the mean of the five before, with a wide interval."""
    volume = pl.col("Volume")
    mean = volume.rolling_mean(5).cast(pl.Int64)
    return (
        features.filter(pl.col("Symbol") == symbol)
        .select(
            "Symbol",
            as_of="Date",
            next_volume=volume.shift(-1),
            forecast=mean,
            low=mean // 2,
            high=mean * 2,
            **{f"baseline_{name}": volume.rolling_mean(20).cast(pl.Int64) for name in BASELINES},
        )
        .drop_nulls()
        .tail(200)
    )


def _explanations(forecasts: pl.DataFrame) -> pl.DataFrame:
    """Two inputs each, which add up from the level to the forecast."""
    inputs = pl.DataFrame({"input": ["lag_0", "unheard_of"], "value": [0.5, None], "contribution": [0.3, -0.1]})
    level = (1 + pl.col("forecast")) / np.exp(0.2) - 1
    told = forecasts.select("Symbol", "as_of", "forecast_for", "forecast", level=level)
    return told.join(inputs, how="cross")


def _price_scores(mae: float, skill: float, interval: tuple[float, float]) -> dict[str, Any]:
    direction = {"days": 120, "share": 0.5, "low": 0.41, "high": 0.59}
    return {
        "rows": 120,
        "mae": mae,
        "rmse": 2 * mae,
        "skill": skill,
        "skill_interval": interval,
        "direction": direction,
    }


def _next_prices(asset: str, beats: bool) -> pl.DataFrame:
    """400 days up to `NEWEST`, a dollar more each; predicted to be half a dollar more, but for the first 30 days."""
    days = pl.date_range(NEWEST - timedelta(399), NEWEST, eager=True)
    place = pl.int_range(len(days))
    return pl.DataFrame({"asset": asset, "date": days}, schema={"asset": pl.String, "date": pl.Date}).with_columns(
        price=50.0 + place,
        rsi=pl.when(place >= 14).then(70.5),
        prediction=pl.when(place >= 30).then(50.5 + place),
        forecast_for=pl.col("date").dt.offset_by("1d"),
        seen_in=pl.when(place < 280).then(pl.lit("training")).otherwise(pl.lit("test")),
        beats_random_walk=beats,
    )


def _write(frame: pl.DataFrame, path: Path, *symbols: str, **metadata: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = frame.filter(pl.col("Symbol").is_in(symbols)) if symbols else frame
    shown.write_parquet(path, metadata=metadata)
