"""The code location: what Dagster loads, and nothing else."""

import dagster as dg

from stock_assets.defs.assets import combined, features, raw_files
from stock_assets.defs.automation import crypto_sensor, daily_schedule, failure_sensor, source_sensor
from stock_assets.defs.crypto import crypto_features, crypto_prices, next_price_model, next_price_predictions
from stock_assets.defs.jobs import crypto_refresh, full_refresh, parameter_search
from stock_assets.defs.lake import lake_assets, lake_sensors
from stock_assets.defs.models import volume_candidates, volume_model
from stock_assets.defs.monitoring import next_day_model_checks, volume_model_checks
from stock_assets.defs.next_day import next_day_features, next_day_forecasts, next_day_model
from stock_assets.defs.predictions import volume_predictions
from stock_assets.defs.quarantine import quarantine
from stock_assets.defs.resources import CryptoDatabase, MarketDatabase
from stock_assets.defs.search import next_day_model_parameters, volume_model_parameters
from stock_assets.settings import load_settings

settings = load_settings()

defs = dg.Definitions(
    assets=[
        raw_files,
        combined,
        quarantine,
        features,
        volume_candidates,
        volume_model,
        volume_predictions,
        next_day_features,
        next_day_model,
        next_day_forecasts,
        volume_model_parameters,
        next_day_model_parameters,
        crypto_prices,
        crypto_features,
        next_price_model,
        next_price_predictions,
        *lake_assets(settings),
    ],
    asset_checks=[volume_model_checks, next_day_model_checks],
    jobs=[full_refresh, crypto_refresh, parameter_search],
    schedules=[daily_schedule(settings)],
    sensors=[source_sensor(settings), crypto_sensor(settings), failure_sensor(settings), *lake_sensors(settings)],
    resources={"database": MarketDatabase(), "crypto_database": CryptoDatabase()},
    executor=dg.in_process_executor,
)
