"""Experiments as MLflow runs, for who has a tracking server. MLflow is an extra, and loaded only here."""

import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from stock_assets.errors import UserError, first_line
from stock_assets.experiments import Experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 100
"""Parameters, or metrics, in one request; MLflow takes no more parameters."""
LONGEST = 6000
"""Characters of a parameter's value that MLflow takes."""


def log_runs(uri: str, experiments: Sequence[Experiment]) -> None:
    """Make one run for each experiment at the tracking server `uri`, in the MLflow experiment named by its model.

    Raises `UserError` where MLflow is not installed or the server cannot be used.
    """
    # What is not set already: MLflow would report its use to its makers, and try a dead server for four minutes.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    try:
        from mlflow import MlflowClient  # noqa: PLC0415 - two seconds
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise UserError(
            "MLFLOW_TRACKING_URI is set, and MLflow is not: install it with .venv/bin/pip install mlflow-skinny"
        ) from None
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        client = MlflowClient(tracking_uri=uri)
        for experiment in experiments:
            _log_run(client, experiment)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:  # not chained: it may hold a password
        raise UserError(
            f"MLflow at MLFLOW_TRACKING_URI cannot be used: {_said(error, uri)}; the table of experiments has what "
            "MLflow was to be told: mend it, or unset the variable"
        ) from None


def _log_run(client: "MlflowClient", experiment: Experiment) -> None:
    from mlflow.entities import Metric, Param  # noqa: PLC0415

    place = _experiment_id(client, experiment.model)
    run_id = client.create_run(place, run_name=experiment.version, tags=_tags(experiment)).info.run_id
    now = time.time_ns() // 1_000_000
    params = [Param(name, str(value)[:LONGEST]) for name, value in flat(experiment.parameters)]
    metrics = [Metric(name, float(value), now, 0) for name, value in flat(experiment.metrics) if _is_figure(value)]
    for start in range(0, max(len(params), len(metrics)), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH], params=params[start : start + BATCH])
    client.set_terminated(run_id)


def _experiment_id(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException:
        # Another process may have made it just now.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


def _tags(experiment: Experiment) -> dict[str, str]:
    names = ("model", "version", "run_id", "data_version", "code_version", "promoted", "reason")
    return {name: str(getattr(experiment, name)) for name in names}


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested values by their path: `{"test": {"mae": 1}}` is `("test.mae", 1)`, and an item of a list has its number.

    What MLflow takes in no name, such as a comma, becomes an underscore.
    """
    for name, value in values.items():
        key = re.sub(r"[^\w./ :-]", "_", str(name), flags=re.ASCII)
        if isinstance(value, list | tuple):
            value = dict(enumerate(value))  # noqa: PLW2901
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", leaf) for inner, leaf in flat(value))
        else:
            yield key, value


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _said(error: Exception, uri: str) -> str:
    """The first line of the error without the password in the URI."""
    line = first_line(error)
    parts = urlsplit(uri)
    for secret in {parts.password, unquote(parts.password or "")} - {None, ""}:
        line = line.replace(str(secret), "***")
    return line
