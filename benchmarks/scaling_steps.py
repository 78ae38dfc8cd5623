"""The steps whose growth is measured, and what one of them takes: time, CPU, memory, temporary files on disk."""

import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.full_size import run_module
from benchmarks.scaling_cluster import Worker

LOOK_SECONDS = 0.2


class Step(NamedTuple):
    """What Dagster is asked to materialize, which of our steps come before, and what it leaves in the data folder.

    That is removed first, so that everything is made anew.
    """

    selection: str
    before: tuple[str, ...]
    makes: tuple[str, ...]


def _step(name: str, before: str, *makes: str) -> Step:
    return Step(name, (before,) if before else (), makes)


CANDIDATES = 'key:"volume_candidates/*" or key:volume_model'
STEPS = {
    "raw_files": _step("raw_files", "", "raw"),
    "combined": _step("combined", "raw_files", "market.duckdb", "lake/combined", "lake/symbols"),
    "features": _step("features", "combined", "lake/features"),
    "volume_model": Step(CANDIDATES, ("features",), ("models/volume_model",)),
    "volume_predictions": _step("volume_predictions", "volume_model", "lake/volume_predictions"),
    "next_day_features": _step("next_day_features", "combined", "lake/next_day_features"),
    "next_day_model": _step("next_day_model", "next_day_features", "models/next_day_model", "lake/next_day_backtest"),
    "next_day_forecasts": _step("next_day_forecasts", "next_day_model", "lake/next_day_forecasts"),
}
"""In the order of the run; `volume_model` is the eight candidates with the model that is published of them."""
ON_WORKERS = ("features", "volume_model", "next_day_features", "next_day_model")
"""Those whose work a cluster does."""


@dataclass
class Peak:
    """The most that was seen, in bytes, and how often it was looked."""

    size: int = 0
    looks: int = 0


def with_what_comes_before(names: Iterable[str]) -> list[str]:
    """These steps and all that they need, in the order of the run."""
    needed = set(names)
    for name in reversed(STEPS):
        if name in needed:
            needed.update(STEPS[name].before)
    return [name for name in STEPS if name in needed]


def take(name: str, outputs: Path, settings: dict[str, str], workers: Sequence[Worker] = ()) -> dict[str, Any]:
    """Run one step of the data folder `outputs / "data"` to its end, and measure it.

    Seconds are Dagster's own, the checks' included; CPU seconds and the peak are of the whole process with its
    imports; `disk` is the most that DuckDB's temporary files took. Ends the benchmark where the step fails.
    """
    step, data = STEPS[name], outputs / "data"
    for made in step.makes:
        _remove(data / made)
    for worker in workers:
        worker.begin()
    with watched([data / "duckdb.tmp", *(worker.folder for worker in workers)]) as disk:
        measured = run_module("pipeline", outputs, [step.selection], settings)
    taken = {
        "seconds": round(sum(measured.seconds.values()), 2),
        "cpu": round(measured.cpu, 2),
        "peak": measured.peak,
        "disk": disk.size,
        "left": size_of([data / "duckdb.tmp"]),
        "load": round(os.getloadavg()[0], 1),
    }
    if workers:
        taken["worker_cpu"] = round(sum(worker.cpu() for worker in workers), 2)
        taken["worker_peak"] = max(worker.peak() for worker in workers)
    return taken


@contextmanager
def watched(folders: Sequence[Path]) -> Iterator[Peak]:
    """The most that the files of these folders took at a time while the block ran."""
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(LOOK_SECONDS):
            peak.size = max(peak.size, size_of(folders))
            peak.looks += 1

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def size_of(places: Iterable[Path]) -> int:
    """Bytes of these files, and of all in these folders; what disappears while it is looked at counts nothing."""
    return sum(_size(file) for place in places for file in (place, *place.rglob("*")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
