"""Workers that share nothing but a lake on S3: a real server, Ceph's."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from stock_assets.engines.engine import open_engine
from stock_assets.layout import Layout
from stock_assets.learning.fitting import Fit
from stock_assets.learning.rows import fitting_windows
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import LOG_RATIO, volumes
from stock_assets.learning.volume import INPUTS
from stock_assets.objects import open_store
from stock_assets.retraining import feature_files
from stock_assets.volume_candidates import read_rows
from tests.conftest import open_database
from tests.engines.clusters import dask_cluster
from tests.engines.writing import by_letter, contents, on_dask, silent, write, write_here
from tests.lake.ceph import Ceph, ceph

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Ceph]:
    with ceph() as started, mock.patch.dict(os.environ, started.environment()):
        yield started


def test_features_and_a_training(demo: Layout, server: Ceph, tmp_path: Path) -> None:
    lake = f"{server.make_bucket()}/prefix"
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, "features", here)
    with open_database(demo) as connection:
        files = feature_files(connection, demo)
        rows = read_rows(connection, files)
    windows = fitting_windows(rows, split_by_date(rows.days, 0.7, 0.15), files)
    fit = Fit(LOG_RATIO | {"num_threads": 1}, INPUTS, 20)
    with (
        dask_cluster(tmp_path / "cluster") as cluster,
        open_engine(on_dask(demo, cluster.address, lake_url=lake), silent) as engine,
    ):
        write(demo, "features", there, engine)
        booster = engine.train(fit, volumes(windows.training, windows.training_places), None)

    assert contents(there) == contents(here)
    assert booster.num_trees() == 20
    keys = [found.key for found in open_store(lake).list("")]
    assert len([key for key in keys if key.startswith("objects/combined/letter=")]) == len(contents(here))
    assert len([key for key in keys if key.startswith("objects/features/letter=")]) == len(contents(here))
    assert len(keys) == 2 * len(contents(here)), "nothing but inputs is left"
