"""Runs of the whole graph in this process, and what Dagster recorded of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.definitions import defs
from tests.helpers import in_force, query
from tests.next_day.markets import quicken


def execute(
    variables: dict[str, str], select: list[str] | None = None, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Run `full_refresh`, or some assets of it, with few trees; `tags` are for other letters than all."""
    with in_force(variables), dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        quicken(patch, draws=True)
        return defs.resolve_job_def("full_refresh").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey.from_user_string(name) for name in select] if select else None,
            tags=tags,
            raise_on_error=False,
        )


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    made = result.get_asset_materialization_events()
    event = next(event for event in made if event.asset_key == dg.AssetKey.from_user_string(asset))
    values = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in values.items()}


def checks(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.AssetCheckEvaluation]:
    """The evaluations of an asset's checks by name, in their order."""
    evaluations = result.get_asset_check_evaluations()
    return {found.check_name: found for found in evaluations if found.asset_key == dg.AssetKey(asset)}


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Each failed step and what it says."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            assert data.user_failure_data is not None, data.error
            found[str(event.step_key)] = str(data.user_failure_data.description)
    return found


def steps(result: dg.ExecuteInProcessResult) -> list[str]:
    """The steps that were started, in their order."""
    return [str(event.step_key) for event in result.all_events if event.is_step_start]


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
