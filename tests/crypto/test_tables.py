"""What is loaded of a crypto price file, what is set aside and why, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from tests.crypto.conftest import HEADER, lines_of, run, write
from tests.defs.graph_runs import failures
from tests.helpers import digests, litter

SOUND = lines_of([1.5, 1.25, 2.0, 2.5])
BAD = {
    "2020-01-05,-1,5,6": "price is not above 0",
    "2020-01-05,0,5,6": "price is not above 0",
    "2020-01-05,,5,6": "missing price",
    "2020-01-05,1,,": "missing volume, marketCap",
    ",1,5,6": "missing date",
    "2020-01-05,nan,5,6": "not a finite number",
    "2020-01-05,1,inf,6": "not a finite number",
    "2020-01-05,1,-5,6": "negative volume",
    "2020-01-05,1,5,-6": "negative marketCap",
    "1970-01-01,1,5,6": "date is not after 1970-01-01",
}
UNPARSED = {
    "2020-01-05,dear,5,6": "CAST",
    "2020-01-05,1,5": "MISSING COLUMNS",
    "2020-01-05,1,5,6,7": "TOO MANY COLUMNS",
    "05/01/2020,1,5,6": "CAST",
}


def test_every_column_is_that_of_the_file(build: Any, tmp_path: Path) -> None:
    built = build(write(tmp_path / "in/my.coin.csv", SOUND))
    rows = built.query("SELECT asset, date::VARCHAR, price, volume, marketCap FROM crypto_prices ORDER BY date")
    wanted = [line.split(",") for line in SOUND]

    assert rows == [("my.coin", day, *map(float, numbers)) for day, *numbers in wanted]
    assert built.query("FROM quarantine") == []


@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_a_line_that_cannot_be_used_is_set_aside_with_its_reason(
    build: Any, tmp_path: Path, line: str, reason: str
) -> None:
    built = build(write(tmp_path / "in/a.csv", [*SOUND, line]))

    assert built.query('SELECT file, "Symbol", reason, "rows" FROM quarantine') == [("in/a.csv", "a", reason, 1)]
    assert built.query("SELECT count(*) FROM crypto_prices") == [(4,)]
    assert built.query('SELECT "rows", rows_kept, rows_quarantined FROM source_files') == [(5, 4, 1)]


@pytest.mark.parametrize(("line", "reason"), UNPARSED.items())
def test_a_line_that_does_not_parse_is_set_aside_with_its_number(
    build: Any, tmp_path: Path, line: str, reason: str
) -> None:
    built = build(write(tmp_path / "in/a.csv", [*SOUND[:2], line, *SOUND[2:]]))
    ((number, said, content),) = built.query("SELECT line, reason, content FROM quarantine")

    assert (number, said.startswith(f"{reason}: "), content) == (4, True, line)
    assert built.query("SELECT count(*) FROM crypto_prices") == [(4,)]


def test_of_two_lines_of_a_day_the_later_one_is_kept(build: Any, tmp_path: Path) -> None:
    built = build(write(tmp_path / "a.csv", [*SOUND, "2020-01-04,9,5,6"]))

    assert built.query("SELECT price FROM crypto_prices WHERE date = '2020-01-04'") == [(9.0,)]
    assert built.query('SELECT "Date"::VARCHAR, reason, content FROM quarantine') == [
        ("2020-01-04", "duplicate date, a later line has it too", "2020-01-04,2.5,1003.0,7009.0")
    ]


def test_a_file_whose_dates_run_backwards_is_refused_as_a_whole(build: Any, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", SOUND)
    built = build(write(tmp_path / "in/b.csv", [SOUND[0], SOUND[2], SOUND[1], SOUND[3], "2020-01-05,dear,1,1"]).parent)

    assert built.query('SELECT file, reason, "rows" FROM quarantine') == [
        ("in/b.csv", "its dates are not in order: 2020-01-02 comes after 2020-01-03", 5)
    ]
    assert built.query("SELECT DISTINCT asset FROM crypto_prices") == [("a",)]
    assert built.query('SELECT "rows", rows_kept, rows_quarantined FROM source_files ORDER BY file') == [
        (4, 4, 0),
        (5, 0, 5),
    ]


@pytest.mark.parametrize(("days", "loaded"), [("3123", 0), ("12341234", 0), ("1232", 0), ("1233", 3), ("112223", 3)])
def test_days_that_come_again_later_are_no_order(build: Any, tmp_path: Path, days: str, loaded: int) -> None:
    write(tmp_path / "in/a.csv", SOUND)
    lines = [f"2020-01-0{day},{place + 1},1,1" for place, day in enumerate(days)]
    built = build(write(tmp_path / "in/b.csv", lines).parent)

    assert built.query("SELECT count(*) FROM crypto_prices WHERE asset = 'b'") == [(loaded,)]
    assert built.query('SELECT sum("rows") FROM quarantine') == [(len(days) - loaded,)]


def test_a_day_that_is_not_over_anywhere_stops_the_publication(tmp_path: Path) -> None:
    ran = run(tmp_path / "data", write(tmp_path / "a.csv", [*SOUND, "9999-12-31,1,1,1"]))

    assert "no_future_dates" in failures(ran.result)["crypto_prices"]
    assert not ran.layout.crypto_database.exists()


@pytest.mark.parametrize(
    ("header", "lines", "why"),
    [
        ("date,price,volume\n", ["2020-01-01,1,2"], "its first line is 'date,price,volume', not 'date,price,volume,ma"),
        ("date,volume,price,marketCap\n", SOUND, "its first line is 'date,volume,price,marketCap', not"),
        (HEADER, [], "only a header, no rows"),
        (HEADER, SOUND[::-1], "its dates are not in order: 2020-01-03 comes after 2020-01-04"),
    ],
)
def test_a_file_of_which_nothing_can_be_loaded_fails_with_its_line(
    tmp_path: Path, header: str, lines: list[str], why: str
) -> None:
    ran = run(tmp_path / "data", write(tmp_path / "in/a.csv", lines, header))
    told = failures(ran.result)

    assert list(told) == ["crypto_prices"]
    assert told["crypto_prices"].startswith(f"no row of {tmp_path}/in/a.csv can be loaded: in/a.csv: {why}")
    assert not ran.layout.crypto_database.exists()
    assert litter(tmp_path / "data") == []


def test_a_bad_file_leaves_what_was_published(walked: Any, tmp_path: Path) -> None:
    layout = Layout(shutil.copytree(walked.layout.data_dir, tmp_path / "data"))
    patterns = ("lake/*/*.parquet", "crypto.duckdb", "models/*/*/*", "raw/crypto.json")
    before = [digests(layout.data_dir, pattern) for pattern in patterns]

    assert not run(layout.data_dir, write(tmp_path / "a.csv", SOUND[::-1])).result.success
    assert all(before)
    assert [digests(layout.data_dir, pattern) for pattern in patterns] == before


@pytest.mark.parametrize(
    ("path", "why"),
    [("nowhere", "there is no such file or folder"), ("empty", "give a file"), ("a.txt", "give a file")],
)
def test_a_path_without_files_is_refused(build: Any, tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")

    with pytest.raises(UserError, match=f"STOCK_ASSETS_CRYPTO_PATH={tmp_path}/{path}: {why}"):
        build(tmp_path / path)
