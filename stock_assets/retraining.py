"""When the candidates are trained again: not on the same features, and not for fewer new rows than are asked for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from stock_assets.errors import UserError
from stock_assets.found_parameters import found_parameters
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import LETTERS, Layout, Table
from stock_assets.learning.drift import stability
from stock_assets.provenance import read_made_from, stale_letters
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings
from stock_assets.statements import FOLDER, recipe, run

LIBRARIES = ("lightgbm", "scikit-learn", "scipy", "numpy", "duckdb")
MODEL_SQL = FOLDER / "models"
MIN_NEW_ROWS = 1000
"""New rows without which drift is not looked at: the index of a few rows is noise."""


def feature_files(connection: DuckDBPyConnection, layout: Layout, table: Table = "features") -> dict[str, Path]:
    """The published files of a feature table by letter.

    Raises `UserError` where there are none, or where some were made of other prices than `combined` has now.
    """
    files = {letter: path for letter in LETTERS if (path := layout.parquet(table, letter)).exists()}
    if not files:
        raise UserError(f"no {table} below {layout.data_dir}: materialize {table} first")
    if stale := stale_letters(connection, layout, table, files):
        raise UserError(f"the {table} of {', '.join(stale)} do not fit combined: materialize all letters")
    return files


def fingerprint(connection: DuckDBPyConnection, files: Mapping[str, Path]) -> str:
    """A hash of what feature files were made of."""
    digest = hashlib.sha256()
    for letter, path in files.items():
        digest.update(f"{letter} {read_made_from(connection, path)}\n".encode())
    return digest.hexdigest()


def describe_data(connection: DuckDBPyConnection, layout: Layout, files: dict[str, Path]) -> dict[str, Any]:
    """What a model is trained on: a fingerprint of the features, their letters, rows and last day, the snapshot."""
    ((rows, until),) = run(connection, "feature_rows", files=[str(path) for path in files.values()])
    return {
        "fingerprint": fingerprint(connection, files),
        "letters": list(files),
        "rows": rows,
        "until": until,
        "raw_version": read_manifest(layout).version,
    }


def method(settings: Settings) -> str:
    """A hash of all that makes the candidates besides their data; raises `UserError` as `found_parameters` does."""
    parts = [code_version(settings), found_parameters(Layout(settings.data_dir), "volume_model")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def code_version(settings: Settings) -> str:
    """A hash of what makes the candidates besides data and found parameters: code, statements, split, libraries."""
    folder = Path(__file__).parent
    sources = (
        folder / "volume_candidates.py",
        *sorted((folder / "learning").glob("*.py")),
        *sorted(MODEL_SQL.glob("volume_*")),
    )
    code = [sha256_of(path) for path in sources]
    libraries = [version(name) for name in LIBRARIES]
    parts = [code, recipe(), libraries, settings.train_share, settings.validation_share, settings.folds]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def reason_to_keep(
    connection: DuckDBPyConnection,
    settings: Settings,
    last: dict[str, Any],
    data: dict[str, Any],
    files: Sequence[Path],
) -> str | None:
    """Why the model of the manifest `last` is as good as one that is trained on `data` now; None where it is not."""
    if last.get("method") != method(settings):
        return None
    if last["data"]["fingerprint"] == data["fingerprint"]:
        return "the features are those that it was trained on"
    share = abs(data["rows"] - last["data"]["rows"]) / max(data["rows"], 1)
    if share >= settings.retrain_share:
        return None
    few = f"{share:.2%} of the feature rows are new, less than STOCK_ASSETS_RETRAIN_SHARE={settings.retrain_share:g}"
    if settings.retrain_drift is None:
        return few
    worst = max(input_drift(connection, last, files).values(), default=0)
    if worst >= settings.retrain_drift:
        return None
    return f"{few}, and their drift of {worst:.3f} is below STOCK_ASSETS_RETRAIN_DRIFT={settings.retrain_drift:g}"


def input_drift(connection: DuckDBPyConnection, last: dict[str, Any], files: Sequence[Path]) -> dict[str, float]:
    """The population stability index of each input, of the rows since the last training against that training.

    Empty where there are fewer than `MIN_NEW_ROWS` such rows.
    """
    found = stability(connection, last["input_bins"], files, last["data"]["until"])
    return {name: drift.psi for name, drift in found.items() if drift.rows >= MIN_NEW_ROWS}
