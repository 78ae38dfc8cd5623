"""What was trained, on what, and how good it was: every training and every promotion is appended to one table.

Nothing here is ever changed or removed. Where `MLFLOW_TRACKING_URI` is set MLflow is told the same.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stock_assets.json_log import write_line
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Experiment:
    """A model as it was measured. `metrics` is the content of its metrics.json, and `reason` says in a line why it
    was promoted or not. `data_version` is the fingerprint of the features, `code_version` the hash of the method.
    """

    run_id: str
    model: str
    version: str
    parameters: dict[str, Any]
    data_version: str
    code_version: str
    metrics: dict[str, Any]
    promoted: bool
    reason: str


@dataclass(frozen=True)
class Recorded(Experiment):
    """An experiment as the table has it; `time` is when it was recorded, in UTC."""

    id: int
    time: datetime


def of_manifest(manifest: Mapping[str, Any], *, promoted: bool, reason: str) -> Experiment:
    """The experiment of a version, from its manifest."""
    candidate = {"candidate": manifest["candidate"]} if "candidate" in manifest else {}
    return Experiment(
        run_id=manifest.get("run_id", ""),
        model=manifest["name"],
        version=manifest["version"],
        parameters=candidate | manifest.get("parameters", {}),
        data_version=manifest.get("data", {}).get("fingerprint", ""),
        code_version=manifest.get("method", ""),
        metrics=manifest.get("metrics", {}),
        promoted=promoted,
        reason=reason,
    )


def record(settings: Settings, experiments: Sequence[Experiment]) -> None:
    """Tell MLflow, where it is set up, then append experiments to the table, all or none, then to the JSON log.

    The table is what counts: it has nothing that a failure before it kept from being published. Raises `UserError`
    where MLflow or the database cannot be used, and `OSError` where the log cannot be written.
    """
    from stock_assets.experiments_table import append  # noqa: PLC0415 - SQLAlchemy takes a third of a second to load

    if not experiments:
        return
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        from stock_assets.mlflow_runs import log_runs  # noqa: PLC0415 - only for who uses it

        log_runs(uri, experiments)
    append(settings, experiments)
    for experiment in experiments:
        _log(settings, experiment)


def read_experiments(settings: Settings, model: str | None = None, limit: int | None = None) -> list[Recorded]:
    """What was recorded, of one model or of all, newest first; at most `limit`.

    Raises `UserError` where the database cannot be used.
    """
    from stock_assets.experiments_table import read  # noqa: PLC0415

    return read(settings, model, limit)


def _log(settings: Settings, experiment: Experiment) -> None:
    write_line(
        settings,
        "training",
        model=experiment.model,
        version=experiment.version,
        run_id=experiment.run_id,
        metrics=experiment.metrics.get("test", {}),
        promoted=experiment.promoted,
        reason=experiment.reason,
    )
