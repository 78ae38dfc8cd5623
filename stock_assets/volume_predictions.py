"""The table `volume_predictions`: what the promoted volume model says of every feature row, a file a letter."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.lookup import tabulate
from stock_assets.learning.volume import INPUTS, MAX_VOLUME, Target, volume_of
from stock_assets.promoted import Promoted
from stock_assets.provenance import read_made_from, stale_letters
from stock_assets.statements import columns, run, sql

Array = NDArray[np.float64]
Predict = Callable[[Array, Array], Array]
"""Volumes in shares, shape (n,), of moving averages and median prices of shape (n,)."""


class Stale(NamedTuple):
    """What a letter's predictions lack: those of this file of features; `made_from` is what they should say."""

    features: Path
    made_from: str


class LetterFacts(NamedTuple):
    """What was made of one letter: `predicted` of its rows got a prediction.

    `skipped` says that its file was made of these features by this version already, and was left as it is.
    """

    letter: str
    rows: int
    predicted: int
    skipped: bool
    seconds: float


def predictor(model: Promoted, threads: int) -> Predict:
    """How a version of the volume model predicts many rows. Raises `UserError` for one that is not a volume model."""
    facts = model.manifest
    if facts.get("target") not in get_args(Target) or facts.get("inputs") != list(INPUTS):
        raise UserError(f"version {model.version} of volume_model is of another program: materialize volume_model")
    target: Target = facts["target"]
    try:
        booster = load_booster(model.text)
    except ValueError as error:
        raise UserError(f"version {model.version} of volume_model: {error}; materialize volume_model") from error
    table = tabulate(booster, threads)

    def predict(moving_average: Array, price: Array) -> Array:
        if table:
            score = table.score(moving_average, price)
        else:
            score = np.asarray(booster.predict(np.column_stack([moving_average, price]), num_threads=threads))
        return volume_of(score, moving_average, target)

    return predict


def stale_predictions(
    connection: DuckDBPyConnection, layout: Layout, version: str, letters: Sequence[str]
) -> dict[str, Stale]:
    """Of these letters, those whose predictions were not made of the present features by this version.

    Raises `UserError` where features of these letters were made of other prices than `combined` has now.
    """
    if unfit := stale_letters(connection, layout, "features", letters):
        raise UserError(f"the features of {', '.join(unfit)} do not fit combined: materialize features first")
    stale = {}
    for letter in letters:
        features = layout.parquet("features", letter)
        wanted = _made_from(version, read_made_from(connection, features))
        if read_made_from(connection, layout.parquet("volume_predictions", letter)) != wanted:
            stale[letter] = Stale(features, wanted)
    return stale


def _made_from(version: str, features: str) -> str:
    """Nothing for a letter without features: it has no file."""
    said = hashlib.sha256(features.encode()).hexdigest()
    return json.dumps({"recipe": recipe(), "model": version, "features": said}) if features else ""


def recipe() -> str:
    """A hash of the statements that put features and predictions together."""
    text = sql("models/prediction_inputs") + sql("models/prediction_export")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def update_predictions(
    connection: DuckDBPyConnection,
    letters: Sequence[str],
    stale: Mapping[str, Stale],
    parquet: Mapping[str, Path],
    predict: Predict,
) -> list[LetterFacts]:
    """Write the predictions of the stale ones of these letters, each to its file in `parquet`.

    A letter without features gets no file.
    """
    facts = []
    for letter in letters:
        start = time.perf_counter()
        ((rows, _),) = run(connection, "count_letter", letter=letter)
        predicted = 0
        if letter in stale and stale[letter].made_from:
            predicted = _write(connection, stale[letter], parquet[letter], predict)
        seconds = round(time.perf_counter() - start, 3)
        facts.append(LetterFacts(letter, rows, predicted, letter not in stale, seconds))
    return facts


def _write(connection: DuckDBPyConnection, stale: Stale, path: Path, predict: Predict) -> int:
    """Write the file of one letter; gives how many of its rows got a prediction."""
    table = columns(connection, "models/prediction_inputs", features=str(stale.features))
    moving_average, price = (np.ma.filled(table[name], np.nan) for name in INPUTS)
    # The service answers no other inputs.
    answered = (moving_average >= 0) & (moving_average <= MAX_VOLUME) & (price >= 0) & np.isfinite(price)
    predicted = np.ma.masked_array(predict(moving_average, price), ~answered)
    connection.register("predictions", {"predicted": predicted})
    target = {"path": str(path), "made_from": stale.made_from}
    try:
        run(connection, "models/prediction_export", features=str(stale.features), **target)
    finally:
        connection.unregister("predictions")
    return int(np.count_nonzero(answered))
