"""The JSON log: every line is whole, whoever wrote it, and every step of the graph has one."""

import json
import math
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stock_assets.json_log import write_line
from stock_assets.settings import Settings
from tests.defs.graph_runs import execute
from tests.helpers import demo_settings, folder_settings


def lines(data_dir: Path) -> list[dict[str, Any]]:
    text = (data_dir / "logs" / "pipeline.jsonl").read_text("utf-8")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def test_a_line_has_its_time_its_event_and_the_facts(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    write_line(Settings(data_dir=tmp_path), "step", asset="features", seconds=1.5, ok=True, error=None)
    write_line(Settings(data_dir=tmp_path), "tea", name="Zürich\n")

    first, second = lines(tmp_path)
    told = datetime.fromisoformat(first.pop("time"))
    assert told.utcoffset() == before.utcoffset()
    assert -1 < (told - before).total_seconds() < 60
    assert first == {"event": "step", "asset": "features", "seconds": 1.5, "ok": True, "error": None}
    assert (second["event"], second["name"]) == ("tea", "Zürich\n")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")])
def test_what_is_no_finite_number_is_null(tmp_path: Path, number: float) -> None:
    write_line(Settings(data_dir=tmp_path), "x", a=number, b={"c": [1, (number, 2)]})

    (line,) = lines(tmp_path)
    assert (line["a"], line["b"]) == (None, {"c": [1, [None, 2]]})


def test_numbers_of_numpy_days_and_paths_are_written(tmp_path: Path) -> None:
    facts = {"n": np.int64(3), "x": np.float64(0.5), "ok": np.bool_(True), "row": np.arange(2), "at": Path("a/b")}
    write_line(Settings(data_dir=tmp_path), "x", **facts, day=datetime(2020, 1, 2, tzinfo=UTC).date())

    (line,) = lines(tmp_path)
    assert (line["n"], line["x"], line["ok"], line["row"]) == (3, 0.5, True, [0, 1])
    assert (line["at"], line["day"]) == ("a/b", "2020-01-02")


def _write_many(data_dir: Path, writer: int) -> None:
    for number in range(300):
        write_line(Settings(data_dir=data_dir), "x", writer=writer, number=number, text="x" * 9000)


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path, writer)) for writer in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    found = lines(tmp_path)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    for writer in range(3):
        assert [line["number"] for line in found if line["writer"] == writer] == list(range(300))
    assert {len(line["text"]) for line in found} == {9000}


def test_a_step_that_succeeds_has_its_line(tmp_path: Path) -> None:
    result = execute(demo_settings(tmp_path / "data"), ["raw_files"])

    (line,) = lines(tmp_path / "data")
    assert set(line) == {"time", "event", "asset", "run_id", "seconds", "ok", "error"}
    assert (line["event"], line["asset"], line["run_id"]) == ("step", "raw_files", result.run_id)
    assert (line["ok"], line["error"]) == (True, None)
    assert 0 < line["seconds"] < 600


def test_a_step_that_fails_has_its_reason(tmp_path: Path) -> None:
    execute(folder_settings(tmp_path / "data", tmp_path / "nowhere"), ["raw_files"])

    (line,) = lines(tmp_path / "data")
    assert (line["asset"], line["ok"]) == ("raw_files", False)
    assert line["error"] == f"STOCK_ASSETS_SOURCE_PATH={tmp_path}/nowhere: there is no such folder or zip"


def test_a_log_that_cannot_be_written_stops_no_step(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "logs").write_text("in the way", "utf-8")

    assert execute(demo_settings(tmp_path / "data"), ["raw_files"]).success
