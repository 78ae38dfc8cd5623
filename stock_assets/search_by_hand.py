"""`stock-assets models search`: the search without Dagster, in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from stock_assets.budget import duckdb_config
from stock_assets.combined import published_files
from stock_assets.errors import UserError, first_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report
from stock_assets.search import Found, search
from stock_assets.settings import Settings


def search_by_hand(settings: Settings, model: str, report: Report) -> Found:
    """`search` on the published database; what may go wrong on a disk is told in one line too."""
    try:
        return search(settings, model, lambda: _published(settings), "", report)
    except (OSError, duckdb.Error) as error:
        raise UserError(f"the search ended: {first_line(error)}; its finished trials are kept, run it again") from error


@contextmanager
def _published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    path = Layout(settings.data_dir).database
    if not path.exists():
        raise UserError(f"{path} is missing: run the pipeline first (make run)")
    with duckdb.connect(str(path), read_only=True, config=duckdb_config(settings)) as connection:
        if published_files(connection) is None:
            raise UserError(f"{path} was made by another version of this program: run the pipeline first (make run)")
        yield connection
