"""Experiments: appended and never changed, by one process or two, and what is said where the database fails."""

import inspect
import json
import multiprocessing
import re
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from stock_assets import experiments_table
from stock_assets.errors import UserError
from stock_assets.experiments import Experiment, of_manifest, read_experiments, record
from stock_assets.settings import Settings

METRICS = {
    "test": {"rows": 10, "from": "2020-01-01", "to": "2020-02-01", "mae": 1.5},
    "skill": {"vol_moving_avg": 0.04},
    "skill_interval": {"vol_moving_avg": [0.03, 0.05]},
}
EXPERIMENT = Experiment(
    run_id="a-run",
    model="volume_model",
    version="v1",
    parameters={"num_leaves": 15, "objective": "l1", "nested": {"seed": 7}},
    data_version="d" * 64,
    code_version="c" * 64,
    metrics=METRICS,
    promoted=True,
    reason="it beats 'linear', \"log_log\" and Zürich",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def with_url(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"experiments_url": SecretStr(url)})


def test_what_is_recorded_can_be_read(settings: Settings) -> None:
    before = datetime.now(UTC)
    record(settings, [EXPERIMENT])

    (found,) = read_experiments(settings)
    facts = asdict(found)
    assert (facts.pop("id"), before <= facts.pop("time") <= datetime.now(UTC)) == (1, True)
    assert facts == asdict(EXPERIMENT)
    assert found.time.utcoffset() == before.utcoffset()


def test_the_table_is_plain_sqlite(settings: Settings) -> None:
    record(settings, [EXPERIMENT, replace(EXPERIMENT, version="v2", promoted=False)])

    with closing(sqlite3.connect(settings.data_dir / "experiments.db")) as connection:
        rows = connection.execute("SELECT id, version, promoted, metrics ->> '$.test.mae' FROM experiments").fetchall()
    assert rows == [(1, "v1", 1, 1.5), (2, "v2", 0, 1.5)]


def test_the_newest_come_first_and_by_model(settings: Settings) -> None:
    for version in "abc":
        record(settings, [replace(EXPERIMENT, version=version), replace(EXPERIMENT, model="other", version=version)])

    assert [(one.model, one.version) for one in read_experiments(settings, limit=3)] == [
        ("other", "c"),
        ("volume_model", "c"),
        ("other", "b"),
    ]
    assert [one.version for one in read_experiments(settings, "volume_model")] == ["c", "b", "a"]
    assert read_experiments(settings, "nothing") == []


def test_reading_and_recording_nothing_leave_no_trace(settings: Settings, tmp_path: Path) -> None:
    record(settings, [])
    assert read_experiments(settings) == []
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_there_stay(settings: Settings) -> None:
    record(settings, [EXPERIMENT])
    before = read_experiments(settings)
    record(settings, [EXPERIMENT, EXPERIMENT])

    assert read_experiments(settings)[2:] == before
    assert [one.id for one in read_experiments(settings)] == [3, 2, 1]


def test_no_statement_changes_or_drops_anything() -> None:
    source = inspect.getsource(experiments_table)

    assert re.search(r"(?i)\b(update|delete|drop\w*|alter|truncate)\(", source) is None


def test_all_or_none_are_recorded(settings: Settings) -> None:
    record(settings, [EXPERIMENT])
    broken = replace(EXPERIMENT, reason=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="NOT NULL"):
        record(settings, [EXPERIMENT, broken])

    assert len(read_experiments(settings)) == 1


def test_numbers_that_are_not_finite_are_null(settings: Settings) -> None:
    metrics = {"test": {"mae": float("nan")}, "skill_interval": {"b": [float("-inf"), 0.1]}}
    record(settings, [replace(EXPERIMENT, metrics=metrics)])

    (found,) = read_experiments(settings)
    assert found.metrics == {"test": {"mae": None}, "skill_interval": {"b": [None, 0.1]}}


def test_a_training_is_a_line_of_the_log(settings: Settings) -> None:
    record(settings, [EXPERIMENT])

    line = json.loads((settings.data_dir / "logs" / "pipeline.jsonl").read_text("utf-8"))
    assert (line["event"], line["model"], line["version"]) == ("training", "volume_model", "v1")
    assert (line["metrics"], line["promoted"], line["reason"]) == (METRICS["test"], True, EXPERIMENT.reason)


def test_an_experiment_of_a_manifest() -> None:
    named = {"name": "volume_model", "version": "v1", "run_id": "a-run", "candidate": "linear"}
    facts = {"parameters": {"x": 1}, "data": {"fingerprint": "f"}, "method": "m", "metrics": METRICS}
    found = of_manifest(named | facts, promoted=False, reason="why")

    assert found == Experiment(
        "a-run", "volume_model", "v1", {"candidate": "linear", "x": 1}, "f", "m", METRICS, False, "why"
    )


def _append(settings: Settings, times: int) -> None:
    for _ in range(times):
        record(settings, [EXPERIMENT])


def test_two_processes_append_at_once(settings: Settings) -> None:
    """Also the first row of both, for which the file and the table are made."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(settings, 20)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert [one.id for one in read_experiments(settings)] == list(range(40, 0, -1))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense-sekret", "is no URL of a database"),
        ("postgresql://user:sekret", "is no URL of a database"),
        ("postgres://user:sekret@host/name", "is no URL of a database"),
        ("oracel://user:sekret@host/name", "is no URL of a database"),
        ("postgresql://user:p@sekret@host/name", "an @ in the user name or the password is written %40"),
        ("postgresql://user:sekret@127.0.0.1:9/name", "Can't create a connection to host 127.0.0.1 and port 9"),
        ("postgresql://user:sekret@nowhere.invalid/name", "Can't create a connection to host nowhere.invalid"),
        ("postgresql://user:sekret@127.0.0.1:9/name?sslmode=require", "unexpected keyword argument 'sslmode'"),
        ("postgresql+asyncpg://user:sekret@host/name", "No module named 'asyncpg': install this driver"),
        ("mysql://user:sekret@host/name", "No module named 'MySQLdb': install this driver"),
        ("sqlite:////nowhere/sekret/experiments.db", "unable to open database file"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(settings: Settings, url: str, said: str) -> None:
    for act in (
        lambda: record(with_url(settings, url), [EXPERIMENT]),
        lambda: read_experiments(with_url(settings, url)),
    ):
        with pytest.raises(UserError, match=re.escape(said)) as failure:
            act()

        told = str(failure.value)
        assert "STOCK_ASSETS_EXPERIMENTS_URL" in told
        assert "sekret" not in told
        assert "\n" not in told
        # Nor in what a traceback would show beside it.
        assert failure.value.__cause__ is None
        assert failure.value.__context__ is None or failure.value.__suppress_context__


def test_the_settings_do_not_show_the_url(settings: Settings) -> None:
    assert "sekret" not in repr(with_url(settings, "postgresql://user:sekret@host/name"))


def test_a_file_that_is_no_database_is_told(settings: Settings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "experiments.db").write_text("this is not a database at all" * 100, "utf-8")

    with pytest.raises(UserError, match=r"experiments\.db cannot be used: file is not a database"):
        read_experiments(settings)


def test_a_table_of_another_program_is_left_alone(tmp_path: Path, settings: Settings) -> None:
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER, name VARCHAR)")
    other = with_url(settings, f"sqlite:///{tmp_path}/mlflow.db")

    for act in (lambda: record(other, [EXPERIMENT]), lambda: read_experiments(other)):
        with pytest.raises(UserError, match="its table experiments is another program's"):
            act()


def test_without_mlflow_the_extra_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(UserError, match=re.escape("pip install mlflow-skinny")):
        record(settings, [EXPERIMENT])
    assert read_experiments(settings) == []
