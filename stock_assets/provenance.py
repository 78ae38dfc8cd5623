"""What published tables were made of; each file says it itself, so a refresh knows what it lacks.

A Parquet file carries it as JSON under the key `made_from` of its metadata: the recipe (a hash of the statements), and
each symbol with the fingerprint of its raw file.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import duckdb

from stock_assets.ingest.snapshot import Manifest
from stock_assets.layout import Layout, Table
from stock_assets.statements import recipe, run

STATEMENTS: dict[Table, str] = {"next_day_features": "next_day"}
"""Tables that have a folder of statements of their own."""


class Stale(NamedTuple):
    """What a letter's Parquet file lacks: `present` has the rows of `kept` as they should be, but not of `changed`.

    `made_from` is what the file should carry, `statements` the beginning of the names of those that make it.
    """

    present: Path
    kept: list[str]
    changed: list[str]
    made_from: str
    statements: str


def data_version(manifest: Manifest, folder: str = "") -> str:
    """The version of the tables that a snapshot makes by the statements of a folder: the same one has the same rows."""
    parts = (recipe(folder), *sorted(manifest.fingerprints.values()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def stale_letters(
    connection: duckdb.DuckDBPyConnection, layout: Layout, table: Table, letters: Iterable[str]
) -> dict[str, Stale]:
    """Of these letters, those whose Parquet file was not made of the rows that `combined` has now."""
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for letter, symbol, fingerprint in run(connection, "sources"):
        wanted[letter][symbol] = fingerprint
    stale = {}
    folder = STATEMENTS.get(table, "")
    made_by = recipe(folder)
    for letter in letters:
        path = layout.parquet(table, letter)
        said = read_made_from(connection, path)
        if _text(wanted[letter], made_by) != said:
            kept, changed = _kept_and_changed(wanted[letter], said, made_by)
            made_from = _text(wanted[letter], made_by)
            stale[letter] = Stale(path, kept, changed, made_from, f"{folder}/" if folder else "")
    return stale


def read_made_from(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """What a Parquet file says that it was made of; empty for one that is missing, damaged or says nothing."""
    if not path.exists():
        return ""
    try:
        return "".join(text for (text,) in run(connection, "read_made_from", path=str(path)))
    except duckdb.Error:
        return ""


def _text(files: dict[str, str], made_by: str) -> str:
    """Nothing for a letter without rows: it has no file."""
    return json.dumps({"recipe": made_by, "files": dict(sorted(files.items()))}) if files else ""


def _kept_and_changed(wanted: dict[str, str], said: str, made_by: str) -> tuple[list[str], list[str]]:
    made_from = json.loads(said) if said else {}
    files = made_from["files"] if made_from.get("recipe") == made_by else {}
    kept = [symbol for symbol, fingerprint in wanted.items() if files.get(symbol) == fingerprint]
    return kept, sorted(wanted.keys() - set(kept))
