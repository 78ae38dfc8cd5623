"""The assets of the next-day forecast: its features by letter, its model, and what that says of the next session."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from stock_assets.budget import thread_count
from stock_assets.combined import published_version
from stock_assets.defs.assets import OWNERS, combined
from stock_assets.defs.checks import skill_result
from stock_assets.defs.partitions import letter_metadata, letters
from stock_assets.defs.resources import MarketDatabase, writing
from stock_assets.defs.schemas import table_value, version_metadata
from stock_assets.engines.engine import open_engine
from stock_assets.features import update_features
from stock_assets.layout import Layout
from stock_assets.next_day.baselines import DECISIVE
from stock_assets.next_day.forecasts import make_forecasts
from stock_assets.next_day.model import make_next_day_model
from stock_assets.promoted import NotPromotedError
from stock_assets.provenance import STATEMENTS, stale_letters
from stock_assets.publishing import staging
from stock_assets.statements import recipe, run

FOLDER = STATEMENTS["next_day_features"]


@dg.asset(
    deps=[combined],
    partitions_def=letters,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="next_day",
    kinds={"duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(FOLDER),
)
def next_day_features(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """What is known of each symbol at a day's close, by SQL windows that look back only.

    Lags, means, extremes and deviations of log volume, what came a quarter and a year ago, returns and ranges: see
    `sql/next_day/create_features.sql`. One Parquet file a letter, in `lake/next_day_features/letter=*`; letters whose
    prices have not changed stay as they are.
    """
    keys = list(context.partition_keys)
    with writing(context) as settings, database.published() as connection:
        layout = Layout(settings.data_dir)
        version = published_version(connection)
        run(connection, f"{FOLDER}/create_features")
        stale = stale_letters(connection, layout, "next_day_features", keys)
        with staging() as stage:
            copies = {letter: stage(layout.parquet("next_day_features", letter)) for letter in stale}
            with open_engine(settings, context.log.info) as engine:
                facts = update_features(connection, keys, stale, copies, engine)
    return dg.MaterializeResult(metadata=letter_metadata(context, facts), data_version=dg.DataVersion(version))


@dg.asset(
    deps=[next_day_features],
    group_name="next_day",
    kinds={"lightgbm", "python"},
    owners=OWNERS,
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(days=2), fail_window=timedelta(days=4)),
    check_specs=[
        dg.AssetCheckSpec(
            "forecast_beats_baseline",
            asset="next_day_model",
            description=f"The new version errs less than `{DECISIVE}` on the test window; else it is not promoted.",
        ),
        dg.AssetCheckSpec(
            "interval_holds",
            asset="next_day_model",
            description="The 80 % prediction interval holds 78 to 82 % of the test rows, and 75 to 85 % by liquidity.",
        ),
    ],
)
def next_day_model(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """A LightGBM model of a symbol's volume on its next trading day, with an 80 % prediction interval.

    It learns log volume as a difference to the symbol's own level; quantile models, conformalised by liquidity, give
    the interval. Split by time with a gap of 30 trading days. `latest.json` moves to a version only if it beats the
    best exponentially weighted mean of log volume on the test window; `lake/next_day_backtest` has its forecasts there.
    """
    with writing(context) as settings, database.published() as connection:
        asset, report = context.asset_key.to_user_string(), context.log.info
        model = make_next_day_model(connection, settings, asset, context.run.run_id, report)
    context.log.info(model.verdict)
    metrics = model.manifest["metrics"]
    test, interval = metrics["test"], metrics["interval"]
    return dg.MaterializeResult(
        metadata=version_metadata(model)
        | {
            "coverage": interval["coverage"],
            **{name: test[name] for name in ("rows", "mae", "rmse", "median_ape", "r2_log")},
            "baselines": table_value(
                [
                    {"baseline": name, "mae": round(scores["mae"]), "skill": round(metrics["skill"][name], 4)}
                    for name, scores in metrics["baselines"].items()
                ]
            ),
        },
        check_results=[
            skill_result("forecast_beats_baseline", model),
            _interval_result(interval),
        ],
        data_version=dg.DataVersion(model.manifest["files"]["model.txt"]),
    )


def _interval_result(interval: dict[str, Any]) -> dg.AssetCheckResult:
    whole = {"all rows": interval["coverage"]}
    shares = whole | interval["by_liquidity"]
    outside = {name: share for name, share in shares.items() if abs(share - 0.8) > (0.02 if name in whole else 0.05)}
    told = ", ".join(f"{share:.1%} of the rows ({name})" for name, share in (outside or whole).items())
    return dg.AssetCheckResult(
        check_name="interval_holds",
        passed=not outside,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"the interval holds {told}",
        metadata={name: dg.MetadataValue.float(share) for name, share in shares.items()},
    )


@dg.asset(
    deps=[next_day_features, next_day_model],
    group_name="next_day",
    kinds={"lightgbm", "parquet"},
    owners=OWNERS,
    output_required=False,
)
def next_day_forecasts(context: dg.AssetExecutionContext, database: MarketDatabase) -> Iterator[dg.MaterializeResult]:
    """The forecast of each symbol's next session by the promoted model, with its interval and the baselines.

    `lake/next_day_forecasts`: one row per symbol, in shares; `as_of` is the day that it is forecast from, the last one
    that the symbol has, and `forecast_for` the next session of the New York Stock Exchange after it.
    `lake/next_day_explanations` has what each input did to it. Without a promoted model nothing is made.
    """
    with writing(context) as settings, database.published() as connection:
        try:
            made = make_forecasts(connection, Layout(settings.data_dir), thread_count(settings))
        except NotPromotedError as error:
            context.log.warning(str(error))
            return
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": made.rows,
            "newest day": made.as_of,
            "symbols of the newest day": made.newest,
            "model version": made.version,
            "file": dg.MetadataValue.path(made.path),
            "first rows": table_value(made.sample),
        }
    )
