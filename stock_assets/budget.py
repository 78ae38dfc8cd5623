"""How many threads and how much memory this process may use: the container's limits, not the host's."""

import os
from pathlib import Path
from typing import Any

from stock_assets.settings import Settings

CGROUP = Path("/sys/fs/cgroup")


def thread_count(settings: Settings, cgroup: Path = CGROUP) -> int:
    """Threads for DuckDB and LightGBM: the setting, or else the CPUs allowed by affinity and quota."""
    if settings.threads is not None:
        return settings.threads
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota(cgroup)
    return affinity if quota is None else max(1, min(affinity, round(quota)))


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Memory in bytes that this container may use, or the machine's where there is no limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = _read(cgroup / name)
        if limit is not None and limit.isdigit():
            return min(machine, int(limit))
    return machine


def duckdb_memory_limit(settings: Settings) -> str:
    """DuckDB's memory limit: the setting, or else half of the memory, as numpy and LightGBM need some."""
    return settings.memory_limit or f"{memory_bytes() // 2 // 2**20}MiB"


def duckdb_config(settings: Settings) -> dict[str, Any]:
    """DuckDB's share of the budget, for a connection."""
    return {
        "threads": thread_count(settings),
        "memory_limit": duckdb_memory_limit(settings),
        "temp_directory": str(settings.data_dir / "duckdb.tmp"),
    }


def _cpu_quota(cgroup: Path) -> float | None:
    """CPUs by the scheduler's quota (cgroup v2, then v1), None where there is none."""
    both = (_read(cgroup / "cpu.max") or "").split()
    if len(both) != 2:
        both = [
            _read(cgroup / "cpu/cpu.cfs_quota_us") or "-1",
            _read(cgroup / "cpu/cpu.cfs_period_us") or "-1",
        ]
    quota, period = both
    if not (quota.isdigit() and period.isdigit()):
        return None
    return int(quota) / int(period)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None
