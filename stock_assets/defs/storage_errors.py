"""What the storage of a Dagster instance says when it fails: one line for the terminal, without passwords."""

import logging
import re

import dagster as dg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from stock_assets.errors import first_line


def storage_errors() -> tuple[type[Exception], ...]:
    """The exceptions of the databases that Dagster may keep its runs in; that of PostgreSQL's is not everywhere."""
    try:
        from dagster_postgres.utils import DagsterPostgresException  # noqa: PLC0415 - an optional package
    except ImportError:
        return (SQLAlchemyError,)
    return (SQLAlchemyError, DagsterPostgresException)


def told(error: Exception) -> str:
    """What went wrong in the words of the database's driver, or of Dagster's reader of `dagster.yaml`."""
    if isinstance(error, dg.DagsterInvalidConfigError):
        return _told_of_config(error)
    if isinstance(error, storage_errors()) and isinstance(error.__cause__, SQLAlchemyError):
        error = error.__cause__
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    # An @ in a password that is not written %40 makes its end a part of the host's name.
    return re.sub(r'"[^"@]*@', '"***@', first_line(cause))


def silence_retries() -> None:
    """Keep dagster_postgres from printing four lines for each of the attempts whose end is told in one."""
    logging.getLogger().addFilter(_is_no_retry)


def _is_no_retry(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Retrying failed database connection")


def _told_of_config(error: dg.DagsterInvalidConfigError) -> str:
    message = " ".join(str(error.errors[0].message).split()) if error.errors else first_line(error)
    if unset := re.search(r'environment variable "(\w+)" which is not set', message):
        return f"its dagster.yaml wants the environment variable {unset[1]}, which is not set"
    return f"its dagster.yaml: {message.partition(' Expected: ')[0]}"
