"""What is told of the database of a Dagster instance: one line, without passwords."""

import logging
from typing import Any, NoReturn

import dagster as dg
import pytest
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import OperationalError

from stock_assets.defs import storage_errors
from stock_assets.defs.running import run_full_refresh
from stock_assets.errors import UserError
from tests.helpers import in_force


def refused(said: str) -> DagsterPostgresException:
    """What dagster_postgres raises after its retries, around what SQLAlchemy makes of the driver's message."""
    error = DagsterPostgresException("too many retries for DB connection")
    error.__cause__ = OperationalError("SELECT 1", {}, Exception(said))
    return error


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("connection failed: FATAL\n\tIs the server running?", "connection failed: FATAL"),
        (
            'could not translate host name "ret@127.0.0.1" to address',
            'could not translate host name "***@127.0.0.1" to',
        ),
    ],
)
def test_it_is_what_the_driver_says(said: str, told: str) -> None:
    assert storage_errors.told(refused(said)).startswith(told)
    assert "ret@" not in storage_errors.told(refused(said))


def test_what_dagster_yaml_lacks_is_named(tmp_path: Any) -> None:
    wrong = "storage: {postgres: {postgres_db: {hostname: h, username: u, db_name: d, password: {env: NOWHERE}}}}\n"
    for text, told in ((wrong, "NOWHERE, which is not set"), ("x: 1\n", 'Received unexpected config entry "x"')):
        (tmp_path / "dagster.yaml").write_text(text)
        with in_force({"DAGSTER_HOME": str(tmp_path)}), pytest.raises(dg.DagsterInvalidConfigError) as failure:
            dg.DagsterInstance.get()
        assert told in storage_errors.told(failure.value)
        assert "Expected" not in storage_errors.told(failure.value)


def test_a_database_that_goes_away_under_a_run_is_one_line() -> None:
    class Failing(dg.Definitions):
        def resolve_job_def(self, *_: Any) -> "Failing":
            return self

        def execute_in_process(self, **_: Any) -> NoReturn:
            raise refused("Connection refused")

    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(UserError) as failure:
        run_full_refresh(instance, Failing(), None, None, lambda *_: None)
    assert str(failure.value) == (
        "the run stopped, as Dagster's database cannot be used: Connection refused; "
        "what was published is whole: run again"
    )


def test_its_retries_are_silent_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    storage_errors.silence_retries()
    try:
        for text in ("Retrying failed database connection: %s", "something else"):
            logging.warning(text, *["why"] * text.count("%s"))
    finally:
        logging.getLogger().removeFilter(storage_errors._is_no_retry)
    assert caplog.messages == ["something else"]
