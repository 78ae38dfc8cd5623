"""The candidates of the two-input model, from published features to a folder each: one read for all of them."""

import pickle
import platform
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry
from stock_assets.budget import thread_count
from stock_assets.engines.engine import open_engine
from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, of_manifest, record
from stock_assets.found_parameters import found_parameters
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning import candidates
from stock_assets.learning.candidates import Candidate
from stock_assets.learning.drift import stability
from stock_assets.learning.evaluation import LIQUIDITY_EDGES
from stock_assets.learning.intervals import NOMINAL, Ratios
from stock_assets.learning.models import BoosterModel, Model
from stock_assets.learning.rows import EVER, VolumeRows, Windows, fitting_windows, input_bins, input_ranges
from stock_assets.learning.split import Split, split_by_date, walk_forward
from stock_assets.learning.volume import BASELINE, INPUTS
from stock_assets.publishing import Report, staged_folder, write_json
from stock_assets.retraining import LIBRARIES, describe_data, feature_files, method, reason_to_keep
from stock_assets.settings import Settings
from stock_assets.statements import columns, run, sql_hash

MODEL = "volume_model"
FOLDER = "candidates"
PICKLE_FILE = "model.pkl"
NO_TEXT = "it is no LightGBM text, the only form that the service loads"


@dataclass(frozen=True)
class Made:
    """A candidate in its folder: its manifest, and why an earlier one was kept in place of a new one, if it was."""

    manifest: dict[str, Any]
    kept: str | None


def candidate_folder(layout: Layout, name: str) -> Path:
    return layout.models / MODEL / FOLDER / name


def read_candidate(layout: Layout, name: str) -> dict[str, Any] | None:
    """The manifest of a candidate whose model is on disk as it was published; None where there is none."""
    folder = candidate_folder(layout, name)
    try:
        manifest = registry.read_manifest(folder.parent, name)
        sound = all(registry.sha256_of(folder / file) == digest for file, digest in manifest["files"].items())
    except (registry.RegistryError, OSError, KeyError):
        return None
    return manifest if sound else None


def make_candidates(
    connection: DuckDBPyConnection,
    settings: Settings,
    names: Collection[str],
    run_id: str,
    report: Report,
) -> dict[str, Made]:
    """Fit, measure, record and publish the candidates of these names; all of them or, if nothing has changed, none.

    `connection` is to the published database: features of other prices than `combined` has now are refused. The
    ensemble's members are fitted with it; only the named candidates are published. Raises `UserError` for refused
    features, and where there are none or too few to train on and to measure.
    """
    layout, threads = Layout(settings.data_dir), thread_count(settings)
    files = feature_files(connection, layout)
    data = describe_data(connection, layout, files)
    lasts = [manifest for name in names if (manifest := read_candidate(layout, name))]
    if len(lasts) == len(names) and len({(last["method"], last["data"]["fingerprint"]) for last in lasts}) == 1:
        reason = reason_to_keep(connection, settings, lasts[0], data, list(files.values()))
        if reason:
            return {last["candidate"]: Made(last, reason) for last in lasts}
    rows = read_rows(connection, files)
    split = split_by_date(rows.days, settings.train_share, settings.validation_share)
    windows = fitting_windows(rows, split, files)
    with open_engine(settings, report) as engine:
        members = candidates.with_parameters(found_parameters(layout, MODEL), engine.train)
        models, seconds = _fit(names, windows, members, threads, report)
        checked = candidates.check(models, windows.validation, threads)
        models = candidates.refit(models, windows, threads, members)
        metrics = candidates.evaluate(models, checked, rows, split, threads)
        _add_folds(metrics, rows, settings, members, report)
    bins = input_bins(windows.training)
    drift = stability(connection, bins, list(files.values()), str(split.test_from - 1))
    for found in metrics.values():
        found["drift"] = {column: index.psi for column, index in drift.items()}
    shared = _shared_facts(rows, split, windows) | {"input_bins": bins, "data": data, "run_id": run_id}
    shared["method"] = method(settings)
    own = {
        name: _facts(name, models[name], members)
        | _interval(checked[name].ratios, metrics[name])
        | {"seconds": seconds[name], "metrics": metrics[name]}
        | shared
        for name in names
    }
    manifests = _publish(settings, {name: models[name] for name in names}, own)
    return {name: Made(manifest, None) for name, manifest in manifests.items()}


def read_rows(connection: DuckDBPyConnection, files: dict[str, Path], since: str = EVER) -> VolumeRows:
    """The feature rows that have a full window, from a day on."""
    paths = [str(path) for path in files.values()]
    table = columns(connection, "models/volume_rows", files=paths, since=since)
    letter, is_etf = _symbol_facts(connection, table.pop("symbol"))
    return VolumeRows(
        days=table.pop("Date").astype("datetime64[D]"),
        volume=table.pop("Volume").astype(np.float64),
        inputs=np.column_stack([table.pop(name) for name in INPUTS]),
        letter=letter,
        is_etf=is_etf,
    )


def _symbol_facts(connection: DuckDBPyConnection, symbol: Any) -> tuple[Any, Any]:
    """Letter and kind of each row, looked up once for each run of rows of one symbol, by its hash."""
    known = {key: (LETTERS.index(letter), is_etf) for key, letter, is_etf in run(connection, "models/volume_symbols")}
    starts = np.concatenate([[0], np.flatnonzero(symbol[1:] != symbol[:-1]) + 1])[: len(symbol)]
    facts = [known[int(key)] for key in symbol[starts]]
    lengths = np.diff([*starts, len(symbol)])
    letter = np.repeat(np.array([place for place, _ in facts], dtype=np.uint8), lengths)
    return letter, np.repeat(np.array([kind for _, kind in facts], dtype=bool), lengths)


def _fit(
    names: Collection[str], windows: Windows, members: Mapping[str, Candidate], threads: int, report: Report
) -> tuple[dict[str, Model], dict[str, float]]:
    """The models, members of the ensemble included, and the seconds that each took."""
    models, seconds = {}, {}
    before = time.monotonic()
    for name, model in candidates.fit(names, windows, threads, members):
        now = time.monotonic()
        models[name], seconds[name], before = model, round(now - before, 2), now
        report(f"{name} fitted in {seconds[name]:.1f} s")
    return models, seconds


def _add_folds(
    metrics: dict[str, dict[str, Any]],
    rows: VolumeRows,
    settings: Settings,
    members: Mapping[str, Candidate],
    report: Report,
) -> None:
    if settings.folds:
        report(f"fitting all candidates on {settings.folds} walk-forward folds")
        folds = walk_forward(rows.days, settings.train_share, settings.validation_share, settings.folds)
        for name, found in candidates.walk(metrics.keys(), rows, folds, thread_count(settings), members).items():
            metrics[name]["folds"] = found


def _shared_facts(rows: VolumeRows, split: Split, windows: Windows) -> dict[str, Any]:
    """What the manifests of all candidates say."""
    used = {"training": windows.training, "validation": windows.validation}
    return {
        "inputs": list(INPUTS),
        "baseline": BASELINE,
        "rows": {name: len(window.days) for name, window in used.items()},
        "input_ranges": input_ranges(rows, split),
        "sql_sha256": sql_hash(),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _facts(name: str, model: Model, members: Mapping[str, Candidate]) -> dict[str, Any]:
    servable = isinstance(model, BoosterModel)
    facts: dict[str, Any] = {"name": f"volume_candidates/{name}", "candidate": name, "about": candidates.ABOUT[name]}
    facts |= {"parameters": candidates.parameters_of(name, model, members), "servable": servable}
    return facts | ({"target": model.target} if isinstance(model, BoosterModel) else {"reason": NO_TEXT})


def _interval(ratios: Ratios | None, metrics: dict[str, Any]) -> dict[str, Any]:
    """The prediction interval of a candidate that can be served, with all that the service needs to answer it.

    A prediction of a row whose moving average is in bucket i reaches from `low[i]` to `high[i]` times itself; the
    buckets lie between `edges`, and an edge belongs to the bucket above it. The coverage is that of the test window.
    """
    if not ratios:
        return {}
    ends = {"low": ratios.low.tolist(), "high": ratios.high.tolist()}
    return {"interval": {"nominal": NOMINAL, "edges": list(LIQUIDITY_EDGES)} | ends | metrics["interval"]}


def _publish(
    settings: Settings, models: dict[str, Model], facts: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Record all candidates, then let their folders take their places: what is published has been recorded."""
    layout, created, manifests = Layout(settings.data_dir), datetime.now(UTC), {}
    with ExitStack() as stack:
        for name, model in models.items():
            folder = stack.enter_context(staged_folder(candidate_folder(layout, name)))
            manifests[name] = _write(folder, model, facts[name], created)
        record(settings, [_experiment(manifest) for manifest in manifests.values()])
    return manifests


def _write(folder: Path, model: Model, facts: dict[str, Any], created: datetime) -> dict[str, Any]:
    if isinstance(model, BoosterModel):
        model.booster.save_model(folder / registry.MODEL_FILE)
    else:
        (folder / PICKLE_FILE).write_bytes(pickle.dumps(model))
    write_json(folder / "metrics.json", facts["metrics"])
    files = {path.name: registry.sha256_of(path) for path in sorted(folder.iterdir())}
    digest = files.get(registry.MODEL_FILE) or files[PICKLE_FILE]
    made = {"version": f"{created:%Y%m%dT%H%M%S%f}-{digest[:8]}", "created_at": created.isoformat(timespec="seconds")}
    manifest = facts | made | {"files": files}
    write_json(folder / registry.MANIFEST_FILE, manifest)
    return manifest


def _experiment(manifest: dict[str, Any]) -> Experiment:
    reason = manifest.get("reason", "a candidate: volume_model takes the best servable one on validation")
    return of_manifest(manifest, promoted=False, reason=reason)


def comparable(layout: Layout) -> dict[str, dict[str, Any]]:
    """The candidates on disk that were made of the same data by the same method as the one that was made last.

    Only their errors can be compared. Raises `UserError` where there is no servable one among them, and where one that
    is not among them could be the best.
    """
    found = [manifest for name in candidates.NAMES if (manifest := read_candidate(layout, name))]
    newest = max(found, key=lambda manifest: str(manifest["version"]), default=None)
    if newest:
        same = {
            manifest["candidate"]: manifest
            for manifest in found
            if (manifest["method"], manifest["data"]) == (newest["method"], newest["data"])
        }
        if others := [m["candidate"] for m in found if m["servable"] and m["candidate"] not in same]:
            raise UserError(
                f"{', '.join(others)}: made of other data or code than {newest['candidate']}, so nobody knows which is "
                "best: materialize all volume_candidates"
            )
        if any(manifest["servable"] for manifest in same.values()):
            return same
    raise UserError(f"no candidate below {layout.models / MODEL / FOLDER} can be served: materialize volume_candidates")
