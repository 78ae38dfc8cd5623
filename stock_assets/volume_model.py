"""The volume model: the best candidate that can be served becomes a version, and is promoted if it has skill."""

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry, versions
from stock_assets.card import write_card
from stock_assets.layout import Layout
from stock_assets.learning.boosters import load_booster
from stock_assets.learning.volume import BASELINE, predict_volume
from stock_assets.pictures import Picture
from stock_assets.publishing import write_json
from stock_assets.retraining import feature_files
from stock_assets.settings import Settings, reproduce
from stock_assets.volume_candidates import MODEL, candidate_folder, comparable, read_rows
from stock_assets.volume_card import describe, draw

if TYPE_CHECKING:
    from lightgbm import Booster

NAME = MODEL
SELF_TEST = ((12_345.0, 25.0), (1_000_000.0, 40.0), (50.0, 1.0), (80_000_000.0, 300.0))
"""Inputs whose answers go into the manifest, for the service to repeat before it serves a version."""
SHOWN_ROWS = 500_000
"""Test rows, evenly spaced, in the picture of predicted against actual volume."""
FROM_CANDIDATE = (
    "about", "inputs", "target", "parameters", "rows", "input_ranges", "input_bins", "interval", "sql_sha256",
    "libraries", "data", "method",
)  # fmt: skip


class Choice(NamedTuple):
    """The manifest of the candidate that becomes a version, all that it was compared with, its text and its booster."""

    best: dict[str, Any]
    candidates: dict[str, dict[str, Any]]
    text: bytes
    booster: "Booster"


def make_volume_model(
    connection: DuckDBPyConnection, settings: Settings, threads: int, asset_key: str, run_id: str
) -> versions.Trained:
    """Publish the best servable candidate on validation as a version, and promote it if it beats the baseline.

    The version before is kept where that is the candidate that it was made from. Raises `UserError` where there is no
    servable candidate, and for features of other prices than `combined` has now.
    """
    layout = Layout(settings.data_dir)
    folder = layout.models / NAME
    choice = _choose(layout)
    last = registry.newest_manifest(folder)
    if last and _is_made_from(last, choice.best):
        kept = f"{last['candidate']} is still the best candidate and was not trained again"
        return versions.keep(folder, last, asset_key, run_id, kept)
    shown = _draw(connection, layout, choice, threads)
    facts = _facts(choice) | {"run_id": run_id}
    summaries = {name: _summary(found) for name, found in choice.candidates.items()}
    metrics = choice.best["metrics"] | {"candidates": summaries}

    def describe_it(place: Path, named: dict[str, Any]) -> None:
        write_card(place, describe(named, shown, reproduce(settings)))

    told = versions.Told(shown, _reason(choice), asset_key, describe_it)
    return versions.publish(settings, folder, lambda place: _write(place, choice, facts, metrics), told)


def _choose(layout: Layout) -> Choice:
    candidates = comparable(layout)
    best = min(_servable(candidates), key=lambda manifest: float(manifest["metrics"]["validation"]["mae"]))
    text = (candidate_folder(layout, best["candidate"]) / registry.MODEL_FILE).read_bytes()
    return Choice(best, candidates, text, load_booster(text))


def _servable(candidates: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [manifest for manifest in candidates.values() if manifest["servable"]]


def _is_made_from(last: dict[str, Any], best: dict[str, Any]) -> bool:
    same = all(last.get(name) == best[name] for name in ("candidate", "data", "method"))
    return same and last["files"][registry.MODEL_FILE] == best["files"][registry.MODEL_FILE]


def _facts(choice: Choice) -> dict[str, Any]:
    """What the manifest says of a model, beside its files and its measurements."""
    best = choice.best
    outputs = predict_volume(choice.booster, np.array(SELF_TEST), 1, best["target"])
    return {
        "candidate": best["candidate"],
        "baseline": BASELINE,
        "self_test": {"inputs": [list(pair) for pair in SELF_TEST], "outputs": outputs.tolist()},
    } | {name: best[name] for name in FROM_CANDIDATE}


def _summary(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a version's metrics say of a candidate."""
    metrics = manifest["metrics"]
    return {
        "validation_mae": metrics["validation"]["mae"],
        "mae": metrics["test"]["mae"],
        "skill": metrics["skill"],
        "skill_interval": metrics["skill_interval"],
        "servable": manifest["servable"],
    }


def _reason(choice: Choice) -> str:
    """Why this candidate, in a line."""
    beaten = [found["candidate"] for found in _servable(choice.candidates) if found is not choice.best]
    chosen = f"{choice.best['candidate']} errs least on validation of the candidates that can be served"
    return f"{chosen}, less than {' and '.join(beaten)}" if beaten else chosen


def _draw(connection: DuckDBPyConnection, layout: Layout, choice: Choice, threads: int) -> tuple[Picture, ...]:
    best = choice.best
    test = read_rows(connection, feature_files(connection, layout), best["metrics"]["test"]["from"]).thinned(SHOWN_ROWS)
    predicted = predict_volume(choice.booster, test.inputs, threads, best["target"])
    return draw(choice.candidates, best["candidate"], choice.booster, test.volume, predicted)


def _write(folder: Path, choice: Choice, facts: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    (folder / registry.MODEL_FILE).write_bytes(choice.text)
    (folder / "model.pkl").write_bytes(pickle.dumps(choice.booster))
    write_json(folder / "metrics.json", metrics)
    return facts | {"metrics": metrics}
