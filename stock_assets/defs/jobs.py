"""The jobs: the market, all letters, in one run; crypto assets; and, only when asked for, the search of parameters."""

import dagster as dg

from stock_assets.defs.crypto import GROUP as CRYPTO_GROUP
from stock_assets.defs.partitions import ALL_LETTERS
from stock_assets.defs.search import GROUP

SEARCH = dg.AssetSelection.groups(GROUP)
CRYPTO = dg.AssetSelection.groups(CRYPTO_GROUP)

full_refresh = dg.define_asset_job(
    "full_refresh",
    selection=dg.AssetSelection.all() - SEARCH - CRYPTO,
    tags=ALL_LETTERS,
    description="Raw files to tables, features of all letters, models, predictions and forecasts, in one run; last, "
    "to the lake, where one is set.",
)

crypto_refresh = dg.define_asset_job(
    "crypto_refresh",
    selection=CRYPTO,
    description="Crypto prices, their features, the model of the next day's price and its predictions, in one run.",
)

parameter_search = dg.define_asset_job(
    "parameter_search",
    selection=SEARCH,
    description="Better hyper-parameters for both models, on validation. With one of the assets, for one model.",
)
