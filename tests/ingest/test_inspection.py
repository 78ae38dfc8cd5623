"""What is said of raw files: symbols, names, rows, faults and the version."""

import json
import os
from pathlib import Path

import pytest

from stock_assets.errors import UserError
from stock_assets.ingest.inspection import changed_since, inspect
from stock_assets.ingest.snapshot import Changes, Manifest, RawFile, compare, read_manifest
from stock_assets.layout import Layout
from tests.conftest import HEADER, build_tables, price_text, snapshot, write_market
from tests.helpers import rest

PRICES = price_text(2)
A_DAY = "2020-01-02,1,2,0.5,1.5,1.5,100\n"


def describe(root: Path, files: dict[str, str | bytes]) -> dict[str, RawFile]:
    return {file.file: file for file in inspect("folder", "here", write_market(root, files), threads=2).files}


def describe_one(root: Path, content: str | bytes) -> RawFile:
    return describe(root, {"stocks/A.csv": content})["stocks/A.csv"]


def name_of(root: Path, symbol: str, meta: str) -> str | None:
    files = {f"stocks/{symbol}.csv": PRICES, "symbols_valid_meta.csv": meta}
    return describe(root, files)[f"stocks/{symbol}.csv"].security_name


@pytest.mark.parametrize(
    ("file", "symbol", "letter"),
    [
        ("LGF.B.csv", "LGF.B", "L"),
        ("B.csv", "B", "B"),
        ("TRUE.csv", "TRUE", "T"),
        ("NA.csv", "NA", "N"),
        ("CARR#.csv", "CARR#", "C"),
        ("AGM-A.csv", "AGM-A", "A"),
        ("PRN.CSV", "PRN", "P"),
        ("A.csv.csv", "A.csv", "A"),
        ("3DX.csv", "3DX", "0"),
    ],
)
def test_the_symbol_is_the_file_name_before_the_last_csv(tmp_path: Path, file: str, symbol: str, letter: str) -> None:
    (described,) = describe(tmp_path, {f"etfs/{file}": PRICES}).values()

    assert (described.file, described.symbol, described.letter) == (f"etfs/{file}", symbol, letter)
    assert described.fault is None


def test_only_price_files_are_listed(tmp_path: Path) -> None:
    files = ("stocks/A.csv", "etfs/B.csv", "stocks/._A.csv", "stocks/readme.txt", "stocks/old/C.csv", "D.csv")

    assert sorted(describe(tmp_path, dict.fromkeys(files, PRICES))) == ["etfs/B.csv", "stocks/A.csv"]


def test_a_folder_without_prices_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no CSV file in stocks/ or etfs/: point STOCK_ASSETS_SOURCE_PATH"):
        describe(tmp_path, {"A.csv": PRICES})


@pytest.mark.parametrize("header", ["NASDAQ Symbol,Security Name", "Security Name,NASDAQ Symbol,Symbol"])
@pytest.mark.parametrize("squeezed", [False, True])
def test_names_go_by_the_nasdaq_symbol(tmp_path: Path, header: str, squeezed: bool) -> None:
    cells = {"NASDAQ Symbol": "AGM-A", "Security Name": "Federal, Class A", "Symbol": "AGM$A"}
    row = ",".join(f'"{cells[column]}"' for column in header.split(","))
    head = header.replace("Security Name", "SecurityName") if squeezed else header

    assert name_of(tmp_path, "AGM-A", f"{head}\n{row}\n") == "Federal, Class A"


@pytest.mark.parametrize(
    ("symbol", "row", "name"),
    [
        ("NA", "NA,Nano Labs", "Nano Labs"),
        ("NAN", "NAN,NA", "NA"),
        ("TRUE", "TRUE,TrueCar", "TrueCar"),
        ("A", "A,  Agilent  ", "Agilent"),
        ("A", 'A,"Say ""A"", Inc."', 'Say "A", Inc.'),
        ("A", "A,   ", None),
        ("A", "A", None),
        ("A", "B,Barnes", None),
        ("A", "\nA,after a blank line", "after a blank line"),
    ],
)
def test_names_are_text(tmp_path: Path, symbol: str, row: str, name: str | None) -> None:
    assert name_of(tmp_path, symbol, f"NASDAQ Symbol,Security Name\n{row}\n") == name


@pytest.mark.parametrize("encode", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text])
def test_names_of_a_file_from_windows(tmp_path: Path, encode: object) -> None:
    assert callable(encode)
    assert name_of(tmp_path, "A", encode("NASDAQ Symbol,Security Name\nA,Agilent\n")) == "Agilent"


def test_a_name_list_without_its_columns_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"symbols_valid_meta\.csv lacks the column `NASDAQ Symbol` or `Security Name`"):
        name_of(tmp_path, "A", "Symbol,Security Name\nA,Agilent\n")


def test_a_name_list_with_an_open_quote_is_told(tmp_path: Path) -> None:
    rows = 'A,"Agilent\n' + "B,Barnes\n" * 20_000

    with pytest.raises(UserError, match=r"symbols_valid_meta\.csv"):
        name_of(tmp_path, "A", f"NASDAQ Symbol,Security Name\n{rows}")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "empty file"),
        (HEADER, "only a header, no rows"),
        (HEADER.strip(), "only a header, no rows"),
        (HEADER + "\n\r\n\n", "only a header, no rows"),
        ("Date,Close\n2020-01-01,1\n", "its first line is 'Date,Close'"),
        (A_DAY, "its first line is '2020-01-02,"),
        (HEADER.replace(",", ";") + A_DAY, "its first line is 'Date;Open;"),
        ("\n" + HEADER + A_DAY, "its first line is ''"),
        (b"\x00\xff\xfe" * 200, "its first line is"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(tmp_path: Path, content: str | bytes, fault: str) -> None:
    described = describe_one(tmp_path, content)

    assert described.fault is not None
    assert described.fault.startswith(fault)
    assert "\n" not in described.fault


def test_a_folder_named_as_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "stocks" / "X.csv").mkdir(parents=True)
    files = describe(tmp_path, {"stocks/A.csv": PRICES})

    assert files["stocks/X.csv"].fault == "cannot be read: Is a directory"
    assert files["stocks/A.csv"].fault is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_a_fault(tmp_path: Path) -> None:
    write_market(tmp_path, {"stocks/A.csv": PRICES})
    (tmp_path / "stocks/A.csv").chmod(0)

    assert describe(tmp_path, {})["stocks/A.csv"].fault == "cannot be read: Permission denied"


def test_of_two_files_of_a_symbol_the_stock_is_kept(tmp_path: Path) -> None:
    files = describe(tmp_path, {"etfs/A.csv": PRICES, "stocks/A.csv": PRICES, "etfs/B.csv": PRICES})

    assert files["etfs/A.csv"].fault == "the symbol A is loaded from stocks/A.csv already"
    assert files["stocks/A.csv"].fault is None
    assert files["etfs/B.csv"].fault is None


def test_a_sound_etf_takes_the_place_of_an_unsound_stock(tmp_path: Path) -> None:
    files = describe(tmp_path, {"stocks/A.csv": "", "etfs/A.csv": PRICES})

    assert files["etfs/A.csv"].fault is None


LINES = [HEADER, A_DAY, A_DAY.replace("01-02", "01-03"), A_DAY.replace("01-02", "01-06")]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("".join(LINES), 3),
        ("".join(LINES).strip(), 3),
        ("".join(LINES).replace("\n", "\r\n"), 3),
        ("".join(LINES).replace("\n", "\r\n").strip(), 3),
        ("\ufeff" + "".join(LINES), 3),
        ("\ufeff" + "".join(LINES).replace("\n", "\r\n"), 3),
        ("\n".join(LINES), 3),
        ("\n\n".join(LINES) + "\n\n\n", 3),
        ("\n\n".join(LINES).replace("\n", "\r\n"), 3),
        ("".join(LINES) + "   \n", 4),
        ("".join(LINES) + ",,,,,,\n", 4),
    ],
)
def test_rows_are_counted_as_duckdb_reads_them(layout: Layout, tmp_path: Path, content: str, rows: int) -> None:
    manifest = snapshot(layout, write_market(tmp_path / "market", {"stocks/A.csv": content}))
    totals = build_tables(layout, manifest)

    assert [(file.rows, file.fault) for file in manifest.files] == [(rows, None)]
    assert totals.rows_kept == 3
    assert totals.rows_kept + totals.rows_quarantined == rows


@pytest.mark.parametrize(
    "content",
    [
        "".join([*LINES[:2], LINES[2].replace("\n", "\r\n"), *LINES[3:]]),
        "".join(LINES).replace("\n", "\r\n", 1),
        "".join(LINES) + "\r\n",
        "".join([*LINES[:2], LINES[2].replace(",100\n", ",1\r00\n"), *LINES[3:]]),
    ],
    ids=["one line", "the header", "a blank line", "inside a line"],
)
def test_a_file_of_mixed_line_ends_does_not_stop_the_others(layout: Layout, tmp_path: Path, content: str) -> None:
    files = {"stocks/AA.csv": content, "stocks/AB.csv": PRICES}
    manifest = snapshot(layout, write_market(tmp_path / "market", files))
    totals = build_tables(layout, manifest)

    assert totals.rows_read == totals.rows_kept + totals.rows_quarantined
    assert totals.rows_kept >= 2


def version(root: Path) -> str:
    return inspect("folder", "here", root, threads=2).version


def test_the_version_is_that_of_the_content(tmp_path: Path) -> None:
    files = {"stocks/A.csv": PRICES, "etfs/B.csv": PRICES, "symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\n"}
    before = version(write_market(tmp_path / "one", files))
    for name in files:
        os.utime(tmp_path / "one" / name, (1, 1))

    assert version(tmp_path / "one") == before
    assert version(write_market(tmp_path / "two", files)) == before


@pytest.mark.parametrize(
    "change",
    [
        {"stocks/A.csv": PRICES.replace("1000", "1001")},
        {"symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nA,B\n"},
        {"stocks/C.csv": PRICES},
        {"stocks/B.csv": ""},
    ],
)
def test_any_change_changes_the_version(tmp_path: Path, change: dict[str, str]) -> None:
    files = {"stocks/A.csv": PRICES, "etfs/B.csv": PRICES, "symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\n"}
    before = version(write_market(tmp_path, files))

    assert version(write_market(tmp_path, change)) != before


def test_moving_a_file_changes_the_version(tmp_path: Path) -> None:
    one, two = (write_market(tmp_path / folder, {f"{folder}/A.csv": PRICES}) for folder in ("stocks", "etfs"))

    assert version(one) != version(two)


def test_the_manifest_is_read_as_it_was_written(layout: Layout, tmp_path: Path) -> None:
    manifest = snapshot(layout, write_market(tmp_path / "market", {"stocks/A.csv": PRICES, "stocks/B.csv": ""}))

    assert read_manifest(layout) == manifest
    assert [file.symbol for file in manifest.loadable] == ["A"]
    assert manifest.folder(layout) == tmp_path / "market"


def test_before_the_first_manifest_it_is_told_what_to_do(layout: Layout) -> None:
    with pytest.raises(UserError, match="materialize raw_files"):
        read_manifest(layout)


@pytest.mark.parametrize("content", ["", "{", "{}", json.dumps({"source": "demo", "files": []})])
def test_a_broken_manifest_is_told_in_one_line(layout: Layout, content: str) -> None:
    write_market(layout.raw, {"manifest.json": content})

    with pytest.raises(UserError, match=r"^[^\n]*manifest\.json[^\n]*$"):
        read_manifest(layout)


def test_a_file_whose_name_is_not_utf8_is_set_aside_and_the_others_stay(tmp_path: Path) -> None:
    root = write_market(tmp_path, {"stocks/A.csv": price_text(2)})
    Path(os.fsdecode(os.fsencode(root / "stocks") + b"/B\xffD.csv")).write_text(price_text(2), "utf-8")
    manifest = inspect("folder", "here", root, 1)
    assert {file.file: file.fault for file in manifest.files} == {
        "stocks/A.csv": None,
        r"stocks/B\xffD.csv": "its name is not UTF-8",
    }
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_names_and_faults_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    meta = "NASDAQ Symbol,Security Name\nA,{}\n"
    files: dict[str, str | bytes] = {"stocks/A.csv": PRICES, "stocks/B.csv": PRICES, "etfs/B.csv": PRICES}
    before = describe(tmp_path, files | {"symbols_valid_meta.csv": meta.format("Old")})
    (tmp_path / "stocks/B.csv").unlink()
    after = describe(tmp_path, {"symbols_valid_meta.csv": meta.format("New")})

    assert before["etfs/B.csv"].fault == "the symbol B is loaded from stocks/B.csv already"
    assert after["etfs/B.csv"].fault is None
    found = compare(*({name: file.fingerprint for name, file in files.items()} for files in (before, after)))
    assert found == Changes([], ["etfs/B.csv", "stocks/A.csv"], ["stocks/B.csv"])


def test_a_repeated_symbol_that_is_so_no_longer_is_noticed_without_reading_the_others(tmp_path: Path) -> None:
    root = write_market(tmp_path, {"stocks/A.csv": PRICES, "stocks/B.csv": PRICES, "etfs/B.csv": PRICES})
    rest()
    known = inspect("folder", "here", root, 1)
    (root / "stocks/B.csv").unlink()
    manifest = inspect("folder", "here", root, 1, known)

    assert {file.file: file.fault for file in manifest.files} == {"stocks/A.csv": None, "etfs/B.csv": None}
    assert manifest.files_read == 1


def test_what_differs_between_two_snapshots() -> None:
    before, after = {"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "1"}
    changes = compare(before, after)

    assert changes == Changes(added=["d"], changed=["c"], removed=["a"])
    assert (changes.to_read, changes.to_forget) == ({"c", "d"}, ["c", "a"])
    assert changes
    assert not compare(after, after)


def test_a_file_that_changes_after_it_was_described_is_noticed(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "market", {"stocks/A.csv": PRICES, "stocks/B.csv": PRICES, "stocks/C.csv": PRICES})
    rest()
    manifest = snapshot(layout, root)
    files = {file.file for file in manifest.files}
    assert changed_since(layout, manifest, files) == []

    (root / "stocks/A.csv").write_text(PRICES.replace("1000", "1001"), "utf-8")
    (root / "stocks/C.csv").unlink()

    assert changed_since(layout, manifest, files) == ["stocks/A.csv", "stocks/C.csv"]
    assert changed_since(layout, manifest, {"stocks/B.csv"}) == []
