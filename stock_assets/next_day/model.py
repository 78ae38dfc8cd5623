"""The next-day model from published features to a published version: reads, trains, measures, promotes."""

import pickle
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry, versions
from stock_assets.budget import thread_count
from stock_assets.card import write_card
from stock_assets.engines.engine import Engine, open_engine
from stock_assets.errors import UserError
from stock_assets.found_parameters import found_parameters
from stock_assets.layout import Layout
from stock_assets.learning.drift import bins, stability
from stock_assets.learning.evaluation import measure
from stock_assets.learning.intervals import NOMINAL, QUANTILES, coverage, margins
from stock_assets.learning.metrics import Array
from stock_assets.learning.next_day import (
    PARAMETERS,
    QUANTILE_PARAMETERS,
    QUANTILE_ROUNDS,
    RECENCY_YEARS,
    SIZE_POWER,
    NextDayBoosters,
    NextDayRows,
    Trainer,
    fit,
    fit_quantile,
    forecast,
    predict_logs,
)
from stock_assets.learning.split import Split, split_by_date
from stock_assets.next_day.backtest import Backtest, write_backtest
from stock_assets.next_day.baselines import DECISIVE, Baselines, choose_alpha, fit_har
from stock_assets.next_day.card import describe, draw
from stock_assets.next_day.data import LIBRARIES, describe_data, method
from stock_assets.next_day.rows import (
    HISTORY,
    INPUTS,
    Picked,
    Source,
    Window,
    in_window,
    joined,
    open_source,
    read_windows,
)
from stock_assets.publishing import Report, write_json
from stock_assets.retraining import feature_files
from stock_assets.settings import Settings, reproduce

NAME = "next_day_model"
LOW_FILE, HIGH_FILE = "low.txt", "high.txt"
MAX_TRAINING = 700_000
MAX_VALIDATION = 150_000
MAX_QUANTILE = 300_000
"""Rows that are used of a window, spread evenly over symbols and days; the test window is used whole."""
CHOSEN = "it was trained anew"
MIN_ROWS = 200
"""Rows that a window must have: fewer give neither a model nor a measurement of one."""
WATCHED = ("log_mean_20", "lag_0", "level_5", "level_60", "deviation_20", "move_abs_20", "span_20")
"""Inputs whose drift is watched: those that say what kind of market it is."""


class Windows(NamedTuple):
    """The windows of a split, with how many of their rows are used; they are read in one go."""

    training: Window
    validation: Window
    test: Window

    @classmethod
    def of(cls, source: Source, split: Split) -> "Windows":
        return cls(
            Window(source.market.days[0], split.train_to, MAX_TRAINING),
            Window(split.validation_from, split.validation_to, MAX_VALIDATION),
            Window(split.test_from, split.test_to),
        )


class Fitted(NamedTuple):
    """What training gives; nothing of it has seen the test window."""

    boosters: NextDayBoosters
    parameters: dict[str, Any]
    margins: dict[str, float]
    baselines: Baselines
    rows: dict[str, int]
    bins: dict[str, dict[str, list[float]]]


def make_next_day_model(
    connection: DuckDBPyConnection, settings: Settings, asset_key: str, run_id: str, report: Report
) -> versions.Trained:
    """Train on the published next-day features, back-test, publish the version, and promote it if it has skill.

    The version before is kept where features, method and parameters have not changed. Raises `UserError` for features
    of other prices than `combined` has now, and for too few rows.
    """
    layout, threads = Layout(settings.data_dir), thread_count(settings)
    folder = layout.models / NAME
    source = open_source(connection, feature_files(connection, layout, "next_day_features"))
    data = describe_data(source, layout)
    last, made_by = registry.newest_manifest(folder), method(settings)
    same = last and (last["method"], last["data"]["fingerprint"]) == (made_by, data["fingerprint"])
    if last and same and layout.next_day("backtest").exists():
        return versions.keep(folder, last, asset_key, run_id, "features, method and parameters have not changed")
    split = split_by_date(source.market.days, settings.train_share, settings.validation_share, source.market.rows)
    windows = Windows.of(source, split)
    picked = list(read_windows(source, *windows))
    with open_engine(settings, report) as engine:
        fitted = train(picked, windows, PARAMETERS | found_parameters(layout, NAME), engine)
    report(f"scoring the test window from {split.test_from}")
    tested = _test(picked, windows.test, fitted, threads)
    drift = stability(connection, fitted.bins, list(source.files.values()), str(split.test_from - 1))
    metrics = _measure(tested, split) | {"drift": {name: index.psi for name, index in drift.items()}}
    facts = _facts(fitted) | {"data": data, "method": made_by, "run_id": run_id}
    shown = draw(fitted.boosters.point, tested, metrics)

    def describe_it(place: Path, named: dict[str, Any]) -> None:
        write_card(place, describe(named, shown, reproduce(settings)))

    told = versions.Told(shown, CHOSEN, asset_key, describe_it)
    with write_backtest(connection, layout, tested):
        return versions.publish(settings, folder, lambda place: _write(place, fitted.boosters, facts, metrics), told)


def train(picked: Sequence[Picked], windows: Windows, parameters: Mapping[str, Any], engine: Engine) -> Fitted:
    """Fit the boosters, the baselines and the margins on the training and validation rows of these.

    Raises `UserError` where a window has fewer than `MIN_ROWS` rows.
    """
    checked = require(joined(in_window(picked, windows.validation)), "validation")
    alpha = choose_alpha(in_window(picked, windows.validation))
    training = require(joined(in_window(picked, windows.training)), "training")
    engine.report(f"training on {len(training.days)} rows up to {windows.training.last}")
    trainer = Trainer(INPUTS, engine.threads, engine.train)
    point = fit(training, checked, parameters, trainer)
    engine.report(f"{point.num_trees()} trees; fitting the interval")
    thinned = training.at(slice(None, None, max(1, -(-len(training.days) // MAX_QUANTILE))))
    low, high = (fit_quantile(thinned, quantile, trainer) for quantile in QUANTILES)
    boosters = NextDayBoosters(point, low, high)
    logs = predict_logs(boosters, checked, engine.threads)
    return Fitted(
        boosters=boosters,
        parameters=dict(parameters),
        margins=margins(logs.low, logs.high, np.log1p(checked.volume), checked.buckets()),
        baselines=Baselines(alpha, fit_har(training)),
        rows={"training": len(training.days), "quantiles": len(thinned.days), "validation": len(checked.days)},
        bins={name: bins(_finite(training.inputs[:, INPUTS.index(name)])) for name in WATCHED},
    )


def require(rows: NextDayRows, window: str) -> NextDayRows:
    if len(rows.days) < MIN_ROWS:
        raise UserError(
            f"the {window} window of the next-day model has {len(rows.days)} usable rows, fewer than {MIN_ROWS}: "
            "add prices, or materialize more letters of next_day_features"
        )
    return rows


def _finite(values: Any) -> Array:
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _test(picked: Sequence[Picked], window: Window, fitted: Fitted, threads: int) -> Backtest:
    """The forecasts of every row of the test window, and what came."""
    parts = []
    for letter in in_window(picked, window):
        found = forecast(fitted.boosters, fitted.margins, letter.rows, threads)
        parts.append(Backtest.of(letter, found, fitted.baselines.predict(letter)))
    return Backtest.joined(parts)


def _measure(tested: Backtest, split: Split) -> dict[str, Any]:
    """The content of `metrics.json`. Raises `UserError` for too small a test window."""
    if len(tested.days) < MIN_ROWS:
        raise UserError(f"the test window of the next-day model has {len(tested.days)} rows, fewer than {MIN_ROWS}")
    groups = tested.groups()
    found = measure(tested.days, tested.actual, tested.forecast.point, tested.baselines, groups)
    low, high = tested.forecast.low, tested.forecast.high
    held = coverage(np.floor(low), np.ceil(high), tested.actual, groups["liquidity"])
    return found | {"interval": held, "split": split.as_json()}


def _facts(fitted: Fitted) -> dict[str, Any]:
    """What the manifest says of a model, beside its files and its measurements."""
    point = fitted.boosters.point
    return {
        "inputs": list(INPUTS),
        "target": "log(1 + next day's Volume) - log_mean_20 - ewma",
        "baseline": DECISIVE,
        "parameters": fitted.parameters | {"num_iterations": point.num_trees()},
        "interval_parameters": QUANTILE_PARAMETERS | {"num_iterations": QUANTILE_ROUNDS, "quantiles": list(QUANTILES)},
        "weights": {"recency_years": RECENCY_YEARS, "size_power": SIZE_POWER},
        "margins": fitted.margins,
        "nominal": NOMINAL,
        "baselines": fitted.baselines.as_json(),
        "history": HISTORY,
        "rows": fitted.rows,
        "input_bins": fitted.bins,
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _write(folder: Path, boosters: NextDayBoosters, facts: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    for name, booster in zip((registry.MODEL_FILE, LOW_FILE, HIGH_FILE), boosters, strict=True):
        booster.save_model(folder / name)
    (folder / "model.pkl").write_bytes(pickle.dumps(boosters._asdict()))
    write_json(folder / "metrics.json", metrics)
    return facts | {"metrics": metrics}
