"""The results of `benchmarks.scaling`: one JSON file of all modes and sizes, and what can be read off it."""

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stock_assets.budget import memory_bytes, thread_count
from stock_assets.publishing import write_json
from stock_assets.settings import load_settings

RESULTS = Path(__file__).parent.parent / "docs" / "scaling.json"

Run = dict[str, Any]
"""One size in one mode: `mode`, `millions`, `rows`, `steps` by name, and `bytes` of what is on disk."""


def machine() -> dict[str, Any]:
    """Where and when it was measured, and with what; no name of the machine."""
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": thread_count(load_settings()),
        "memory": memory_bytes(),
        "processor": _processor(),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "lightgbm": version("lightgbm"),
    }


def _processor() -> str:
    """As Linux names it, such as `AMD EPYC`; else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def read(path: Path) -> dict[str, Any]:
    """`machine` and `runs`; none where there is no file yet."""
    if not path.exists():
        return {"machine": {}, "runs": []}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def merge(path: Path, run: Run, where: dict[str, Any]) -> None:
    """Add a run to the file, in place of the one of the same mode and size, and say where it was measured.

    Steps that were not measured this time stay as they were, and so do sizes of what these make.
    """
    found = read(path)
    key = (run["mode"], run["millions"])
    old = next((one for one in found["runs"] if (one["mode"], one["millions"]) == key), None)
    others = [one for one in found["runs"] if one is not old]
    seen = {name: size for name, size in run["bytes"].items() if size}
    whole = run | {"steps": (old or run)["steps"] | run["steps"], "bytes": (old or run)["bytes"] | seen}
    runs = sorted([*others, whole], key=lambda one: (one["mode"], one["millions"]))
    write_json(path, {"machine": where, "runs": runs})


def of_mode(found: dict[str, Any], mode: str) -> list[Run]:
    """The runs of a mode, the smallest first."""
    return sorted((run for run in found["runs"] if run["mode"] == mode), key=lambda run: float(run["rows"]))


def slope(points: list[tuple[float, float]]) -> float:
    """What a row more costs: the line through these (rows, cost), by least squares; through zero for a single one."""
    if len(points) == 1:
        return points[0][1] / points[0][0]
    rows, costs = ([point[place] for point in points] for place in (0, 1))
    mean_rows, mean_costs = sum(rows) / len(rows), sum(costs) / len(costs)
    spread = sum((row - mean_rows) ** 2 for row in rows)
    return sum((row - mean_rows) * (cost - mean_costs) for row, cost in points) / spread
