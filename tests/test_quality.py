"""The checks of `combined`: what they count against pandas, and that each one finds what it is for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.quality import Finding, inspect_combined, record, require, tomorrow
from stock_assets.quality_checks import COMBINED
from stock_assets.statements import sql
from tests.conftest import (
    HEADER,
    Built,
    build_tables,
    open_database,
    price_line,
    snapshot,
    write_market,
)

PRICES = ["Open", "High", "Low", "Close", "Adj Close"]
BLOCKING = {check.name for check in COMBINED if check.blocking}
FIRST_DAY, LAST_DAY = date(2020, 1, 1), date(2020, 6, 30)

DESCRIBE_T = (
    "DELETE FROM symbols WHERE \"Symbol\" = 'T'",
    sql("describe_symbols").replace("$letter", "'T'").replace("$symbols", "['T']"),
)
HARMS = {
    "schema": [
        ('ALTER TABLE combined ALTER "Volume" TYPE DOUBLE',),
        ('ALTER TABLE combined RENAME "Open" TO open_',),
        ("ALTER TABLE combined ADD COLUMN more INTEGER",),
        ('ALTER TABLE combined DROP "Low"',),
    ],
    "reconciled": [
        ("DELETE FROM source_files WHERE file = 'stocks/HEAD.csv'",),
        ("INSERT INTO source_files SELECT * REPLACE ('stocks/NEW.csv' AS file) FROM source_files WHERE \"rows\" = 0",),
        ("UPDATE source_files SET \"rows\" = \"rows\" + 1 WHERE file = 'stocks/T.csv'",),
        ("DELETE FROM combined WHERE \"Symbol\" = 'T'", "DELETE FROM symbols WHERE \"Symbol\" = 'T'"),
        ("DELETE FROM quarantine WHERE file = 'stocks/GAPS.csv'",),
    ],
    "unique_dates": [
        ("INSERT INTO combined FROM combined WHERE \"Symbol\" = 'T' AND \"Date\" = '2020-03-03'", *DESCRIBE_T),
    ],
    "one_letter": [
        ("UPDATE combined SET letter = 'Q' WHERE \"Symbol\" = 'T' AND \"Date\" > '2020-03-03'",),
        tuple(f"UPDATE {table} SET letter = 'Q' WHERE \"Symbol\" = 'T'" for table in ("combined", "symbols")),
        tuple(f"UPDATE {table} SET letter = '0' WHERE \"Symbol\" = 'brk'" for table in ("combined", "symbols")),
        ("DELETE FROM combined WHERE \"Symbol\" = 'T'",),
        ("DELETE FROM symbols WHERE \"Symbol\" = 'T'",),
    ],
    "no_future_dates": [
        ("UPDATE combined SET \"Date\" = '2020-04-03' WHERE \"Symbol\" = 'T' AND \"Date\" = '2020-04-01'",),
    ],
}  # fmt: skip


@contextmanager
def harmed(built: Built, folder: Path, *statements: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the database after these statements."""
    path = shutil.copyfile(built.layout.database, folder / "harmed.duckdb")
    with duckdb.connect(str(path), config={"threads": 1}) as connection:
        for statement in statements:
            connection.execute(statement)
        yield connection


def findings(connection: duckdb.DuckDBPyConnection, built: Built, latest: date | None = None) -> dict[str, Finding]:
    found = inspect_combined(connection, built.manifest.fingerprints, latest or tomorrow())
    return {finding.check.name: finding for finding in found}


def failed(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if not finding.passed and finding.check.blocking]


@pytest.fixture(scope="module")
def demo_findings(demo_market: Built) -> dict[str, Finding]:
    with open_database(demo_market.layout) as connection:
        return findings(connection, demo_market)


@pytest.fixture(scope="module")
def demo_rows(demo_market: Built) -> pd.DataFrame:
    with open_database(demo_market.layout) as connection:
        return connection.execute('SELECT * FROM combined ORDER BY "Symbol", "Date"').df()


def test_a_sound_market_fails_no_blocking_check(demo_findings: dict[str, Finding]) -> None:
    assert list(demo_findings) == [check.name for check in COMBINED]
    assert failed(demo_findings) == []
    assert {name for name, finding in demo_findings.items() if finding.check.blocking} == BLOCKING == HARMS.keys()
    require(list(demo_findings.values()))


@pytest.mark.parametrize(
    ("name", "statements"), [(name, statements) for name, cases in HARMS.items() for statements in cases]
)
def test_a_blocking_check_finds_its_harm(
    demo_market: Built, tmp_path: Path, name: str, statements: tuple[str, ...]
) -> None:
    with harmed(demo_market, tmp_path, "DROP VIEW features", *statements) as connection:
        found = findings(connection, demo_market, latest=date(2020, 4, 2))

    assert name in failed(found)
    with pytest.raises(UserError, match=rf"^the check .*{name}.* failed: .*; nothing was published: ") as error:
        require(list(found.values()))
    assert "\n" not in str(error.value)
    assert 0 < found[name].share <= 1


def test_a_wrong_schema_leaves_the_other_checks_out(demo_market: Built, tmp_path: Path) -> None:
    with harmed(demo_market, tmp_path, "DROP VIEW features", 'ALTER TABLE combined DROP "Date"') as connection:
        found = findings(connection, demo_market)

    assert list(found) == ["schema"]
    assert [(row["place"], row["found"], row["wanted"]) for row in found["schema"].examples][:2] == [
        (3, "Open", "Date"),
        (4, "High", "Open"),
    ]


def test_the_latest_day_itself_is_no_future_date(demo_market: Built, demo_rows: pd.DataFrame) -> None:
    last = demo_rows["Date"].max().date()
    with open_database(demo_market.layout) as connection:
        at, before = (findings(connection, demo_market, last - timedelta(days=days)) for days in (0, 1))

    assert at["no_future_dates"].passed
    assert before["no_future_dates"].offenders == (demo_rows["Date"].dt.date == last).sum()


def by_pandas(rows: pd.DataFrame) -> dict[str, pd.Series]:
    prices = rows[PRICES]
    return {
        "zero_volumes": rows["Volume"] == 0,
        "bad_prices": (prices[["Close", "Adj Close"]] <= 0).any(axis=1)
        | (prices < 0).any(axis=1)
        | (prices > 1e6).any(axis=1),
        "high_below_low": (rows["High"] < rows["Low"]) & (rows["High"] != 0),
    }


@pytest.mark.parametrize("name", ["zero_volumes", "bad_prices", "high_below_low"])
def test_rows_that_are_warned_of_are_those_of_pandas(
    demo_findings: dict[str, Finding], demo_rows: pd.DataFrame, name: str
) -> None:
    expected = demo_rows[by_pandas(demo_rows)[name]].groupby("Symbol").size()
    finding = demo_findings[name]

    assert (finding.offenders, finding.total, finding.listed) == (expected.sum(), len(demo_rows), len(expected))
    assert finding.offenders > 0
    assert {row["Symbol"]: row["rows"] for row in finding.examples}.items() <= expected.to_dict().items()
    assert finding.examples[0]["rows"] == expected.max()
    assert finding.letters == tuple(
        sorted({symbol[0].upper() if symbol[0].isalpha() else "0" for symbol in expected.index})
    )
    assert f"{finding.offenders:,} of {len(demo_rows):,} rows (" in finding.line
    assert f"in {len(expected)} symbol" in finding.line


def test_the_symbols_are_described_as_pandas_does(demo_market: Built, demo_rows: pd.DataFrame) -> None:
    with open_database(demo_market.layout) as connection:
        described = connection.execute('SELECT * FROM symbols ORDER BY "Symbol"').df().set_index("Symbol")
    by_symbol = demo_rows.groupby("Symbol")
    gaps = by_symbol["Date"].diff().dt.days

    assert (described["rows"] == by_symbol.size()).all()
    assert (described["first_date"] == by_symbol["Date"].min()).all()
    assert (described["last_date"] == by_symbol["Date"].max()).all()
    assert (described["letter"] == by_symbol["letter"].first()).all()
    assert (described["repeated_dates"] == 0).all()
    longest = (described["gap_to"] - described["gap_from"]).dt.days
    pd.testing.assert_series_equal(
        longest, gaps.groupby(demo_rows["Symbol"]).max(), check_names=False, check_dtype=False
    )


def test_names_that_are_missing(demo_findings: dict[str, Finding], demo_market: Built) -> None:
    nameless = {file.symbol for file in demo_market.manifest.loadable if file.security_name is None}

    assert {row["Symbol"] for row in demo_findings["missing_names"].examples} == nameless
    assert demo_findings["missing_names"].offenders == len(nameless) == 2


def weekdays(first: date, last: date) -> list[date]:
    return list(pd.bdate_range(first, last).date)


def file_of(days: list[date]) -> str:
    return HEADER + "".join(map(price_line, days))


@pytest.fixture(scope="module")
def gaps_market(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Weekdays of half a year; some symbols lack 30 of them and some 31, in the middle or at the end."""
    folder = tmp_path_factory.mktemp("gaps")
    days = weekdays(FIRST_DAY, LAST_DAY)
    weekend = [FIRST_DAY + timedelta(days=n) for n in range(90) if (FIRST_DAY + timedelta(days=n)).weekday() > 4]
    files = {
        "FULL": days,
        "WEEKEND": sorted([*weekend, *days]),
        "GAP30": days[:40] + days[70:],
        "GAP31": days[:40] + days[71:],
        "GAP60": days[:40] + days[100:],
        "END30": days[:-30],
        "END31": days[:-31],
        "ONE": days[:1],
    }
    root = write_market(folder / "market", {f"stocks/{name}.csv": file_of(chosen) for name, chosen in files.items()})
    layout = Layout(folder / "data")
    manifest = snapshot(layout, root)
    return Built(layout, root, manifest, build_tables(layout, manifest))


def test_gaps_are_counted_in_trading_days(gaps_market: Built) -> None:
    with open_database(gaps_market.layout) as connection:
        found = findings(connection, gaps_market)
    days = weekdays(FIRST_DAY, LAST_DAY)

    assert failed(found) == []
    long_gaps = [(row["Symbol"], row["gap_from"], row["trading_days"]) for row in found["long_gaps"].examples]
    assert long_gaps == [("GAP60", days[39], 60), ("GAP31", days[39], 31)]
    stale = [(row["Symbol"], row["last_date"], row["trading_days"]) for row in found["stale_symbols"].examples]
    assert stale == [("ONE", days[0], len(days) - 1), ("END31", days[-32], 31)]
    assert found["long_gaps"].line.startswith("2 of 8 symbols (25 %); first: letter G, Symbol GAP60, gap_from ")


def test_the_trend_is_against_what_was_recorded_last(demo_market: Built, tmp_path: Path) -> None:
    with harmed(demo_market, tmp_path) as connection:
        first = findings(connection, demo_market)
        record(connection, list(first.values()))
        again = findings(connection, demo_market)
        connection.execute("UPDATE symbols SET zero_volumes = zero_volumes + 12 WHERE \"Symbol\" = 'T'")
        more = findings(connection, demo_market)["zero_volumes"]
        record(connection, [more])
        kept = connection.execute("SELECT count(*) FROM quality").fetchall()

    assert {finding.change for finding in first.values()} == {None}
    assert {finding.change for finding in again.values()} == {0}
    assert more.change == 12
    assert "; +12 since the last refresh; first: " in more.line
    assert kept == [(len(COMBINED),)]


def test_a_share_of_nothing_is_none(demo_findings: dict[str, Finding]) -> None:
    empty = demo_findings["schema"]._replace(total=0)

    assert (empty.share, empty.line) == (0, "none of 0 columns")
