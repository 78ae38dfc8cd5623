"""Times a full-size run beside hand-written polars and pandas scripts: `python -m benchmarks.full_size`.

Each runs as its own process, one after the other, on the same generated files; all three must agree on the result.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import duckdb
import typer
from rich.console import Console
from rich.table import Table

from stock_assets.budget import thread_count
from stock_assets.settings import PREFIX, load_settings

OURS, YARDSTICK = "stock-assets", "polars"
AGREE = 1e-9

FACTS = """
SELECT
    count(*) AS "rows",
    count(DISTINCT "Symbol") AS symbols,
    count("Security Name") AS "named rows",
    sum("Volume") AS "sum of Volume",
    count(vol_moving_avg) AS "count of vol_moving_avg",
    fsum(vol_moving_avg) AS "sum of vol_moving_avg",
    fsum(vol_moving_avg * datediff('day', DATE '1970-01-01', "Date")) AS "sum of vol_moving_avg by day",
    count(adj_close_rolling_med) AS "count of adj_close_rolling_med",
    fsum(adj_close_rolling_med) AS "sum of adj_close_rolling_med",
    fsum(adj_close_rolling_med * datediff('day', DATE '1970-01-01', "Date")) AS "sum of adj_close_rolling_med by day",
    (SELECT count(*) FROM read_parquet($combined)) AS "rows of combined"
FROM read_parquet($features)
"""
"""What the three must agree on; the sums by day differ where a value stands beside the wrong day."""

STAGES: dict[str, dict[str, tuple[str, ...]]] = {
    "inspect raw files: size, SHA-256, rows": {OURS: ("raw_files",)},
    "combined: read, clean, Parquet": {OURS: ("combined",), "": ("read", "write combined")},
    "features: windows, Parquet": {OURS: ("features",), "": ("windows", "write features")},
    "both tables": {OURS: ("combined", "features"), "": ("total",)},
    "volume model: eight candidates, the best published": {OURS: ("volume_candidates", "volume_model")},
    "predictions of the whole table": {OURS: ("volume_predictions",)},
    "next day: features": {OURS: ("next_day_features",)},
    "next day: model, back-test": {OURS: ("next_day_model",)},
    "next day: forecasts": {OURS: ("next_day_forecasts",)},
}
"""The lines of the table, each with the stages that it adds up: ours, and those of a script."""

console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Measured:
    """One process: seconds by stage as it printed them, its wall time, its CPU time, its peak memory in bytes."""

    name: str
    seconds: dict[str, float]
    rows: int
    wall: float
    cpu: float
    peak: int

    def stage(self, line: str) -> float | None:
        parts = STAGES[line].get(self.name) or (STAGES[line].get("") if self.name != OURS else None)
        return sum(self.seconds[part] for part in parts) if parts else None


def main(
    files: Annotated[int, typer.Option(help="Price files to generate.")] = 8049,
    folder: Annotated[Path, typer.Option("--dir", help="Where the market and the outputs go.")] = Path("bench-data"),
    market: Annotated[Path | None, typer.Option(help="An existing tree instead of a generated one.")] = None,
    keep: Annotated[bool, typer.Option(help="Leave the outputs there.")] = False,
) -> None:
    """Time the pipeline, polars and pandas on the same files. Exit code 1 where their results differ."""
    root = (market or folder / f"market-{files}").resolve()
    with scratch_folder(folder.resolve() / f"outputs-{os.getpid()}", keep) as outputs:
        if not root.exists():
            seconds = run_module("market", outputs, [str(root), str(files)], {}).wall
            console.print(f"generated {files:,} files in {seconds:.0f} s")
        size, count = warm(root)
        console.print(
            f"{count:,} files, {size / 1e9:.2f} GB; {thread_count(load_settings())} CPUs, load {os.getloadavg()[0]:.1f}"
        )
        results = [run_module(*contestant) for contestant in contestants(root, outputs)]
        console.print(comparison(results))
        differences = disagreements(outputs)
    for line in differences:
        console.print(line, style="red")
    if differences:
        raise typer.Exit(1)
    console.print(f"all three agree on rows, counts and sums of both features, to {AGREE:g}")


@contextmanager
def scratch_folder(path: Path, keep: bool) -> Iterator[Path]:
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        if not keep:
            shutil.rmtree(path)


def warm(root: Path) -> tuple[int, int]:
    """Bytes and number of the price files; each is read once, so that none of the three reads from a cold disk."""
    sizes = [len(path.read_bytes()) for path in root.glob("*/*.csv")]
    return sum(sizes), len(sizes)


def contestants(root: Path, outputs: Path) -> Iterator[tuple[str, Path, list[str], dict[str, str]]]:
    """Module, working folder, arguments and settings of each, each with a new data folder."""
    settings = {"SOURCE": "folder", "SOURCE_PATH": str(root), "DATA_DIR": str(outputs / OURS)}
    yield "pipeline", outputs, [], {PREFIX + name: value for name, value in settings.items()}
    for name in ("polars", "pandas"):
        yield f"{name}_script", outputs, [str(root), str(outputs / name / "lake")], {}


def run_module(module: str, cwd: Path, arguments: list[str], settings: dict[str, str]) -> Measured:
    """Run `benchmarks.<module>` to its end. A failure ends the benchmark with what the module said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "DAGSTER_HOME"))}
    log = cwd / f"{module}.log"
    start = time.perf_counter()
    with log.open("w") as output, log.with_suffix(".err").open("w") as errors:
        command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
        process = subprocess.Popen(command, cwd=cwd, env=kept | settings, stdout=output, stderr=errors)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"benchmarks.{module} failed: {log.with_suffix('.err').read_text()[-2000:]}")
    printed = json.loads((log.read_text().splitlines() or ["{}"])[-1])
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    name = OURS if module == "pipeline" else module.removesuffix("_script")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(name, printed.get("seconds", {}), printed.get("rows", 0), wall, cpu, peak)


def comparison(results: list[Measured]) -> Table:
    """Seconds by stage beside each other, and in brackets their ratio to polars."""
    table = Table("seconds (ratio to polars)", *(result.name for result in results))
    for column in table.columns[1:]:
        column.justify = "right"
    yardstick = next(result for result in results if result.name == YARDSTICK)
    for line in STAGES:
        base = yardstick.stage(line)
        table.add_row(line, *(cell(result.stage(line), base) for result in results))
    table.add_section()
    table.add_row("whole process", *(cell(result.wall, yardstick.wall) for result in results))
    table.add_row("CPU seconds of all cores", *(cell(result.cpu, yardstick.cpu) for result in results))
    table.add_row("peak memory, GB", *(cell(result.peak / 1e9, yardstick.peak / 1e9) for result in results))
    table.add_row("rows", *(f"{result.rows:,}" for result in results))
    return table


def cell(value: float | None, base: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ({value / base:.2f})" if base else f"{value:.1f}"


def disagreements(outputs: Path) -> list[str]:
    """Where the results of the three differ, one line each; none when all is well."""
    facts = {name: read_facts(outputs / name / "lake") for name in (OURS, "polars", "pandas")}
    return [
        f"{fact}: {name} has {value:,}, {OURS} has {facts[OURS][fact]:,}"
        for name, theirs in facts.items()
        for fact, value in theirs.items()
        if not math.isclose(value, facts[OURS][fact], rel_tol=0 if isinstance(value, int) else AGREE)
    ]


def read_facts(lake: Path) -> dict[str, float]:
    with duckdb.connect() as connection:
        files = {table: str(lake / table / "*" / "*.parquet") for table in ("combined", "features")}
        (row,) = (result := connection.execute(FACTS, files)).fetchall()
        return dict(zip([column[0] for column in result.description or ()], row, strict=True))


if __name__ == "__main__":
    typer.run(main)
