"""Every reason for the quarantine, and files and folders that must not confuse the reader."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from stock_assets.combined import update_combined
from stock_assets.ingest.snapshot import compare
from stock_assets.layout import Layout
from stock_assets.statements import run
from tests.conftest import HEADER, price_text, snapshot, write_market

SOUND = "1.5,2.5,1.25,2.0,1.75,100"
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Loaded:
    """What some files came to: rows as (Date, Open, Volume), and quarantine, each by file."""

    rows: dict[str, list[Row]]
    quarantine: dict[str, list[Row]]
    unreconciled: list[str]


def load(root: Path, files: Mapping[str, str | bytes], data_dir: Path) -> Loaded:
    """Load files by their paths, each beside the others and a sound one."""
    layout = Layout(data_dir)
    manifest = snapshot(layout, write_market(root, {**files, "stocks/SOUND.csv": price_text(2)}))
    with duckdb.connect(config={"threads": 1}) as connection:
        update_combined(connection, layout, manifest, compare({}, manifest.fingerprints), print)
        kept = connection.execute(
            """SELECT file, "Date", "Open", "Volume" FROM combined JOIN source_files USING ("Symbol") ORDER BY ALL"""
        ).fetchall()
        bad = connection.execute(
            """SELECT file, "Date", line, reason, content, "rows" FROM quarantine ORDER BY ALL"""
        ).fetchall()
        unreconciled = run(connection, "checks/combined/reconciled", files=list(manifest.fingerprints))
        return Loaded(by_file(kept), by_file(bad), [file for file, *_ in unreconciled])


def by_file(rows: list[Row]) -> dict[str, list[Row]]:
    return {file: [row[1:] for row in rows if row[0] == file] for file, *_ in rows}


BAD_LINES = {
    "text in a number": ("2020-01-02,1,x,3,4,5,6", "CAST"),
    "text in two numbers": ("2020-01-02,1,x,y,4,5,6", "CAST"),
    "a quoted number": ('2020-01-02,"1",2,3,4,5,6', "CAST"),
    "too few columns": ("2020-01-02,1,2", "MISSING COLUMNS"),
    "too many columns": ("2020-01-02,1,2,3,4,5,6,7", "TOO MANY COLUMNS"),
    "no such day": ("2020-02-30,1,2,3,4,5,6", "CAST"),
    "another form of date": ("01/02/2020,1,2,3,4,5,6", "CAST"),
    "a date with a time": ("2020-01-02 00:00:00,1,2,3,4,5,6", "CAST"),
    "an open quote": ('"2020-01-02,1,2,3,4,5,6', "CAST"),
    "blanks": ("   ", "CAST"),
    "not UTF-8": (b"2020-01-02,1,2,3,4,5,\xff\xfe", "CAST"),
}
BAD_ROWS = {
    "a blank row": (",,,,,", "missing Open, High, Low, Close, Adj Close, Volume"),
    "no volume": ("1,2,3,4,5,", "missing Volume"),
    "no high": ("1,,3,4,5,6", "missing High"),
    "not a number": ("nan,2,3,4,5,6", "not a finite number"),
    "infinite": ("1,2,-inf,4,5,6", "not a finite number"),
    "beyond a double": ("1,2,3,4,1e999,6", "not a finite number"),
    "infinite volume": ("1,2,3,4,5,inf", "not a finite number"),
    "negative volume": ("1,2,3,4,5,-6", "negative Volume"),
    "part of a share": ("1,2,3,4,5,6.5", "Volume is not a whole number of shares"),
    "beyond 64 bits": ("1,2,3,4,5,9223372036854775808", "Volume is not a whole number of shares"),
    "far beyond 64 bits": ("1,2,3,4,5,1e300", "Volume is not a whole number of shares"),
}
NO_DATES = ["", "epoch", "infinity"]
REPEATED = [
    (["1,1,1,1,1,1", "2,2,2,2,2,2"], 2, ["duplicate"]),
    (["1,1,1,1,1,1", "1,1,1,1,1,1"], 1, ["duplicate"]),
    (["1,1,1,1,1,1", "2,2,2,2,2,2", "3,3,3,3,3,-3"], 2, ["duplicate", "negative"]),
    ([",,,,,", "1,1,1,1,1,1"], 1, ["missing"]),
    (["1,1,1,1,1,1", ",,,,,"], 1, ["missing"]),
    (["3,3,3,3,3,3", "1,1,1,1,1,1", "2,2,2,2,2,2"], 2, ["duplicate", "duplicate"]),
]
FIRST, LAST = f"2020-01-01,{SOUND}", f"2020-01-06,{SOUND}"


def bad_files() -> Iterator[tuple[str, bytes]]:
    """Each bad line or row between two sound ones, in a file of its own."""

    def content(*lines: str | bytes) -> bytes:
        encoded = [line if isinstance(line, bytes) else line.encode() for line in (FIRST, *lines, LAST)]
        return HEADER.encode() + b"\n".join(encoded) + b"\n"

    for number, (line, _) in enumerate(BAD_LINES.values()):
        yield f"stocks/LINE{number}.csv", content(line)
        yield f"etfs/AFTERBLANK{number}.csv", content("", "", line)
    for number, (values, _) in enumerate(BAD_ROWS.values()):
        yield f"stocks/ROW{number}.csv", content(f"2020-01-02,{values}")
    for number, day in enumerate(NO_DATES):
        yield f"stocks/DAY{number}.csv", content(f"{day},{SOUND}")
    for number, (several, _, _) in enumerate(REPEATED):
        yield f"stocks/TWICE{number}.csv", content(*(f"2020-01-02,{values}" for values in several))


@pytest.fixture(scope="module")
def bad_market(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("bad")
    return load(folder / "market", dict(bad_files()), folder / "data")


def test_bad_files_add_up(bad_market: Loaded) -> None:
    assert bad_market.unreconciled == []


@pytest.mark.parametrize("case", BAD_LINES)
@pytest.mark.parametrize(("file", "number"), [("stocks/LINE", 3), ("etfs/AFTERBLANK", 5)])
def test_a_line_that_does_not_parse_is_told_by_its_number(
    bad_market: Loaded, case: str, file: str, number: int
) -> None:
    bad, reason = BAD_LINES[case]
    file += f"{list(BAD_LINES).index(case)}.csv"

    assert [day for day, *_ in bad_market.rows[file]] == [date(2020, 1, 1), date(2020, 1, 6)]
    ((day, line, why, content, count),) = bad_market.quarantine[file]
    assert (day, line, count) == (None, number, 1)
    assert why.startswith(f"{reason}: ")
    if isinstance(bad, str):
        assert content.strip() == bad.strip()


@pytest.mark.parametrize("case", BAD_ROWS)
def test_an_unsound_row_is_told_by_its_date(bad_market: Loaded, case: str) -> None:
    file = f"stocks/ROW{list(BAD_ROWS).index(case)}.csv"

    assert [day for day, *_ in bad_market.rows[file]] == [date(2020, 1, 1), date(2020, 1, 6)]
    ((*key, content, count),) = bad_market.quarantine[file]
    assert key == [date(2020, 1, 2), None, BAD_ROWS[case][1]]
    assert content.startswith("2020-01-02,")
    assert count == 1


@pytest.mark.parametrize("day", NO_DATES)
def test_a_row_without_a_date_is_in_quarantine(bad_market: Loaded, day: str) -> None:
    file = f"stocks/DAY{NO_DATES.index(day)}.csv"

    assert [day for day, *_ in bad_market.rows[file]] == [date(2020, 1, 1), date(2020, 1, 6)]
    assert len(bad_market.quarantine[file]) == 1


@pytest.mark.parametrize(("values", "volume", "reasons"), REPEATED)
def test_the_last_sound_line_of_a_date_is_kept(
    bad_market: Loaded, values: list[str], volume: int, reasons: list[str]
) -> None:
    file = f"stocks/TWICE{REPEATED.index((values, volume, reasons))}.csv"

    assert [(day.day, volume) for day, _, volume in bad_market.rows[file]] == [(1, 100), (2, volume), (6, 100)]
    assert sorted(reason.split()[0] for _, _, reason, *_ in bad_market.quarantine[file]) == reasons
    assert {day for day, *_ in bad_market.quarantine[file]} == {date(2020, 1, 2)}


NEIGHBOURS = {"stocks/A.csv": price_text(9), "stocks/SOUND.csv": price_text(9)}


@pytest.mark.parametrize(
    "name", ["date=2020-04-01", "Open=5", "letter=Q", "filename=x", "it's ä", "a b", "a[1]", "a*", "a?"]
)
def test_the_name_of_the_folder_does_not_matter(tmp_path: Path, name: str) -> None:
    for neighbour in ("a1", "ab"):
        write_market(tmp_path / neighbour, NEIGHBOURS)
    loaded = load(tmp_path / name, {"stocks/A.csv": f"{HEADER}{FIRST}\n{LAST}\n"}, tmp_path / "data")

    assert loaded.rows["stocks/A.csv"] == [(date(2020, 1, 1), 1.5, 100), (date(2020, 1, 6), 1.5, 100)]
    assert loaded.quarantine == {}
    assert loaded.unreconciled == []
