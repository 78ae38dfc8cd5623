"""What assets are given: the DuckDB connection, and the right to write to the data folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from stock_assets.budget import duckdb_memory_limit, thread_count
from stock_assets.combined import published_files
from stock_assets.errors import TransientError, UserError, first_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report, exclusive
from stock_assets.settings import Settings, load_settings


class MarketDatabase(DuckDBResource):
    """DuckDB on the published file, or on one that is being built, within the budget of the settings.

    Unlike its parent it always closes, reads read-only, and fails at once on a locked file instead of retrying
    for minutes: nobody writes to a published file, so there is nothing to wait for.
    """

    database: str = Field(default="", description="The file to read. Empty: the published `market.duckdb`.")

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the published file. Raises `UserError` before there is one."""
        path = Path(self.database) if self.database else Layout(load_settings().data_dir).database
        if not path.exists():
            raise UserError(f"{path} is missing: materialize combined first")
        with self._connect(str(path), read_only=True) as connection:
            yield connection

    @contextmanager
    def building(self, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a new file, for its one writer."""
        with self._connect(str(path), read_only=False) as connection:
            yield connection

    @contextmanager
    def _connect(self, database: str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        settings = load_settings()
        config: dict[str, Any] = {
            "threads": thread_count(settings),
            "memory_limit": duckdb_memory_limit(settings),
            "temp_directory": str(settings.data_dir / "duckdb.tmp"),
        }
        connection = duckdb.connect(database, read_only=read_only, config=config | self.connection_config)
        try:
            yield connection
        finally:
            connection.close()


def published_snapshot(database: MarketDatabase, report: Report) -> dict[str, str] | None:
    """Fingerprints by file of the published tables; None where there are none that a refresh can go on from."""
    if not Layout(load_settings().data_dir).database.exists():
        return None
    try:
        with database.get_connection() as connection:
            return published_files(connection)
    except duckdb.Error as error:
        report(f"the published database is made anew, for it cannot be read: {first_line(error)}")
        return None


@contextmanager
def writing(context: dg.AssetExecutionContext) -> Iterator[Settings]:
    """The settings, and the data folder for this step alone.

    What the user may mend (their input, the disk, DuckDB's limits) fails the step with one line.
    """
    try:
        settings = load_settings()
        with exclusive(Layout(settings.data_dir), settings.lock_timeout, context.log.warning):
            yield settings
    except (UserError, OSError, duckdb.Error) as error:
        raise dg.Failure(first_line(error), allow_retries=isinstance(error, TransientError)) from error
