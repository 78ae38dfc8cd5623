"""Markets of a few symbols as frames, their published next-day features, and models of them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
import pytest

from stock_assets.combined import update_combined
from stock_assets.engines.local import LocalEngine
from stock_assets.features import LetterFacts, update_features
from stock_assets.ingest.snapshot import compare
from stock_assets.layout import LETTERS, PRICE_COLUMNS, Layout
from stock_assets.learning import next_day as learning
from stock_assets.next_day import model
from stock_assets.next_day.forecasts import Published, make_forecasts
from stock_assets.next_day.rows import Picked, Source, joined, open_source
from stock_assets.pictures import Picture
from stock_assets.provenance import stale_letters
from stock_assets.publishing import staged, staging
from stock_assets.retraining import feature_files
from stock_assets.settings import Settings
from stock_assets.statements import run
from stock_assets.versions import Trained
from tests.conftest import open_database, snapshot

TABLE = "next_day_features"
START = "2014-01-06"
DAYS = 900
Frames = Mapping[str, pd.DataFrame]
"""Price files by their paths below a market's root, without their suffix."""


def prices(seed: int, days: int = DAYS, start: str = START, level: float = 12.0) -> pd.DataFrame:
    """Daily prices; log volume fades back to its level, all symbols share its shocks, and Fridays are busy."""
    shared, own = np.random.default_rng(99), np.random.default_rng(seed)
    dates = pd.bdate_range(start, periods=days)
    market, noise = shared.normal(0, 0.25, days), own.normal(0, 0.3, days)
    fading = np.zeros(days)
    for day in range(1, days):
        fading[day] = 0.8 * fading[day - 1] + noise[day]
    weekday = np.array([-0.5, 0.0, 0.1, 0.0, 0.5])[dates.day_of_week]
    close = np.round(20 * np.exp(np.cumsum(own.normal(0, 0.015, days))), 2)
    spread = np.abs(own.normal(0, 0.2, (2, days))).round(2)
    volume = np.floor(np.exp(level + fading + market + weekday + own.normal(0, 0.1, days))).astype(np.int64)
    return pd.DataFrame(
        {
            "Date": dates,
            "Open": close + 0.05,
            "High": close + 0.05 + spread[0],
            "Low": close - spread[1],
            "Close": close,
            "Adj Close": close * 0.9,
            "Volume": volume,
        }
    )


def usual_market(days: int = DAYS) -> dict[str, pd.DataFrame]:
    """Ten symbols of three letters, from thin ones to liquid ones, that are listed at different times."""
    names = ("stocks/AA", "stocks/AB", "etfs/AC", "stocks/AD", "stocks/BA", "etfs/BB", "stocks/BC", "stocks/7")
    levels = (5.5, 8.0, 10.0, 12.0, 13.0, 14.5, 15.0, 16.5)
    market = {name: prices(seed, days, level=levels[seed]) for seed, name in enumerate(names)}
    market["stocks/BD"] = prices(20, days).iloc[300:]
    market["stocks/LATE"] = prices(21, days).iloc[-12:]
    return market


def write_frames(root: Path, frames: Frames) -> Path:
    for name, frame in frames.items():
        path = root / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, columns=list(PRICE_COLUMNS), index=False, date_format="%Y-%m-%d")
    return root


def load(layout: Layout, root: Path) -> None:
    """Publish the database of the files below `root`."""
    manifest = snapshot(layout, root)
    with staged(layout.database) as file, duckdb.connect(str(file)) as connection:
        update_combined(connection, layout, manifest, compare({}, manifest.fingerprints), _silent)


def publish_features(layout: Layout) -> list[LetterFacts]:
    """What the asset `next_day_features` does, for all letters."""
    with open_database(layout) as connection:
        run(connection, "next_day/create_features")
        stale = stale_letters(connection, layout, TABLE, LETTERS)
        with staging() as stage:
            copies = {letter: stage(layout.parquet(TABLE, letter)) for letter in stale}
            return update_features(connection, LETTERS, stale, copies, LocalEngine(1, _silent))


def build(data_dir: Path, frames: Frames) -> Layout:
    """A data folder with the database and the next-day features of a market."""
    layout = Layout(data_dir / "data")
    load(layout, write_frames(data_dir / "market", frames))
    publish_features(layout)
    return layout


@contextmanager
def source_of(layout: Layout) -> Iterator[Source]:
    with open_database(layout) as connection:
        yield open_source(connection, feature_files(connection, layout, TABLE))


def make(layout: Layout, **settings: Any) -> Trained:
    """What the asset `next_day_model` does."""
    chosen = Settings(**{"data_dir": layout.data_dir, "threads": 1, **settings})
    with open_database(layout) as connection:
        return model.make_next_day_model(connection, chosen, "the/asset", "a-run", _silent)


def forecast(layout: Layout, threads: int = 1) -> Published:
    """What the asset `next_day_forecasts` does."""
    with open_database(layout) as connection:
        return make_forecasts(connection, layout, threads)


def read(layout: Layout, name: Literal["forecasts", "explanations"] = "forecasts") -> pd.DataFrame:
    """All published rows of one of its files."""
    with duckdb.connect() as connection:
        return connection.execute("FROM read_parquet($path)", {"path": str(layout.next_day(name))}).df()


def quicken(patch: pytest.MonkeyPatch, *, draws: bool = False) -> None:
    """A model in a second: few trees, which still learn of weekdays, and no pictures."""
    patch.setattr(learning, "MAX_ROUNDS", 30)
    patch.setattr(learning, "QUANTILE_ROUNDS", 15)
    if not draws:
        patch.setattr(model, "draw", lambda *_: (Picture("drawn", "Drawn", "", b"picture"),))


def shuffle_labels(patch: pytest.MonkeyPatch) -> None:
    """Labels up to the end of validation belong to other rows than their own, as after a join gone wrong."""

    def join_shuffled(picked: Iterable[Picked]) -> learning.NextDayRows:
        table = joined(picked)
        return table._replace(volume=np.random.default_rng(3).permutation(table.volume))

    patch.setattr(model, "joined", join_shuffled)


def read_features(layout: Layout) -> pd.DataFrame:
    """All published rows, by symbol and date."""
    with duckdb.connect() as connection:
        files = str(layout.data_dir / "lake" / TABLE / "*" / "*.parquet")
        return connection.execute('FROM read_parquet($files) ORDER BY "Symbol", "Date"', {"files": files}).df()


def _silent(_: str) -> None:
    pass
