"""Features by two worker processes: those of the local engine, whatever becomes of the workers."""

import os
import time
from pathlib import Path

import pytest
from distributed import Client

from stock_assets.engines import cluster as clusters
from stock_assets.engines import letters
from stock_assets.engines.dask_engine import open_dask_engine
from stock_assets.engines.engine import open_engine
from stock_assets.engines.storage import Objects, SharedFolder
from stock_assets.errors import UserError
from stock_assets.layout import Layout, Table
from tests.engines.clusters import Cluster, dask_cluster
from tests.engines.writing import (
    by_letter,
    contents,
    litter,
    on_dask,
    rows_that_differ,
    silent,
    write,
    write_here,
)
from tests.helpers import free_port

pytestmark = pytest.mark.slow

TABLES: list[Table] = ["features", "next_day_features"]
SOON = 60.0
"""Seconds within which a cluster without workers is told of."""


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("changed", [None, 1])
def test_they_are_those_of_the_local_engine(
    demo: Layout, two_workers: Cluster, tmp_path: Path, table: Table, changed: int | None
) -> None:
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, table, here, changed)
    with open_engine(on_dask(demo, two_workers.address), silent) as engine:
        write(demo, table, there, engine, changed)

    assert contents(there) == contents(here)
    assert len(contents(here)) > 20
    assert litter(tmp_path) == []


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of one or two symbols."""
    monkeypatch.setattr(letters, "PIECE_ROWS", 3000)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("changed", [None, 2])
def test_a_large_letter_is_split_by_symbols(
    demo: Layout, two_workers: Cluster, tmp_path: Path, table: Table, changed: int | None
) -> None:
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, table, here, changed)
    with open_engine(on_dask(demo, two_workers.address), silent) as engine:
        write(demo, table, there, engine, changed)

    assert contents(there).keys() == contents(here).keys()
    assert {letter: rows_that_differ(path, there[letter]) for letter, path in here.items() if path.exists()} == (
        dict.fromkeys(contents(here), 0)
    )
    assert litter(tmp_path) == []


def test_damaged_features_are_made_anew(own_copy: Layout, two_workers: Cluster, tmp_path: Path) -> None:
    expected = contents({"A": own_copy.parquet("features", "A")})
    damaged = own_copy.parquet("features", "A")
    damaged.write_bytes(damaged.read_bytes()[:2000])
    there, told = by_letter(tmp_path / "there"), list[str]()
    with open_engine(on_dask(own_copy, two_workers.address), told.append) as engine:
        write(own_copy, "features", there, engine, 1)

    assert contents(there)["A"] == expected["A"]
    assert [line for line in told if line.startswith("letter A: all symbols, for ")]


@pytest.mark.usefixtures("_small_pieces")
def test_objects_in_place_of_a_folder(demo: Layout, two_workers: Cluster, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    names = ("0123456789abcdef/of-a-killed-run", "fedcba9876543210/of-another-run", "of-somebody/else")
    left, busy, foreign = (lake / f"work/{name}.parquet" for name in names)
    for path in (left, busy, foreign):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    for path in (left, foreign):
        os.utime(path, (0, 0))
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, "features", here)
    times = []
    for _ in range(2):
        with open_dask_engine(on_dask(demo, two_workers.address), silent) as engine:
            engine._storage = Objects(str(lake))
            write(demo, "features", there, engine)
        times.append({path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")})

    assert {letter: rows_that_differ(path, there[letter]) for letter, path in here.items() if path.exists()} == (
        dict.fromkeys(contents(here), 0)
    )
    assert times[0] == times[1]
    assert {path.parts[len(lake.parts)] for path in times[0]} - {"work"} == {"objects"}
    assert sorted((lake / "work").rglob("*.parquet")) == sorted([busy, foreign])


def test_a_worker_killed_in_the_middle_is_survived(demo: Layout, tmp_path: Path) -> None:
    here, there = by_letter(tmp_path / "here"), by_letter(tmp_path / "there")
    write_here(demo, "next_day_features", here)
    with dask_cluster(tmp_path / "cluster") as cluster:

        def kill(line: str) -> None:
            if line.startswith("letter") and cluster.workers[0].poll() is None:
                cluster.kill_worker()

        with open_engine(on_dask(demo, cluster.address), kill) as engine:
            write(demo, "next_day_features", there, engine)

        assert cluster.workers[0].poll() is not None
    assert contents(there) == contents(here)
    assert litter(tmp_path / "there") == []


def test_no_worker_left_is_told_within_a_minute(demo: Layout, tmp_path: Path) -> None:
    begun = []
    with dask_cluster(tmp_path / "cluster", workers=1) as cluster:

        def kill(line: str) -> None:
            if line.startswith("letter") and not begun:
                begun.append(time.monotonic())
                cluster.kill_worker()

        with (
            open_engine(on_dask(demo, cluster.address), kill) as engine,
            pytest.raises(UserError, match=r"no Dask worker is left at tcp://.*: start workers"),
        ):
            write(demo, "next_day_features", by_letter(tmp_path / "there"), engine)
    assert time.monotonic() - begun[0] < SOON
    assert litter(tmp_path / "there") == []


def test_a_scheduler_that_is_lost_in_the_middle_is_told(demo: Layout, tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "cluster") as cluster:

        def kill(line: str) -> None:
            if line.startswith("letter"):
                cluster.scheduler.kill()

        with (
            open_engine(on_dask(demo, cluster.address), kill) as engine,
            pytest.raises(
                UserError, match=f"the Dask scheduler at {cluster.address} (does not answer any more|has dropped)"
            ),
        ):
            write(demo, "next_day_features", by_letter(tmp_path / "there"), engine)


def lasting(seconds: float, file: str) -> float:
    """A task that says in the file that it has begun."""
    with Path(file).open("a", encoding="utf-8") as begun:
        print(seconds, file=begun, flush=True)
    time.sleep(seconds)
    return seconds


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    """Neither when the worker that has done it is lost, nor by `results` in the end."""
    file = tmp_path / "begun"
    with dask_cluster(tmp_path / "cluster") as workers, clusters._connected(workers.address, silent) as cluster:
        places = {name: address for address, name in cluster.client.run(lambda dask_worker: dask_worker.name).items()}
        futures = [
            cluster.client.submit(
                lasting, seconds, str(file), workers=[places[name]], allow_other_workers=True, pure=False
            )
            for name, seconds in (("worker-0", 0.5), ("worker-1", 4))
        ]
        assert cluster.results(futures, lambda place: workers.kill_worker(0) if place == 0 else None) == [0.5, 4]
    assert sorted(file.read_text("utf-8").split()) == ["0.5", "4"]


def test_a_cluster_without_workers(demo: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clusters.NO_WORKERS_SECONDS + clusters.CONNECT_SECONDS < SOON
    monkeypatch.setattr(clusters, "NO_WORKERS_SECONDS", 1)
    with (
        dask_cluster(tmp_path / "cluster", workers=0) as cluster,
        open_engine(on_dask(demo, cluster.address), silent) as engine,
        pytest.raises(UserError, match="no Dask worker is left at"),
    ):
        write(demo, "features", by_letter(tmp_path / "there"), engine)


def test_tls_without_certificates_is_told(demo: Layout, tmp_path: Path) -> None:
    with (
        open_engine(on_dask(demo, f"tls://127.0.0.1:{free_port()}"), silent) as engine,
        pytest.raises(UserError, match="mend STOCK_ASSETS_DASK_SCHEDULER, or Dask's configuration of TLS here"),
    ):
        write(demo, "features", by_letter(tmp_path / "there"), engine)


def test_no_scheduler(demo: Layout, tmp_path: Path) -> None:
    start = time.monotonic()
    with (
        open_engine(on_dask(demo, f"tcp://127.0.0.1:{free_port()}"), silent) as engine,
        pytest.raises(UserError, match=r"no Dask scheduler answers at .* mend STOCK_ASSETS_DASK_SCHEDULER"),
    ):
        write(demo, "features", by_letter(tmp_path / "there"), engine)
    assert time.monotonic() - start < 20


def test_a_worker_that_does_not_see_the_data_folder(two_workers: Cluster, tmp_path: Path) -> None:
    with Client(two_workers.address, set_as_default=False) as client:
        seen = client.submit(SharedFolder().fetch, "/nowhere/part-0.parquet", tmp_path)
        with pytest.raises(UserError, match=r"worker tcp://127.0.0.1:\d+ does not see /nowhere/part-0.parquet: mount"):
            seen.result()
