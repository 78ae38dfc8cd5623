"""The table `combined`, from raw files, by the SQL files: what a new snapshot changes of it, and no more.

The caller brings the DuckDB connection; what is published here is renamed into place by the caller.
"""

import glob
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from duckdb import DuckDBPyConnection

from stock_assets.errors import UserError
from stock_assets.ingest.inspection import changed_since
from stock_assets.ingest.snapshot import Changes, Manifest
from stock_assets.layout import LETTERS, Layout
from stock_assets.provenance import Stale, data_version, read_made_from
from stock_assets.publishing import Report, Stage
from stock_assets.restatements import find_restatements
from stock_assets.statements import recipe, run, sql


class Totals(NamedTuple):
    """The balance of a snapshot, in files, rows and symbols."""

    files: int
    files_loaded: int
    files_quarantined: int
    rows_read: int
    rows_kept: int
    rows_quarantined: int
    symbols: int
    symbols_without_name: int


def published_files(connection: DuckDBPyConnection) -> dict[str, str] | None:
    """Fingerprints by file of what the tables were made of; None where other statements than today's made them."""
    if not run(connection, "find_snapshot") or run(connection, "read_snapshot")[0][-1] != recipe():
        return None
    return dict(run(connection, "published_files"))


def published_version(connection: DuckDBPyConnection) -> str:
    """The version of the tables that a database holds."""
    ((_, version, _),) = run(connection, "read_snapshot")
    return str(version)


def update_combined(
    connection: DuckDBPyConnection,
    layout: Layout,
    manifest: Manifest,
    changes: Changes,
    report: Report,
) -> None:
    """Bring a copy of the published database, or an empty one, to the snapshot: only changed files are read.

    Raises `UserError` where a file was changed since the manifest was made.
    """
    for statement in ("create_combined", "create_symbols", "create_quarantine", "create_quality", "create_features"):
        run(connection, statement)
    if changes.to_forget:
        for statement in ("forget_rows", "forget_symbols", "forget_quarantine"):
            run(connection, statement, files=changes.to_forget)
        run(connection, "checkpoint")
    run(connection, "create_source_files", manifest=str(layout.manifest))
    run(connection, "create_snapshot", version=manifest.version, data_version=data_version(manifest), recipe=recipe())
    _load(connection, layout, manifest, changes.to_read, report)
    for statement in ("quarantine_files", "count_rows"):
        run(connection, statement)
    if moved := changed_since(layout, manifest, changes.to_read):
        raise UserError(f"{len(moved)} files changed while they were read, first {moved[0]}: run again once they rest")
    find_restatements(connection, layout.database, report)


def _load(connection: DuckDBPyConnection, layout: Layout, manifest: Manifest, files: set[str], report: Report) -> None:
    folder = manifest.folder(layout)
    loadable = [file for file in manifest.loadable if file.file in files]
    for letter in LETTERS:
        chosen = sorted((file for file in loadable if file.letter == letter), key=lambda file: file.symbol)
        if chosen:
            report(f"letter {letter}: {len(chosen)} files")
            # DuckDB takes every path for a pattern.
            run(connection, "stage_prices", paths=[glob.escape(str(folder / file.file)) for file in chosen])
            run(connection, "judge_rows")
            run(connection, "quarantine_rows")
            run(connection, "insert_combined", letter=letter)
            run(connection, "describe_symbols", letter=letter, symbols=[file.symbol for file in chosen])
    if loadable:
        run(connection, "quarantine_lines")


def export_combined(
    connection: DuckDBPyConnection, stale: Mapping[str, Stale], parquet: Mapping[str, Path], report: Report
) -> None:
    """Write some letters of the table, each to its Parquet file; a letter without rows gets none."""
    for letter, path in parquet.items():
        if made_from := stale[letter].made_from:
            report(f"letter {letter}: writing Parquet")
            run(connection, "export_combined", letter=letter, path=str(path), made_from=made_from)


def export_symbols(connection: DuckDBPyConnection, layout: Layout, stage: Stage, source: str) -> None:
    """Write the symbols of the tables, which a kind of source gave, unless the file that is there has just these."""
    facts = {"data_version": published_version(connection), "source": source}
    statement = hashlib.sha256(sql("models/symbols_export").encode()).hexdigest()[:16]
    made_from = json.dumps(facts | {"statement": statement})
    if read_made_from(connection, layout.symbols) != made_from:
        path = stage(layout.symbols)
        run(connection, "models/symbols_export", path=str(path), made_from=made_from, **facts)


def read_totals(connection: DuckDBPyConnection) -> Totals:
    """The balance that a database holds."""
    (row,) = run(connection, "totals")
    return Totals(*row)
