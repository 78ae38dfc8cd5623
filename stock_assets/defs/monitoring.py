"""Checks of promoted models on the data that came after them, in a step of their own after each model."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import duckdb

from stock_assets.defs.resources import MarketDatabase
from stock_assets.defs.schemas import picture_value, table_value
from stock_assets.errors import UserError, first_line
from stock_assets.layout import LETTERS, Layout, Table
from stock_assets.monitoring import DRIFT, VOLUME_MODEL, ModelCheck, Verdict
from stock_assets.pictures import input_drift
from stock_assets.promoted import read_promoted
from stock_assets.settings import load_settings


def model_checks(model: str, table: Table, checks: Mapping[str, ModelCheck] = DRIFT) -> dg.AssetChecksDefinition:
    """The checks of `models/<model>`, whose inputs are the columns of `table`. They warn and stop nothing."""

    @dg.multi_asset_check(
        name=f"{model}_monitoring",
        specs=[dg.AssetCheckSpec(name, asset=model, description=check.description) for name, check in checks.items()],
        can_subset=True,
    )
    def monitoring(context: dg.AssetCheckExecutionContext, database: MarketDatabase) -> Iterator[dg.AssetCheckResult]:
        for key in sorted(context.selected_asset_check_keys):
            verdict = _verdict(database, model, table, checks[key.name])
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=verdict.passed,
                severity=dg.AssetCheckSeverity.WARN,
                description=verdict.line,
                metadata=_metadata(verdict),
            )

    return monitoring


def _verdict(database: MarketDatabase, model: str, table: Table, check: ModelCheck) -> Verdict:
    """What a check found. What keeps it from looking is a warning as well."""
    try:
        layout = Layout(load_settings().data_dir)
        promoted = read_promoted(layout.models / model)
        with database.published() as connection:
            return check.decide(connection, promoted, _files(layout, table))
    except (UserError, OSError, duckdb.Error) as error:
        return Verdict(False, first_line(error))


def _files(layout: Layout, table: Table) -> list[Path]:
    files = [path for letter in LETTERS if (path := layout.parquet(table, letter)).exists()]
    if not files:
        raise UserError(f"no {table} below {layout.data_dir}: materialize {table} first")
    return files


def _metadata(verdict: Verdict) -> dict[str, dg.MetadataValue | int | float | str]:
    values: dict[str, dg.MetadataValue | int | float | str] = dict(verdict.facts)
    if verdict.indices:
        values["largest index"] = max(verdict.indices.values())
        values["by input"] = table_value([{"input": name, "index": index} for name, index in verdict.indices.items()])
        values["picture"] = picture_value(input_drift(verdict.indices))
    return values


volume_model_checks = model_checks("volume_model", "features", VOLUME_MODEL)
next_day_model_checks = model_checks("next_day_model", "next_day_features")
