"""Isolation from the developer's environment, and tiny markets in the Kaggle layout."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import duckdb
import hypothesis
import pytest

from stock_assets.combined import Totals, export_combined, export_symbols, read_totals, update_combined
from stock_assets.engines.local import LocalEngine
from stock_assets.features import update_features
from stock_assets.ingest.inspection import inspect
from stock_assets.ingest.snapshot import Manifest, compare, write_manifest
from stock_assets.ingest.sources import refresh
from stock_assets.layout import LETTERS, Layout
from stock_assets.provenance import stale_letters
from stock_assets.publishing import staged, staging
from stock_assets.settings import PREFIX, Settings

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-machine")

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume\n"


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting from outside reaches a test: neither a variable nor a `.env` in the working directory."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith((PREFIX, "MLFLOW_")) or name == "DAGSTER_HOME":
                patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("working-directory"))
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test does to the environment ends with it, and so does what it writes to its working directory."""
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ):
        yield


def write_market(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """A tree of files by their paths below `root`, which it gives back."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def price_line(day: date, price: float = 10, volume: float = 1000) -> str:
    return f"{day},{price},{price},{price},{price},{price},{volume}\n"


def price_text(rows: int, start: date = date(2020, 1, 1)) -> str:
    """A price file of that many days, each with another price and volume."""
    days = (start + timedelta(days=day) for day in range(rows))
    return HEADER + "".join(price_line(day, 10 + 0.37 * n, 1000 + n * n) for n, day in enumerate(days))


def snapshot(layout: Layout, root: Path) -> Manifest:
    """The published manifest of the files below `root`."""
    layout.raw.mkdir(parents=True, exist_ok=True)
    manifest = inspect("folder", str(root), root, threads=1)
    write_manifest(layout, manifest)
    return manifest


def build_tables(layout: Layout, manifest: Manifest) -> Totals:
    """Publish the database and the Parquet files of both tables from nothing, as the assets do."""
    with staged(layout.database) as file, duckdb.connect(str(file)) as connection:
        update_combined(connection, layout, manifest, compare({}, manifest.fingerprints), _silent)
    with open_database(layout) as connection:
        stale = stale_letters(connection, layout, "combined", LETTERS)
        with staging() as stage:
            copies = {letter: stage(layout.parquet("combined", letter)) for letter in stale}
            export_combined(connection, stale, copies, _silent)
            export_symbols(connection, layout, stage, manifest.source)
        stale = stale_letters(connection, layout, "features", LETTERS)
        with staging() as stage:
            copies = {letter: stage(layout.parquet("features", letter)) for letter in stale}
            update_features(connection, LETTERS, stale, copies, LocalEngine(1, _silent))
        return read_totals(connection)


@contextmanager
def open_database(layout: Layout) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(layout.database), read_only=True) as connection:
        yield connection


@dataclass(frozen=True)
class Built:
    """A market with its tables: `root` holds the raw files."""

    layout: Layout
    root: Path
    manifest: Manifest
    totals: Totals


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


@pytest.fixture(scope="session")
def demo_market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The smallest demo market with its tables; shared, so tests only read it."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("demo") / "data", demo_files=30, demo_start=date(2017, 1, 3), threads=1
    )
    layout = Layout(settings.data_dir)
    manifest = refresh(settings, _silent)
    return Built(layout, manifest.folder(layout), manifest, build_tables(layout, manifest))


def _silent(_: str) -> None:
    pass


@pytest.fixture(scope="session")
def real_prices() -> Path:
    """A folder of real price files, for whoever has one and names it in `TEST_MARKET`."""
    folder = os.environ.get("TEST_MARKET")
    if not folder:
        pytest.skip("TEST_MARKET names no folder of real price files")
    return Path(folder)
