"""Forecasts of the next session by the promoted model: one row per symbol."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.next_day import NextDayBoosters, forecast
from stock_assets.learning.smoothing import LeastSquares
from stock_assets.next_day.backtest import volume_columns
from stock_assets.next_day.baselines import HAR, Baselines
from stock_assets.next_day.model import HIGH_FILE, LOW_FILE, NAME
from stock_assets.next_day.rows import INPUTS, open_source, read_last_rows
from stock_assets.next_day.sessions import next_session
from stock_assets.promoted import Promoted, read_promoted
from stock_assets.publishing import staged
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
    """Publish the forecast of each symbol that has enough history, from its last day.

    Raises `UserError` where no model is promoted or its files were changed, and for features of other prices than
    `combined` has now.
    """
    files = feature_files(connection, layout, "next_day_features")
    model = read_promoted(layout.models / NAME)
    if model.manifest["inputs"] != list(INPUTS):
        raise UserError(f"{NAME} {model.version} has other inputs than next_day_features: materialize {NAME}")
    boosters = _boosters(layout.models / NAME, model)
    fitted = model.manifest["baselines"]
    coefficients = np.array([fitted["har"][name] for name in ("constant", *HAR)])
    baselines = Baselines(fitted["ewma"]["alpha"], LeastSquares(coefficients))
    source = open_source(connection, files)
    path = layout.next_day("forecasts")
    symbols: list[str] = []
    days, found = [], []
    for picked in read_last_rows(source):
        symbols += [picked.series.symbols[place] for place in picked.series.symbol_at(picked.places)]
        days.append(picked.rows.days)
        volumes = forecast(boosters, model.manifest["margins"], picked.rows, threads)
        found.append(volume_columns(volumes, baselines.predict(picked)))
    as_of = np.concatenate(days)
    table = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    day = {"as_of": as_of, "forecast_for": next_session(as_of)}
    arrays = {name: values.astype("datetime64[us]") for name, values in day.items()} | table
    connection.register("forecast_rows", {"Symbol": np.array(symbols, dtype=object)} | arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as temporary:
        run(connection, "models/next_day_export_forecasts", path=str(temporary), version=model.version)
    newest = source.market.days[-1]
    sample = [
        {"symbol": symbols[row], "as of": str(as_of[row])} | {name: int(values[row]) for name, values in table.items()}
        for row in range(min(SHOWN, len(symbols)))
    ]
    return Published(model.version, len(symbols), int((as_of == newest).sum()), str(newest), path, sample)


def _boosters(folder: Path, model: Promoted) -> NextDayBoosters:
    """The boosters of a version; its text is verified, the ends of the interval are held against their hashes here."""
    texts = [model.text]
    for name in (LOW_FILE, HIGH_FILE):
        path = folder / model.version / name
        if not path.exists() or sha256_of(path) != model.manifest["files"][name]:
            raise UserError(f"{path} is missing or was changed: materialize {NAME}, or roll back")
        texts.append(path.read_bytes())
    return NextDayBoosters(*map(load_booster, texts))
