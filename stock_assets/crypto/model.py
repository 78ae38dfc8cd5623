"""The model of the next day's price, from published features to a published version: trains, measures, promotes."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry, versions
from stock_assets.card import write_card
from stock_assets.crypto.candidates import (
    ALPHAS,
    Candidate,
    fit_lightgbm_returns,
    fit_linear_raw,
    fit_ridge_returns,
    refit_lightgbm_returns,
)
from stock_assets.crypto.card import describe, draw
from stock_assets.crypto.measures import RANDOM_WALK, measure_all, scaled_mae
from stock_assets.crypto.rows import INPUTS, PUBLISHED_INPUTS, PriceRows, describe_data, read_rows
from stock_assets.engines.engine import open_engine
from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.fitting import Train, train_here
from stock_assets.learning.split import Split, split_by_date
from stock_assets.publishing import Report, write_json
from stock_assets.settings import Settings, reproduce
from stock_assets.statements import recipe

NAME = "next_price_model"
TRAIN_SHARE, VALIDATION_SHARE = 0.55, 0.15
"""70 % of the rows are for training; the last of them choose the candidate before all of them fit it again."""
MIN_ROWS = 30
"""Rows that a window must have, and an asset in the training window to count."""
LIBRARIES = ("lightgbm", "scikit-learn", "scipy", "numpy", "duckdb")
PACKAGE = Path(__file__).parent
TARGETS = {
    "linear_raw": "next_price",
    "ridge_returns": "ln(next_price / price)",
    "lightgbm_returns": "ln(next_price / price)",
}


class Windows(NamedTuple):
    """Rows with all inputs and a label, of assets that have enough of them: `known` is what may be learned of."""

    training: PriceRows
    validation: PriceRows
    known: PriceRows
    test: PriceRows


class Fitted(NamedTuple):
    """The candidates, fitted on all that may be learned of, and their scaled MAE on validation before that."""

    candidates: dict[str, Candidate]
    validation_mae: dict[str, float]

    @property
    def best(self) -> str:
        return min(self.validation_mae, key=lambda name: self.validation_mae[name])


def make_next_price_model(
    connection: DuckDBPyConnection, settings: Settings, asset_key: str, run_id: str, report: Report
) -> versions.Trained:
    """Train on the published features, publish the version, and promote it if it beats the random walk.

    The version before is kept where features and method have not changed. Raises `UserError` without features, and for
    too few of them.
    """
    layout = Layout(settings.data_dir)
    folder, features = layout.models / NAME, layout.crypto("crypto_features")
    if not features.exists():
        raise UserError(f"{features} is missing: materialize crypto_features first")
    data, made_by = describe_data(connection, features), method()
    last = registry.newest_manifest(folder)
    if last and (last["method"], last["data"]["fingerprint"]) == (made_by, data["fingerprint"]):
        return versions.keep(folder, last, asset_key, run_id, "features and method have not changed")
    windows, split = cut(read_rows(connection, features))
    with open_engine(settings, report) as engine:
        fitted = fit(windows, engine.train)
    predicted = {name: model.predict(windows.test) for name, model in fitted.candidates.items()}
    metrics = measure_all(windows.test, predicted, fitted.best) | {"split": split.as_json()}
    for name, mae in fitted.validation_mae.items():
        metrics["candidates"][name]["validation_mae"] = mae
    facts = _facts(fitted) | {"data": data, "method": made_by, "run_id": run_id}
    facts["rows"] = {name: len(rows.days) for name, rows in windows._asdict().items()}
    shown = draw(metrics)

    def write(place: Path) -> dict[str, Any]:
        (place / registry.MODEL_FILE).write_text(fitted.candidates[fitted.best].text(), encoding="utf-8", newline="\n")
        write_json(place / "metrics.json", metrics)
        return facts | {"metrics": metrics}

    def describe_it(place: Path, named: dict[str, Any]) -> None:
        write_card(place, describe(named, shown, f"{reproduce(settings)} --select 'crypto_prices*'"))

    chosen = f"{fitted.best} errs least on validation"
    return versions.publish(settings, folder, write, versions.Told(shown, chosen, asset_key, describe_it))


def cut(rows: PriceRows) -> tuple[Windows, Split]:
    """The windows of the rows, by date. Raises `UserError` for too few days or rows."""
    usable = rows.at(rows.complete(*INPUTS, *PUBLISHED_INPUTS, "next_price"))
    try:
        split = split_by_date(usable.days, TRAIN_SHARE, VALIDATION_SHARE)
    except UserError as error:
        raise UserError(f"too few days for {NAME}: it takes files of about 520 days") from error
    training = split.train(usable.days)
    for places in usable.by_asset().values():
        if (training & places).sum() < MIN_ROWS:
            training &= ~places
    counted = usable.at(np.isin(usable.asset.astype(str), usable.asset[training].astype(str)))
    windows = Windows(
        counted.at(split.train(counted.days)),
        counted.at(split.validation(counted.days)),
        counted.at(counted.days <= split.validation_to),
        counted.at(split.test(counted.days)),
    )
    for name, window in windows._asdict().items():
        if len(window.days) < MIN_ROWS:
            raise UserError(
                f"the {name} window of {NAME} has {len(window.days)} usable rows, fewer than {MIN_ROWS}: it takes "
                "files of about 520 days"
            )
    return windows, split


def fit(windows: Windows, train: Train = train_here) -> Fitted:
    """The candidates of the training window, measured on validation, then fitted again on both."""
    training, validation, known, _ = windows
    ridges = [fit_ridge_returns(training, alpha) for alpha in ALPHAS]
    ridge = min(ridges, key=lambda model: scaled_mae(validation, model.predict(validation)))
    booster = fit_lightgbm_returns(training, validation, train)
    first: dict[str, Candidate] = {
        "linear_raw": fit_linear_raw(training),
        "ridge_returns": ridge,
        "lightgbm_returns": booster,
    }
    again: dict[str, Candidate] = {
        "linear_raw": fit_linear_raw(known),
        "ridge_returns": fit_ridge_returns(known, ridge.alpha),
        "lightgbm_returns": refit_lightgbm_returns(booster, known, train),
    }
    return Fitted(again, {name: scaled_mae(validation, model.predict(validation)) for name, model in first.items()})


def method() -> str:
    """A hash of all that makes the model besides its data: code, statements, libraries."""
    sources = (*sorted(PACKAGE.glob("*.py")), *sorted((PACKAGE.parent / "learning").glob("*.py")))
    parts = [[registry.sha256_of(path) for path in sources], recipe("crypto"), [version(name) for name in LIBRARIES]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _facts(fitted: Fitted) -> dict[str, Any]:
    """What the manifest says of a model, beside its files and its measurements."""
    best = fitted.best
    return {
        "candidate": best,
        "inputs": list(PUBLISHED_INPUTS if best == "linear_raw" else INPUTS),
        "target": TARGETS[best],
        "baseline": RANDOM_WALK,
        "parameters": fitted.candidates[best].parameters,
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }
