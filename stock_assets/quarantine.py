"""What was not loaded, and why: the table `quarantine` as others read it. The loading fills it."""

from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from stock_assets.statements import run


def export_quarantine(connection: DuckDBPyConnection, path: Path, version: str) -> None:
    """Write the table to a Parquet file, also where it has no rows; the file carries the `version` of the tables."""
    run(connection, "export_quarantine", path=str(path), made_from=version)


def quarantine_sample(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """A few entries of the quarantine for each reason."""
    names = ("file", "line", "Date", "reason", "content")
    return [dict(zip(names, row, strict=True)) for row in run(connection, "quarantine_sample")]


def quarantine_reasons(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """For each reason the number of entries, of rows in the raw files that they stand for, and of files."""
    names = ("reason", "entries", "rows", "files")
    return [dict(zip(names, row, strict=True)) for row in run(connection, "quarantine_reasons")]


def quarantine_totals(connection: DuckDBPyConnection) -> dict[str, int]:
    """Entries, the rows in the raw files that they stand for, and files."""
    (row,) = run(connection, "quarantine_totals")
    return dict(zip(("entries", "rows", "files"), row, strict=True))
