"""The report on rows that were published before and are not the same in a new snapshot, by symbol.

Adjusted closes are restated backwards by later dividends and splits, and sources correct themselves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from stock_assets.errors import first_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report, Stage
from stock_assets.statements import run


class Restatements(NamedTuple):
    """The report in short: `since` is the first date of a changed or removed row, `sample` has the top symbols."""

    symbols: int = 0
    rows_changed: int = 0
    rows_removed: int = 0
    since: date | None = None
    sample: tuple[dict[str, Any], ...] = ()


def find_restatements(connection: duckdb.DuckDBPyConnection, published: Path, report: Report) -> None:
    """Make the table `restatements` of a new database by comparing it with the published one.

    The table is empty where nothing is published, or nothing that can be compared; the refresh does not depend on it.
    """
    run(connection, "create_restatements")
    if not published.exists():
        return
    try:
        with _attached(connection, published):
            _compare(connection, report)
    except duckdb.Error as error:  # the published database may be damaged anywhere
        run(connection, "create_restatements")
        report(f"no report on restatements: {first_line(error)}")


@contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, database: Path) -> Iterator[None]:
    run(connection, "attach_before", database=str(database))
    try:
        yield
    finally:
        run(connection, "detach_before")


def _compare(connection: duckdb.DuckDBPyConnection, report: Report) -> None:
    if missing := run(connection, "missing_before"):
        report(f"no report on restatements: the published database is of older code and has no {missing[0][0]}")
        return
    run(connection, "create_compared")
    for (letter,) in run(connection, "compared_letters"):
        run(connection, "insert_restatements", letter=letter)


def export_restatements(connection: duckdb.DuckDBPyConnection, layout: Layout, stage: Stage) -> Restatements:
    """The report of a new database; if it has anything, it also goes to its Parquet file."""
    ((before, after, *totals),) = run(connection, "restatement_totals")
    sample = tuple(entry for (entry,) in run(connection, "restatement_sample"))
    restated = Restatements(*totals)._replace(sample=sample)
    if restated.symbols:
        run(connection, "export_restatements", path=str(stage(layout.restatements(before, after))))
    return restated
