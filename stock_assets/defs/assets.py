"""The assets of the tables: raw_files -> combined -> features [by letter]. The work is done elsewhere."""

import warnings
from collections.abc import Iterator

import dagster as dg

from stock_assets.combined import export_combined, export_symbols, published_version, read_totals, update_combined
from stock_assets.contract import COMBINED_COLUMNS, FEATURE_COLUMNS, LETTER_COLUMN
from stock_assets.defs.checks import blocking_results, check_results, check_specs, warning_counts
from stock_assets.defs.partitions import letter_metadata, letters
from stock_assets.defs.resources import MarketDatabase, published_snapshot, refreshing, writing
from stock_assets.defs.schemas import feature_lineage, table_schema, table_value
from stock_assets.engines.engine import open_engine
from stock_assets.features import update_features
from stock_assets.ingest.snapshot import compare, read_manifest
from stock_assets.ingest.sources import refresh
from stock_assets.layout import LETTERS, Layout
from stock_assets.provenance import data_version, stale_letters
from stock_assets.publishing import staging
from stock_assets.quality import inspect_combined, inspect_features, record, tomorrow
from stock_assets.restatements import Restatements, export_restatements
from stock_assets.statements import recipe

OWNERS = ["team:market-data"]

# One run for many letters is what this pipeline needs, and it has been "beta" for years.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", category=dg.BetaWarning)


@dg.asset(group_name="ingest", kinds={"csv"}, owners=OWNERS)
def raw_files(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Daily price files, one CSV a symbol, and the names of the securities.

    `STOCK_ASSETS_SOURCE` chooses where they come from: `demo` generates a market, `folder` reads yours (a folder
    where it stands, or a zip, unpacked), `kaggle` downloads a dataset. `raw/manifest.json` lists every file with its
    size, SHA-256 and number of rows; a snapshot that is already in place is used again.
    """
    with writing(context) as settings:
        manifest = refresh(settings, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "source": manifest.source,
            "origin": manifest.origin,
            "version": manifest.version,
            "folder": dg.MetadataValue.path(manifest.folder(Layout(settings.data_dir))),
            "files": len(manifest.files),
            "files read": manifest.files_read,
            "unsound files": len(manifest.files) - len(manifest.loadable),
            "bytes": sum(file.size for file in manifest.files),
            "dagster/row_count": sum(file.rows for file in manifest.files),
        },
        data_version=dg.DataVersion(manifest.data_version),
    )


@dg.asset(
    deps=[raw_files],
    group_name="tables",
    kinds={"duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(),
    metadata={"dagster/column_schema": table_schema(*COMBINED_COLUMNS, LETTER_COLUMN)},
    check_specs=check_specs("combined"),
)
def combined(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """All sound prices in one DuckDB table, one row per Symbol and Date.

    `market.duckdb` also holds `quarantine` (what was not loaded: file, line or key, reason), `source_files` (every
    file with its rows read, kept and quarantined), `restatements` (what the last refresh changed of rows that were
    there: also in `lake/restatements`, a file for each refresh) and the view `features`. `lake/combined/letter=*` has
    the table as Parquet, `lake/symbols` its symbols with their names and days. Only files that changed since the last
    run are read, and only their letters are written.
    """
    with writing(context) as settings:
        layout = Layout(settings.data_dir)
        manifest = read_manifest(layout)
        before = published_snapshot(database, context.log.warning)
        changes = compare(before or {}, manifest.fingerprints)
        restated = Restatements()
        with staging() as stage, refreshing(database, layout, stage, before, changes) as (connection, anew):
            if anew:
                update_combined(connection, layout, manifest, changes, context.log.info)
                restated = export_restatements(connection, layout, stage)
            findings = inspect_combined(connection, manifest.fingerprints, tomorrow())
            if anew:
                record(connection, findings)
            yield from blocking_results(findings)
            stale = stale_letters(connection, layout, "combined", LETTERS)
            copies = {letter: stage(layout.parquet("combined", letter)) for letter in stale}
            export_combined(connection, stale, copies, context.log.info)
            export_symbols(connection, layout, stage, manifest.source)
            totals = read_totals(connection)
    yield dg.MaterializeResult(
        metadata=totals._asdict()
        | warning_counts(findings)
        | {
            "dagster/row_count": totals.rows_kept,
            "files added": len(changes.added),
            "files changed": len(changes.changed),
            "files removed": len(changes.removed),
            "letters written": " ".join(stale) or "none",
            "symbols restated": restated.symbols,
            "rows restated": restated.rows_changed,
            "rows removed": restated.rows_removed,
            "restated from": str(restated.since or "none"),
            "restatements": table_value(list(restated.sample)),
        },
        check_results=list(check_results(findings)),
        data_version=dg.DataVersion(data_version(manifest)),
    )


@dg.asset(
    deps=[combined],
    partitions_def=letters,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="tables",
    kinds={"duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(),
    metadata={
        "dagster/column_schema": table_schema(*COMBINED_COLUMNS, *FEATURE_COLUMNS, LETTER_COLUMN),
        "dagster/column_lineage": feature_lineage(dg.AssetKey("combined")),
    },
    check_specs=check_specs("features"),
)
def features(
    context: dg.AssetExecutionContext, database: MarketDatabase
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """The two features of the model beside the prices, by SQL windows over 30 rows of a symbol.

    `vol_moving_avg` is the mean volume, `adj_close_rolling_med` the true median of the adjusted close. One Parquet
    file a letter, in `lake/features/letter=*`; a run of some letters leaves the others' files as they are, and so it
    does with letters whose prices have not changed.
    """
    keys = list(context.partition_keys)
    with writing(context) as settings, database.published() as connection:
        layout = Layout(settings.data_dir)
        version = published_version(connection)
        stale = stale_letters(connection, layout, "features", keys)
        with staging() as stage:
            copies = {letter: stage(layout.parquet("features", letter)) for letter in stale}
            with open_engine(settings, context.log.info) as engine:
                facts = update_features(connection, keys, stale, copies, engine)
            files = {letter: layout.parquet("features", letter) for letter in keys} | copies
            computed = [symbol for letter in stale.values() for symbol in letter.changed]
            findings = inspect_features(connection, files, computed, version)
            yield from blocking_results(findings)
    yield dg.MaterializeResult(
        metadata=letter_metadata(context, facts),
        check_results=list(check_results(findings)),
        data_version=dg.DataVersion(version),
    )
