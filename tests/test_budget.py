"""Threads and memory by the container's limits, told by made-up cgroup folders."""

import os
from pathlib import Path

import duckdb
import pytest

from stock_assets.budget import duckdb_memory_limit, memory_bytes, thread_count
from stock_assets.settings import Settings
from tests.conftest import write_market

GIB = 2**30


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


def v1(quota: int) -> dict[str, str]:
    return {"cpu/cpu.cfs_quota_us": f"{quota}\n", "cpu/cpu.cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("cgroup", "threads"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "1600000 100000\n"}, 4),
        ({"cpu.max": "nonsense\n"}, 4),
        (v1(-1), 4),
        (v1(50_000), 1),
        (v1(300_000), 3),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, 4),
    ],
)
def test_threads_by_affinity_and_quota(tmp_path: Path, cgroup: dict[str, str], threads: int) -> None:
    assert thread_count(Settings(), write_market(tmp_path, cgroup)) == threads


def test_the_setting_beats_the_container(tmp_path: Path) -> None:
    write_market(tmp_path, {"cpu.max": "50000 100000\n"})

    assert thread_count(Settings(threads=7), tmp_path) == 7


@pytest.mark.parametrize(
    ("cgroup", "limit"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max\n"}, 8 * GIB),
        ({"memory.max": f"{GIB}\n"}, GIB),
        ({"memory.max": f"{64 * GIB}\n"}, 8 * GIB),
        ({"memory/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 * GIB),
    ],
)
def test_memory_by_the_container_or_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: dict[str, str], limit: int
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 8 * GIB // 4096}.__getitem__)

    assert memory_bytes(write_market(tmp_path, cgroup)) == limit


@pytest.mark.parametrize("limit", [None, "1.5GiB", "900 MB"])
def test_duckdb_takes_the_memory_limit(limit: str | None) -> None:
    with duckdb.connect(config={"memory_limit": duckdb_memory_limit(Settings(memory_limit=limit))}) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_the_memory_limit_of_the_settings_is_kept() -> None:
    assert duckdb_memory_limit(Settings(memory_limit="3GB")) == "3GB"
