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


class Stale(NamedTuple):
    """What a letter's Parquet file lacks: `present` has the rows of `kept` as they should be, but not of `changed`.

    `made_from` is what the file should carry.
    """

    present: Path
    kept: list[str]
    changed: list[str]
    made_from: str


def data_version(manifest: Manifest) -> str:
    """The version of the tables that a snapshot makes: the same one has the same rows."""
    parts = (recipe(), *sorted(manifest.fingerprints.values()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def stale_letters(
    connection: duckdb.DuckDBPyConnection, layout: Layout, table: Table, letters: Iterable[str]
) -> dict[str, Stale]:
    """Of these letters, those whose Parquet file was not made of the rows that `combined` has now."""
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for letter, symbol, fingerprint in run(connection, "sources"):
        wanted[letter][symbol] = fingerprint
    stale = {}
    for letter in letters:
        path = layout.parquet(table, letter)
        said = read_made_from(connection, path)
        if _text(wanted[letter]) != said:
            stale[letter] = _lacking(wanted[letter], path, said)
    return stale


def read_made_from(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """What a Parquet file says that it was made of; empty for one that is missing, damaged or says nothing."""
    if not path.exists():
        return ""
    try:
        return "".join(text for (text,) in run(connection, "read_made_from", path=str(path)))
    except duckdb.Error:
        return ""


def _text(files: dict[str, str]) -> str:
    """Nothing for a letter without rows: it has no file."""
    return json.dumps({"recipe": recipe(), "files": dict(sorted(files.items()))}) if files else ""


def _lacking(wanted: dict[str, str], path: Path, said: str) -> Stale:
    made_from = json.loads(said) if said else {}
    files = made_from["files"] if made_from.get("recipe") == recipe() else {}
    kept = [symbol for symbol, fingerprint in wanted.items() if files.get(symbol) == fingerprint]
    return Stale(path, kept, sorted(wanted.keys() - set(kept)), _text(wanted))
