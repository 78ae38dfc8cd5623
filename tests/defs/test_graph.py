"""The whole graph on a small demo market: its shape, its outputs, its metadata, and how it fails."""

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from stock_assets import registry
from stock_assets.definitions import defs
from stock_assets.ingest.snapshot import Manifest
from stock_assets.layout import LETTERS
from stock_assets.learning.candidates import NAMES
from tests.defs.graph_runs import Refreshed, checks, execute, failures, metadata, records
from tests.helpers import (
    count_csv_rows,
    demo_settings,
    digests,
    folder_settings,
    litter,
    table_hash,
    tables_differ,
    write_constant_volume,
)

CANDIDATES = [f"volume_candidates/{name}" for name in sorted(NAMES)]
PRICES = ["Symbol", "Security Name", "Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]


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
        "quarantine": (["combined"], "tables", {"duckdb", "sql", "parquet"}, owners),
        "features": (["combined"], "tables", {"duckdb", "sql", "parquet"}, owners),
        "volume_predictions": (["features", "volume_model"], "models", {"lightgbm", "duckdb", "parquet"}, owners),
        "volume_model": (CANDIDATES, "models", {"lightgbm", "python"}, owners),
        "next_day_features": (["combined"], "next_day", {"duckdb", "sql", "parquet"}, owners),
        "next_day_model": (["next_day_features"], "next_day", {"lightgbm", "python"}, owners),
        "next_day_forecasts": (["next_day_features", "next_day_model"], "next_day", {"lightgbm", "parquet"}, owners),
        "crypto_prices": ([], "crypto", {"csv", "duckdb", "sql", "parquet"}, owners),
        "crypto_features": (["crypto_prices"], "crypto", {"duckdb", "sql", "parquet"}, owners),
        "next_price_model": (["crypto_features"], "crypto", {"lightgbm", "scikitlearn", "python"}, owners),
        "next_price_predictions": (["crypto_features", "next_price_model"], "crypto", {"parquet", "python"}, owners),
        "volume_model_parameters": (["features"], "search", {"lightgbm", "python"}, owners),
        "next_day_model_parameters": (["next_day_features"], "search", {"lightgbm", "python"}, owners),
    } | {
        key: (
            ["features"],
            "models",
            {"lightgbm" if "lightgbm" in key or "constant" in key else "scikitlearn", "python"},
            owners,
        )
        for key in CANDIDATES
    }


def test_tables_by_letter_are_partitioned_and_in_one_run(graph: AssetGraph) -> None:
    partitioned = {node.key.to_user_string(): node for node in graph.asset_nodes if node.is_partitioned}
    assert set(partitioned) == {"features", "next_day_features", "volume_predictions"}
    for node in partitioned.values():
        assert node.partitions_def is not None
        assert list(node.partitions_def.get_partition_keys()) == list("0ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_checks_and_jobs_are_these(graph: AssetGraph) -> None:
    names = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert {asset: {name for of, name in names if of == asset} for asset, _ in names} == {
        "combined": {
            "schema", "reconciled", "unique_dates", "one_letter", "no_future_dates",
            "zero_volumes", "bad_prices", "high_below_low", "long_gaps", "stale_symbols", "lost_symbols",
            "missing_names",
        },
        "features": {"schema", "complete", "warm_up", "spot_check"},
        "volume_model": {"beats_baseline", "inputs_stable", "model_is_fresh", "still_beats_baseline"},
        "next_day_model": {"forecast_beats_baseline", "interval_holds", "inputs_stable", "model_is_fresh"},
        "crypto_prices": {"reconciled", "unique_dates", "no_future_dates", "missing_days"},
        "next_price_model": {"beats_random_walk"},
    }  # fmt: skip
    jobs = {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")}
    assert jobs == {"full_refresh", "crypto_refresh", "parameter_search"}


def test_every_asset_is_described(graph: AssetGraph) -> None:
    assert all(len(node.description or "") > 80 for node in graph.asset_nodes)


def test_one_run_makes_everything(refreshed: Refreshed) -> None:
    assert refreshed.result.success
    steps = [str(event.step_key) for event in refreshed.result.all_events if event.is_step_success]
    assert steps == [
        "raw_files", "combined", "features", "next_day_features", "quarantine", "volume_candidates", "next_day_model",
        "volume_model", "next_day_forecasts", "next_day_model_monitoring", "volume_model_monitoring",
        "volume_predictions",
    ]  # fmt: skip
    assert litter(refreshed.data_dir) == []


def test_every_row_of_every_file_is_accounted_for(refreshed: Refreshed) -> None:
    numbers = metadata(refreshed.result, "combined")
    assert checks(refreshed.result, "combined")["reconciled"].passed
    assert numbers["rows_read"] == count_csv_rows(refreshed.source)
    assert numbers["rows_read"] == numbers["rows_kept"] + numbers["rows_quarantined"]
    assert numbers["files"] == len(list(refreshed.source.glob("*/*.csv"))) == 30
    assert refreshed.query("SELECT count(*) FROM combined") == [(numbers["rows_kept"],)]
    assert refreshed.query("SELECT sum(rows) FROM quarantine") == [(numbers["rows_quarantined"],)]
    assert metadata(refreshed.result, "raw_files")["dagster/row_count"] == numbers["rows_read"]
    assert numbers["dagster/row_count"] == numbers["rows_kept"]


def test_features_metadata_tells_of_each_letter(refreshed: Refreshed) -> None:
    values = metadata(refreshed.result, "features")
    table = records(values["by letter"])
    counted = dict(refreshed.query("SELECT letter, count(*) FROM combined GROUP BY letter"))
    assert [row["letter"] for row in table] == sorted(counted)
    assert {row["letter"]: row["rows"] for row in table} == counted
    assert values["dagster/row_count"] == sum(counted.values())
    assert values["letters"] == len(counted)
    assert values["symbols of the run"] == refreshed.query('SELECT count(DISTINCT "Symbol") FROM combined')[0][0]


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
    assert values["coverage"] == manifest["interval"]["coverage"]
    assert pointer.version == values["version"] == manifest["version"]
    assert (pointer.asset_key, pointer.run_id) == ("volume_model", refreshed.result.run_id)
    assert manifest["run_id"] == refreshed.result.run_id
    assert manifest["data"]["raw_version"] == metadata(refreshed.result, "raw_files")["version"]
    assert {path.name for path in (refreshed.models / pointer.path).iterdir()} == {
        "model.txt", "model.pkl", "manifest.json", "metrics.json", "card.md", "card.html", "plots",
    }  # fmt: skip
    assert Path(values["card"]).read_text("utf-8").startswith("<!DOCTYPE html>")
    for name in ("predicted_against_actual", "error_by_liquidity", "skill_by_model", "feature_importance"):
        assert "data:image/png;base64," in values[name]


@pytest.mark.parametrize("key", CANDIDATES)
def test_every_candidate_tells_its_measurement(refreshed: Refreshed, key: str) -> None:
    values = metadata(refreshed.result, key)
    folder = refreshed.models / "candidates" / key.partition("/")[2]
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert (values["mae"], values["dagster/row_count"]) == (metrics["test"]["mae"], metrics["test"]["rows"])
    assert values["skill"] == metrics["skill"]["vol_moving_avg"]
    assert values["test window"] == metadata(refreshed.result, "volume_model")["test window"]
    assert values["trained"]
    assert values["skill interval"].count("%") == 2


def test_one_candidate_can_be_made_alone(copied: Path) -> None:
    variables = demo_settings(copied, threads=2, train_share=0.65)
    before = digests(copied, "models/volume_model/candidates/*/manifest.json")
    result = execute(variables, ["volume_candidates/log_log"])
    after = digests(copied, "models/volume_model/candidates/*/manifest.json")
    assert result.success
    assert {path for path in after if after[path] != before[path]} == {
        "models/volume_model/candidates/log_log/manifest.json"
    }
    assert metadata(result, "volume_candidates/log_log")["trained"]


def test_a_better_model_passes_its_check(refreshed: Refreshed) -> None:
    beats = checks(refreshed.result, "volume_model")["beats_baseline"]
    assert beats.passed
    assert beats.metadata["skill"].value == metadata(refreshed.result, "volume_model")["skill"]


def test_a_second_run_gives_the_same_bytes(refreshed: Refreshed, copied: Path) -> None:
    result = execute(demo_settings(copied, threads=2))
    assert result.success
    assert digests(copied) == refreshed.files
    assert len(digests(copied, "models/volume_model/*/model.txt")) == 1


def test_a_missing_source_fails_with_its_line(tmp_path: Path) -> None:
    result = execute(folder_settings(tmp_path / "data", tmp_path / "nowhere"))
    assert not result.success
    line = f"STOCK_ASSETS_SOURCE_PATH={tmp_path}/nowhere: there is no such folder or zip"
    assert failures(result) == {"raw_files": line}
    assert {path.name for path in (tmp_path / "data").rglob("*") if path.is_file()} <= {"run.lock", "pipeline.jsonl"}


@pytest.mark.usefixtures("unchanged")
def test_a_missing_source_leaves_what_was_published(copied: Path, tmp_path: Path) -> None:
    manifest = (copied / "raw/manifest.json").read_bytes()
    assert list(failures(execute(folder_settings(copied, tmp_path / "nowhere")))) == ["raw_files"]
    assert (copied / "raw/manifest.json").read_bytes() == manifest


def _counted(copied: Path) -> tuple[Path, dict[str, str]]:
    """A price file that has changed since the last run, counted by `raw_files`, and the settings of that run."""
    (path,) = (copied / "raw").glob("*/stocks/T.csv")
    with path.open("a") as file:
        file.write("2020-04-02,1,1,1,1,1,1\n")
    variables = folder_settings(copied, path.parents[1])
    assert execute(variables, ["raw_files"]).success
    return path, variables


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_grew_after_it_was_counted_stops_the_run(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, variables = _counted(copied)
    rows = len(path.read_text().splitlines()) - 1
    with path.open("a") as file:
        file.write("2020-04-03,1,1,1,1,1,1\n")
    # As where the change is so quick that the times of the file do not tell it.
    monkeypatch.setattr("stock_assets.combined.changed_since", lambda *_: [])
    result = execute(variables, ["combined"])
    assert not result.success
    assert not checks(result, "combined")["reconciled"].passed
    line = failures(result)["combined"]
    assert line.startswith("the check reconciled failed: 1 of 30 files (3.3 %)")
    assert f"file stocks/T.csv, rows {rows}, rows_kept {rows + 1}, rows_quarantined 0" in line
    assert "nothing was published: run again once the files rest" in line
    assert "\n" not in line
    assert result.asset_materializations_for_node("combined") == []


@pytest.mark.usefixtures("unchanged")
def test_a_file_that_went_after_it_was_counted_stops_the_run(copied: Path) -> None:
    path, variables = _counted(copied)
    path.unlink()
    result = execute(variables, ["combined", "features"])
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["combined"]


def test_a_model_that_does_not_beat_the_baseline_is_not_promoted(copied: Path, tmp_path: Path) -> None:
    before = (copied / "models/volume_model/latest.json").read_bytes()
    result = execute(folder_settings(copied, write_constant_volume(tmp_path / "constant")))
    assert result.success
    found = checks(result, "volume_model")["beats_baseline"]
    assert not found.passed
    assert found.description is not None
    assert "saves " in found.description
    assert found.description.endswith("not promoted, latest.json stays as it was")
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


def test_the_version_of_a_dataset_is_that_of_the_raw_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest(source="kaggle", origin="kaggle a/b/versions/3", version="0123", root=tmp_path, files=[])
    monkeypatch.setattr("stock_assets.defs.assets.refresh", lambda *_: manifest)
    result = execute(demo_settings(tmp_path / "data"), ["raw_files"])

    (event,) = result.asset_materializations_for_node("raw_files")
    assert event.tags["dagster/data_version"] == "a/b/versions/3"
