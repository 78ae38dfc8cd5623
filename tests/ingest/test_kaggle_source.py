"""The source `kaggle` as a whole: what is published, when something is downloaded, and what a failure leaves alone."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from stock_assets.errors import TransientError, UserError
from stock_assets.ingest import patience, resumable
from stock_assets.ingest.snapshot import Manifest, read_manifest
from stock_assets.ingest.sources import refresh
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.conftest import price_text
from tests.ingest.kaggle_server import Cut, Fault, KaggleServer, Status, Swap, point_client_at

MARKET = {
    "stocks/A.csv": price_text(12_000),
    "stocks/LGF.B.csv": price_text(3),
    "etfs/QQQ.csv": price_text(12_000),
    "symbols_valid_meta.csv": "NASDAQ Symbol,Security Name\nA,Agilent\n",
}
NEXT_MARKET = MARKET | {"stocks/A.csv": price_text(12_001)}


def packed(market: dict[str, str]) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, text in market.items():
            archive.writestr(name, text)
    return file.getvalue()


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KaggleServer]:
    with KaggleServer({1: packed(MARKET)}) as server:
        point_client_at(server, monkeypatch, tmp_path / "home")
        yield server


def use(layout: Layout, dataset: str = "alice/market") -> Manifest:
    return refresh(Settings(data_dir=layout.data_dir, source="kaggle", kaggle_dataset=dataset, threads=1), print)


def use_demo(layout: Layout) -> Manifest:
    return refresh(Settings(data_dir=layout.data_dir, source="demo", demo_files=30, threads=1), print)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def encoded(market: dict[str, str]) -> dict[str, bytes]:
    return {name: text.encode() for name, text in market.items()}


def in_raw(layout: Layout) -> set[str]:
    return {path.name for path in layout.raw.iterdir()}


def test_the_zip_is_published_and_removed(kaggle: KaggleServer, layout: Layout) -> None:
    manifest = use(layout)

    assert contents(manifest.folder(layout)) == encoded(MARKET)
    assert (manifest.source, manifest.origin) == ("kaggle", "kaggle alice/market/versions/1")
    assert [file.file for file in manifest.files] == ["etfs/QQQ.csv", "stocks/A.csv", "stocks/LGF.B.csv"]
    assert read_manifest(layout) == manifest
    assert in_raw(layout) == {"manifest.json", manifest.version}


def inodes(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ino for path in root.rglob("*.csv")}


def test_a_version_in_place_is_not_downloaded_again(kaggle: KaggleServer, layout: Layout) -> None:
    manifest = use(layout)
    before = inodes(manifest.folder(layout))
    kaggle.log.clear()

    assert use(layout).version == manifest.version
    assert inodes(layout.raw) == before
    assert len(kaggle.asked("GetDataset")) == 1
    assert kaggle.asked("DownloadDataset") == kaggle.asked("storage") == []


def test_a_pinned_version_in_place_asks_no_one(kaggle: KaggleServer, layout: Layout) -> None:
    manifest = use(layout)
    kaggle.zips[2] = packed(NEXT_MARKET)
    kaggle.log.clear()

    assert use(layout, "alice/market/versions/1").version == manifest.version
    assert kaggle.log == []


def test_a_damaged_snapshot_is_downloaded_again(kaggle: KaggleServer, layout: Layout) -> None:
    manifest = use(layout)
    (manifest.folder(layout) / "stocks/A.csv").unlink()

    assert use(layout).version == manifest.version
    assert contents(manifest.folder(layout)) == encoded(MARKET)


def test_a_new_version_replaces_the_old(kaggle: KaggleServer, layout: Layout) -> None:
    old = use(layout)
    kaggle.zips[2] = packed(NEXT_MARKET)
    new = use(layout)

    assert new.version != old.version
    assert contents(new.folder(layout)) == encoded(NEXT_MARKET)
    assert in_raw(layout) == {"manifest.json", new.version}


@pytest.mark.parametrize(
    ("api_faults", "storage_faults", "kind"),
    [
        ([Status(503)] * 20, [], TransientError),
        ([Status(401)], [], UserError),
        ([None, None, None, Status(404)], [], UserError),
        ([], [Status(403)] * 20, TransientError),
        ([], [Swap(b"no zip")] * 2, UserError),
        ([], [Swap(packed({"notes.csv": "no prices"}))], UserError),
        ([], [Swap(packed({"../out.csv": "no"}))], UserError),
    ],
    ids=["down", "credentials", "no such version", "storage refuses", "no zip", "no prices", "leads out"],
)
def test_a_failure_leaves_the_snapshot_before(
    kaggle: KaggleServer, layout: Layout, api_faults: list[Fault], storage_faults: list[Fault], kind: type[UserError]
) -> None:
    use(layout)
    before = contents(layout.raw)
    kaggle.zips[2] = packed(NEXT_MARKET)
    kaggle.api_faults, kaggle.storage_faults = list(api_faults), list(storage_faults)

    with pytest.raises(kind) as failure:
        use(layout)

    assert "\n" not in str(failure.value)
    assert {name: text for name, text in contents(layout.raw).items() if not name.startswith("download/")} == before


def leave_part(kaggle: KaggleServer, layout: Layout) -> None:
    kaggle.storage_faults = [Cut(resumable.CHUNK + 9), *[Cut(0)] * 2 * patience.TRIES]
    with pytest.raises(TransientError):
        use(layout)
    assert in_raw(layout) == {"download"}


def test_a_cut_download_is_finished_by_the_next_run(kaggle: KaggleServer, layout: Layout) -> None:
    leave_part(kaggle, layout)
    kaggle.storage_faults = []
    manifest = use(layout)

    assert kaggle.ranges[-1] == f"bytes={resumable.CHUNK}-"
    assert contents(manifest.folder(layout)) == encoded(MARKET)
    assert in_raw(layout) == {"manifest.json", manifest.version}


def test_a_part_goes_when_another_source_is_used(kaggle: KaggleServer, layout: Layout) -> None:
    leave_part(kaggle, layout)
    manifest = use_demo(layout)

    assert in_raw(layout) == {"manifest.json", manifest.version}
