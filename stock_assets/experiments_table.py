"""The table `experiments` in SQLite or PostgreSQL. There is no statement here that changes or removes a row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Identity,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    inspect,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from stock_assets.errors import UserError, first_line
from stock_assets.experiments import Experiment, Recorded
from stock_assets.json_log import json_ready
from stock_assets.layout import Layout
from stock_assets.settings import Settings

SETTING = "STOCK_ASSETS_EXPERIMENTS_URL"
PATIENCE = 30
"""Seconds for a server to answer, or for another process to let go of the SQLite file."""

TABLE = Table(
    "experiments",
    MetaData(),
    Column("id", Integer, Identity(), primary_key=True),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("run_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("data_version", String, nullable=False),
    Column("code_version", String, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("promoted", Boolean, nullable=False),
    Column("reason", String, nullable=False),
)


def append(settings: Settings, experiments: Sequence[Experiment]) -> None:
    """Insert all of them in one transaction; makes the table where there is none. Raises `UserError`."""
    now = datetime.now(UTC)
    rows = [{"time": now} | json_ready(asdict(experiment)) for experiment in experiments]
    with _engine(settings) as engine:
        _make_table(engine)
        with engine.begin() as connection:
            connection.execute(insert(TABLE), rows)


def prepare(settings: Settings) -> None:
    """Make the table where there is none, as appending does. Raises `UserError`."""
    with _engine(settings) as engine:
        _make_table(engine)


def read(settings: Settings, model: str | None, limit: int | None) -> list[Recorded]:
    """Rows of a model or of all, newest first. Raises `UserError`; reading makes neither a file nor a table."""
    if not settings.experiments_url and not Layout(settings.data_dir).experiments.exists():
        return []
    statement = select(TABLE).order_by(TABLE.c.id.desc()).limit(limit)
    if model is not None:
        statement = statement.where(TABLE.c.model == model)
    with _engine(settings) as engine, engine.connect() as connection:
        return [_recorded(row._asdict()) for row in connection.execute(statement)] if _has_table(connection) else []


def _recorded(row: dict[str, Any]) -> Recorded:
    time: datetime = row.pop("time")
    return Recorded(time=time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC), **row)


def _make_table(engine: Engine) -> None:
    with engine.connect() as connection:
        if _has_table(connection):
            return
    try:
        with engine.begin() as connection:
            connection.execute(CreateTable(TABLE, if_not_exists=True))
    except DBAPIError:
        # PostgreSQL tells the slower one of two processes that the name is taken, whatever "if not exists" says.
        with engine.connect() as connection:
            if not _has_table(connection):
                raise


def _has_table(connection: Connection) -> bool:
    inspector = inspect(connection)
    if not inspector.has_table(TABLE.name):
        return False
    if missing := {column.name for column in TABLE.c} - {found["name"] for found in inspector.get_columns(TABLE.name)}:
        raise UserError(
            f"{SETTING}: its table {TABLE.name} is another program's (it has no {', '.join(sorted(missing))}), "
            "as MLflow has one of that name: give a database of its own"
        )
    return True


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    """The database, closed at the end. What it or its driver says becomes a `UserError` without the password.

    Causes are not chained: they would show up in Dagster's UI, some with a part of the URL.
    """
    url = _url(settings)
    seconds = {"timeout": PATIENCE} if url.get_driver_name() in {"pysqlite", "pg8000"} else {}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=seconds, hide_parameters=True)
        try:
            yield engine
        finally:
            engine.dispose()
    except (SQLAlchemyError, OSError, ImportError, TypeError) as error:
        raise UserError(f"{_where(settings)} cannot be used: {_said(error, url)}") from None


def _url(settings: Settings) -> URL:
    if settings.experiments_url is None:
        path = Layout(settings.data_dir).experiments
        path.parent.mkdir(parents=True, exist_ok=True)
        return URL.create("sqlite", database=str(path))
    try:
        url = make_url(settings.experiments_url.get_secret_value())
        url.get_dialect()
    except (ArgumentError, ValueError, ImportError):
        raise UserError(f"{SETTING} is no URL of a database: write postgresql://user:password@host/name") from None
    if "@" in (url.host or ""):
        raise UserError(f"{SETTING}: an @ in the user name or the password is written %40")
    return url.set(drivername="postgresql+pg8000") if url.drivername == "postgresql" else url


def _where(settings: Settings) -> str:
    return f"the database of {SETTING}" if settings.experiments_url else str(Layout(settings.data_dir).experiments)


def _said(error: Exception, url: URL) -> str:
    """What went wrong in a line, in the words of the database's driver."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    told = cause.args[0] if cause.args else cause
    line = first_line(told.get("M", told) if isinstance(told, dict) else told)
    if isinstance(cause, ModuleNotFoundError):
        line += ": install this driver, or write postgresql:// for the one that is there"
    return line.replace(str(url.password), "***") if url.password else line
