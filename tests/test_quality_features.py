"""The checks of the feature files: each one finds what it is for, in the letters of the run."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from stock_assets.combined import published_version
from stock_assets.errors import UserError
from stock_assets.layout import LETTERS, Layout
from stock_assets.quality import Finding, inspect_features, require
from stock_assets.quality_checks import FEATURES
from stock_assets.statements import sql
from tests.conftest import Built, open_database

T_ROW = '"Symbol" = \'T\' AND "Date" = {}'
FIRST, LAST = '(SELECT min("Date") FROM rows_of_t)', '(SELECT max("Date") FROM rows_of_t)'


def where(day: str, column: str, value: str) -> str:
    """All rows, with one value replaced in one row of the symbol T."""
    changed = f"CASE WHEN {T_ROW.format(day)} THEN {value} ELSE {column} END"
    return f"SELECT * REPLACE ({changed} AS {column}) FROM published"


HARMS = {
    "schema": [
        'SELECT * REPLACE (CAST("Volume" AS DOUBLE) AS "Volume") FROM published',
        "SELECT * EXCLUDE (adj_close_rolling_med) FROM published",
        "SELECT *, 1 AS more FROM published",
        'SELECT "Date", * EXCLUDE ("Date") FROM published',
    ],
    "complete": [
        f"SELECT * FROM published WHERE NOT ({T_ROW.format(LAST)})",
        "SELECT * FROM published UNION ALL (SELECT * FROM published LIMIT 1)",
    ],
    "warm_up": [
        where(FIRST, "vol_moving_avg", "1.0"),
        where(FIRST, "adj_close_rolling_med", "1.0"),
        where(FIRST, "adj_close_rolling_med", "'nan'::DOUBLE"),
        where(LAST, "vol_moving_avg", "NULL"),
        'SELECT * REPLACE (lag(vol_moving_avg) OVER (ORDER BY "Symbol", "Date") AS vol_moving_avg) FROM published',
        'SELECT * REPLACE (lead(vol_moving_avg) OVER (ORDER BY "Symbol", "Date") AS vol_moving_avg) FROM published',
        'SELECT * REPLACE (CASE WHEN "Symbol" = \'T\' THEN \'TT\' ELSE "Symbol" END AS "Symbol") FROM published',
    ],
    "spot_check": [
        "SELECT * REPLACE (vol_moving_avg * (1 + 2e-9) AS vol_moving_avg) FROM published",
        "SELECT * REPLACE (adj_close_rolling_med * (1 - 2e-9) AS adj_close_rolling_med) FROM published",
        where(LAST, "adj_close_rolling_med", "'nan'::DOUBLE"),
        where(LAST, "vol_moving_avg", "vol_moving_avg + 1"),
    ],
}


def harm(built: Built, statement: str, path: Path) -> Path:
    """The features of T written anew by a statement over those that are published."""
    path.parent.mkdir(parents=True)
    with duckdb.connect(config={"threads": 1}) as connection:
        published = built.layout.parquet("features", "T")
        connection.execute(f"CREATE TABLE published AS FROM read_parquet('{published}', hive_partitioning = false)")
        connection.execute("CREATE VIEW rows_of_t AS FROM published WHERE \"Symbol\" = 'T'")
        connection.execute(f"COPY ({statement}) TO '{path}' (FORMAT parquet)")
    return path


def findings(
    built: Built, files: Mapping[str, Path], computed: tuple[str, ...] = (), version: str = ""
) -> dict[str, Finding]:
    with open_database(built.layout) as connection:
        found = inspect_features(connection, files, computed, version or published_version(connection))
    return {finding.check.name: finding for finding in found}


def published(layout: Layout, letters: str | tuple[str, ...] = LETTERS) -> dict[str, Path]:
    return {letter: layout.parquet("features", letter) for letter in letters}


def failed(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if not finding.passed}


def test_sound_features_pass_every_check(demo_market: Built) -> None:
    found = findings(demo_market, published(demo_market.layout))

    assert list(found) == [check.name for check in FEATURES] == list(HARMS)
    assert failed(found) == set()
    assert all(finding.check.blocking for finding in found.values())
    assert found["warm_up"].total == demo_market.totals.symbols
    assert found["complete"].line == "none of 27 letters"
    assert found["spot_check"].total > 400
    require(list(found.values()))


@pytest.mark.parametrize(
    ("name", "statement"), [(name, statement) for name, cases in HARMS.items() for statement in cases]
)
def test_a_check_finds_its_harm(demo_market: Built, tmp_path: Path, name: str, statement: str) -> None:
    path = harm(demo_market, statement, tmp_path / "letter=T" / "part-0.parquet.0a.tmp")
    found = findings(demo_market, published(demo_market.layout) | {"T": path})

    assert name in failed(found)
    assert found[name].letters == ("T",)
    assert 0 < found[name].share <= 1
    with pytest.raises(UserError, match=rf"^the check .*{name}.* failed: .* letter T, .*; nothing was published: "):
        require(list(found.values()))


def test_only_the_letters_of_the_run_are_looked_at(demo_market: Built, tmp_path: Path) -> None:
    path = harm(demo_market, "FROM published LIMIT 40", tmp_path / "letter=T" / "part-0.parquet")
    files = published(demo_market.layout) | {"T": path}
    others = findings(demo_market, {letter: files[letter] for letter in "CDEF"})

    assert failed(others) == set()
    assert others["complete"].total == 4
    assert failed(findings(demo_market, {letter: files[letter] for letter in "ST"})) >= {"complete", "warm_up"}


def test_a_letter_without_rows_has_no_file_and_passes(demo_market: Built) -> None:
    found = findings(demo_market, published(demo_market.layout, "E"))

    assert failed(found) == set()
    assert {name: finding.total for name, finding in found.items()} == {
        "schema": 0, "complete": 1, "warm_up": 0, "spot_check": 0,
    }  # fmt: skip


@pytest.mark.parametrize("letters", ["T", "ST"])
def test_a_file_that_is_missing_is_found(demo_market: Built, tmp_path: Path, letters: str) -> None:
    files = published(demo_market.layout, letters) | {"T": tmp_path / "letter=T" / "part-0.parquet"}
    found = findings(demo_market, files)

    assert found["complete"].offenders == 1
    ((letter, in_file, in_combined),) = (tuple(row.values()) for row in found["complete"].examples)
    assert (letter, in_file) == ("T", None)
    assert in_combined > 0


def test_a_file_of_a_letter_without_rows_is_found(demo_market: Built, tmp_path: Path) -> None:
    path = tmp_path / "letter=E" / "part-0.parquet"
    path.parent.mkdir()
    shutil.copyfile(demo_market.layout.parquet("features", "T"), path)

    assert {"complete", "warm_up"} <= failed(findings(demo_market, {"E": path}))


def test_the_sample_hangs_on_the_version_of_the_tables(demo_market: Built, tmp_path: Path) -> None:
    statement = "SELECT * REPLACE (2 * vol_moving_avg AS vol_moving_avg) FROM published"
    files = {"T": harm(demo_market, statement, tmp_path / "letter=T" / "part-0.parquet")}
    one, same, other = (
        findings(demo_market, files, version=version)["spot_check"] for version in ("one", "one", "two")
    )

    assert one == same
    assert {row["Date"] for row in one.examples} != {row["Date"] for row in other.examples}
    assert all(row["vol_moving_avg"] == 2 * row["expected vol_moving_avg"] for row in one.examples)


def test_symbols_that_were_just_computed_are_sampled(
    demo_market: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one symbol of each kind, the one that was computed is always looked at."""
    files = published(demo_market.layout) | {
        "T": harm(demo_market, where(LAST, "vol_moving_avg", "1.0"), tmp_path / "letter=T" / "x")
    }
    monkeypatch.setattr("stock_assets.statements.sql", lambda name: sql(name).replace("<= 50", "<= 1"))

    for version in ("one", "two", "three", "four"):
        assert findings(demo_market, files, computed=("T",), version=version)["spot_check"].offenders == 1


def test_the_name_of_the_data_folder_does_not_matter(demo_market: Built, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "letter=Q" / "a[1]*")
    shutil.copytree(demo_market.layout.data_dir, layout.data_dir)
    with duckdb.connect(str(layout.database), read_only=True) as connection:
        found = inspect_features(connection, published(layout), (), published_version(connection))

    assert [finding.check.name for finding in found if not finding.passed] == []
