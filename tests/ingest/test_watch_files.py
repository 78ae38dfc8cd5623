"""The sensor's ticks on real folders and zips: what counts as a change, and what is read to tell."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stock_assets.ingest import watch
from stock_assets.ingest.inspection import inspect
from stock_assets.ingest.snapshot import Manifest
from stock_assets.ingest.sources import zip_origin
from stock_assets.ingest.watch import Seen
from stock_assets.layout import Layout
from tests.conftest import price_text, write_market
from tests.ingest.watching import SETTLE, Sensor

MARKET = {
    "stocks/A.csv": price_text(3),
    "stocks/B.csv": price_text(4),
    "etfs/C.csv": price_text(5),
    "symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nA,Agilent\n",
}


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return write_market(tmp_path / "market", MARKET)


@pytest.fixture
def folder(layout: Layout, market: Path) -> Sensor:
    return Sensor(layout, source="folder", source_path=market)


@pytest.fixture
def up_to_date(folder: Sensor) -> Sensor:
    """A sensor that was switched on after its folder was published."""
    folder.publish()
    assert folder.settled().reason == "the source holds what is published"
    assert folder.tick().reason.startswith("no change since 1970-01-01 00:17:40")
    return folder


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that content was read."""
    calls: list[str] = []

    def counted_inspect(*arguments: Any) -> Manifest:
        calls.append("inspect")
        return inspect(*arguments)

    def counted_zip_origin(path: Path) -> str:
        calls.append("zip_origin")
        return zip_origin(path)

    monkeypatch.setattr(watch, "inspect", counted_inspect)
    monkeypatch.setattr(watch, "zip_origin", counted_zip_origin)
    return calls


def pack(market: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(market.glob("*/*.csv")):
            opened.write(path, path.relative_to(market))
    return archive


def test_files_that_were_never_published_are_one_run(folder: Sensor, compared: list[str]) -> None:
    assert folder.settled().run_key
    assert "no change" in folder.tick().reason
    assert compared == []


def test_the_run_that_was_requested_leaves_nothing_to_do(folder: Sensor, market: Path) -> None:
    assert folder.settled().run_key
    folder.publish()
    os.utime(market / "stocks/A.csv")
    assert folder.settled().reason == "the source holds what is published"


def rewrite(market: Path) -> None:
    path = market / "stocks/A.csv"
    status = path.stat()
    path.write_text(path.read_text().replace("10.37", "10.38"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as tools that keep the times do


@pytest.mark.parametrize(
    "change",
    [
        rewrite,
        lambda market: write_market(market, {"stocks/A.csv": price_text(9)}),
        lambda market: write_market(market, {"etfs/NEW.csv": price_text(3)}),
        lambda market: write_market(market, {"symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nA,Agilent Inc\n"}),
        lambda market: (market / "stocks/B.csv").unlink(),
        lambda market: (market / "symbols_valid_meta.csv").unlink(),
        lambda market: (market / "stocks/B.csv").rename(market / "stocks/D.csv"),
        # What a run would refuse is for the run to tell.
        lambda market: write_market(market, {"symbols_valid_meta.csv": "Symbol\nA\n"}),
    ],
    ids=["same size and time", "longer", "new", "meta file", "gone", "meta file gone", "renamed", "unsound meta file"],
)
def test_a_change_of_content_is_one_run(up_to_date: Sensor, market: Path, change: Callable[[Path], object]) -> None:
    change(market)

    assert up_to_date.settled().run_key
    assert [up_to_date.tick().run_key for _ in range(3)] == [None] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda market: os.utime(market / "stocks/A.csv"),
        lambda market: shutil.copy(market / "stocks/A.csv", market / "copy").replace(str(market / "stocks/A.csv")),
        lambda market: (market / "stocks/readme.txt").write_text("not prices"),
        lambda market: (market / "stocks/.A.csv.x7Yz").write_text("a copy under way"),
    ],
    ids=["touched", "replaced by the same", "another file", "hidden file"],
)
def test_a_change_of_nothing_that_counts_starts_nothing(
    up_to_date: Sensor, market: Path, compared: list[str], change: Callable[[Path], object]
) -> None:
    change(market)

    assert up_to_date.settled().reason == "the source holds what is published"
    assert "no change" in up_to_date.tick().reason
    assert compared == ["inspect"]


def test_what_lies_elsewhere_is_not_looked_at(up_to_date: Sensor, market: Path) -> None:
    write_market(market, {"notes.txt": "x", "stocks.zip": "x", "other/A.csv": price_text(3)})

    assert "no change" in up_to_date.tick().reason


def test_a_copy_under_way_does_not_count(up_to_date: Sensor, market: Path) -> None:
    text = price_text(100)
    for end in range(0, len(text), 500):
        (market / "stocks/NEW.csv").write_text(text[:end])
        assert up_to_date.tick(SETTLE - 1).run_key is None
    (market / "stocks/NEW.csv").write_text(text)

    assert up_to_date.settled().run_key


def test_a_market_whose_files_have_grown_is_not_read_for_it(
    up_to_date: Sensor, market: Path, compared: list[str]
) -> None:
    for path in market.glob("*/*.csv"):
        with path.open("a") as file:
            file.write("2021-01-01,1,1,1,1,1,1\n")

    assert up_to_date.settled().run_key
    assert compared == []


def test_another_folder_with_the_same_files_is_a_run(
    up_to_date: Sensor, market: Path, tmp_path: Path, compared: list[str]
) -> None:
    other = shutil.copytree(market, tmp_path / "other")
    up_to_date.settings = up_to_date.settings.model_copy(update={"source_path": other})

    assert up_to_date.settled().run_key
    assert compared == []


def test_a_manifest_that_cannot_be_read_is_a_run(folder: Sensor, layout: Layout) -> None:
    folder.publish()
    layout.manifest.write_text("{")

    assert folder.settled().run_key


@pytest.mark.parametrize(
    "change", [lambda path: path.rename(path.with_name("away")), lambda path: (path / "stocks").rmdir()]
)
def test_a_folder_that_is_gone_for_a_while_changes_nothing(
    layout: Layout, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    market = write_market(tmp_path / "market", {"stocks/A.csv": price_text(3)})
    sensor = Sensor(layout, source="folder", source_path=market)
    sensor.publish()
    (market / "stocks/B.csv").write_text(price_text(3))
    sensor.tick()
    seen = sensor.seen
    kept = market.rename(tmp_path / "kept")
    market.mkdir()
    (market / "stocks").mkdir()
    change(market)

    decision = sensor.tick()

    assert decision.run_key is None
    assert decision.reason.startswith(f"STOCK_ASSETS_SOURCE_PATH={market}: there ")
    assert "\n" not in decision.reason
    assert sensor.seen == seen
    shutil.rmtree(market, ignore_errors=True)
    kept.rename(market)
    assert sensor.tick().run_key


def test_an_unset_path_is_told(layout: Layout) -> None:
    decision = Sensor(layout, source="folder").tick()

    assert decision[:2] == (Seen(), None)
    assert "needs STOCK_ASSETS_SOURCE_PATH" in decision.reason


@pytest.fixture
def zipped(layout: Layout, market: Path, tmp_path: Path) -> Sensor:
    sensor = Sensor(layout, source="folder", source_path=pack(market, tmp_path / "market.zip"))
    assert sensor.settled().run_key
    sensor.publish()
    return sensor


def test_a_zip_is_a_run_when_its_bytes_change(
    zipped: Sensor, market: Path, tmp_path: Path, compared: list[str]
) -> None:
    os.utime(tmp_path / "market.zip")
    assert zipped.settled().reason == "the source holds what is published"
    assert "no change" in zipped.tick().reason
    assert compared == ["zip_origin"]

    (market / "stocks/NEW.csv").write_text(price_text(3))
    pack(market, tmp_path / "market.zip")
    assert zipped.settled().run_key


def test_a_zip_that_cannot_be_read_is_told_and_looked_at_again(
    zipped: Sensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "market.zip").write_bytes(b"other bytes")
    with monkeypatch.context() as patch:
        patch.setattr(watch, "zip_origin", denied)
        assert "Permission denied" in zipped.settled().reason
        assert "Permission denied" in zipped.tick().reason

    assert zipped.tick().run_key
