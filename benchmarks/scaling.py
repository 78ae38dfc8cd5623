"""Measures how each step grows with the rows: `python -m benchmarks.scaling --rows 1,3,10,28`.

One invocation measures some sizes in one mode: as it is, with a limit for DuckDB's memory, or on Dask workers that have
a core each. Each step is a process of its own. Results go to a JSON file as soon as a size is done; a size that is
measured again replaces itself there. `--report` writes tables and pictures of them into `docs/scaling.md`.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
from rich.table import Table

from benchmarks.full_size import console, run_module, scratch_folder, warm
from benchmarks.scaling_cluster import Worker, cluster
from benchmarks.scaling_market import cut, files_for
from benchmarks.scaling_report import write_report
from benchmarks.scaling_results import RESULTS, machine, merge
from benchmarks.scaling_steps import ON_WORKERS, STEPS, size_of, take, with_what_comes_before
from stock_assets.settings import PREFIX

SIZES = ("market.duckdb", "lake/combined", "lake/features", "lake/volume_predictions", "lake/next_day_features")
"""What is weighed in the data folder, beside the price files."""


def main(  # noqa: PLR0913, PLR0917
    rows: Annotated[str, typer.Option(help="Sizes in millions of rows, separated by commas.")] = "1,3,10,28",
    memory_limit: Annotated[str, typer.Option(help="DuckDB's memory limit, such as 2GB.")] = "",
    dask_workers: Annotated[int, typer.Option(help="Workers with a core each; 0 for none.")] = 0,
    steps: Annotated[str, typer.Option(help="Steps to measure, separated by commas. Empty: all.")] = "",
    folder: Annotated[Path, typer.Option("--dir", help="Where markets and outputs go.")] = Path("bench-data"),
    market: Annotated[Path | None, typer.Option(help="A tree to cut from in place of a generated one.")] = None,
    results: Annotated[Path, typer.Option(help="The JSON file of all results.")] = RESULTS,
    report: Annotated[bool, typer.Option(help="Only write the document.")] = False,
) -> None:
    """Measure sizes in one mode, the smallest first. Exit code 1 where temporary files are left behind."""
    if report:
        write_report(results)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that outputs and processes go first
    if dask_workers > (cores := len(os.sched_getaffinity(0))):
        sys.exit(f"--dask-workers {dask_workers}: there are {cores} cores, and each worker gets one")
    sizes = sorted(float(size) for size in rows.split(","))
    wanted = steps.split(",") if steps else list(ON_WORKERS if dask_workers else STEPS)
    if unknown := set(wanted) - STEPS.keys():
        sys.exit(f"--steps {','.join(sorted(unknown))}: there are {', '.join(STEPS)}")
    folder = folder.resolve()
    source = market.resolve() if market else _generated(folder, files_for(sizes[-1]))
    table = Table("seconds (peak GB)", *wanted, title=_mode(memory_limit, dask_workers))
    left = 0
    for millions in sizes:
        with scratch_folder(folder / f"scaling-{os.getpid()}", keep=False) as outputs:
            cut(source, files_for(millions), outputs / "market")
            measured = _measure(outputs, wanted, memory_limit, dask_workers)
        merge(results, {"mode": _mode(memory_limit, dask_workers), "millions": millions} | measured, machine())
        left += sum(taken["left"] for taken in measured["steps"].values())
        table.add_row(f"{measured['rows']:,} rows", *(_cell(measured["steps"][name]) for name in wanted))
    console.print(table)
    if left:
        sys.exit(f"{left:,} bytes of temporary files were left behind")


def _mode(memory_limit: str, workers: int) -> str:
    if workers:
        return f"{workers} Dask worker{'s'[: workers - 1]}"
    return f"limit {memory_limit}" if memory_limit else "default"


def _generated(folder: Path, files: int) -> Path:
    """The generated market of so many files; it stays for the next time."""
    root = folder / f"market-{files}"
    if not root.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run_module("market", folder, [str(root), str(files)], {})
    return root


def _measure(outputs: Path, wanted: Sequence[str], memory_limit: str, workers: int) -> dict[str, Any]:
    """One size in one mode: all steps up to the last one that is wanted, each anew, and what they take."""
    size, _ = warm(outputs / "market")
    settings = {"SOURCE": "folder", "SOURCE_PATH": str(outputs / "market"), "DATA_DIR": str(outputs / "data")}
    if memory_limit:
        settings["MEMORY_LIMIT"] = memory_limit
    taken: dict[str, dict[str, Any]] = {}
    with _engine(workers, outputs) as (engine, started):
        for name in with_what_comes_before(wanted):
            on_workers = bool(started) and name in ON_WORKERS
            variables = {PREFIX + key: value for key, value in (settings | (engine if on_workers else {})).items()}
            found = take(name, outputs, variables, started if on_workers else ())
            console.print(f"{name}: {found['seconds']:.1f} s, {found['peak'] / 1e9:.2f} GB, load {found['load']}")
            if name in wanted:
                taken[name] = found
    sizes = {place: size_of([outputs / "data" / place]) for place in SIZES}
    return {"rows": _rows(outputs), "steps": taken, "bytes": {"price files": size} | sizes}


@contextmanager
def _engine(workers: int, outputs: Path) -> Iterator[tuple[dict[str, str], list[Worker]]]:
    """The settings that have a step done by a new cluster, and its workers; neither where none are asked for."""
    if not workers:
        yield {}, []
        return
    folder = outputs / "cluster"
    folder.mkdir()
    with cluster(workers, folder, {f"{PREFIX}DATA_DIR": str(outputs / "data")}) as (address, started):
        yield {"ENGINE": "dask", "DASK_SCHEDULER": address}, started


def _rows(outputs: Path) -> int:
    with duckdb.connect(str(outputs / "data" / "market.duckdb"), read_only=True) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM combined").fetchall()
        return int(rows)


def _cell(taken: dict[str, Any]) -> str:
    return f"{taken['seconds']:.1f} ({taken['peak'] / 1e9:.1f})"


if __name__ == "__main__":
    typer.run(main)
