"""The volume model from published features to a published version: reads, trains, measures, promotes."""

import hashlib
import pickle
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from duckdb import DuckDBPyConnection

from stock_assets import registry
from stock_assets.errors import UserError
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import LETTERS, Layout
from stock_assets.learning.split import Split, split_by_date
from stock_assets.learning.training import BASELINE, MAX_ROWS, PARAMETERS, VolumeRows, evaluate, input_ranges, train
from stock_assets.learning.volume import INPUTS, predict_volume
from stock_assets.publishing import write_json
from stock_assets.settings import Settings
from stock_assets.statements import columns, run, sql_hash

if TYPE_CHECKING:
    from lightgbm import Booster

NAME = "volume_model"
SELF_TEST = ((12_345.0, 25.0), (1_000_000.0, 40.0), (50.0, 1.0), (80_000_000.0, 300.0))
"""Inputs whose answers go into the manifest, for the service to repeat before it serves a version."""


@dataclass(frozen=True)
class Trained:
    """A published version. `skill` is the share of the baseline's MAE that it saves on the test window."""

    version: str
    promoted: bool
    skill: float
    manifest: dict[str, Any]

    @property
    def verdict(self) -> str:
        beats = f"{self.version} saves {self.skill:+.2%} of the MAE of {BASELINE} on the test window"
        return f"{beats}: promoted" if self.promoted else f"{beats}: not promoted, latest.json stays as it was"


def make_volume_model(
    connection: DuckDBPyConnection, settings: Settings, threads: int, asset_key: str, run_id: str
) -> Trained:
    """Train on the published features, publish the version, and promote it if it beats the baseline.

    `connection` is to the published database: features of other prices than `combined` has now are refused.
    Raises `UserError` for those, and where there are no features or too few to train on and to measure.
    """
    layout = Layout(settings.data_dir)
    files = [path for letter in LETTERS if (path := layout.parquet("features", letter)).exists()]
    if not files:
        raise UserError(f"no features below {layout.data_dir}: materialize features first")
    paths = [str(path) for path in files]
    if stale := [letter for (letter,) in run(connection, "stale_letters", files=paths)]:
        raise UserError(f"the features of {', '.join(stale)} do not fit combined: materialize all letters")
    rows = _read(connection, paths)
    split = split_by_date(rows.days, settings.train_share, settings.validation_share)
    booster = train(rows, split, threads)
    metrics = evaluate(booster, rows, split, threads)
    facts = _facts(booster, rows, split) | {"data": _data_facts(layout, files), "run_id": run_id}
    folder = layout.models / NAME
    name, manifest = registry.publish_version(folder, lambda place: _write(place, booster, metrics, facts))
    skill = metrics["skill"][BASELINE]
    if skill > 0:
        registry.promote(folder, name, asset_key, run_id)
    return Trained(name, skill > 0, skill, manifest)


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
        "self_test": {
            "inputs": [list(pair) for pair in SELF_TEST],
            "outputs": predict_volume(booster, np.array(SELF_TEST), threads=1).tolist(),
        },
        "sql_sha256": sql_hash(),
        "libraries": {"python": platform.python_version()}
        | {name: version(name) for name in ("lightgbm", "numpy", "duckdb")},
    }


def _data_facts(layout: Layout, files: list[Path]) -> dict[str, Any]:
    """Which data trained the model: a fingerprint over the feature files, and the snapshot before them."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name} {registry.sha256_of(path)}\n".encode())
    return {
        "fingerprint": digest.hexdigest(),
        "letters": [path.parent.name.removeprefix("letter=") for path in files],
        "raw_version": read_manifest(layout).version,
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
