"""When the volume model is trained again: not on the same features, and not for fewer new rows than are asked for."""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from stock_assets.errors import UserError
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.drift import shares_of, stability_index
from stock_assets.learning.volume import INPUTS
from stock_assets.provenance import read_made_from, stale_letters
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings
from stock_assets.statements import recipe, run

LIBRARIES = ("lightgbm", "numpy", "duckdb")
MIN_NEW_ROWS = 1000
"""New rows without which drift is not looked at: the index of a few rows is noise."""


def feature_files(connection: DuckDBPyConnection, layout: Layout) -> dict[str, Path]:
    """The published feature files by letter.

    Raises `UserError` where there are none, or where some were made of other prices than `combined` has now.
    """
    files = {letter: path for letter in LETTERS if (path := layout.parquet("features", letter)).exists()}
    if not files:
        raise UserError(f"no features below {layout.data_dir}: materialize features first")
    if stale := stale_letters(connection, layout, "features", files):
        raise UserError(f"the features of {', '.join(stale)} do not fit combined: materialize all letters")
    return files


def describe_data(connection: DuckDBPyConnection, layout: Layout, files: dict[str, Path]) -> dict[str, Any]:
    """What a model is trained on: a fingerprint of the features, their letters, rows and last day, the snapshot."""
    digest = hashlib.sha256()
    for letter, path in files.items():
        digest.update(f"{letter} {read_made_from(connection, path)}\n".encode())
    ((rows, until),) = run(connection, "feature_rows", files=[str(path) for path in files.values()])
    return {
        "fingerprint": digest.hexdigest(),
        "letters": list(files),
        "rows": rows,
        "until": until,
        "raw_version": read_manifest(layout).version,
    }


def method(settings: Settings) -> str:
    """A hash of all that makes a model besides its data: code, statements, the settings of the split, libraries."""
    folder = Path(__file__).parent
    code = [sha256_of(path) for path in (folder / "volume_model.py", *sorted((folder / "learning").glob("*.py")))]
    libraries = [version(name) for name in LIBRARIES]
    parts = [code, recipe(), libraries, settings.train_share, settings.validation_share]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def reason_to_keep(
    connection: DuckDBPyConnection,
    settings: Settings,
    last: dict[str, Any],
    data: dict[str, Any],
    files: Sequence[Path],
) -> str | None:
    """Why the version of the manifest `last` is as good as one that is trained on `data` now; None where it is not."""
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
    expected = last["input_bins"]
    edges = {name: expected[name]["edges"] for name in INPUTS}
    paths = [str(path) for path in files]
    counts: dict[str, dict[int, int]] = {name: {} for name in INPUTS}
    for name, place, rows in run(connection, "input_bins", files=paths, after=last["data"]["until"], edges=edges):
        counts[name][place] = rows
    if sum(counts[INPUTS[0]].values()) < MIN_NEW_ROWS:
        return {}
    return {
        name: stability_index(shares := expected[name]["shares"], shares_of(counts[name], len(shares)))
        for name in INPUTS
    }
