"""The asset `quarantine`: its file is the table, and its metadata say what was set aside and why."""

from pathlib import Path

import polars as pl

from tests.conftest import price_text, write_market
from tests.defs.graph_runs import Refreshed, execute, metadata, records
from tests.helpers import digests, folder_settings

COLUMNS = ["file", "line", "Symbol", "Date", "reason", "content", "rows"]
MISSING = "missing Open, High, Low, Close, Adj Close, Volume"


def read(data_dir: Path) -> pl.DataFrame:
    return pl.read_parquet(data_dir / "lake/quarantine/part-0.parquet")


def test_the_file_is_the_table(refreshed: Refreshed) -> None:
    table = read(refreshed.data_dir)

    assert table.columns == COLUMNS
    assert table.rows() == refreshed.query("FROM quarantine ORDER BY ALL")
    assert len(table) > 4


def test_metadata_count_by_reason(refreshed: Refreshed) -> None:
    table, values = read(refreshed.data_dir), metadata(refreshed.result, "quarantine")
    combined = metadata(refreshed.result, "combined")
    counted = {row["reason"]: (row["entries"], row["rows"], row["files"]) for row in records(values["by reason"])}
    expected = table.group_by("reason").agg(pl.len(), pl.col("rows").sum(), pl.col("file").n_unique())

    assert counted == {reason: tuple(numbers) for reason, *numbers in expected.rows()}
    assert (values["dagster/row_count"], values["files"]) == (len(table), table["file"].n_unique())
    assert values["rows"] == table["rows"].sum() == combined["rows_quarantined"]


def test_the_sample_shows_each_file_with_its_reason(refreshed: Refreshed) -> None:
    shown = {(row["file"], row["reason"]) for row in records(metadata(refreshed.result, "quarantine")["sample"])}

    assert shown == {
        ("etfs/EMPTY.csv", "empty file"),
        ("stocks/HEAD.csv", "only a header, no rows"),
        ("stocks/GAPS.csv", MISSING),
        ("stocks/DUPE.csv", "duplicate Date, a later line has it too"),
    } | ({("stocks/REDO.csv", MISSING)} & shown)


def test_its_version_is_that_of_the_tables(refreshed: Refreshed) -> None:
    versions = {
        asset: refreshed.result.asset_materializations_for_node(asset)[0].tags["dagster/data_version"]
        for asset in ("combined", "quarantine", "features")
    }

    assert len(set(versions.values())) == 1


def test_an_empty_quarantine_has_its_columns_and_no_rows(tmp_path: Path) -> None:
    source = write_market(tmp_path / "market", {"stocks/A.csv": price_text(3)})
    result = execute(folder_settings(tmp_path / "data", source), ["raw_files", "combined", "quarantine"])
    table = read(tmp_path / "data")

    assert result.success
    assert (table.columns, len(table)) == (COLUMNS, 0)
    values = metadata(result, "quarantine")
    assert (values["dagster/row_count"], values["rows"], values["files"]) == (0, 0, 0)


def test_what_was_mended_leaves_the_quarantine(copied: Path) -> None:
    (path,) = (copied / "raw").glob("*/etfs/EMPTY.csv")
    path.write_text(price_text(40))
    before = digests(copied, "lake/quarantine/*")
    result = execute(folder_settings(copied, path.parents[1]), ["raw_files", "combined", "quarantine"])

    assert result.success
    assert digests(copied, "lake/quarantine/*") != before
    assert "etfs/EMPTY.csv" not in read(copied)["file"].to_list()
