"""What the pipeline would cost on minute bars, from what a row was measured to cost: arithmetic only.

Costs grow with the rows by `scaling_results.slope`: what a step costs once (imports, a fit of at most a million rows)
does not count again. Nothing here was run at this size.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.scaling_results import Run, of_mode, slope

SYMBOLS, MINUTES, DAYS = 8049, 390, 2520
ROWS = SYMBOLS * MINUTES * DAYS
"""Every minute of ten years of trading, of as many symbols as the daily prices have."""

DRIVER = ("volume_model", "next_day_model")
"""The steps that hold rows as arrays in one process, so that its memory grows with the rows."""
TASKS = ("features", "next_day_features")
"""The steps whose tasks hold some symbols' rows each: what one needs does not grow with the rows."""
MOVED = {
    "price files": 2,  # read to be hashed, read for `combined`
    "lake/combined": 3,  # written, read for features, read for next-day features
    "lake/features": 3,  # written, read for training, read for predictions
    "lake/next_day_features": 3,  # written, read for training, read for forecasts
    "lake/volume_predictions": 1,
}
"""How often each table goes over the network between workers and shared storage when all is made anew."""
STORED = ("price files", "lake/combined", "lake/features", "lake/next_day_features", "lake/volume_predictions")
WORKERS = ("1 Dask worker", "2 Dask workers")
SECONDS_AN_HOUR = 3600
GB = 1e9


class Prices(NamedTuple):
    """In one currency: an hour of a core, a month of a gigabyte of shared storage."""

    core_hour: float
    gb_month: float


class Cluster(NamedTuple):
    """Workers of some cores each, each with so many gigabits a second to the shared storage.

    `shared` is the part of the work that all cores share; the rest is that of one process, which they wait for.
    """

    workers: int
    cores: int
    gigabits: float
    shared: float


class Estimate(NamedTuple):
    """Of making everything anew once.

    `core_hours` by step; bytes `stored` by table, `moved` over the network, of memory of the `driver` by step and of a
    `task`, and of a `database` on one host.
    """

    rows: int
    core_hours: dict[str, float]
    stored: dict[str, float]
    moved: float
    driver: dict[str, float]
    task: float
    database: float

    @property
    def all_core_hours(self) -> float:
        return sum(self.core_hours.values())

    def hours(self, cluster: Cluster) -> float:
        """Until it is done: the work, by Amdahl's law, or the network, whichever takes longer."""
        alone = 1 - cluster.shared
        work = self.all_core_hours * (alone + cluster.shared / (cluster.workers * cluster.cores))
        network = self.moved * 8 / (cluster.workers * cluster.gigabits * 1e9) / SECONDS_AN_HOUR
        return max(work, network)

    def gigabits(self, cluster: Cluster) -> float:
        """A second, over the network of each worker while it works."""
        return self.moved * 8 / 1e9 / cluster.workers / (self.hours(cluster) * SECONDS_AN_HOUR)

    def cost(self, prices: Prices, cluster: Cluster) -> tuple[float, float]:
        """Of one making of everything, and of a month of what is stored. Cores are paid while they wait, too."""
        paid_core_hours = self.hours(cluster) * cluster.workers * cluster.cores
        return paid_core_hours * prices.core_hour, sum(self.stored.values()) / GB * prices.gb_month


def estimate(runs: Sequence[Run], rows: int = ROWS) -> Estimate:
    """What so many rows would take, from the runs of one mode; of the steps that all of them measured."""
    steps = [name for name in runs[-1]["steps"] if all(name in run["steps"] for run in runs)]
    sizes = {name: per_row(runs, name) * rows for name in runs[-1]["bytes"]}
    return Estimate(
        rows=rows,
        core_hours={name: _slope(runs, name, "cpu") * rows / SECONDS_AN_HOUR for name in steps},
        stored={name: sizes[name] for name in STORED},
        moved=sum(sizes[name] * times for name, times in MOVED.items()),
        task=max(float(runs[-1]["steps"][name]["peak"]) for name in TASKS if name in steps),
        driver={name: _slope(runs, name, "peak") * rows for name in DRIVER if name in steps},
        database=sizes["market.duckdb"],
    )


def per_row(runs: Sequence[Run], name: str) -> float:
    """Bytes on disk of a row of the largest run."""
    return float(runs[-1]["bytes"][name]) / float(runs[-1]["rows"])


def _slope(runs: Sequence[Run], step: str, what: str) -> float:
    return slope([(float(run["rows"]), float(run["steps"][step][what])) for run in runs])


def shared(found: Mapping[str, Any]) -> float | None:
    """The part of the work that two workers share, from 0 to 1: all of it where they take half of the time of one.

    By Amdahl's law, of the largest size that was measured with one and with two; None where there is none.
    """
    one, two = ({run["millions"]: run for run in of_mode(dict(found), mode)} for mode in WORKERS)
    if not (sizes := one.keys() & two.keys()):
        return None
    first, second = one[max(sizes)]["steps"], two[max(sizes)]["steps"]
    alone, together = (
        sum(steps[name]["seconds"] for name in first.keys() & second.keys()) for steps in (first, second)
    )
    return float(min(1, max(0, 2 * (1 - together / alone))))
