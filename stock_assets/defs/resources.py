"""What assets are given: the DuckDB connection, and the right to write to the data folder."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from stock_assets.budget import duckdb_config
from stock_assets.combined import published_files
from stock_assets.errors import TransientError, UserError, first_line
from stock_assets.ingest.snapshot import Changes
from stock_assets.json_log import write_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report, Stage, exclusive
from stock_assets.quality_checks import MAKE_ANEW
from stock_assets.settings import Settings, load_settings
from stock_assets.statements import run

RETRY_WAITS = (30, 90, 270)
"""Seconds before each further try of a step. (Dagster's `RetryPolicy` would also try again what the user stopped.)"""
DAMAGE = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
"""What DuckDB raises, among other causes, for a file of its own that was changed from outside."""


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
    def published(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """`get_connection`, for who goes on from it. Raises `UserError` for tables of older statements too."""
        with self.get_connection() as connection:
            if published_files(connection) is None:
                raise UserError("market.duckdb was made by another version of this program: materialize combined first")
            yield connection

    @contextmanager
    def building(self, path: Path, start: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to a new file, which may `start` as a copy, for its one writer.

        Raises `duckdb.Error` where not all of it reached the disk.
        """
        if start:
            shutil.copyfile(start, path)
        try:
            with self._connect(str(path), read_only=False) as connection:
                yield connection
                # Closing does it too, but says nothing where the disk is full and some rows stay behind.
                run(connection, "checkpoint")
        finally:
            path.with_name(f"{path.name}.wal").unlink(missing_ok=True)

    @contextmanager
    def _connect(self, database: str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        config = duckdb_config(load_settings())
        connection = duckdb.connect(database, read_only=read_only, config=config | self.connection_config)
        try:
            yield connection
        finally:
            connection.close()


class CryptoDatabase(MarketDatabase):
    """The same on the file of the crypto pipeline."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to `crypto.duckdb`. Raises `UserError` before there is one, and for a damaged one."""
        path = Layout(load_settings().data_dir).crypto_database
        if not path.exists():
            raise UserError(f"{path} is missing: materialize crypto_prices first")
        try:
            with self._connect(str(path), read_only=True) as connection:
                yield connection
        except (*DAMAGE, duckdb.InvalidInputException) as error:  # the latter of Parquet files
            raise UserError(
                f"{first_line(error)}: materialize crypto_prices and crypto_features, which makes them anew"
            ) from error


def published_snapshot(database: MarketDatabase, report: Report) -> dict[str, str] | None:
    """Fingerprints by file of the published tables; None where there are none that a refresh can go on from."""
    path = Layout(load_settings().data_dir).database
    if not path.exists():
        return None
    try:
        with database.get_connection() as connection:
            ((size,),) = run(connection, "database_size")
            if path.stat().st_size >= size:
                return published_files(connection)
            fault = "it has lost its end"
    except duckdb.Error as error:
        fault = first_line(error)
    report(f"the published database is made anew, for it cannot be read: {fault}")
    return None


@contextmanager
def refreshing(
    database: MarketDatabase, layout: Layout, stage: Stage, before: dict[str, str] | None, changes: Changes
) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
    """A connection to the database that is to be published, and whether it is another one than the published one.

    Without `changes` since `before` it is the published one. Else it begins as its copy, or as nothing.
    """
    if before is not None and not changes:
        with database.get_connection() as connection:
            yield connection, False
    else:
        with database.building(stage(layout.database), layout.database if before else None) as connection:
            yield connection, True


@contextmanager
def writing(context: dg.AssetExecutionContext) -> Iterator[Settings]:
    """`working`, with the data folder for this step alone."""
    with (
        working(context) as settings,
        exclusive(Layout(settings.data_dir), settings.lock_timeout, context.log.warning),
    ):
        yield settings


@contextmanager
def working(context: dg.AssetExecutionContext) -> Iterator[Settings]:
    """The settings, for a step that is logged.

    What the user may mend (their input, the disk, DuckDB's limits) fails the step with one line. What may pass has it
    tried again first, after `RETRY_WAITS`.
    """
    try:
        settings = load_settings()
        with _logged(context, settings):
            yield settings
    except (UserError, OSError, duckdb.Error) as error:
        if isinstance(error, TransientError) and context.retry_number < len(RETRY_WAITS):
            wait = RETRY_WAITS[context.retry_number]
            context.log.warning(f"{first_line(error)}: trying again in {wait} s")
            raise dg.RetryRequested(len(RETRY_WAITS), wait) from error
        remedy = f"; if it comes again, {MAKE_ANEW}" if isinstance(error, DAMAGE) else ""
        raise dg.Failure(first_line(error) + remedy, allow_retries=False) from error


@contextmanager
def _logged(context: dg.AssetExecutionContext, settings: Settings) -> Iterator[None]:
    """Append the step to the JSON log, whatever becomes of it. A log that cannot be written stops nothing."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        error = sys.exception()
        facts = {
            "asset": ", ".join(sorted(key.to_user_string() for key in context.selected_asset_keys)),
            "run_id": context.run.run_id,
            "seconds": round(time.perf_counter() - begun, 3),
            "ok": error is None,
            "error": first_line(error) if error else None,
        }
        try:
            write_line(settings, "step", **facts)
        except OSError as fault:
            context.log.warning(f"the step is not in {Layout(settings.data_dir).log}: {fault}")
