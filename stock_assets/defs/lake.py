"""The assets of the lake, for those who have one: what the data folder has, published for other machines."""

import time
from typing import Any

import dagster as dg

from stock_assets.defs.assets import OWNERS
from stock_assets.defs.crypto import GROUP as CRYPTO_GROUP
from stock_assets.defs.resources import writing
from stock_assets.defs.schemas import table_value
from stock_assets.lake import LakeManifest
from stock_assets.settings import Settings

# Not those that may make nothing, with which Dagster would skip this one too: a lower priority has it run after them.
DEPS = {
    "lake": ("quarantine", "features", "volume_model", "next_day_features", "next_day_model"),
    "crypto_lake": ("next_price_predictions",),
}
LAST = {"dagster/priority": "-1"}


def lake_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """An asset at the end of each of the two refreshes; none where no lake is set."""
    if settings.lake_url is None:
        return []
    return [_asset("lake", "tables", crypto=False), _asset("crypto_lake", CRYPTO_GROUP, crypto=True)]


def lake_sensors(settings: Settings) -> list[dg.AutomationConditionSensorDefinition]:
    """What publishes after a backfill of some letters, or of one asset; refreshes do it themselves."""
    if settings.lake_url is None:
        return []
    return [
        dg.AutomationConditionSensorDefinition(
            "lake_behind",
            target=dg.AssetSelection.assets(*DEPS),
            default_status=dg.DefaultSensorStatus.RUNNING if settings.automation else dg.DefaultSensorStatus.STOPPED,
            description="Publishes in the lake what was materialized by itself. A refresh ends with that anyway.",
        )
    ]


def _asset(name: str, group: str, *, crypto: bool) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=DEPS[name],
        group_name=group,
        kinds={"parquet", "s3"},
        owners=OWNERS,
        op_tags=LAST,
        # Also where some letters or models were never made.
        automation_condition=dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing()),
    )
    def lake(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """All tables of this pipeline and the promoted models, in the lake of `STOCK_ASSETS_LAKE_URL`.

        Objects that are there already are not sent again. `manifest.json` is replaced last: whoever reads it and what
        it names sees one version. See `docs/lake.md`.
        """
        from stock_assets.lake_publishing import publish  # noqa: PLC0415 - pyarrow, for those who have a lake

        begun = time.perf_counter()
        with writing(context) as settings:
            published = publish(settings, context.log.info, crypto=crypto)
        return dg.MaterializeResult(
            metadata=_metadata(published.manifest)
            | {
                "new version": published.new,
                "objects uploaded": published.uploaded,
                "bytes uploaded": published.uploaded_bytes,
                "objects removed": published.removed,
                "seconds": round(time.perf_counter() - begun, 3),
            },
            data_version=dg.DataVersion(published.manifest.version),
        )

    return lake


def _metadata(manifest: LakeManifest) -> dict[str, Any]:
    return {
        "version": manifest.version,
        "bytes": sum(file.bytes for file in manifest.files()),
        "tables": table_value(
            [
                {
                    "table": name,
                    "files": len(files),
                    "rows": sum(file.rows or 0 for file in files),
                    "bytes": sum(file.bytes for file in files),
                }
                for name, files in manifest.tables.items()
            ]
        ),
        "models": table_value(
            [
                {"model": name, "promoted": model.pointer.version if model.pointer else "none"}
                for name, model in manifest.models.items()
            ]
        ),
    }
