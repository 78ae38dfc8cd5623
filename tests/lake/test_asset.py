"""The assets of the lake: what they tell, where they are, and that they come last in their job."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.defs.lake import lake_assets, lake_sensors
from stock_assets.lake import find_manifest, read_manifest, settings_store
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.helpers import (
    child_environment,
    demo_settings,
    digests,
    folder_settings,
    in_force,
    stock_assets,
    write_constant_volume,
)

CONDITIONS = """
import json, sys
import dagster as dg
from stock_assets.definitions import defs
from stock_assets.defs.partitions import range_tags

def requested(cursor):
    found = dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)
    return found.cursor, found.total_requested

def run(**part):
    assert defs.resolve_job_def("full_refresh").execute_in_process(instance=instance, **part).success

instance = dg.DagsterInstance.ephemeral()
cursor, _ = requested(None)
counts = []
backfill = {"asset_selection": [dg.AssetKey("features")], "tags": range_tags("A", "A")}
for part in ({"asset_selection": [dg.AssetKey("raw_files"), dg.AssetKey("combined")]}, backfill, {}, {}, backfill):
    run(**part)
    for _ in range(2):
        cursor, count = requested(cursor)
        counts.append(count)
print(json.dumps(counts))
"""


def variables(settings: Settings) -> dict[str, str]:
    return {"STOCK_ASSETS_DATA_DIR": str(settings.data_dir), "STOCK_ASSETS_LAKE_URL": str(settings.lake_url)}


def materialize(settings: Settings, name: str) -> dict[str, Any]:
    """The metadata of one of the two assets."""
    with in_force(variables(settings)), dg.DagsterInstance.ephemeral() as instance:
        found = [asset for asset in lake_assets(settings) if asset.key == dg.AssetKey(name)]
        result = dg.materialize(found, instance=instance)
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}


@pytest.mark.parametrize("name", ["lake", "crypto_lake"])
def test_both_assets_publish_and_tell_what_is_there(settings: Settings, name: str) -> None:
    if name == "crypto_lake":
        layout = Layout(settings.data_dir)
        layout.symbols.parent.rename(layout.crypto("crypto_prices").parent)
    first = materialize(settings, name)
    manifest = read_manifest(settings_store(settings))
    files = list(manifest.files())

    assert (first["version"], first["new version"]) == (manifest.version, True)
    assert (first["objects uploaded"], first["objects removed"]) == (len(files), 0)
    assert first["bytes"] == first["bytes uploaded"] == sum(file.bytes for file in files)
    assert {record.data["table"]: record.data["rows"] for record in first["tables"].records} == {
        table: sum(file.rows or 0 for file in found) for table, found in manifest.tables.items()
    }
    assert [record.data["model"] for record in first["models"].records] == ["volume_model"]
    again = materialize(settings, name)
    assert (again["new version"], again["objects uploaded"], again["version"]) == (False, 0, manifest.version)


def test_without_a_lake_there_are_no_such_assets() -> None:
    settings = Settings(data_dir=Path("data"))
    assert (lake_assets(settings), lake_sensors(settings)) == ([], [])


@pytest.mark.parametrize("automation", [True, False])
def test_the_sensor_runs_by_itself_only_where_automation_is_on(automation: bool) -> None:
    settings = Settings(data_dir=Path("data"), lake_url="lake", automation=automation)
    (sensor,) = lake_sensors(settings)
    assert (sensor.default_status == dg.DefaultSensorStatus.RUNNING) is automation


@pytest.mark.slow
def test_a_run_ends_with_publishing_all_that_it_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", lake_url=str(tmp_path / "lake"))
    for number in range(2):
        done = stock_assets("run", variables=demo_settings(settings.data_dir) | variables(settings), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        manifest = read_manifest(settings_store(settings))
        there = {f"lake/{table}/{file.name}": file.sha256 for table, files in manifest.tables.items() for file in files}
        assert there == digests(settings.data_dir, "lake/**/*.parquet")
        assert {"volume_predictions", "next_day_forecasts"} <= manifest.tables.keys()
        assert len(list((tmp_path / "lake" / "manifests").iterdir())) == 1, f"run {number + 1} of an unchanged market"
    for name in ("volume_model", "next_day_model"):
        pointer = json.loads((Layout(settings.data_dir).models / name / "latest.json").read_text("utf-8"))
        model = manifest.models[name].pointer
        assert model is not None
        assert model.version == pointer["version"]
    done = stock_assets("run", "--select", "group:crypto", variables=variables(settings), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "next_price_predictions" in read_manifest(settings_store(settings)).tables


@pytest.mark.slow
def test_a_market_without_a_promoted_model_is_published_all_the_same(tmp_path: Path) -> None:
    source = write_constant_volume(tmp_path / "source")
    settings = Settings(data_dir=tmp_path / "data", lake_url=str(tmp_path / "lake"))
    own = folder_settings(settings.data_dir, source) | variables(settings)
    done = stock_assets("run", variables=own, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    manifest = find_manifest(settings_store(settings))
    assert manifest is not None
    assert "features" in manifest.tables
    assert "volume_predictions" not in manifest.tables
    model = manifest.models["volume_model"]
    assert (model.pointer, len(model.versions)) == (None, 1)


@pytest.mark.slow
def test_a_refresh_starts_no_second_publication_and_a_backfill_does(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", lake_url=str(tmp_path / "lake"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CONDITIONS],
        env=child_environment(demo_settings(settings.data_dir) | variables(settings)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 0, 1, 0, 0, 0, 0, 0, 1, 0]
