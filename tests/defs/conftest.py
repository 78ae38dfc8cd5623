"""One run of the whole graph on a small demo market, which several tests look at, and copies of what it made."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.defs.graph_runs import Refreshed, execute
from tests.helpers import demo_settings, digests, litter


@pytest.fixture(scope="session")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Refreshed:
    data_dir = tmp_path_factory.mktemp("graph") / "data"
    result = execute(demo_settings(data_dir, threads=2))
    return Refreshed(data_dir, result, digests(data_dir))


@pytest.fixture
def copied(refreshed: Refreshed, tmp_path: Path) -> Path:
    """A data folder of the test's own, in the state after the first run."""
    return Path(shutil.copytree(refreshed.data_dir, tmp_path / "data"))


@pytest.fixture
def unchanged(copied: Path) -> Iterator[None]:
    """Whatever the test does, nothing that is published changes."""
    published = ("lake/*/*/*.parquet", "lake/quarantine/*", "lake/symbols/*", "market.duckdb", "models/*/latest.json")
    before = [digests(copied, pattern) for pattern in published]
    assert all(before)
    yield
    assert [digests(copied, pattern) for pattern in published] == before
    assert litter(copied) == []
