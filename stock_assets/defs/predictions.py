"""The asset `volume_predictions`: the promoted volume model's answer to every feature row, by letter."""

import hashlib
from collections.abc import Iterator

import dagster as dg

from stock_assets.budget import thread_count
from stock_assets.combined import published_version
from stock_assets.contract import LETTER_COLUMN, PREDICTION_COLUMNS
from stock_assets.defs.assets import OWNERS, features
from stock_assets.defs.partitions import letters
from stock_assets.defs.resources import MarketDatabase, writing
from stock_assets.defs.schemas import table_schema, table_value
from stock_assets.layout import LETTERS, Layout
from stock_assets.promoted import NotPromotedError, read_promoted
from stock_assets.publishing import staging
from stock_assets.volume_predictions import LetterFacts, predictor, recipe, stale_predictions, update_predictions


@dg.asset(
    deps=[features, "volume_model"],
    partitions_def=letters,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="models",
    kinds={"lightgbm", "duckdb", "parquet"},
    owners=OWNERS,
    code_version=recipe(),
    output_required=False,
    metadata={"dagster/column_schema": table_schema(*PREDICTION_COLUMNS, LETTER_COLUMN)},
)
def volume_predictions(context: dg.AssetExecutionContext, database: MarketDatabase) -> Iterator[dg.MaterializeResult]:
    """What the promoted volume model says of every feature row, beside the volume that was traded.

    One Parquet file a letter, in `lake/volume_predictions/letter=*`, with the rows of `features` in their order and the
    answers that the service gives. A letter whose features and model are those of its file is left as it is. The
    rows up to the model's last training day are in it too: a measure of the model is in its `metrics.json`. Without a
    promoted model nothing is made.
    """
    keys = list(context.partition_keys)
    with writing(context) as settings, database.published() as connection:
        layout = Layout(settings.data_dir)
        try:
            model = read_promoted(layout.models / "volume_model")
        except NotPromotedError as error:
            context.log.warning(str(error))
            return
        predict = predictor(model, thread_count(settings))
        stale = stale_predictions(connection, layout, model.version, keys)
        with staging() as stage:
            copies = {letter: stage(layout.parquet("volume_predictions", letter)) for letter in stale}
            facts = update_predictions(connection, keys, stale, copies, predict)
        version = f"{published_version(connection)} {model.version}"
    for letter in facts:
        own = {"dagster/partition_row_count": letter.rows} | letter._asdict()
        context.add_asset_metadata(own, partition_key=letter.letter)
    yield dg.MaterializeResult(
        metadata=_metadata(facts) | {"model version": model.version},
        data_version=dg.DataVersion(hashlib.sha256(version.encode()).hexdigest()[:16]),
    )


def _metadata(facts: list[LetterFacts]) -> dict[str, dg.MetadataValue | int | float]:
    """What the run as a whole made; the speed only where it made something."""
    rows_key = {1: "dagster/partition_row_count", len(LETTERS): "dagster/row_count"}.get(len(facts), "rows of the run")
    values: dict[str, dg.MetadataValue | int | float] = {
        rows_key: sum(letter.rows for letter in facts),
        "letters skipped": sum(letter.skipped and letter.rows > 0 for letter in facts),
        "by letter": table_value([letter._asdict() for letter in facts if letter.rows]),
    }
    written = [letter for letter in facts if not letter.skipped]
    rows, seconds = sum(letter.rows for letter in written), sum(letter.seconds for letter in written)
    if rows and seconds:
        values |= {
            "rows written": rows,
            "rows predicted": sum(letter.predicted for letter in written),
            "rows per second": round(rows / seconds),
        }
    return values
