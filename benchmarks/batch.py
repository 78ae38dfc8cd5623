"""Times `volume_predictions` beside the booster's own `predict`: `python -m benchmarks.batch DATA_DIR`.

The data folder has features and a promoted model; its predictions are made anew. Exit code 1 where any of them is not
what the booster says.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import duckdb
import numpy as np
import typer
from rich.table import Table

from benchmarks.full_size import console
from stock_assets.budget import thread_count
from stock_assets.definitions import defs
from stock_assets.defs.running import open_instance, run_full_refresh
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.lookup import tabulate
from stock_assets.learning.volume import INPUTS, MAX_VOLUME, volume_of
from stock_assets.promoted import Promoted, read_promoted
from stock_assets.settings import PREFIX, Settings, load_settings

READ = f"""SELECT {", ".join(INPUTS)}, predicted_volume FROM read_parquet($files)"""


def main(data_dir: Annotated[Path, typer.Argument(help="A data folder with features and a promoted model.")]) -> None:
    """Time the asset as Dagster runs it, then its scores alone by the table and by the booster, on the same rows."""
    os.environ[f"{PREFIX}DATA_DIR"] = str(data_dir.resolve())
    settings = load_settings()
    layout = Layout(settings.data_dir)
    seconds = {"volume_predictions: read, predict, write": run_asset(settings, layout)}
    model, threads = read_promoted(layout.models / "volume_model"), thread_count(settings)
    files = [str(path) for letter in LETTERS if (path := layout.parquet("volume_predictions", letter)).exists()]
    with duckdb.connect(config={"threads": threads}) as connection:
        read = connection.execute(READ, {"files": files}).fetchnumpy()
    inputs = np.column_stack([np.ma.filled(read[name], np.nan) for name in INPUTS])
    scores = both_scores(model, inputs, threads, seconds)
    console.print(f"{threads} threads, load {os.getloadavg()[0]:.1f}, version {model.version}")
    console.print(result(seconds, len(inputs)))
    wrong = differences(model, inputs, scores, read["predicted_volume"])
    if wrong:
        sys.exit(f"{wrong:,} predictions are not those of the booster")
    console.print("each score and each prediction is that of the booster")


def run_asset(settings: Settings, layout: Layout) -> float:
    """Seconds of the step that makes all predictions anew."""
    shutil.rmtree(layout.data_dir / "lake" / "volume_predictions", ignore_errors=True)
    with open_instance(settings) as instance:
        outcome = run_full_refresh(instance, defs, None, "volume_predictions", lambda _asset, _message: None)
    if outcome.error:
        sys.exit(outcome.error)
    return outcome.seconds["volume_predictions"]


def both_scores(
    model: Promoted, inputs: np.ndarray, threads: int, seconds: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Scores by the table and by the booster."""
    booster = load_booster(model.text)
    start = time.perf_counter()
    table = tabulate(booster, threads)
    if table is None:
        sys.exit("the model has no table")
    ours = table.score(*(np.ascontiguousarray(column) for column in inputs.T))
    seconds["scores by the table, one thread"] = time.perf_counter() - start
    start = time.perf_counter()
    theirs = np.asarray(booster.predict(inputs, num_threads=threads))
    seconds["scores by booster.predict"] = time.perf_counter() - start
    return ours, theirs


def result(seconds: dict[str, float], rows: int) -> Table:
    table = Table(f"{rows:,} rows", "seconds", "rows a second", "ratio to booster.predict")
    for name, taken in seconds.items():
        ratio = taken / seconds["scores by booster.predict"]
        table.add_row(name, f"{taken:.2f}", f"{rows / taken:,.0f}", f"{ratio:.2f}")
    return table


def differences(model: Promoted, inputs: np.ndarray, scores: tuple[np.ndarray, np.ndarray], written: np.ndarray) -> int:
    """How many scores differ, and how many published predictions are not the rounded volume of the booster's score."""
    ours, theirs = scores
    answered = (inputs >= 0).all(axis=1) & (inputs[:, 0] <= MAX_VOLUME)
    expected = np.rint(volume_of(theirs, inputs[:, 0], model.manifest["target"]))
    filled = np.ma.filled(np.ma.asarray(written).astype(np.float64), np.nan)
    return int(np.sum(ours != theirs)) + int(np.sum(~np.where(answered, filled == expected, np.isnan(filled))))


if __name__ == "__main__":
    typer.run(main)
