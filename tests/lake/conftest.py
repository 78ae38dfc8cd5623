"""A data folder with tables and models, and lakes to publish it in: a folder, or a bucket of a real S3 server."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.conftest import Built
from tests.lake.ceph import Ceph, ceph
from tests.promoted_model import copy_market, promote_model


@pytest.fixture(scope="session")
def ceph_server() -> Iterator[Ceph]:
    with ceph() as server:
        yield server


@pytest.fixture(scope="session")
def made(demo_market: Built, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The smallest demo market with a promoted model; shared, so tests only read it."""
    layout = copy_market(demo_market.layout, tmp_path_factory.mktemp("lake") / "data")
    promote_model(layout)
    return layout


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where nothing is published yet. For S3 the standard variables of AWS are set in this process."""
    if request.param == "folder":
        return str(tmp_path / "lake")
    server: Ceph = request.getfixturevalue("ceph_server")
    os.environ.update(server.environment())  # until the test ends
    return f"{server.make_bucket()}/team/stocks"


@pytest.fixture
def settings(made: Layout, lake_url: str, tmp_path: Path) -> Settings:
    """A data folder of the test's own, and its lake."""
    shutil.copytree(made.data_dir, tmp_path / "data")
    return Settings(data_dir=tmp_path / "data", lake_url=lake_url, threads=1)
