"""The report on restated rows: as a table, as Parquet and in the metadata of `combined`, against pandas."""

import shutil
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from stock_assets.definitions import defs
from stock_assets.defs.running import Outcome, run_full_refresh
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.layout import Layout
from stock_assets.publishing import sweep
from tests.conftest import write_market
from tests.helpers import folder_settings, in_force, litter, query
from tests.restated_market import (
    AFTER,
    BEFORE,
    EX_DATE,
    LONGER,
    PRICES,
    RATIOS,
    REPORT,
    RESTATED,
    ROWS,
    assert_same,
    edit,
    expected,
    prices,
    put,
    report_of,
    scaled,
)


def refresh(data_dir: Path, root: Path) -> Outcome:
    with in_force(folder_settings(data_dir, root)), dg.DagsterInstance.ephemeral() as instance:
        outcome = run_full_refresh(instance, defs, None, "*combined", lambda *_: None)
    assert outcome.error is None
    return outcome


class Restated:
    """A market with prices of 2021, and what its second snapshot made of it."""

    def __init__(self, folder: Path) -> None:
        self.data_dir, self.root = folder / "data", folder / "market"
        self.first = refresh(self.data_dir, put(self.root, BEFORE))
        self.before = read_manifest(Layout(self.data_dir)).version
        shutil.copytree(self.data_dir, folder / "before")
        self.second = refresh(self.data_dir, put(self.root, AFTER, BAD="no prices"))
        self.after = read_manifest(Layout(self.data_dir)).version

    @property
    def parquet(self) -> Path:
        return self.data_dir / f"lake/restatements/{self.before}-{self.after}.parquet"


@pytest.fixture(scope="module")
def restated(tmp_path_factory: pytest.TempPathFactory) -> Restated:
    return Restated(tmp_path_factory.mktemp("restated"))


@pytest.fixture
def before(restated: Restated, tmp_path: Path) -> Path:
    """A data folder of the test's own, made of the first snapshot."""
    return Path(shutil.copytree(restated.data_dir.parent / "before", tmp_path / "data"))


def test_the_report_is_what_pandas_finds(restated: Restated) -> None:
    found = report_of(restated.data_dir)

    assert_same(found, expected(BEFORE, AFTER))
    assert list(found["Symbol"]) == RESTATED
    assert set(found["snapshot_before"]) == {restated.before}
    assert set(found["snapshot"]) == {restated.after}


def test_the_ratios_tell_a_dividend_from_a_split_and_from_a_correction(restated: Restated) -> None:
    report = report_of(restated.data_dir).set_index("Symbol")

    assert list(report.loc["AA", RATIOS]) == pytest.approx([0.993, 0.993, 0.993, 1, 1])
    assert list(report.loc["AB", RATIOS]) == pytest.approx([0.25, 0.25, 0.25, 0.25, 4])
    assert list(report.loc["AC", RATIOS[:4]]) == [1, 1, 1, 1]
    assert report.loc["AB", "last_changed"] == EX_DATE - pd.offsets.BDay()
    assert report.loc["ZERO", "volume_ratio"] == 0
    assert report.loc["NIL", RATIOS].isna().tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(("symbol", "first"), [("GONE", "2021-01-04"), ("BAD", "2021-01-04")])
def test_a_symbol_that_is_no_longer_there_has_all_its_rows_removed(restated: Restated, symbol: str, first: str) -> None:
    gone = report_of(restated.data_dir).set_index("Symbol").loc[symbol]

    assert list(gone[["rows_before", "rows_changed", "rows_removed", "rows_added"]]) == [ROWS, 0, ROWS, 0]
    assert gone["first_changed"] == pd.Timestamp("2021-01-04")
    assert gone[RATIOS].isna().all()


def test_parquet_has_the_same_report(restated: Restated) -> None:
    found = query(restated.data_dir / "market.duckdb", f"FROM '{restated.parquet}'")

    assert list((restated.data_dir / "lake" / "restatements").iterdir()) == [restated.parquet]
    assert found == query(restated.data_dir / "market.duckdb", REPORT)
    assert litter(restated.data_dir) == []


def test_the_metadata_sum_it_up(restated: Restated) -> None:
    report, metadata = report_of(restated.data_dir), restated.second.metadata["combined"]
    shown = [dict(record.data) for record in metadata["restatements"].records]

    assert metadata["symbols restated"] == len(RESTATED)
    assert metadata["rows restated"] == report["rows_changed"].sum()
    assert metadata["rows removed"] == report["rows_removed"].sum()
    assert metadata["restated from"] == "2021-01-04"
    assert {row["Symbol"]: row["rows_changed"] for row in shown} == dict(
        zip(report["Symbol"], report["rows_changed"], strict=True)
    )
    most = [row["rows_changed"] + row["rows_removed"] for row in shown]
    assert most == sorted(most, reverse=True)


def assert_nothing_restated(outcome: Outcome) -> None:
    metadata = outcome.metadata["combined"]
    assert [metadata[name] for name in ("symbols restated", "rows restated", "rows removed")] == [0, 0, 0]
    assert metadata["restated from"] == "none"
    assert metadata["restatements"].records == []


def test_nothing_is_restated_by_the_first_snapshot(restated: Restated) -> None:
    data_dir = restated.data_dir.parent / "before"

    assert_nothing_restated(restated.first)
    assert report_of(data_dir).empty
    assert not (data_dir / "lake" / "restatements").exists()


NOT_RESTATED: dict[str, Callable[[Path], object]] = {
    "new rows": lambda root: put(root, LONGER | {"NIL": BEFORE["NIL"], "LATE": BEFORE["LATE"]}),
    "a new symbol": lambda root: put(root, BEFORE | {"NEW": prices(60)}),
    "another order of rows": lambda root: put(root, BEFORE | {"AA": BEFORE["AA"][::-1]}),
    "a line that is not loaded": lambda root: put(
        root, BEFORE, AA=BEFORE["AA"].to_csv(index=False) + "2022-03-01,x,,,,,\n"
    ),
    "a name": lambda root: write_market(
        put(root, BEFORE), {"symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nAA,Alpha\n"}
    ),
    "a move": lambda root: (put(root, BEFORE) / "stocks/AA.csv").rename(root / "etfs/AA.csv"),
}


@pytest.mark.parametrize("case", NOT_RESTATED)
def test_nothing_is_restated_by(before: Path, tmp_path: Path, case: str) -> None:
    NOT_RESTATED[case](tmp_path / "market")
    outcome = refresh(before, tmp_path / "market")

    changes = outcome.metadata["combined"]
    assert changes["files added"] + changes["files changed"] > 0
    assert_nothing_restated(outcome)
    assert report_of(before).empty
    assert not (before / "lake" / "restatements").exists()


def test_a_refresh_without_changes_restates_nothing_and_leaves_the_report(restated: Restated) -> None:
    files = [restated.data_dir / "market.duckdb", restated.parquet]
    stamps = [file.stat().st_mtime_ns for file in files]

    assert_nothing_restated(refresh(restated.data_dir, restated.root))
    assert [file.stat().st_mtime_ns for file in files] == stamps


def test_made_anew_by_other_statements_the_report_is_the_same(
    restated: Restated, before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("combined", "provenance"):
        monkeypatch.setattr(f"stock_assets.{module}.recipe", lambda *_: "another one")
    outcome = refresh(before, restated.root)

    files = len(list(restated.root.glob("*/*.csv")))
    assert outcome.metadata["combined"]["files added"] == files > restated.second.metadata["combined"]["files added"]
    assert query(before / "market.duckdb", REPORT) == query(restated.data_dir / "market.duckdb", REPORT)
    assert (before / "lake/restatements" / restated.parquet.name).read_bytes() == restated.parquet.read_bytes()


def test_the_files_of_all_refreshes_are_the_history(restated: Restated, before: Path, tmp_path: Path) -> None:
    refresh(before, restated.root)
    refresh(before, put(tmp_path / "market", {name: scaled(table, PRICES, 2) for name, table in AFTER.items()}))
    refresh(before, put(tmp_path / "market", {name: scaled(table, PRICES, 2) for name, table in AFTER.items()}))

    history = query(
        before / "market.duckdb",
        f"SELECT snapshot_before, snapshot, count(*)::INT FROM '{before}/lake/restatements/*.parquet' GROUP BY ALL",
    )
    last = read_manifest(Layout(before)).version
    assert set(history) == {(restated.before, restated.after, len(RESTATED)), (restated.after, last, len(AFTER))}
    assert len(report_of(before)) == len(AFTER)


def test_what_a_killed_run_left_of_a_report_goes(layout: Layout) -> None:
    path = layout.restatements("a", "b")
    write_market(path.parent, {path.name: "", f"{path.name}.0a1b2c3d.tmp": ""})
    sweep(layout.data_dir)

    assert list(path.parent.iterdir()) == [path]


OLDER = {
    "source_files.sha256": "ALTER TABLE source_files DROP COLUMN sha256",
    "snapshot.version": "DROP TABLE snapshot",
    "combined.Open": 'ALTER TABLE combined DROP COLUMN "Open"',
    "combined.Date": 'ALTER TABLE combined ALTER "Date" TYPE VARCHAR',
}


@pytest.mark.parametrize("missing", OLDER)
def test_a_database_of_older_code_is_replaced_without_a_report(restated: Restated, before: Path, missing: str) -> None:
    edit(before / "market.duckdb", "UPDATE snapshot SET recipe = 'an older one'", "DROP VIEW features", OLDER[missing])
    assert_nothing_restated(refresh(before, restated.root))
    assert report_of(before).empty
