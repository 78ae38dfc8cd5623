"""The tables of the crypto pipeline, from its price files, by the SQL files.

The caller brings the DuckDB connection; what is published here is renamed into place by the caller.
"""

import glob
from pathlib import Path

from duckdb import DuckDBPyConnection

from stock_assets.combined import Totals, read_totals
from stock_assets.errors import UserError
from stock_assets.ingest.inspection import changed_since
from stock_assets.ingest.snapshot import Manifest
from stock_assets.layout import Layout
from stock_assets.provenance import data_version
from stock_assets.quality import Finding, findings_of, offenders_of, tomorrow
from stock_assets.quality_checks import Check
from stock_assets.statements import recipe, run

FOLDER = "crypto"


def build(connection: DuckDBPyConnection, layout: Layout, manifest: Manifest, place: Path) -> Totals:
    """Fill an empty database: `crypto_prices`, what was set aside, and the view `crypto_features`.

    `place` is the file of the manifest. Raises `UserError` where no row can be loaded, and where a file was changed
    since the manifest was made.
    """
    version = data_version(manifest, FOLDER)
    run(connection, "create_quarantine")
    run(connection, "create_source_files", manifest=str(place))
    run(connection, "create_snapshot", version=manifest.version, data_version=version, recipe=recipe(FOLDER))
    run(connection, f"{FOLDER}/create_prices")
    if paths := [glob.escape(str(manifest.folder(layout) / file.file)) for file in manifest.loadable]:
        run(connection, f"{FOLDER}/stage_prices", paths=paths)
        for statement in ("judge_rows", "refuse_unsorted", "quarantine_rows", "insert_prices"):
            run(connection, f"{FOLDER}/{statement}")
        run(connection, "quarantine_lines")
    run(connection, "quarantine_files")
    run(connection, f"{FOLDER}/count_rows")
    run(connection, f"{FOLDER}/create_features")
    if moved := changed_since(layout, manifest, {file.file for file in manifest.files}):
        raise UserError(f"{moved[0]} changed while it was read: run again once it rests")
    totals = read_totals(connection)
    if not totals.rows_kept:
        file, _, _, reason, *_ = run(connection, "quarantine_sample")[0]
        raise UserError(f"no row of {manifest.origin} can be loaded: {file}: {reason}")
    return totals


def inspect_prices(connection: DuckDBPyConnection) -> list[Finding]:
    """What the checks of `crypto_prices` found."""
    totals = read_totals(connection)

    def look(check: Check) -> tuple[list[dict[str, object]], int]:
        total = totals.files if check.unit == "files" else totals.rows_kept
        return offenders_of(connection, f"checks/crypto_prices/{check.name}", {"latest": tomorrow()}), total

    return list(findings_of("crypto_prices", look, before={}))


def published_version(connection: DuckDBPyConnection) -> str:
    """The version of the tables. Raises `UserError` where other statements than today's made them."""
    ((_, version, made_by),) = run(connection, "read_snapshot")
    if made_by != recipe(FOLDER):
        raise UserError("crypto.duckdb was made by another version of this program: materialize crypto_prices first")
    return str(version)


def export_features(connection: DuckDBPyConnection, path: Path, version: str) -> int:
    """Write the view `crypto_features` to a Parquet file; gives its rows."""
    ((rows,),) = run(connection, f"{FOLDER}/export_features", path=str(path), made_from=version)
    return int(rows)
