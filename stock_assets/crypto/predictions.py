"""The table `next_price_predictions`: what the model says of every day, whether or not it beats the random walk."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.crypto.candidates import load
from stock_assets.crypto.card import verdict
from stock_assets.crypto.measures import RANDOM_WALK
from stock_assets.crypto.model import NAME
from stock_assets.crypto.rows import PriceRows, read_rows
from stock_assets.errors import UserError
from stock_assets.ingest.snapshot import Manifest
from stock_assets.layout import Layout
from stock_assets.learning.evaluation import BLOCK
from stock_assets.learning.metrics import Array
from stock_assets.promoted import NotPromotedError, Promoted, read_promoted
from stock_assets.publishing import staged
from stock_assets.registry import MODEL_FILE, newest_manifest
from stock_assets.statements import run

MIN_DAYS = 5 * BLOCK
"""Days of the test window without which an interval says nothing: of two blocks a coin beats the random walk often."""


class Published(NamedTuple):
    """What was made; `forecasts` has the last row of each asset."""

    version: str
    promoted: bool
    rows: int
    forecasts: list[dict[str, Any]]
    path: Path


def make_predictions(connection: DuckDBPyConnection, layout: Layout) -> Published:
    """Write the predictions of the promoted version for all rows, or where none is of the one that was made last.

    Raises `UserError` where there is no sound version, or one of another program.
    """
    model, promoted = _model(layout.models / NAME)
    features, path = layout.crypto("crypto_features"), layout.crypto("next_price_predictions")
    rows = read_rows(connection, features)
    try:
        predicted = load(model.manifest["candidate"], model.text).predict(rows)
    except (KeyError, ValueError) as error:
        raise UserError(f"version {model.version} of {NAME}: {error}; materialize {NAME}") from error
    metrics = model.manifest["metrics"]
    beats = beats_random_walk(model.manifest)
    table = {
        "prediction": np.ma.masked_invalid(predicted),
        "seen_in": _seen_in(rows, metrics["split"]),
        "beats_random_walk": np.array([beats.get(str(name), False) for name in rows.asset]),
    }
    told = json.dumps(worth(model, promoted))
    source = Manifest.model_validate_json(layout.crypto_manifest.read_bytes()).source
    connection.register("predictions", table)
    try:
        with staged(path) as file:
            target = {"features": str(features), "path": str(file), "source": source}
            run(connection, "crypto/export_predictions", **target, model=told)
    finally:
        connection.unregister("predictions")
    return Published(model.version, promoted, len(rows.days), _forecasts(rows, predicted, beats), path)


def beats_random_walk(manifest: dict[str, Any]) -> dict[str, bool]:
    """By asset whether the version errs less on the test window by more than chance would.

    The low end of the 95 % interval of its skill is above 0, and there are enough days for an interval.
    """
    candidate = manifest["candidate"]
    found = {asset: scores[candidate] for asset, scores in manifest["metrics"]["assets"].items()}
    return {asset: own["rows"] >= MIN_DAYS and own["skill_interval"][0] > 0 for asset, own in found.items()}


def worth(model: Promoted, promoted: bool) -> dict[str, Any]:
    """What a reader of the predictions should know of the model: which it is, and how it did on the test window."""
    manifest, metrics = model.manifest, model.manifest["metrics"]
    candidate = manifest["candidate"]
    return {
        "version": model.version,
        "candidate": candidate,
        "promoted": promoted,
        "baseline": RANDOM_WALK,
        "skill": metrics["skill"][RANDOM_WALK],
        "skill_interval": metrics["skill_interval"][RANDOM_WALK],
        "test": {name: metrics["test"][name] for name in ("from", "to", "rows")},
        "direction": metrics["direction"],
        "verdict": verdict(metrics),
        "assets": {
            asset: {"model": scores[candidate], RANDOM_WALK: scores[RANDOM_WALK]}
            for asset, scores in metrics["assets"].items()
        },
    }


def _model(folder: Path) -> tuple[Promoted, bool]:
    """The promoted version, or the newest one; and whether it is promoted."""
    try:
        return read_promoted(folder), True
    except NotPromotedError:
        manifest = newest_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no version of {NAME}: materialize it first")
    text = (folder / manifest["version"] / MODEL_FILE).read_bytes()
    return Promoted(manifest["version"], manifest, text), False


def _seen_in(rows: PriceRows, split: dict[str, Any]) -> NDArray[np.object_]:
    """The window of the training that a row's day is in."""
    edges = np.array([split[name] for name in ("validation_to", "test_from", "test_to")], dtype="datetime64[D]")
    places = (rows.days > edges[0]).astype(int) + (rows.days >= edges[1]) + (rows.days > edges[2])
    return np.asarray(np.array(["training", "gap", "test", "later"], dtype=object)[places])


def _forecasts(rows: PriceRows, predicted: Array, beats: dict[str, bool]) -> list[dict[str, Any]]:
    last = [np.flatnonzero(places)[-1] for places in rows.by_asset().values()]
    return [
        {
            "asset": rows.asset[row],
            "day": str(rows.days[row]),
            "price": float(rows.price[row]),
            "next price": float(predicted[row]),
            "beats the random walk": str(beats.get(str(rows.asset[row]), False)),
        }
        for row in last
    ]
