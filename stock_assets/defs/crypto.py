"""The assets of the crypto pipeline: crypto_prices -> crypto_features -> next_price_model -> next_price_predictions."""

from collections.abc import Iterator

import dagster as dg

from stock_assets.crypto import tables
from stock_assets.crypto.model import NAME, make_next_price_model
from stock_assets.crypto.predictions import make_predictions
from stock_assets.crypto.source import refresh
from stock_assets.defs.assets import OWNERS
from stock_assets.defs.checks import blocking_results, check_results, check_specs, skill_result, warning_counts
from stock_assets.defs.resources import CryptoDatabase, writing
from stock_assets.defs.schemas import table_value, version_metadata
from stock_assets.layout import Layout
from stock_assets.publishing import staged, staging
from stock_assets.quarantine import export_quarantine, quarantine_reasons
from stock_assets.statements import recipe, run

GROUP = "crypto"


@dg.asset(
    group_name=GROUP,
    kinds={"csv", "duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(tables.FOLDER),
    check_specs=check_specs("crypto_prices"),
)
def crypto_prices(
    context: dg.AssetExecutionContext, crypto_database: CryptoDatabase
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """All sound prices of crypto assets, one row per asset and date, from the files of `STOCK_ASSETS_CRYPTO_PATH`.

    Without a path two assets are generated. `crypto.duckdb` also holds `quarantine` (what was not loaded: file, line
    or date, reason), `source_files` (the balance of each file) and the view `crypto_features`. The files are small, so
    everything is made anew each time; `lake/crypto_prices` and `lake/crypto_quarantine` have it as Parquet.
    """
    with writing(context) as settings:
        layout = Layout(settings.data_dir)
        with staging() as stage:
            database, prices, quarantine, place = map(
                stage,
                (
                    layout.crypto_database,
                    layout.crypto("crypto_prices"),
                    layout.crypto("crypto_quarantine"),
                    layout.crypto_manifest,  # last: the sensor takes what it names for published
                ),
            )
            manifest = refresh(settings, place)
            with crypto_database.building(database) as connection:
                totals = tables.build(connection, layout, manifest, place)
                findings = tables.inspect_prices(connection)
                yield from blocking_results(findings)
                version = tables.published_version(connection)
                run(connection, "crypto/export_prices", path=str(prices), made_from=version)
                export_quarantine(connection, quarantine, version)
                reasons = quarantine_reasons(connection)
    yield dg.MaterializeResult(
        metadata=totals._asdict()
        | warning_counts(findings)
        | {"dagster/row_count": totals.rows_kept, "origin": manifest.origin, "by reason": table_value(reasons)},
        check_results=list(check_results(findings)),
        data_version=dg.DataVersion(version),
    )


@dg.asset(
    deps=[crypto_prices],
    group_name=GROUP,
    kinds={"duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(tables.FOLDER),
)
def crypto_features(context: dg.AssetExecutionContext, crypto_database: CryptoDatabase) -> dg.MaterializeResult:
    """What is known of a crypto asset at a day's close, by SQL, and the next day's price, which is the label.

    Wilder's RSI over 14 days, returns, ratios to moving averages: see `sql/crypto/create_features.sql`. As Parquet in
    `lake/crypto_features`; in `crypto.duckdb` the view `crypto_features` computes the same.
    """
    with writing(context) as settings, crypto_database.get_connection() as connection:
        version = tables.published_version(connection)
        with staged(Layout(settings.data_dir).crypto("crypto_features")) as path:
            rows = tables.export_features(connection, path, version)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows}, data_version=dg.DataVersion(version))


@dg.asset(
    deps=[crypto_features],
    group_name=GROUP,
    kinds={"lightgbm", "scikitlearn", "python"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(
            "beats_random_walk",
            asset=NAME,
            description="The new version errs less than today's price on the test window; else it is not promoted.",
        )
    ],
)
def next_price_model(context: dg.AssetExecutionContext, crypto_database: CryptoDatabase) -> dg.MaterializeResult:
    """A model of a crypto asset's price on the next day: of three candidates the one that errs least on validation.

    The linear regression of the published sample, a ridge and LightGBM on returns. Split by time, 70 to 30, with a gap;
    measured against "tomorrow's price is today's". `latest.json` moves only to a version that errs less than that.
    """
    with writing(context) as settings, crypto_database.get_connection() as connection:
        asset = context.asset_key.to_user_string()
        model = make_next_price_model(connection, settings, asset, context.run.run_id, context.log.info)
    context.log.info(model.verdict)
    metrics = model.manifest["metrics"]
    return dg.MaterializeResult(
        metadata=version_metadata(model)
        | {
            "candidate": model.manifest["candidate"],
            "direction told": metrics["direction"]["share"],
            "by asset": table_value(
                [
                    {"asset": asset, "model": name, "mae": found["mae"], "rmse": found["rmse"], "skill": found["skill"]}
                    for asset, scores in metrics["assets"].items()
                    for name, found in scores.items()
                ]
            ),
        },
        check_results=[skill_result("beats_random_walk", model)],
        data_version=dg.DataVersion(model.manifest["files"]["model.txt"]),
    )


@dg.asset(deps=[crypto_features, next_price_model], group_name=GROUP, kinds={"parquet", "python"}, owners=OWNERS)
def next_price_predictions(context: dg.AssetExecutionContext, crypto_database: CryptoDatabase) -> dg.MaterializeResult:
    """What the promoted model, or where none is the newest one, says of the price on the day after each row's.

    `lake/next_price_predictions` has price, volume, marketCap, rsi, the next day's price and its prediction; the last
    row of an asset is its forecast. It also says whether the model beats the random walk: mostly none does.
    """
    with writing(context) as settings, crypto_database.get_connection() as connection:
        made = make_predictions(connection, Layout(settings.data_dir))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": made.rows,
            "model version": made.version,
            "promoted": made.promoted,
            "file": dg.MetadataValue.path(made.path),
            "forecasts": table_value(made.forecasts),
        }
    )
