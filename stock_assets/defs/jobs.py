"""The one job: everything, all letters, in one run."""

import dagster as dg

from stock_assets.defs.partitions import ALL_LETTERS

full_refresh = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all(),
    tags=ALL_LETTERS,
    description="Raw files to tables, features of all letters, and the model, in one run.",
)
