"""The code location: what Dagster loads, and nothing else."""

import dagster as dg

from stock_assets.defs.assets import combined, features, raw_files, volume_model
from stock_assets.defs.jobs import full_refresh
from stock_assets.defs.resources import MarketDatabase

defs = dg.Definitions(
    assets=[raw_files, combined, features, volume_model],
    jobs=[full_refresh],
    resources={"database": MarketDatabase()},
    executor=dg.in_process_executor,
)
