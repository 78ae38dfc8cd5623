"""The whole graph on a small demo market: its shape, its outputs, its metadata, and how it fails."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from stock_assets import registry
from stock_assets.definitions import defs
from stock_assets.layout import LETTERS
from tests.helpers import (
    count_csv_rows,
    demo_settings,
    digests,
    folder_settings,
    in_force,
    litter,
    query,
    table_hash,
    tables_differ,
    write_constant_volume,
)

PRICES = ["Symbol", "Security Name", "Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]


def execute(variables: dict[str, str], select: list[str] | None = None) -> dg.ExecuteInProcessResult:
    with in_force(variables), dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def("full_refresh").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in select] if select else None,
            raise_on_error=False,
        )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    event = result.asset_materializations_for_node(asset)[0]
    return {name: value.value for name, value in event.metadata.items()}


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [evaluation for evaluation in result.get_asset_check_evaluations() if evaluation.check_name == name]
    return found


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Each failed step and what it says."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            assert data.user_failure_data is not None, data.error
            found[str(event.step_key)] = str(data.user_failure_data.description)
    return found


def records(table: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in table.records]


@dataclass(frozen=True)
class Refreshed:
    data_dir: Path
    result: dg.ExecuteInProcessResult
    files: dict[str, str]

    @property
    def models(self) -> Path:
        return self.data_dir / "models" / "volume_model"

    @property
    def source(self) -> Path:
        return self.data_dir / json.loads((self.data_dir / "raw/manifest.json").read_text())["root"]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return query(self.data_dir / "market.duckdb", statement)


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Refreshed:
    data_dir = tmp_path_factory.mktemp("graph") / "data"
    result = execute(demo_settings(data_dir, threads=2))
    return Refreshed(data_dir, result, digests(data_dir))


@pytest.fixture
def copied(refreshed: Refreshed, tmp_path: Path) -> Path:
    """A data folder of the test's own, in the state after the first run."""
    return Path(shutil.copytree(refreshed.data_dir, tmp_path / "data"))


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    return defs.resolve_asset_graph()


def test_assets_are_these(graph: AssetGraph) -> None:
    shape = {
        node.key.to_user_string(): (
            sorted(parent.to_user_string() for parent in node.parent_keys),
            node.group_name,
            node.kinds,
            node.owners,
        )
        for node in graph.asset_nodes
    }
    owners = ["team:market-data"]
    assert shape == {
        "raw_files": ([], "ingest", {"csv"}, owners),
        "combined": (["raw_files"], "tables", {"duckdb", "sql", "parquet"}, owners),
        "features": (["combined"], "tables", {"duckdb", "sql", "parquet"}, owners),
        "volume_model": (["features"], "models", {"lightgbm", "python"}, owners),
    }


def test_only_features_are_partitioned_and_in_one_run(graph: AssetGraph) -> None:
    partitioned = {node.key.to_user_string(): node for node in graph.asset_nodes if node.is_partitioned}
    assert list(partitioned) == ["features"]
    node = partitioned["features"]
    assert node.partitions_def is not None
    assert list(node.partitions_def.get_partition_keys()) == list("0ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_checks_and_jobs_are_these(graph: AssetGraph) -> None:
    checks = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert checks == {("combined", "reconciled"), ("volume_model", "beats_baseline")}
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert jobs == {"full_refresh"}


def test_every_asset_is_described(graph: AssetGraph) -> None:
    assert all(len(node.description or "") > 80 for node in graph.asset_nodes)


def test_one_run_makes_everything(refreshed: Refreshed) -> None:
    assert refreshed.result.success
    steps = [str(event.step_key) for event in refreshed.result.all_events if event.is_step_success]
    assert steps == ["raw_files", "combined", "features", "volume_model"]
    assert litter(refreshed.data_dir) == []


def test_every_row_of_every_file_is_accounted_for(refreshed: Refreshed) -> None:
    reconciled = check(refreshed.result, "reconciled")
    numbers = {name: value.value for name, value in reconciled.metadata.items()}
    assert reconciled.passed
    assert numbers["rows_read"] == count_csv_rows(refreshed.source)
    assert numbers["rows_read"] == numbers["rows_kept"] + numbers["rows_quarantined"]
    assert numbers["files"] == len(list(refreshed.source.glob("*/*.csv"))) == 30
    assert numbers["files that do not add up"] == 0
    assert refreshed.query("SELECT count(*) FROM combined") == [(numbers["rows_kept"],)]
    assert refreshed.query("SELECT sum(rows) FROM quarantine") == [(numbers["rows_quarantined"],)]
    assert metadata(refreshed.result, "raw_files")["dagster/row_count"] == numbers["rows_read"]
    assert metadata(refreshed.result, "combined")["dagster/row_count"] == numbers["rows_kept"]


def test_quarantine_shows_each_file_with_its_reason(refreshed: Refreshed) -> None:
    shown = {(row["file"], row["reason"]) for row in records(metadata(refreshed.result, "combined")["quarantine"])}
    missing = "missing Open, High, Low, Close, Adj Close, Volume"
    assert shown == {
        ("etfs/EMPTY.csv", "empty file"),
        ("stocks/HEAD.csv", "only a header, no rows"),
        ("stocks/GAPS.csv", missing),
        ("stocks/DUPE.csv", "duplicate Date, a later line has it too"),
    } | ({("stocks/REDO.csv", missing)} & shown)


def test_features_metadata_tells_of_each_letter(refreshed: Refreshed) -> None:
    values = metadata(refreshed.result, "features")
    table = records(values["by letter"])
    assert [row["letter"] for row in table] == list(LETTERS)
    counted = dict(refreshed.query("SELECT letter, count(*) FROM combined GROUP BY letter"))
    assert {row["letter"]: row["rows"] for row in table if row["rows"]} == counted
    assert values["dagster/row_count"] == sum(counted.values())
    assert values["letters"] == len(counted)
    assert values["symbols"] == refreshed.query('SELECT count(DISTINCT "Symbol") FROM combined')[0][0]


def test_declared_columns_are_those_of_the_tables(graph: AssetGraph, refreshed: Refreshed) -> None:
    for asset in ("combined", "features"):
        declared = graph.get(dg.AssetKey(asset)).metadata["dagster/column_schema"].columns
        rows = refreshed.query(f"SELECT column_name, column_type FROM (DESCRIBE {asset})")
        assert [(column.name, column.type) for column in declared] == rows
        assert all(column.description for column in declared)


def test_features_tell_their_column_lineage(graph: AssetGraph) -> None:
    lineage = graph.get(dg.AssetKey("features")).metadata["dagster/column_lineage"].deps_by_column
    assert {dep.asset_key.to_user_string() for deps in lineage.values() for dep in deps} == {"combined"}
    named = {column: {dep.column_name for dep in deps} for column, deps in lineage.items()}
    assert named == {name: {name} for name in (*PRICES, "letter")} | {
        "vol_moving_avg": {"Symbol", "Date", "Volume"},
        "adj_close_rolling_med": {"Symbol", "Date", "Adj Close"},
    }


def test_parquet_files_hold_what_the_database_holds(refreshed: Refreshed) -> None:
    assert tables_differ(refreshed.data_dir, "combined") == 0
    assert tables_differ(refreshed.data_dir, "features") == 0


def test_letters_without_rows_have_no_file(refreshed: Refreshed) -> None:
    letters = {letter for (letter,) in refreshed.query("SELECT DISTINCT letter FROM combined")}
    assert letters == set(LETTERS) - {"E", "H"}
    for table in ("combined", "features"):
        paths = refreshed.data_dir.glob(f"lake/{table}/*/*.parquet")
        assert {path.parent.name.removeprefix("letter=") for path in paths} == letters


def test_the_promoted_version_is_on_disk(refreshed: Refreshed) -> None:
    values = metadata(refreshed.result, "volume_model")
    pointer = registry.read_pointer(refreshed.models)
    assert pointer is not None
    manifest, _ = registry.verify(refreshed.models, pointer)
    assert values["promoted"]
    assert values["skill"] > 0
    assert pointer.version == values["version"] == manifest["version"]
    assert (pointer.asset_key, pointer.run_id) == ("volume_model", refreshed.result.run_id)
    assert manifest["run_id"] == refreshed.result.run_id
    assert manifest["data"]["raw_version"] == metadata(refreshed.result, "raw_files")["version"]
    assert {path.name for path in (refreshed.models / pointer.path).iterdir()} == {
        "model.txt", "model.pkl", "manifest.json", "metrics.json", "card.md",
    }  # fmt: skip


def test_a_better_model_passes_its_check(refreshed: Refreshed) -> None:
    beats = check(refreshed.result, "beats_baseline")
    assert beats.passed
    assert beats.metadata["skill"].value == metadata(refreshed.result, "volume_model")["skill"]


def test_a_second_run_gives_the_same_bytes(refreshed: Refreshed, copied: Path) -> None:
    result = execute(demo_settings(copied, threads=2))
    assert result.success
    assert digests(copied) == refreshed.files
    models = digests(copied, "models/volume_model/*/model.txt")
    assert len(models) == 2
    assert len(set(models.values())) == 1


@pytest.fixture
def unchanged(copied: Path) -> Iterator[None]:
    """Whatever the test does, nothing that is published changes."""
    published = ("lake/*/*/*.parquet", "market.duckdb", "models/*/latest.json")
    before = [digests(copied, pattern) for pattern in published]
    assert all(before)
    yield
    assert [digests(copied, pattern) for pattern in published] == before
    assert litter(copied) == []


def test_a_missing_source_fails_with_its_line(tmp_path: Path) -> None:
    result = execute(folder_settings(tmp_path / "data", tmp_path / "nowhere"))
    assert not result.success
    line = f"STOCK_ASSETS_SOURCE_PATH={tmp_path}/nowhere: there is no such folder or zip"
    assert failures(result) == {"raw_files": line}
    assert {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()} <= {"run.lock"}


@pytest.mark.usefixtures("unchanged")
def test_a_missing_source_leaves_what_was_published(copied: Path, tmp_path: Path) -> None:
    manifest = (copied / "raw/manifest.json").read_bytes()
    assert list(failures(execute(folder_settings(copied, tmp_path / "nowhere")))) == ["raw_files"]
    assert (copied / "raw/manifest.json").read_bytes() == manifest


def _changed(copied: Path) -> Path:
    (path,) = (copied / "raw").glob("*/stocks/T.csv")
    return path


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_grew_after_it_was_counted_stops_the_run(copied: Path) -> None:
    path = _changed(copied)
    rows = len(path.read_text().splitlines()) - 1
    with path.open("a") as file:
        file.write("2020-04-02,1,1,1,1,1,1\n")
    result = execute(demo_settings(copied), ["combined"])
    assert not result.success
    reconciled = check(result, "reconciled")
    assert not reconciled.passed
    assert reconciled.metadata["files that do not add up"].value == 1
    line = failures(result)["combined"]
    assert f"stocks/T.csv: {rows} rows, {rows + 1} kept, 0 quarantined" in line
    assert "nothing was published" in line
    assert "\n" not in line
    assert result.asset_materializations_for_node("combined") == []


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_went_after_it_was_counted_stops_the_run(copied: Path) -> None:
    _changed(copied).unlink()
    result = execute(demo_settings(copied), ["combined", "features"])
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["combined"]


def test_a_model_that_does_not_beat_the_baseline_is_not_promoted(copied: Path, tmp_path: Path) -> None:
    before = (copied / "models/volume_model/latest.json").read_bytes()
    result = execute(folder_settings(copied, write_constant_volume(tmp_path / "constant")))
    assert result.success
    assert not check(result, "beats_baseline").passed
    assert (copied / "models/volume_model/latest.json").read_bytes() == before
    values = metadata(result, "volume_model")
    assert (values["promoted"], values["skill"] <= 0) == (False, True)
    assert (copied / "models/volume_model" / values["version"] / "metrics.json").exists()
    assert table_hash(copied / "market.duckdb")[0] == 8 * 900


def test_letters_that_lost_their_rows_lose_their_files(copied: Path, tmp_path: Path) -> None:
    source = write_constant_volume(tmp_path / "constant", symbols="AZ", days=40)
    result = execute(folder_settings(copied, source), ["raw_files", "combined", "features"])
    assert result.success
    for table in ("combined", "features"):
        names = {path.parent.name for path in copied.glob(f"lake/{table}/*/*.parquet")}
        assert names == {"letter=A", "letter=Z"}
