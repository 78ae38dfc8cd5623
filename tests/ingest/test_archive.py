"""Zips: a good one equals the folder, a bad one is refused in one line and leaves nothing."""

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stock_assets.errors import UserError
from stock_assets.ingest.archive import extract
from stock_assets.ingest.snapshot import read_manifest
from stock_assets.ingest.sources import refresh
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.conftest import HEADER, price_text, snapshot, write_market

META = "symbols_valid_meta.csv"
MARKET = {
    "stocks/A.csv": price_text(40),
    "stocks/LGF.B.csv": price_text(3),
    "etfs/NA.csv": price_text(1),
    META: "NASDAQ Symbol,Security Name\nA,Agilent\n",
}
Members = list[tuple[str, str]]


def pack(path: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in members:
            # A ZipInfo of our own, so that the name is written as it is.
            member = zipfile.ZipInfo("x")
            member.filename, member.compress_type = name, method
            archive.writestr(member, text)
    return path


def load(layout: Layout, archive: Path) -> dict[str, bytes]:
    """The unpacked files, by their paths in the snapshot."""
    settings = Settings(data_dir=layout.data_dir, source="folder", source_path=archive, threads=1)
    root = refresh(settings, print).folder(layout)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refusal(layout: Layout, archive: Path) -> str:
    """The line that an archive is refused with, once nothing of it was found anywhere."""
    before = set(archive.parent.rglob("*"))
    with pytest.raises(UserError) as failure:
        load(layout, archive)
    assert set(archive.parent.rglob("*")) - before - {layout.data_dir, layout.raw} == set()
    assert str(archive) in str(failure.value)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def encoded(files: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in files.items()}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("top", ["", "archive/", "a b/c/", "./"])
def test_a_zip_is_worth_the_folder(layout: Layout, tmp_path: Path, top: str, method: int) -> None:
    archive = pack(tmp_path / "a.zip", [(top + name, text) for name, text in MARKET.items()], method)
    folder = snapshot(Layout(tmp_path / "other"), write_market(tmp_path / "folder", MARKET))

    assert load(layout, archive) == encoded(MARKET)
    assert read_manifest(layout).files == folder.files
    assert read_manifest(layout).version == folder.version


@pytest.mark.parametrize(
    "members",
    [
        [("__MACOSX/stocks/._A.csv", "x"), ("__MACOSX/stocks/A.csv", "x"), ("__MACOSX/stocks/B.csv", "x")],
        [("readme.md", "x"), ("stocks/notes.txt", "x"), ("stocks/old/B.csv", "x"), ("stocks/.A.csv", "x")],
        [("stocks/", ""), ("etfs/", "")],
    ],
    ids=["made by macOS", "other files", "folders"],
)
def test_what_is_no_price_file_is_left_out(layout: Layout, tmp_path: Path, members: Members) -> None:
    assert load(layout, pack(tmp_path / "a.zip", [*members, *MARKET.items()])) == encoded(MARKET)


def test_an_entry_for_the_top_folder_itself_is_left_out(layout: Layout, tmp_path: Path) -> None:
    members = [("./", ""), ("./stocks/", ""), *((f"./{name}", text) for name, text in MARKET.items())]

    assert load(layout, pack(tmp_path / "a.zip", members)) == encoded(MARKET)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.csv",
        "../stocks/evil.csv",
        "stocks/../../evil.csv",
        "/stocks/evil.csv",
        "..\\evil.csv",
        "stocks\\..\\..\\evil.csv",
        "\\stocks\\evil.csv",
        "C:/stocks/evil.csv",
        "C:\\stocks\\evil.csv",
        "C:stocks/evil.csv",
    ],
)
def test_a_member_that_leads_out_is_refused(layout: Layout, tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a.zip", [*MARKET.items(), (name, price_text(1))])

    assert "leads out of the folder" in refusal(layout, archive)


def test_a_link_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", list(MARKET.items()))
    link = zipfile.ZipInfo("stocks/L.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(link, "../../secret.csv")

    assert "'stocks/L.csv' is a link" in refusal(layout, archive)


def test_an_encrypted_member_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", list(MARKET.items()))
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    archive.write_bytes(content)

    assert "'stocks/A.csv' is encrypted" in refusal(layout, archive)


def test_a_bomb_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", [("stocks/A.csv", HEADER + "0" * 1_000_000)])

    assert "zip bomb" in refusal(layout, archive)


def test_a_bomb_that_lies_about_its_size_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", [("stocks/A.csv", HEADER + "0" * 1_000_000)])
    content = bytearray(archive.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 500)
    archive.write_bytes(content)

    assert "not a sound zip" in refusal(layout, archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.8])
def test_one_wrong_byte_is_noticed(layout: Layout, tmp_path: Path, method: int, place: float) -> None:
    archive = pack(tmp_path / "a.zip", [("stocks/A.csv", price_text(40))], method)
    content = bytearray(archive.read_bytes())
    start = 30 + len("stocks/A.csv")
    content[start + int(place * (content.index(b"PK\x01\x02") - start))] ^= 0x10
    archive.write_bytes(content)

    assert "not a sound zip" in refusal(layout, archive)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"Date,Open\n" * 100,
        lambda content: content[: len(content) // 2],
        lambda content: content[:-10],
        lambda content: content[100:],
        lambda content: content[:100] + content[150:],
    ],
    ids=["empty", "text", "half", "end lost", "start lost", "middle lost"],
)
def test_what_is_no_zip_is_refused(layout: Layout, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    archive = pack(tmp_path / "a.zip", list(MARKET.items()))
    archive.write_bytes(damage(archive.read_bytes()))

    assert "not a sound zip" in refusal(layout, archive)


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ([], "no folder"),
        ([("A.csv", HEADER)], "no folder"),
        ([("stocks/A.txt", HEADER), ("__MACOSX/stocks/A.csv", HEADER)], "no folder"),
        ([("one/stocks/A.csv", HEADER), ("two/stocks/A.csv", HEADER)], "more than one folder"),
    ],
)
def test_a_zip_without_the_layout_is_refused(layout: Layout, tmp_path: Path, members: Members, found: str) -> None:
    assert f"holds {found} with stocks/*.csv or etfs/*.csv" in refusal(layout, pack(tmp_path / "a.zip", members))


@pytest.mark.parametrize("name", ["stocks/A.csv", "stocks//A.csv", "./stocks/A.csv"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(layout: Layout, tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a.zip", [*MARKET.items(), (name, price_text(1))])

    assert "twice" in refusal(layout, archive)


def test_a_name_that_no_disk_takes_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", [*MARKET.items(), (f"stocks/{'A' * 300}.csv", price_text(1))])

    refusal(layout, archive)


def test_whichever_bytes_are_wrong_it_is_unpacked_or_refused_in_one_line(tmp_path: Path) -> None:
    whole = pack(tmp_path / "whole.zip", list(MARKET.items())).read_bytes()
    dice = np.random.default_rng(4)
    refused = 0
    for attempt in range(1500):
        content = bytearray(whole)
        for place in dice.integers(len(content), size=dice.integers(1, 4)):
            content[place] = dice.integers(256)
        (tmp_path / "damaged.zip").write_bytes(content)
        try:
            extract(tmp_path / "damaged.zip", tmp_path / f"root{attempt}")
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 500


def test_a_name_that_is_not_unicode_is_refused(layout: Layout, tmp_path: Path) -> None:
    archive = pack(tmp_path / "prices.zip", [("stocks/ä.csv", price_text(2))])
    archive.write_bytes(archive.read_bytes().replace("ä".encode(), b"\xff\xfe"))

    assert "is not a sound zip" in refusal(layout, archive)
