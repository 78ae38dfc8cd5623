"""The jobs: everything, all letters, in one run; and, only when it is asked for, the search for hyper-parameters."""

import dagster as dg

from stock_assets.defs.partitions import ALL_LETTERS
from stock_assets.defs.search import GROUP

SEARCH = dg.AssetSelection.groups(GROUP)

full_refresh = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all() - SEARCH,
    tags=ALL_LETTERS,
    description="Raw files to tables, features of all letters, models, predictions and forecasts, in one run.",
)

parameter_search = dg.define_asset_job(
    "parameter_search",
    selection=SEARCH,
    description="Better hyper-parameters for both models, on validation. With one of the assets, for one model.",
)
