"""The volume model from published features to a published version: reads, trains, measures, promotes."""

import pickle
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry
from stock_assets.layout import Layout
from stock_assets.learning.split import Split, split_by_date
from stock_assets.learning.training import (
    BASELINE,
    MAX_ROWS,
    PARAMETERS,
    VolumeRows,
    evaluate,
    input_bins,
    input_ranges,
    train,
)
from stock_assets.learning.volume import INPUTS, predict_volume
from stock_assets.publishing import write_json
from stock_assets.retraining import LIBRARIES, describe_data, feature_files, method, reason_to_keep
from stock_assets.settings import Settings
from stock_assets.statements import columns, sql_hash

if TYPE_CHECKING:
    from lightgbm import Booster

NAME = "volume_model"
SELF_TEST = ((12_345.0, 25.0), (1_000_000.0, 40.0), (50.0, 1.0), (80_000_000.0, 300.0))
"""Inputs whose answers go into the manifest, for the service to repeat before it serves a version."""


@dataclass(frozen=True)
class Trained:
    """A published version. `skill` is the share of the baseline's MAE that it saves on the test window.

    `kept` says why an earlier version was kept in place of a new one, None where it is new.
    """

    version: str
    promoted: bool
    skill: float
    manifest: dict[str, Any]
    kept: str | None = None

    @property
    def verdict(self) -> str:
        beats = f"{self.version} saves {self.skill:+.2%} of the MAE of {BASELINE} on the test window"
        if self.kept:
            return f"{beats}: kept, {self.kept}"
        return f"{beats}: promoted" if self.promoted else f"{beats}: not promoted, latest.json stays as it was"


def make_volume_model(
    connection: DuckDBPyConnection, settings: Settings, threads: int, asset_key: str, run_id: str
) -> Trained:
    """Train on the published features, publish the version, and promote it if it beats the baseline.

    The version before is kept where the features have not changed, or too little for the settings. `connection` is to
    the published database: features of other prices than `combined` has now are refused. Raises `UserError` for
    those, and where there are no features or too few to train on and to measure.
    """
    layout = Layout(settings.data_dir)
    folder = layout.models / NAME
    files = feature_files(connection, layout)
    data = describe_data(connection, layout, files)
    last = registry.newest_manifest(folder)
    if last and (reason := reason_to_keep(connection, settings, last, data, list(files.values()))):
        served = _served_version(folder)
        if served is None:
            served = _promote(folder, last, asset_key, run_id)
        return Trained(last["version"], served == last["version"], last["metrics"]["skill"][BASELINE], last, reason)
    rows = _read(connection, [str(path) for path in files.values()])
    split = split_by_date(rows.days, settings.train_share, settings.validation_share)
    booster = train(rows, split, threads)
    metrics = evaluate(booster, rows, split, threads)
    facts = _facts(booster, rows, split) | {"data": data, "method": method(settings), "run_id": run_id}
    name, manifest = registry.publish_version(folder, lambda place: _write(place, booster, metrics, facts))
    promoted = _promote(folder, manifest, asset_key, run_id) is not None
    return Trained(name, promoted, metrics["skill"][BASELINE], manifest)


def _promote(folder: Path, manifest: dict[str, Any], asset_key: str, run_id: str) -> str | None:
    """Promote a version if it beats the baseline; gives the version then."""
    if manifest["metrics"]["skill"][BASELINE] <= 0:
        return None
    return registry.promote(folder, manifest["version"], asset_key, run_id).version


def _served_version(folder: Path) -> str | None:
    """The promoted version, None where there is none or the service would refuse it."""
    try:
        pointer = registry.read_pointer(folder)
        if pointer:
            registry.verify(folder, pointer)
    except registry.RegistryError:
        return None
    return pointer.version if pointer else None


def _read(connection: DuckDBPyConnection, paths: list[str]) -> VolumeRows:
    table = columns(connection, "training_rows", files=paths)
    return VolumeRows(
        days=table["Date"].astype("datetime64[D]"),
        volume=table["Volume"].astype(np.float64),
        inputs=np.column_stack([table[name] for name in INPUTS]),
    )


def _facts(booster: "Booster", rows: VolumeRows, split: Split) -> dict[str, Any]:
    """What the manifest says of a model, beside its files and its measurements."""
    return {
        "inputs": list(INPUTS),
        "target": "log(Volume / vol_moving_avg); prediction = vol_moving_avg * exp(score)",
        "parameters": PARAMETERS | {"num_iterations": booster.num_trees(), "max_rows": MAX_ROWS},
        "input_ranges": input_ranges(rows, split),
        "input_bins": input_bins(rows, split),
        "self_test": {
            "inputs": [list(pair) for pair in SELF_TEST],
            "outputs": predict_volume(booster, np.array(SELF_TEST), threads=1).tolist(),
        },
        "sql_sha256": sql_hash(),
        "libraries": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def _write(folder: Path, booster: "Booster", metrics: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    booster.save_model(folder / registry.MODEL_FILE)
    (folder / "model.pkl").write_bytes(pickle.dumps(booster))
    write_json(folder / "metrics.json", metrics)
    (folder / "card.md").write_text(_card(metrics, facts), encoding="utf-8")
    return facts | {"metrics": metrics}


CARD = """\
# {name}

Predicts a day's volume in shares from `{inputs[0]}` and `{inputs[1]}` of the same row. The mean holds the day's
own volume (one thirtieth of it), so this is no forecast of the next day.

Test window: {test[from]} to {test[to]}, {test[rows]:,} rows. Trained up to {split[train_to]}, stopped early on
{split[validation_from]} to {split[validation_to]}; {split[gap_trading_days]} trading days are left out between windows.

| | model | volume = {baseline} |
|---|---|---|
{table}

Skill against {baseline}: {skill:+.2%} of its MAE.
Data: raw snapshot {data[raw_version]}, feature fingerprint {data[fingerprint]}.
"""


def _card(metrics: dict[str, Any], facts: dict[str, Any]) -> str:
    test, baseline = metrics["test"], metrics["baselines"][BASELINE]
    names = [name for name in test if name not in ("rows", "from", "to")]
    return CARD.format(
        name=NAME,
        inputs=INPUTS,
        test=test,
        split=metrics["split"],
        baseline=BASELINE,
        table="\n".join(f"| {name} | {test[name]:,.4g} | {baseline[name]:,.4g} |" for name in names),
        skill=metrics["skill"][BASELINE],
        data=facts["data"],
    )
