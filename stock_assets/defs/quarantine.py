"""The asset `quarantine`: what was not loaded, and why, for whoever wants to mend it."""

import dagster as dg

from stock_assets.combined import published_version
from stock_assets.defs.assets import OWNERS, combined
from stock_assets.defs.resources import MarketDatabase, writing
from stock_assets.defs.schemas import table_value
from stock_assets.layout import Layout
from stock_assets.provenance import read_made_from
from stock_assets.publishing import staged
from stock_assets.quarantine import export_quarantine, quarantine_reasons, quarantine_sample, quarantine_totals
from stock_assets.statements import recipe


@dg.asset(
    deps=[combined],
    group_name="tables",
    kinds={"duckdb", "sql", "parquet"},
    owners=OWNERS,
    code_version=recipe(),
)
def quarantine(context: dg.AssetExecutionContext, database: MarketDatabase) -> dg.MaterializeResult:
    """What was not loaded, and why: an entry for each rejected line, or one for all lines of a rejected file.

    `lake/quarantine/part-0.parquet` has the table of that name in `market.duckdb`: file, line or date, symbol, reason,
    content, and the number of rows that the entry stands for.
    """
    with writing(context) as settings, database.published() as connection:
        path, version = Layout(settings.data_dir).quarantine, published_version(connection)
        if read_made_from(connection, path) != version:
            with staged(path) as file:
                export_quarantine(connection, file, version)
        totals = quarantine_totals(connection)
        reasons, sample = quarantine_reasons(connection), quarantine_sample(connection)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": totals["entries"],
            "rows": totals["rows"],
            "files": totals["files"],
            "by reason": table_value(reasons),
            "sample": table_value(sample),
        },
        data_version=dg.DataVersion(version),
    )
