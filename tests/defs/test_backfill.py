"""A backfill of some letters: one run, the other letters untouched."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from stock_assets.definitions import defs
from stock_assets.defs.running import Outcome, run_full_refresh
from tests.helpers import demo_settings, in_force, letter_files

LETTERS = {"C", "D", "E", "F"}
OUTDATED = {"C", "D"}
"""Letters whose files are of other symbols before the backfill; F is as it should be, and E has no rows."""


@dataclass(frozen=True)
class Backfill:
    """What one backfill of C to F did: its outcome, its runs, its partitions, and the files before and after."""

    outcome: Outcome
    runs: list[dg.DagsterRun]
    partitions: list[str | None]
    before: dict[str, tuple[str, int]]
    after: dict[str, tuple[str, int]]


def backfill(data_dir: Path, select: str | None) -> Backfill:
    before = letter_files(data_dir, "features")
    with in_force(demo_settings(data_dir)), dg.DagsterInstance.ephemeral() as instance:
        outcome = run_full_refresh(instance, defs, ("C", "F"), select, lambda *_: None)
        records = instance.get_records_for_run(outcome.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = [record.event_log_entry.dagster_event for record in records.records]
        return Backfill(
            outcome,
            [record.dagster_run for record in instance.get_run_records()],
            [event.partition for event in events if event and event.asset_key == dg.AssetKey("features")],
            before,
            letter_files(data_dir, "features"),
        )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with all letters and no model."""
    data_dir = tmp_path_factory.mktemp("backfill") / "data"
    with in_force(demo_settings(data_dir)), dg.DagsterInstance.ephemeral() as instance:
        assert run_full_refresh(instance, defs, None, "*features", lambda *_: None).error is None
    return data_dir


@pytest.fixture(scope="module", params=["features", None], ids=["features alone", "whole job"])
def done(request: pytest.FixtureRequest, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Backfill:
    data_dir = Path(shutil.copytree(tables, tmp_path_factory.mktemp("copy") / "data"))
    for letter in OUTDATED:
        shutil.copy(data_dir / "lake/features/letter=A/part-0.parquet", data_dir / f"lake/features/letter={letter}")
    return backfill(data_dir, request.param)


def test_it_is_one_run_that_succeeds(done: Backfill) -> None:
    assert done.outcome.error is None
    assert [(run.run_id, run.status) for run in done.runs] == [(done.outcome.run_id, dg.DagsterRunStatus.SUCCESS)]
    assert done.runs[0].tags["dagster/asset_partition_range_start"] == "C"
    assert done.runs[0].tags["dagster/asset_partition_range_end"] == "F"


def test_exactly_these_partitions_are_recorded(done: Backfill) -> None:
    assert sorted(map(str, done.partitions)) == sorted(LETTERS)
    facts = done.outcome.metadata["features"]
    assert facts["letters"] == 3
    assert facts["rows of the run"] > 0
    assert "dagster/row_count" not in facts


def test_the_other_letters_are_not_written(done: Backfill) -> None:
    assert {letter for letter in done.after if done.after[letter] != done.before[letter]} == OUTDATED


def test_the_bytes_are_those_of_a_run_of_all_letters(done: Backfill, tables: Path) -> None:
    whole = letter_files(tables, "features")
    assert {letter: file[0] for letter, file in done.after.items()} == {
        letter: file[0] for letter, file in whole.items()
    }


def test_each_letter_has_its_facts(done: Backfill) -> None:
    rows = [dict(record.data) for record in done.outcome.metadata["features"]["by letter"].records]
    assert {row["letter"]: row["skipped"] for row in rows} == {"C": False, "D": False, "F": True}
    assert all(row["rows"] > 0 and row["seconds"] >= 0 for row in rows)
    assert {row["letter"]: row["symbols"] == row["symbols_computed"] for row in rows}["C"]


def test_the_empty_letter_has_no_file(done: Backfill) -> None:
    assert "E" not in done.before
    assert "E" not in done.after


def test_only_the_selected_assets_run(tables: Path, tmp_path: Path) -> None:
    data_dir = Path(shutil.copytree(tables, tmp_path / "data"))
    database = (data_dir / "market.duckdb").stat()
    done = backfill(data_dir, "features")
    assert set(done.outcome.metadata) == {"features"}
    assert (data_dir / "market.duckdb").stat().st_mtime_ns == database.st_mtime_ns


def test_some_letters_without_tables_say_what_to_do(tmp_path: Path) -> None:
    done = backfill(tmp_path / "data", "features")
    assert done.outcome.error == (f"features: {tmp_path}/data/market.duckdb is missing: materialize combined first")
    assert done.after == {}
