"""The SQL files of `stock_assets/sql`, by name; one statement a file."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def run(connection: DuckDBPyConnection, name: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of `sql/<name>.sql`: a result that is not fetched to its end blocks the connection."""
    return connection.execute(sql(name), parameters).fetchall()


def columns(connection: DuckDBPyConnection, name: str, **parameters: Any) -> dict[str, NDArray[Any]]:
    """The result of `sql/<name>.sql` as one array a column."""
    return connection.execute(sql(name), parameters).fetchnumpy()


def sql_hash() -> str:
    """SHA-256 over all statements but those in folders, which make no table: it tells which SQL made a table."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.sql")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def recipe(folder: str = "") -> str:
    """What makes tables of raw files: these statements, those of one folder, and DuckDB.

    With another recipe everything is made anew.
    """
    digest = hashlib.sha256(f"{sql_hash()} {duckdb.__version__}".encode())
    for path in sorted((FOLDER / folder).glob("*.sql")) if folder else ():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
