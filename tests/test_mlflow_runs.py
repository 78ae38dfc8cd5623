"""Experiments as MLflow runs, in a tracking store of MLflow's own that is read back without MLflow."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stock_assets.mlflow_runs import flat
from tests.helpers import child_environment

RECORD = """
from pathlib import Path
from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, read_experiments, record
from stock_assets.settings import Settings

metrics = {
    "test": {"rows": 10, "from": "2020-01-01", "mae": 1.5, "r2_log": float("nan")},
    "skill_interval": {"b": [0.25, 0.5]},
    "slices": {"liquidity": {"1,000 to 10,000": {"mae": 2.5}}},
}
parameters = {"objective": "l1", "many": {str(n): n for n in range(150)}}
one = Experiment("a-run", "volume_candidates/linear", "v1", parameters, "d", "c", metrics, True, "best of two")
settings = Settings(data_dir=Path("data"))
try:
    record(settings, [one])
    record(settings, [one])
except UserError as error:
    print(error)
print(len(read_experiments(settings)))
"""


def record_with(uri: str, folder: Path) -> list[str]:
    """What a process prints that records two experiments: MLflow takes pandas along, which others must not see."""
    variables = {"MLFLOW_TRACKING_URI": uri, "HOME": str(folder), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RECORD],
        env=child_environment(variables),
        cwd=folder,
        timeout=120,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "sekret" not in done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_tracking_store_has_a_run_for_each_experiment(tmp_path: Path) -> None:
    assert record_with(f"sqlite:///{tmp_path}/mlflow.db", tmp_path) == ["2"]

    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        names = connection.execute("SELECT name FROM experiments WHERE experiment_id > 0").fetchall()
        runs = connection.execute("SELECT run_uuid, name, status FROM runs").fetchall()
        metrics = connection.execute("SELECT key, value FROM metrics WHERE run_uuid = ?", runs[0][:1]).fetchall()
        params = connection.execute("SELECT key, value FROM params WHERE run_uuid = ?", runs[0][:1]).fetchall()
        tags = connection.execute("SELECT key, value FROM tags WHERE run_uuid = ?", runs[0][:1]).fetchall()
    assert names == [("volume_candidates/linear",)]
    assert [run[1:] for run in runs] == [("v1", "FINISHED")] * 2
    assert dict(metrics) == {
        "test.rows": 10,
        "test.mae": 1.5,
        "skill_interval.b.0": 0.25,
        "skill_interval.b.1": 0.5,
        "slices.liquidity.1_000 to 10_000.mae": 2.5,
    }
    assert dict(params) == {"objective": "l1"} | {f"many.{n}": str(n) for n in range(150)}
    assert dict(tags).items() >= {
        *(("model", "volume_candidates/linear"), ("version", "v1"), ("run_id", "a-run"), ("data_version", "d")),
        *(("code_version", "c"), ("promoted", "True"), ("reason", "best of two")),
    }


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line, rows = record_with(f"http://user:sekret@127.0.0.1:{port}", tmp_path)

    assert line.startswith("MLflow at MLFLOW_TRACKING_URI cannot be used: API request to http://user:***@127.0.0.1")
    assert line.endswith("mend it, or unset the variable")
    assert rows == "0"


@pytest.mark.slow
def test_a_store_that_mlflow_does_not_know_is_told_in_one_line(tmp_path: Path) -> None:
    line, _ = record_with("nonsense://x", tmp_path)

    assert line.startswith("MLflow at MLFLOW_TRACKING_URI cannot be used: ")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, []),
        ({"a": 1, "b": {"c": {"d": 2}}}, [("a", 1), ("b.c.d", 2)]),
        ({"a": [{"x": 1}, 2]}, [("a.0.x", 1), ("a.1", 2)]),
        ({"under 1,000 (%)": "é"}, [("under 1_000 ___", "é")]),
    ],
)
def test_nested_values_have_their_path(values: dict[str, object], expected: list[tuple[str, object]]) -> None:
    assert list(flat(values)) == expected
