"""The code location: what Dagster loads, and nothing else."""

import dagster as dg

from stock_assets.defs.assets import combined, features, raw_files, volume_model
from stock_assets.defs.automation import daily_schedule, failure_sensor, source_sensor
from stock_assets.defs.jobs import full_refresh
from stock_assets.defs.quarantine import quarantine
from stock_assets.defs.resources import MarketDatabase
from stock_assets.settings import load_settings

settings = load_settings()

defs = dg.Definitions(
    assets=[raw_files, combined, quarantine, features, volume_model],
    jobs=[full_refresh],
    schedules=[daily_schedule(settings)],
    sensors=[source_sensor(settings), failure_sensor(settings)],
    resources={"database": MarketDatabase()},
    executor=dg.in_process_executor,
)
