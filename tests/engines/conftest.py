"""A demo market that two workers can share, and two workers."""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from stock_assets.ingest.sources import refresh
from stock_assets.layout import LETTERS, Layout
from stock_assets.settings import Settings
from tests.conftest import build_tables
from tests.engines.clusters import Cluster, dask_cluster
from tests.engines.writing import write_here


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A market with the features of both kinds, made by the local engine; tests only read it."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("engines") / "data", demo_files=60, demo_start=date(2012, 1, 2), threads=1
    )
    layout = Layout(settings.data_dir)
    build_tables(layout, refresh(settings, lambda _: None))
    write_here(layout, "next_day_features", {letter: layout.parquet("next_day_features", letter) for letter in LETTERS})
    return layout


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For tests that leave both alive."""
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def own_copy(demo: Layout, tmp_path: Path) -> Layout:
    """The market, for a test that writes to it."""
    shutil.copytree(demo.data_dir, tmp_path / "data")
    return Layout(tmp_path / "data")
