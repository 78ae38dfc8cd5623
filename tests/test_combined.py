"""`combined` and `quarantine` against a reading of the same files by pandas."""

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from stock_assets.layout import LETTERS, Layout
from stock_assets.quarantine import quarantine_sample
from tests.conftest import HEADER, Built, build_tables, open_database, price_text, snapshot, write_market

NUMBERS = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]
CONTRACT = [
    ("Symbol", "VARCHAR"),
    ("Security Name", "VARCHAR"),
    ("Date", "DATE"),
    *((name, "DOUBLE") for name in NUMBERS[:-1]),
    ("Volume", "BIGINT"),
    ("letter", "VARCHAR"),
]
SELECT = """SELECT * EXCLUDE (letter) FROM combined ORDER BY "Symbol", "Date" """
SOUND = "1.5,2.5,1.25,2.0,1.75,100"
Row = tuple[Any, ...]

TINY = {
    "stocks/LGF.B.csv": HEADER + f"2020-01-03,{SOUND}\n2020-01-02,{SOUND}\n2020-01-01,{SOUND}\n",
    "stocks/B.csv": price_text(3).replace("\n", "\r\n"),
    "stocks/TRUE.csv": price_text(2).strip(),
    "stocks/NA.csv": "\ufeff" + price_text(2),
    "stocks/3DX.csv": HEADER + f"2020-01-01,,,,,,\n2020-01-01,{SOUND}.0\n2020-01-02,{SOUND}.0\n2020-01-02,,,,,,\n",
    "etfs/brk.csv": HEADER + f"2020-01-01,{SOUND}\n2020-01-01,9,9,9,9,-9,7421640800\n",
    "etfs/EMPTY.csv": "",
    "stocks/QUIET.csv": HEADER + "2020-01-01,,,,,,\n\n2020-01-02,,,,,,\n",
    "stocks/UGLY.csv": "Date,Close\n2020-01-01,1\n2020-01-02,1\n",
    "symbols_valid_meta.csv": 'NASDAQ Symbol,Security Name,Symbol\nNA,"Nano, Inc. ",NAX\nLGF.B,Lions Gate,LGF$B\n',
}


@pytest.fixture(scope="module")
def tiny_market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("tiny")
    root, layout = write_market(folder / "market", TINY), Layout(folder / "data")
    manifest = snapshot(layout, root)
    return Built(layout, root, manifest, build_tables(layout, manifest))


@pytest.fixture(params=["tiny_market", "demo_market"])
def market(request: pytest.FixtureRequest) -> Built:
    built: Built = request.getfixturevalue(request.param)
    return built


def oracle(root: Path) -> list[Row]:
    """The rows of `combined` by the words of the data contract, file by file."""
    names = names_by_symbol(root / "symbols_valid_meta.csv")
    rows: list[Row] = []
    for path in [*root.glob("stocks/*.csv"), *root.glob("etfs/*.csv")]:
        symbol = path.name.removesuffix(".csv")
        rows += ((symbol, names.get(symbol), *row) for row in clean(path).itertuples(index=False))
    return sorted(rows, key=lambda row: (row[0].encode(), row[2]))


def clean(path: Path) -> pd.DataFrame:
    if not path.read_text("utf-8-sig").startswith(HEADER.strip() + "\n"):
        return pd.DataFrame()
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table = table[(table != "").all(axis=1)].drop_duplicates("Date", keep="last")
    table["Date"] = [date.fromisoformat(text) for text in table["Date"]]
    for name in NUMBERS:
        table[name] = table[name].map(float)
    table["Volume"] = table["Volume"].map(int)
    return table.sort_values("Date")


def names_by_symbol(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["NASDAQ Symbol"]: row["Security Name"].strip() for row in csv.DictReader(file)}


def query(layout: Layout, statement: str) -> list[Row]:
    with open_database(layout) as connection:
        return connection.execute(statement).fetchall()


def nonblank_lines(path: Path) -> int:
    """Lines after the header."""
    return max(0, sum(line != "" for line in path.read_text("utf-8").splitlines()) - 1)


def test_combined_is_what_pandas_reads(market: Built) -> None:
    assert query(market.layout, SELECT) == oracle(market.root)


def test_columns_are_those_of_the_contract(market: Built) -> None:
    described = query(market.layout, "DESCRIBE combined")

    assert [(name, kind) for name, kind, *_ in described] == CONTRACT


def test_every_line_is_in_combined_or_in_quarantine(market: Built) -> None:
    names = [f"{path.parent.name}/{path.name}" for path in market.root.glob("*/*.csv")]
    lines = {file: nonblank_lines(market.root / file) for file in names}
    counted = query(market.layout, 'SELECT file, "rows", rows_kept + rows_quarantined FROM source_files')
    kept = query(market.layout, """SELECT count(*) FROM combined""")[0][0]
    bad = query(market.layout, """SELECT coalesce(sum("rows"), 0)::BIGINT FROM quarantine""")[0][0]

    assert {file: rows for file, rows, _ in counted} == lines
    assert {file: rows for file, _, rows in counted} == lines
    assert kept + bad == sum(lines.values()) == market.totals.rows_read
    assert (kept, bad) == (market.totals.rows_kept, market.totals.rows_quarantined)


def test_the_letter_of_every_row_is_that_of_its_symbol(market: Built) -> None:
    offenders = """
        SELECT DISTINCT "Symbol", letter FROM combined
        WHERE letter <> CASE WHEN upper("Symbol"[1]) BETWEEN 'A' AND 'Z' THEN upper("Symbol"[1]) ELSE '0' END
    """
    assert query(market.layout, offenders) == []


@pytest.mark.parametrize("letter", LETTERS)
def test_parquet_equals_the_table(market: Built, letter: str) -> None:
    path = market.layout.parquet("combined", letter)
    rows = query(market.layout, SELECT.replace("ORDER", f"WHERE letter = '{letter}' ORDER"))

    assert path.exists() == bool(rows)
    if rows:
        table = pl.read_parquet(path, hive_partitioning=False)
        assert table.columns == [name for name, _ in CONTRACT[:-1]]
        assert table.rows() == rows


def test_letters_without_sound_rows_have_no_files(tiny_market: Built) -> None:
    found = {path.parent.name.removeprefix("letter=") for path in tiny_market.layout.data_dir.glob("lake/combined/*/*")}

    assert found == set("0BLNT")


def test_the_totals_of_the_tiny_market(tiny_market: Built) -> None:
    assert tiny_market.totals._asdict() == {
        "files": 9,
        "files_loaded": 7,
        "files_quarantined": 2,
        "rows_read": 20,
        "rows_kept": 13,
        "rows_quarantined": 7,
        "symbols": 6,
        "symbols_without_name": 5,
    }


def test_files_that_cannot_be_loaded_are_in_quarantine_with_all_their_rows(tiny_market: Built) -> None:
    found = query(
        tiny_market.layout,
        """SELECT file, "Symbol", "rows", reason FROM quarantine WHERE line IS NULL AND "Date" IS NULL""",
    )

    assert sorted(found) == [
        ("etfs/EMPTY.csv", "EMPTY", 0, "empty file"),
        (
            "stocks/UGLY.csv",
            "UGLY",
            2,
            "its first line is 'Date,Close', not 'Date,Open,High,Low,Close,Adj Close,Volume'",
        ),
    ]


def test_the_sample_of_the_quarantine_has_each_reason(demo_market: Built) -> None:
    with open_database(demo_market.layout) as connection:
        sample = quarantine_sample(connection)
    reasons = query(demo_market.layout, "SELECT DISTINCT reason FROM quarantine")

    assert {entry["reason"] for entry in sample} == {reason for (reason,) in reasons}
