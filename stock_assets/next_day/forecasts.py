"""Forecasts of the next session by the promoted model, one row per symbol, and what each input did to them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import NextDayBoosters, NextDayRows, explain, forecast
from stock_assets.learning.smoothing import LeastSquares
from stock_assets.learning.split import Days
from stock_assets.next_day.backtest import volume_columns
from stock_assets.next_day.baselines import HAR, Baselines
from stock_assets.next_day.model import HIGH_FILE, LOW_FILE, NAME
from stock_assets.next_day.rows import INPUTS, Source, Table, open_source, read_last_rows, stacked
from stock_assets.next_day.sessions import next_session
from stock_assets.promoted import Promoted, read_promoted
from stock_assets.publishing import staging
from stock_assets.registry import sha256_of
from stock_assets.retraining import feature_files
from stock_assets.statements import run

SHOWN = 20
"""Rows for a look in the UI."""


class Published(NamedTuple):
    """What was forecast by which version: rows, and how many of them from the newest day."""

    version: str
    rows: int
    newest: int
    as_of: str
    path: Path
    sample: list[dict[str, Any]]


def make_forecasts(connection: DuckDBPyConnection, layout: Layout, threads: int) -> Published:
    """Publish the forecast of each symbol that has enough history, from its last day, and what each input did to it.

    Raises `UserError` where no model is promoted or its files were changed, and for features of other prices than
    `combined` has now.
    """
    files = feature_files(connection, layout, "next_day_features")
    model = read_promoted(layout.models / NAME)
    if model.manifest["inputs"] != list(INPUTS):
        raise UserError(f"{NAME} {model.version} has other inputs than next_day_features: materialize {NAME}")
    boosters = _boosters(layout.models / NAME, model)
    source = open_source(connection, files)
    symbols, rows, others = _read(source, _baselines(model))
    table = volume_columns(forecast(boosters, model.manifest["margins"], rows, threads), others)
    days = {"as_of": rows.days, "forecast_for": next_session(rows.days)}
    keys = {"Symbol": np.array(symbols, dtype=object)}
    keys |= {name: values.astype("datetime64[us]") for name, values in days.items()}
    explanation = explain(boosters.point, rows, threads)
    shared = keys | {"forecast": table["forecast"], "level": explanation.level}
    connection.register("forecast_rows", keys | table)
    connection.register("explained_inputs", _by_input(shared, rows.inputs, explanation.contributions))
    with staging() as stage:
        for name in ("forecasts", "explanations"):
            path = str(stage(layout.next_day(name)))
            run(connection, f"models/next_day_export_{name}", path=path, version=model.version)
    newest = source.market.days[-1]
    return Published(
        version=model.version,
        rows=len(symbols),
        newest=int((rows.days == newest).sum()),
        as_of=str(newest),
        path=layout.next_day("forecasts"),
        sample=_first_rows(symbols, rows.days, table),
    )


def _read(source: Source, baselines: Baselines) -> tuple[list[str], NextDayRows, dict[str, Array]]:
    """Symbols, what their last days say, and the baselines' volumes. The series of one letter is held at a time."""
    symbols: list[str] = []
    parts, others = [], []
    for picked in read_last_rows(source):
        symbols += [picked.series.symbols[place] for place in picked.series.symbol_at(picked.places)]
        parts.append(picked.rows)
        others.append(baselines.predict(picked))
    return symbols, stacked(parts), {name: np.concatenate([part[name] for part in others]) for name in others[0]}


def _by_input(shared: Table, inputs: NDArray[np.float32], contributions: Array) -> Table:
    """A row for each of k inputs of n forecasts: what they share of shape (n,), `inputs` and `contributions` (n, k)."""
    return {name: np.repeat(values, len(INPUTS)) for name, values in shared.items()} | {
        "input": np.tile(np.array(INPUTS, dtype=object), len(inputs)),
        "value": np.ma.masked_invalid(inputs.ravel().astype(np.float64)),
        "contribution": contributions.ravel(),
    }


def _first_rows(symbols: list[str], days: Days, table: Table) -> list[dict[str, Any]]:
    return [
        {"symbol": symbols[row], "as of": str(days[row])} | {name: int(values[row]) for name, values in table.items()}
        for row in range(min(SHOWN, len(symbols)))
    ]


def _baselines(model: Promoted) -> Baselines:
    """The baselines that a version was held against, as they were fitted then."""
    fitted = model.manifest["baselines"]
    coefficients = np.array([fitted["har"][name] for name in ("constant", *HAR)])
    return Baselines(fitted["ewma"]["alpha"], LeastSquares(coefficients))


def _boosters(folder: Path, model: Promoted) -> NextDayBoosters:
    """The boosters of a version; its text is verified, the ends of the interval are held against their hashes here."""
    texts = [model.text]
    for name in (LOW_FILE, HIGH_FILE):
        path = folder / model.version / name
        if not path.exists() or sha256_of(path) != model.manifest["files"][name]:
            raise UserError(f"{path} is missing or was changed: materialize {NAME}, or roll back")
        texts.append(path.read_bytes())
    return NextDayBoosters(*map(load_booster, texts))
