"""Feature files by an engine, as the assets have them written, and what the files say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from stock_assets.engines.engine import Engine
from stock_assets.engines.local import LocalEngine
from stock_assets.features import update_features
from stock_assets.layout import LETTERS, Layout, Table
from stock_assets.provenance import Stale, stale_letters
from stock_assets.settings import Settings
from stock_assets.statements import run
from tests.conftest import open_database

NOWHERE = Layout(Path("/nowhere"))


def silent(_: str) -> None:
    pass


def by_letter(folder: Path) -> dict[str, Path]:
    """Where a test has its files."""
    folder.mkdir(parents=True, exist_ok=True)
    return {letter: folder / f"{letter}.parquet" for letter in LETTERS}


def write(layout: Layout, table: Table, paths: Mapping[str, Path], engine: Engine, changed: int | None = None) -> None:
    """Write all letters: from nothing, or `changed` symbols of each and the others from what is there."""
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    with open_database(layout) as connection:
        if table == "next_day_features":
            run(connection, "next_day/create_features")
        stale = stale_letters(connection, NOWHERE, table, LETTERS)
        if changed is not None:
            stale = {letter: _kept(layout, table, letter, one, changed) for letter, one in stale.items()}
        update_features(connection, LETTERS, stale, paths, engine)


def _kept(layout: Layout, table: Table, letter: str, stale: Stale, changed: int) -> Stale:
    symbols = stale.changed
    return stale._replace(present=layout.parquet(table, letter), kept=symbols[changed:], changed=symbols[:changed])


def write_here(layout: Layout, table: Table, paths: Mapping[str, Path], changed: int | None = None) -> None:
    write(layout, table, paths, LocalEngine(1, silent), changed)


def on_dask(layout: Layout, address: str | None, **others: Any) -> Settings:
    return Settings(data_dir=layout.data_dir, engine="dask", dask_scheduler=address, threads=2, **others)


def contents(paths: Mapping[str, Path]) -> dict[str, bytes]:
    return {letter: path.read_bytes() for letter, path in paths.items() if path.exists()}


def rows_that_differ(here: Path, there: Path) -> int:
    """Rows that only one of two files has, or has at another place."""
    rows = "SELECT *, file_row_number FROM read_parquet({}, file_row_number = true)"
    first, second = rows.format("$here"), rows.format("$there")
    both = f"({first} EXCEPT ALL {second}) UNION ALL ({second} EXCEPT ALL {first})"
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT count(*) FROM ({both})", {"here": str(here), "there": str(there)})
        ((count,),) = found.fetchall()
    return int(count)


def litter(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.tmp*"))
