"""Price files of crypto assets, and one run of the crypto graph."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import numpy as np
import pytest

from stock_assets.crypto import source, tables
from stock_assets.definitions import defs
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.helpers import in_force

HEADER = "date,price,volume,marketCap\n"
START = date(2020, 1, 1)


def lines_of(prices: Any, volume: float = 1000.0, start: date = START) -> list[str]:
    """A line a day; volume and market cap differ from day to day and from each other."""
    return [
        f"{start + timedelta(days=day)},{float(price)!r},{volume + day},{7 * volume + 3 * day}"
        for day, price in enumerate(prices)
    ]


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def walk(days: int, seed: int, trend: float = 0.0, turn: int | None = None) -> Any:
    """Prices whose returns repeat a share `trend` of the return before; 0 is a random walk.

    From the day `turn` on they go back by that share.
    """
    returns = 0.04 * np.random.default_rng(seed).standard_normal(days)
    for day in range(1, days):
        returns[day] += (trend if turn is None or day < turn else -trend) * returns[day - 1]
    return 2 * np.exp(np.cumsum(returns))


@dataclass(frozen=True)
class Tables:
    """The tables of some files, in memory."""

    connection: duckdb.DuckDBPyConnection

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement).fetchall()

    def feature(self, name: str) -> Any:
        """A column of the features, by asset and date, not a number where it is NULL."""
        table = self.connection.execute(f"SELECT {name} FROM crypto_features ORDER BY asset, date").fetchnumpy()
        return np.ma.filled(table[name].astype(np.float64), np.nan)


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Any]:
    """Builds the tables of a file or folder."""
    with duckdb.connect(config={"threads": 1}) as connection:

        def build_tables(path: Path) -> Tables:
            settings = Settings(data_dir=tmp_path / "data", crypto_path=path)
            layout = Layout(settings.data_dir)
            tables.build(connection, layout, source.refresh(settings, layout.crypto_manifest), layout.crypto_manifest)
            return Tables(connection)

        yield build_tables


@dataclass(frozen=True)
class Ran:
    layout: Layout
    result: dg.ExecuteInProcessResult


def run(data_dir: Path, path: Path | None, select: list[str] | None = None) -> Ran:
    """Run `crypto_refresh`, or some assets of it."""
    variables = {"STOCK_ASSETS_DATA_DIR": str(data_dir), "STOCK_ASSETS_THREADS": "1"}
    if path:
        variables["STOCK_ASSETS_CRYPTO_PATH"] = str(path)
    with in_force(variables), dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("crypto_refresh").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in select] if select else None,
            raise_on_error=False,
        )
    return Ran(Layout(data_dir), result)


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole graph on two random walks, which tests only read."""
    folder = tmp_path_factory.mktemp("walked")
    write(folder / "files/ada.csv", lines_of(walk(500, 1)))
    write(folder / "files/bit.csv", lines_of(100 * walk(500, 2), volume=5e8))
    return run(folder / "data", folder / "files")


@pytest.fixture(scope="session")
def trended(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole graph on an asset whose returns repeat most of the one before."""
    folder = tmp_path_factory.mktemp("trended")
    write(folder / "trend.csv", lines_of(walk(1200, 3, trend=0.7)))
    return run(folder / "data", folder / "trend.csv")


@pytest.fixture(scope="session")
def real_file() -> Path:
    """A file of real prices, for whoever has one and names it in `TEST_CRYPTO`."""
    path = os.environ.get("TEST_CRYPTO")
    if not path:
        pytest.skip("TEST_CRYPTO names no file of real crypto prices")
    return Path(path)
