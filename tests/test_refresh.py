"""A refresh reads what changed and no more, and what it publishes is what a run from nothing would publish."""

import os
import random
import resource
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from stock_assets.combined import Totals, read_totals
from stock_assets.definitions import defs
from stock_assets.defs.running import Outcome, run_full_refresh
from stock_assets.layout import Layout
from tests.conftest import HEADER, build_tables, price_line, price_text, snapshot, write_market
from tests.helpers import digests, folder_settings, in_force, litter, query, rest, table_hash, tables_differ

TABLES = "*features"
META = "NASDAQ Symbol,Security Name\nAA,Alpha\nBB,Beta\n"
MARKET: dict[str, str | bytes] = {
    "stocks/AA.csv": price_text(40),
    "stocks/AB.csv": price_text(35) + price_line(date(2020, 1, 5)) + "2020-03-01,1,x,1,1,1,1\n",
    "etfs/BB.csv": price_text(50),
    "stocks/BC.csv": price_text(31),
    "stocks/CC.csv": price_text(33),
    "etfs/3D.csv": price_text(32),
    "stocks/EMPTY.csv": "",
    "symbols_valid_meta.csv": META,
}
Change = Callable[[Path], object]


def refresh(data_dir: Path, root: Path, select: str = TABLES) -> Outcome:
    with in_force(folder_settings(data_dir, root)), dg.DagsterInstance.ephemeral() as instance:
        return run_full_refresh(instance, defs, None, select, lambda *_: None)


def times(data_dir: Path) -> dict[str, int]:
    """When each published file was written."""
    paths = [data_dir / "market.duckdb", *data_dir.glob("lake/**/*.parquet"), *data_dir.glob("models/**/*")]
    return {str(path.relative_to(data_dir)): path.stat().st_mtime_ns for path in paths}


def published(data_dir: Path) -> tuple[Any, ...]:
    """All that is published, but for when and in which order it was written."""
    database = data_dir / "market.duckdb"
    tables = [table_hash(database, table) for table in ("combined", "features", "quarantine", "source_files")]
    files = ("lake/combined/*/*", "lake/features/*/*", "lake/symbols/*")
    return (*tables, *(digests(data_dir, pattern) for pattern in files))


def from_nothing(root: Path, data_dir: Path) -> tuple[Any, ...]:
    layout = Layout(data_dir)
    build_tables(layout, snapshot(layout, root))
    found = published(data_dir)
    shutil.rmtree(data_dir)
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refresh")
    write_market(folder / "market", MARKET)
    rest()
    assert refresh(folder / "data", folder / "market").error is None
    return folder


@pytest.fixture
def market(first: Path, tmp_path: Path) -> Path:
    """A folder of the test's own with `market`, and `data` made of it."""
    shutil.copytree(first / "data", tmp_path / "data")
    shutil.copytree(first / "market", tmp_path / "market")
    return tmp_path


def write(files: dict[str, str | bytes]) -> Change:
    return lambda root: write_market(root, files)


def remove(*names: str) -> Change:
    return lambda root: [(root / name).unlink() for name in names]


def move(source: str, target: str) -> Change:
    return lambda root: (root / source).rename(root / target)


CHANGES: dict[str, tuple[Change, tuple[int, int, int], str]] = {
    "a file has a new day": (write({"stocks/AA.csv": price_text(41)}), (0, 1, 0), "A"),
    "a file is restated": (write({"etfs/BB.csv": price_text(50).replace(".37", ".36")}), (0, 1, 0), "B"),
    "a file is new": (write({"stocks/CD.csv": price_text(34)}), (1, 0, 0), "C"),
    "a file is the first of its letter": (write({"etfs/ZZ.csv": price_text(34)}), (1, 0, 0), "Z"),
    "a file is gone": (remove("stocks/BC.csv"), (0, 0, 1), "B"),
    "a letter is gone": (remove("stocks/CC.csv"), (0, 0, 1), "C"),
    "a file breaks": (write({"stocks/CC.csv": "x"}), (0, 1, 0), "C"),
    "a broken file is mended": (write({"stocks/EMPTY.csv": price_text(33)}), (0, 1, 0), "E"),
    "another broken file": (write({"stocks/UGLY.csv": "Date\n"}), (1, 0, 0), ""),
    "a bad line is mended": (write({"stocks/AB.csv": price_text(35)}), (0, 1, 0), "A"),
    "a name changes": (write({"symbols_valid_meta.csv": META.replace("Beta", "Gamma")}), (0, 1, 0), "B"),
    "a file moves": (move("stocks/CC.csv", "etfs/CC.csv"), (1, 0, 1), "C"),
    "a symbol has a second file": (write({"etfs/CC.csv": price_text(60)}), (1, 0, 0), ""),
    "rows lose their order": (
        write({"stocks/CC.csv": HEADER + "".join(price_text(33).splitlines(True)[:0:-1])}),
        (0, 1, 0),
        "C",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_is_published_as_if_from_nothing_and_nothing_else_is_touched(market: Path, case: str) -> None:
    change, counts, letter = CHANGES[case]
    before = times(market / "data")
    change(market / "market")
    outcome = refresh(market / "data", market / "market")

    combined = outcome.metadata["combined"]
    assert outcome.error is None
    assert tuple(combined[f"files {kind}"] for kind in ("added", "changed", "removed")) == counts
    assert published(market / "data") == from_nothing(market / "market", market / "other")
    after = times(market / "data")
    touched = {name for name in before | after if before.get(name) != after.get(name)}
    lake = {f"lake/{table}/letter={letter}/part-0.parquet" for table in ("combined", "features") if letter}
    assert {name for name in touched if name.startswith(("lake/combined", "lake/features"))} == lake
    assert "market.duckdb" in touched
    assert not litter(market / "data")
    assert tables_differ(market / "data", "features") == 0


def test_only_the_changed_symbols_are_computed(market: Path) -> None:
    write_market(market / "market", {"stocks/AA.csv": price_text(41)})
    outcome = refresh(market / "data", market / "market")

    rows = [dict(record.data) for record in outcome.metadata["features"]["by letter"].records]
    computed = {row["letter"]: (row["symbols"], row["symbols_computed"], row["skipped"]) for row in rows if row["rows"]}
    assert computed == {"0": (1, 0, True), "A": (2, 1, False), "B": (2, 0, True), "C": (1, 0, True)}
    assert outcome.metadata["features"]["letters skipped"] == 3


def test_lost_symbols_are_a_warning_until_the_next_change(market: Path) -> None:
    remove("stocks/BC.csv", "stocks/CC.csv")(market / "market")
    warnings = [refresh(market / "data", market / "market").warnings.get("combined lost_symbols", "") for _ in range(2)]
    assert [text.split(" (")[0] for text in warnings] == ["2 of 4 symbols", "2 of 4 symbols"]

    write_market(market / "market", {"stocks/AA.csv": price_text(41)})
    assert "combined lost_symbols" not in refresh(market / "data", market / "market").warnings


def test_touching_files_makes_nothing_anew(market: Path) -> None:
    before = times(market / "data")
    for path in (market / "market").glob("*/*.csv"):
        os.utime(path)
    outcome = refresh(market / "data", market / "market")

    assert outcome.error is None
    assert times(market / "data") == before
    assert outcome.metadata["combined"]["letters written"] == "none"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_whatever_happens_in_whatever_order_the_tables_are_those_of_the_files(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same cases every time
    root = write_market(tmp_path / "market", {name: MARKET[name] for name in dice.sample(sorted(MARKET), 5)})
    names = [f"{folder}/{symbol}.csv" for folder in ("stocks", "etfs") for symbol in ("AA", "AB", "BA", "7")]
    for _ in range(5):
        for name in dice.sample(names, 3):
            kind = dice.choice(["write", "write", "break", "remove"])
            if kind == "remove":
                (root / name).unlink(missing_ok=True)
            else:
                text = price_text(dice.randint(1, 40), date(2020, 1, dice.randint(1, 9)))
                write_market(root, {name: text if kind == "write" else text.replace(",", ";")})
        write_market(root, {"stocks/KEEP.csv": price_text(2)})
        assert refresh(tmp_path / "data", root).error is None
        assert published(tmp_path / "data") == from_nothing(root, tmp_path / "other")


def _lose(path: Path) -> None:
    path.unlink()


def _damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("harm", [_lose, _damage])
@pytest.mark.parametrize(
    "name",
    [
        "market.duckdb",
        "lake/combined/letter=B/part-0.parquet",
        "lake/features/letter=B/part-0.parquet",
        "lake/symbols/part-0.parquet",
    ],
)
def test_what_is_lost_or_damaged_is_made_again(market: Path, harm: Callable[[Path], None], name: str) -> None:
    before = published(market / "data")
    harm(market / "data" / name)
    outcome = refresh(market / "data", market / "market")

    assert outcome.error is None
    assert published(market / "data") == before


def flip(path: Path) -> None:
    """Other bytes in the first half of a Parquet file, whose end still says what it was made of."""
    content = bytearray(path.read_bytes())
    for place in range(8, len(content) // 2):
        content[place] ^= 0x5A
    path.write_bytes(content)


def test_a_damaged_file_of_unchanged_features_is_told_with_what_to_do(market: Path) -> None:
    before = published(market / "data")
    path = market / "data/lake/features/letter=A/part-0.parquet"
    flip(path)
    outcome = refresh(market / "data", market / "market")
    assert outcome.error is not None
    assert outcome.error.startswith(f"features: {path} cannot be read (")
    assert outcome.error.endswith("): remove it and run again")

    path.unlink()
    assert refresh(market / "data", market / "market").error is None
    assert published(market / "data") == before


def test_a_damaged_file_is_not_carried_on(market: Path) -> None:
    flip(market / "data/lake/features/letter=A/part-0.parquet")
    write_market(market / "market", {"stocks/AA.csv": price_text(41)})

    assert refresh(market / "data", market / "market").error is None
    assert published(market / "data") == from_nothing(market / "market", market / "other")


def test_a_disk_that_is_full_at_the_last_moment_publishes_nothing(
    market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(connection: duckdb.DuckDBPyConnection) -> Totals:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        return read_totals(connection)

    write_market(market / "market", {"stocks/AA.csv": price_text(41)})
    before = times(market / "data")
    monkeypatch.setattr("stock_assets.defs.assets.read_totals", full)
    try:
        outcome = refresh(market / "data", market / "market", "*combined")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert outcome.error is not None
    assert "File too large" in outcome.error
    assert times(market / "data") == before
    assert not litter(market / "data")


def test_a_file_that_changes_right_after_it_was_written_publishes_nothing(
    market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stock_assets.ingest.inspection.CLOCK_TICK", 3_600_000_000_000)
    write_market(market / "market", {"stocks/AA.csv": price_text(41)})
    assert refresh(market / "data", market / "market", "raw_files").error is None
    write_market(market / "market", {"stocks/AA.csv": price_text(41).replace("1000", "9999")})
    outcome = refresh(market / "data", market / "market", "combined")

    assert outcome.error is not None
    assert "changed while they were read, first stocks/AA.csv" in outcome.error


def test_other_statements_make_everything_anew(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = times(market / "data")
    for module in ("combined", "provenance"):
        monkeypatch.setattr(f"stock_assets.{module}.recipe", lambda *_: "another one")
    outcome = refresh(market / "data", market / "market")

    assert outcome.error is None
    assert outcome.metadata["combined"]["files added"] == 7
    assert all(written != before[name] for name, written in times(market / "data").items() if name in before)
    assert refresh(market / "data", market / "market").metadata["combined"]["letters written"] == "none"


def test_a_file_that_changes_after_it_was_described_publishes_nothing(market: Path) -> None:
    write_market(market / "market", {"stocks/AA.csv": price_text(41)})
    rest()
    assert refresh(market / "data", market / "market", "raw_files").error is None
    before = times(market / "data")
    write_market(market / "market", {"stocks/AA.csv": price_text(41).replace("1000", "1001")})
    outcome = refresh(market / "data", market / "market", "combined")

    assert outcome.error is not None
    assert "1 files changed while they were read, first stocks/AA.csv: run again" in outcome.error
    assert times(market / "data") == before


def test_the_database_does_not_grow_with_every_refresh(market: Path) -> None:
    sizes = []
    for day in range(5):
        write_market(market / "market", {"stocks/AA.csv": price_text(4000 + day % 2, date(2000, 1, 1))})
        assert refresh(market / "data", market / "market").error is None
        sizes.append((market / "data" / "market.duckdb").stat().st_size)
    assert sizes[-1] <= sizes[1] * 1.5
    assert query(market / "data" / "market.duckdb", "SELECT count(*) FROM combined WHERE \"Symbol\" = 'AA'") == [
        (4000,)
    ]
