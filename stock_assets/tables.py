"""The two tables: `combined` from raw files and `features` from `combined`, by the SQL files.

The caller brings the DuckDB connection; what is published here is renamed into place by the caller.
"""

import glob
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from duckdb import DuckDBPyConnection

from stock_assets.ingest.snapshot import Manifest
from stock_assets.layout import LETTERS, Layout
from stock_assets.publishing import Report
from stock_assets.statements import run


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


class LetterFacts(NamedTuple):
    """What was made of one letter."""

    letter: str
    rows: int
    symbols: int
    seconds: float


def build_combined(
    connection: DuckDBPyConnection,
    layout: Layout,
    manifest: Manifest,
    parquet: dict[str, Path],
    report: Report,
) -> Totals:
    """Fill an empty database with `combined`, `quarantine`, `source_files` and the view `features`.

    `parquet` says where the Parquet copy of each letter goes; a letter without rows gets none.
    """
    run(connection, "create_source_files", manifest=str(layout.manifest))
    for statement in ("create_combined", "create_quarantine", "create_features"):
        run(connection, statement)
    folder = manifest.folder(layout)
    for letter in LETTERS:
        files = [file for file in manifest.loadable if file.letter == letter]
        if files:
            report(f"letter {letter}: {len(files)} files")
            # DuckDB takes every path for a pattern.
            paths = [glob.escape(str(folder / file.file)) for file in sorted(files, key=lambda file: file.symbol)]
            _load_letter(connection, letter, paths, parquet[letter])
    for statement in ("quarantine_lines", "quarantine_files", "count_rows"):
        run(connection, statement)
    return read_totals(connection)


def _load_letter(connection: DuckDBPyConnection, letter: str, paths: list[str], parquet: Path) -> None:
    run(connection, "stage_prices", paths=paths)
    run(connection, "judge_rows")
    run(connection, "quarantine_rows")
    ((rows,),) = run(connection, "insert_combined", letter=letter)
    if rows:
        run(connection, "export_combined", letter=letter, path=str(parquet))


def read_totals(connection: DuckDBPyConnection) -> Totals:
    """The balance that a database holds."""
    (row,) = run(connection, "totals")
    return Totals(*row)


def unreconciled_files(connection: DuckDBPyConnection) -> list[str]:
    """Files whose rows are neither all in `combined` nor in `quarantine`, with the counts; none when all is well."""
    return [
        f"{file}: {rows} rows, {kept} kept, {bad} quarantined"
        for file, rows, kept, bad in run(connection, "unreconciled_files")
    ]


def quarantine_sample(connection: DuckDBPyConnection) -> list[dict[str, Any]]:
    """A few entries of the quarantine for each reason."""
    names = ("file", "line", "Date", "reason", "content")
    return [dict(zip(names, row, strict=True)) for row in run(connection, "quarantine_sample")]


def build_features(
    connection: DuckDBPyConnection, letters: Sequence[str], parquet: Sequence[Path], report: Report
) -> list[LetterFacts]:
    """Write the features of some letters, each to its Parquet file; a letter without rows gets no file."""
    facts = []
    for letter, path in zip(letters, parquet, strict=True):
        start = time.perf_counter()
        ((rows, symbols),) = run(connection, "count_letter", letter=letter)
        if rows:
            report(f"letter {letter}: {symbols} symbols, {rows} rows")
            run(connection, "export_features", letter=letter, path=str(path))
        facts.append(LetterFacts(letter, rows, symbols, time.perf_counter() - start))
    return facts
