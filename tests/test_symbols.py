"""The table `symbols` is carried from snapshot to snapshot as if made from nothing, and published for others."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from stock_assets import statements
from stock_assets.combined import export_symbols, published_files, update_combined
from stock_assets.ingest.snapshot import compare, read_manifest
from stock_assets.layout import Layout
from stock_assets.provenance import data_version
from stock_assets.publishing import staging
from stock_assets.quality import inspect_combined, require, tomorrow
from tests.conftest import HEADER, Built, build_tables, open_database, price_line, price_text, snapshot, write_market

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


@pytest.fixture
def published(tmp_path: Path) -> Layout:
    """The market with files that give no symbol: one of a symbol that has another file, one without sound rows."""
    odd = {
        "etfs/AB.csv": price_text(9),
        "stocks/DD.csv": HEADER + "2020-01-01,,,,,,\n",
        "stocks/brk.b.csv": price_text(2),
    }
    root, layout = write_market(tmp_path / "market", MARKET | odd), Layout(tmp_path / "data")
    build_tables(layout, snapshot(layout, root))
    return layout


def publish(layout: Layout, source: str = "folder") -> int:
    """What the asset `combined` does; when the file was written, in nanoseconds."""
    with open_database(layout) as connection, staging() as stage:
        export_symbols(connection, layout, stage, source)
    return layout.symbols.stat().st_mtime_ns


def metadata_of(layout: Layout) -> dict[str, str]:
    with duckdb.connect() as connection:
        statement = "SELECT decode(key), decode(value) FROM parquet_kv_metadata($path)"
        return dict(connection.execute(statement, {"path": str(layout.symbols)}).fetchall())


def test_published_symbols_by_hand(published: Layout) -> None:
    table = pl.read_parquet(published.symbols)
    first = date(2020, 1, 1)

    assert table.schema == {
        "Symbol": pl.String,
        "Security Name": pl.String,
        "is_etf": pl.Boolean,
        "first_date": pl.Date,
        "last_date": pl.Date,
        "rows": pl.Int64,
        "letter": pl.String,
    }
    assert table.rows() == [
        ("AA", "Alpha", False, first, date(2020, 2, 9), 40, "A"),
        ("AB", None, False, first, date(2021, 3, 1), 36, "A"),
        ("BB", None, True, first, date(2020, 2, 19), 50, "B"),
        ("BC", None, False, first, date(2021, 3, 1), 32, "B"),
        ("CC", None, False, first, date(2020, 2, 2), 33, "C"),
        ("brk.b", None, False, first, date(2020, 1, 2), 2, "B"),
    ]


def test_published_symbols_are_those_of_the_published_combined(demo_market: Built) -> None:
    letters = sorted(demo_market.layout.data_dir.glob("lake/combined/*/*.parquet"))
    combined = pl.concat(
        pl.read_parquet(path, hive_partitioning=False).with_columns(letter=pl.lit(path.parent.name[-1]))
        for path in letters
    )
    expected = (
        combined.group_by("Symbol", "Security Name", "letter")
        .agg(pl.col("Date").min().alias("first_date"), pl.col("Date").max().alias("last_date"), pl.len().alias("rows"))
        .sort("Symbol")
    )
    found = pl.read_parquet(demo_market.layout.symbols)
    etfs = {path.name.removesuffix(".csv") for path in demo_market.root.glob("etfs/*.csv")}

    assert 0 < found["is_etf"].sum() < len(found)
    assert found.select(expected.columns).rows() == expected.rows()
    assert set(found.filter("is_etf")["Symbol"]) == etfs & set(found["Symbol"])


def test_the_file_says_which_tables_and_which_source_it_is_of(published: Layout) -> None:
    said = metadata_of(published)

    assert said["data_version"] == data_version(read_manifest(published))
    assert said["source"] == "folder"


def test_symbols_of_the_same_tables_and_source_are_left_as_they_are(published: Layout) -> None:
    before = published.symbols.stat().st_mtime_ns

    assert publish(published) == before
    assert publish(published, "demo") > before
    assert metadata_of(published)["source"] == "demo"


def test_another_statement_writes_the_symbols_anew(
    published: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published.symbols.stat().st_mtime_ns
    folder = shutil.copytree(statements.FOLDER, tmp_path / "sql")
    path = folder / "models" / "symbols_export.sql"
    path.write_text(path.read_text("utf-8").replace("-- The symbols", "-- All symbols"), "utf-8")
    monkeypatch.setattr(statements, "FOLDER", folder)
    statements.sql.cache_clear()
    try:
        assert publish(published) > before
    finally:
        statements.sql.cache_clear()
