"""The files of the log: when they appear, how many are kept, and what a disk that refuses them costs."""

import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

import serving.prediction_log
from serving.backlog import Rows
from serving.loading import load_version
from serving.prediction_log import SCHEMA, PredictionLog
from tests.serving.conftest import Models
from tests.serving.test_recording import dropped

NOON = 1_800_000_000_123_456_789


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "predictions"


@pytest.fixture
def log(folder: Path) -> PredictionLog:
    return PredictionLog(folder)


@pytest.fixture
def answered(models: Models) -> Any:
    """Makes so many rows of a version, numbered by their volumes."""
    model = load_version(models.folder, models.publish()[0])

    def rows(count: int) -> Rows:
        inputs = np.column_stack([np.arange(count) + 0.5, np.full(count, 7.25)])
        return Rows(model, np.full(count, NOON), "an-id", inputs, np.arange(count))

    return rows


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_file_appears_whole_and_is_named_by_its_time_and_worker(
    log: PredictionLog, folder: Path, answered: Any
) -> None:
    log.add(answered(3), None, None)
    assert files(folder) == []
    log.publish()
    (path,) = files(folder)
    assert re.fullmatch(rf"\d{{8}}T\d{{12}}Z-{os.getpid()}\.parquet", path.name)
    assert pq.read_schema(path).equals(SCHEMA)
    assert pl.read_parquet(path)["time"].dt.timestamp("us").to_list() == [NOON // 1000] * 3
    log.publish()
    assert files(folder) == [path]


def test_a_file_is_published_when_it_is_large(
    log: PredictionLog, folder: Path, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.prediction_log, "ROWS_A_FILE", 100)
    log.add(answered(99), None, None)
    assert files(folder) == []
    log.add(answered(250), "s", np.arange(250) * 2)
    assert [pl.read_parquet(path).height for path in files(folder)] == [199, 100]
    log.publish()
    whole = pl.concat(map(pl.read_parquet, files(folder)))
    assert whole["volume"].to_list() == [*range(99), *range(250)]
    assert whole["shadow_volume"].to_list() == [*[None] * 99, *range(0, 500, 2)]


def test_a_file_is_published_when_its_first_row_has_waited(
    log: PredictionLog, folder: Path, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.publish_if_due()
    log.add(answered(1), None, None)
    log.publish_if_due()
    assert files(folder) == []
    monkeypatch.setattr(serving.prediction_log, "SECONDS_A_FILE", 0)
    log.publish_if_due()
    assert len(files(folder)) == 1


def test_the_oldest_files_go_when_all_are_too_large(
    log: PredictionLog, folder: Path, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        log.add(answered(5), None, None)
        log.publish()
    before = files(folder)
    monkeypatch.setattr(serving.prediction_log, "KEPT_BYTES", before[0].stat().st_size * 2)
    log.add(answered(5), None, None)
    log.publish()
    assert files(folder)[:-1] == before[-2:]


def test_what_a_killed_worker_left_goes_and_what_another_one_is_writing_stays(
    log: PredictionLog, folder: Path, answered: Any
) -> None:
    folder.mkdir(parents=True)
    names = ("20200101T000000000000Z-1.parquet.aa.tmp", "20200101T000000000000Z-2.parquet.bb.tmp")
    left, writing = (folder / name for name in names)
    left.touch()
    writing.touch()
    os.utime(left, (time.time() - 7200,) * 2)
    log.add(answered(1), None, None)
    log.publish()
    assert (left.exists(), writing.exists()) == (False, True)


def test_a_disk_that_refuses_costs_rows_and_is_told_once_until_it_works_again(
    log: PredictionLog, folder: Path, answered: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.mkdir()
    folder.write_text("a file in the place of the folder")
    before = dropped()
    for _ in range(3):
        log.add(answered(5), None, None)
        log.publish()
    assert dropped() - before == 15
    assert len(caplog.messages) == 1
    assert str(folder) in caplog.messages[0]

    folder.unlink()
    log.add(answered(2), None, None)
    log.publish()
    assert [pl.read_parquet(path).height for path in files(folder)] == [2]
    assert dropped() - before == 15


def test_a_disk_that_becomes_full_leaves_no_half_file(
    log: PredictionLog, folder: Path, answered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_: object, path: Path, **__: object) -> None:
        path.write_bytes(b"PAR1 and no more")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = dropped()
    monkeypatch.setattr("serving.prediction_log.pq.write_table", half)
    log.add(answered(5), None, None)
    log.publish()
    assert files(folder) == []
    assert dropped() - before == 5


LIGHT = """
import sys
from pathlib import Path
import numpy as np
from serving.backlog import Answered, rows_of
from serving.prediction_log import PredictionLog

class Model:
    version = "v"

entries = [Answered(1, "a", Model, (1.0, 2.0), 3), Answered(2, "b", Model, np.ones((2, 2)), np.ones(2))]
log = PredictionLog(Path(sys.argv[1]))
for rows in rows_of(entries):
    log.add(rows, None, None)
    log.add(rows, "s", rows.volumes)
log.publish()
assert not {"pandas", "pyarrow.dataset"} & set(sys.modules)
"""


def test_writing_needs_no_pandas(folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", LIGHT, str(folder)], check=True, timeout=60)
    assert [pl.read_parquet(path).height for path in files(folder)] == [6]
