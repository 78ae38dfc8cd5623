"""The table `symbols` is carried from snapshot to snapshot, and is what it would be from nothing."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest

from stock_assets import statements
from stock_assets.combined import published_files, update_combined
from stock_assets.ingest.snapshot import compare
from stock_assets.layout import Layout
from stock_assets.quality import inspect_combined, require, tomorrow
from tests.conftest import HEADER, build_tables, open_database, price_line, price_text, snapshot, write_market

MARKET = {
    "stocks/AA.csv": price_text(40),
    "stocks/AB.csv": price_text(35) + price_line(date(2021, 3, 1), volume=0),
    "etfs/BB.csv": price_text(50),
    "stocks/BC.csv": price_text(31) + price_line(date(2021, 3, 1), price=-1),
    "stocks/CC.csv": price_text(33),
    "symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nAA,Alpha\n",
}
CHANGES: dict[str, Callable[[Path], object]] = {
    "more rows": lambda root: write_market(root, {"stocks/AA.csv": price_text(90)}),
    "another gap": lambda root: write_market(root, {"stocks/AB.csv": price_text(35) + price_line(date(2022, 3, 1))}),
    "a new symbol": lambda root: write_market(root, {"stocks/AZ.csv": price_text(3)}),
    "a symbol goes": lambda root: (root / "stocks/BC.csv").unlink(),
    "a symbol loses its rows": lambda root: write_market(root, {"stocks/CC.csv": HEADER + "2020-01-01,,,,,,\n"}),
    "a symbol's file moves": lambda root: (root / "etfs/BB.csv").rename(root / "stocks/BB.csv"),
    "a second file": lambda root: write_market(root, {"etfs/AA.csv": price_text(9)}),
    "another name": lambda root: write_market(root, {"symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nCC,C\n"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_symbols_after_a_refresh_are_those_from_nothing(tmp_path: Path, change: str) -> None:
    root, layout = write_market(tmp_path / "market", MARKET), Layout(tmp_path / "data")
    build_tables(layout, snapshot(layout, root))
    CHANGES[change](root)
    manifest = snapshot(layout, root)
    with duckdb.connect(str(layout.database), config={"threads": 1}) as connection:
        before = published_files(connection)
        assert before is not None
        update_combined(connection, layout, manifest, compare(before, manifest.fingerprints), print)
        refreshed = connection.execute("FROM symbols ORDER BY ALL").fetchall()
        found = inspect_combined(connection, manifest.fingerprints, tomorrow())
    fresh = Layout(tmp_path / "fresh")
    build_tables(fresh, snapshot(fresh, root))
    with open_database(fresh) as connection:
        from_nothing = connection.execute("FROM symbols ORDER BY ALL").fetchall()

    assert refreshed == from_nothing
    require(found)


def test_statements_that_make_no_table_are_not_in_the_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = statements.sql_hash()
    folder = shutil.copytree(statements.FOLDER, tmp_path / "sql")
    monkeypatch.setattr(statements, "FOLDER", folder)
    (folder / "checks" / "combined" / "schema.sql").write_text("-- Another.\nSELECT 1;\n")

    assert statements.sql_hash() == before
    (folder / "create_combined.sql").write_text("-- Another.\nSELECT 1;\n")
    assert statements.sql_hash() != before
