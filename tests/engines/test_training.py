"""Boosters that two worker processes train: as good as those of one, whatever becomes of the workers."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stock_assets.engines import training
from stock_assets.engines.engine import open_engine
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.fitting import Fit, Labelled, train_here
from stock_assets.learning.rows import fitting_windows
from stock_assets.learning.split import split_by_date
from stock_assets.learning.training import LOG_RATIO, volumes
from stock_assets.learning.volume import INPUTS as VOLUME_INPUTS
from stock_assets.next_day import model as next_day
from stock_assets.retraining import feature_files
from stock_assets.settings import Settings
from stock_assets.volume_candidates import make_candidates, read_rows
from tests.conftest import open_database
from tests.engines.clusters import Cluster, dask_cluster, once_it_trains
from tests.engines.writing import on_dask, silent

pytestmark = pytest.mark.slow

BOOSTERS = ("lightgbm_log_ratio", "lightgbm_raw")
ALIKE = 0.01
RNG = np.random.default_rng(3)
INPUTS = RNG.normal(0, 1, (40_000, 20))
LONG = Labelled(INPUTS, INPUTS[:, 0] + RNG.normal(0, 1, len(INPUTS)), np.ones(len(INPUTS)))
"""Rows whose training takes a while."""
FIT = Fit(LOG_RATIO | {"num_threads": 1}, [f"input_{place}" for place in range(20)], 150)


def candidates(layout: Layout, settings: Settings) -> dict[str, Any]:
    with open_database(layout) as connection:
        made = make_candidates(connection, settings, BOOSTERS, "a-run", silent)
    return {name: one.manifest for name, one in made.items()}


def local(layout: Layout) -> Settings:
    return Settings(data_dir=layout.data_dir, threads=1)


def test_candidates_err_as_those_of_the_local_engine(own_copy: Layout, two_workers: Cluster) -> None:
    here = candidates(own_copy, local(own_copy))
    folder = own_copy.models / "volume_model/candidates"
    for name in BOOSTERS:
        (folder / name / "manifest.json").unlink()
    there = candidates(own_copy, on_dask(own_copy, two_workers.address))

    for name in BOOSTERS:
        mae, expected = (made[name]["metrics"]["test"]["mae"] for made in (there, here))
        assert mae == pytest.approx(expected, rel=ALIKE)
        assert mae != expected, "it was trained by one"
        assert there[name].keys() == here[name].keys()
        assert there[name]["method"] == here[name]["method"]
        assert there[name]["rows"] == here[name]["rows"]
        text = (folder / name / "model.txt").read_text(encoding="utf-8")
        assert "[machines: ]" in text
        assert "[tree_learner: serial]" in text


def test_the_other_engine_does_not_train_again(own_copy: Layout) -> None:
    candidates(own_copy, local(own_copy))
    settings = on_dask(own_copy, "tcp://127.0.0.1:1")
    with open_database(own_copy) as connection:
        again = make_candidates(connection, settings, BOOSTERS, "a-run", silent)

    assert {one.kept for one in again.values()} == {"the features are those that it was trained on"}


def test_the_next_day_model_errs_as_that_of_the_local_engine(own_copy: Layout, two_workers: Cluster) -> None:
    made = {}
    for name, settings in (("here", local(own_copy)), ("there", on_dask(own_copy, two_workers.address))):
        with open_database(own_copy) as connection:
            trained = next_day.make_next_day_model(connection, settings, "an/asset", "a-run", silent)
        made[name] = trained.manifest["metrics"]
        own_copy.next_day("backtest").unlink()

    assert made["there"]["test"]["mae"] == pytest.approx(made["here"]["test"]["mae"], rel=ALIKE)
    assert made["there"]["test"] != made["here"]["test"]
    assert made["there"]["interval"]["coverage"] == pytest.approx(made["here"]["interval"]["coverage"], abs=0.01)


def test_all_workers_have_a_part_also_with_as_many_rows_to_check_by(
    two_workers: Cluster, demo: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    alone = training._alone
    monkeypatch.setattr(
        training,
        "_alone",
        lambda booster, rounds: [texts.append(booster.model_to_string()), alone(booster, rounds)][-1],
    )
    check = Labelled(INPUTS[::-1].copy(), LONG.label[::-1].copy(), LONG.weight)
    with open_engine(on_dask(demo, two_workers.address), silent) as engine:
        for _ in range(6):
            engine.train(FIT._replace(patience=5), LONG, check)

    assert [re.findall(r"\[num_machines: (\d+)\]", text) for text in texts] == [["2"]] * 6


def test_rows_that_are_others_on_a_worker_are_refused(two_workers: Cluster, own_copy: Layout) -> None:
    with open_database(own_copy) as connection:
        files = feature_files(connection, own_copy)
        rows = read_rows(connection, files)
    windows = fitting_windows(rows, split_by_date(rows.days, 0.7, 0.15), files)
    path = own_copy.parquet("features", "B")
    table = pq.read_table(path)
    pq.write_table(table.slice(100), path)
    with (
        open_engine(on_dask(own_copy, two_workers.address), silent) as engine,
        pytest.raises(UserError, match=rf"{path} has \d+ of the rows to train on, and"),
    ):
        engine.train(Fit(FIT.parameters, VOLUME_INPUTS, 5), volumes(windows.training, windows.training_places), None)


def test_few_rows_are_trained_on_by_one_worker(two_workers: Cluster, demo: Layout) -> None:
    few = Labelled(INPUTS[:3000], LONG.label[:3000])
    with open_engine(on_dask(demo, two_workers.address), silent) as engine:
        there = engine.train(FIT, few, None)

    expected = train_here(FIT, few).predict(INPUTS)
    np.testing.assert_allclose(there.predict(INPUTS), expected, rtol=0, atol=1e-9)


def test_what_cannot_be_trained_is_told(two_workers: Cluster, demo: Layout) -> None:
    wrong = FIT._replace(parameters=FIT.parameters | {"objective": "no_such_thing"})
    with (
        open_engine(on_dask(demo, two_workers.address), silent) as engine,
        pytest.raises(UserError, match=r"LightGBM on Dask failed 3 times, last: .*no_such_thing"),
    ):
        engine.train(wrong, LONG, None)


@pytest.mark.parametrize("seconds", [0, 0.3], ids=["while they connect", "while they train"])
@pytest.mark.parametrize("way", [Cluster.kill_worker, Cluster.crash_worker])
def test_a_worker_killed_in_the_middle_has_the_training_begin_again(
    demo: Layout, tmp_path: Path, way: Callable[[Cluster], None], seconds: float
) -> None:
    told: list[str] = []
    fit = FIT._replace(rounds=2500)
    with (
        dask_cluster(tmp_path) as cluster,
        open_engine(on_dask(demo, cluster.address), told.append) as engine,
        once_it_trains(cluster.address, lambda: way(cluster), seconds) as killed,
    ):
        booster = engine.train(fit, LONG, None)

    assert killed
    assert booster.num_trees() == fit.rounds
    assert [line for line in told if "the training was broken off" in line]


def test_no_worker_left_in_the_middle_is_told_within_a_minute(demo: Layout, tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=1) as cluster, open_engine(on_dask(demo, cluster.address), silent) as engine:
        with (
            once_it_trains(cluster.address, cluster.kill_worker) as killed,
            pytest.raises(UserError, match="no Dask worker is left at"),
        ):
            engine.train(FIT._replace(rounds=5000), LONG, None)
        assert time.monotonic() - killed[0] < 60
