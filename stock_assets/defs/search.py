"""The assets of the search for hyper-parameters. They belong to no refresh: a search is asked for."""

import dagster as dg

from stock_assets.defs.assets import OWNERS
from stock_assets.defs.resources import MarketDatabase, working
from stock_assets.defs.schemas import table_value
from stock_assets.search import Found, search

GROUP = "search"
SHOWN = 10


@dg.asset(deps=["features"], group_name=GROUP, kinds={"lightgbm", "python"}, owners=OWNERS)
def volume_model_parameters(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """Hyper-parameters of the candidate `lightgbm_log_ratio`, chosen on the validation window.

    Trials are kept in `search.db`; a search goes on until its study has `STOCK_ASSETS_SEARCH_TRIALS`. Where the best
    one errs less than the parameters in use, `models/volume_model/parameters.json` has it for the next training.
    """
    return _result(_search(context, database, "volume_model"))


@dg.asset(deps=["next_day_features"], group_name=GROUP, kinds={"lightgbm", "python"}, owners=OWNERS)
def next_day_model_parameters(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """Hyper-parameters of the point forecast of `next_day_model`, chosen on the validation window.

    Like `volume_model_parameters`, of a sample of 300,000 training rows; the file is
    `models/next_day_model/parameters.json`. The models of the interval keep their own parameters.
    """
    return _result(_search(context, database, "next_day_model"))


def _search(context: dg.AssetExecutionContext, database: MarketDatabase, model: str) -> Found:
    """A search takes the data folder only while it reads and publishes, so that a refresh need not wait for it."""
    with working(context) as settings:
        return search(settings, model, database.published, context.run.run_id, context.log.info)


def _result(found: Found) -> dg.MaterializeResult:
    rows = [
        {"trial": place, "mae": trial.mae, "trees": trial.trees} | trial.parameters
        for place, trial in enumerate(found.trials, 1)
    ]
    return dg.MaterializeResult(
        metadata={
            "trials": len(found.trials),
            "trials of this run": found.new,
            "mae on validation": found.best.mae,
            "mae of the parameters in use": found.in_use.mae,
            "gain": found.gain,
            "promoted": found.promoted,
            "verdict": found.verdict,
            "study": found.study,
            "parameters": dg.MetadataValue.json(found.best.parameters),
            f"best {SHOWN}": table_value(sorted(rows, key=lambda row: float(row["mae"]))[:SHOWN]),
        }
    )
