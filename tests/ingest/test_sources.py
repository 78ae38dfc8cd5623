"""The sources: what each publishes, what is used again, and what a failure leaves as it was."""

import os
import shutil
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_assets.errors import UserError
from stock_assets.ingest.inspection import inspect
from stock_assets.ingest.snapshot import Manifest, compare, read_manifest
from stock_assets.ingest.sources import refresh
from stock_assets.layout import Layout
from stock_assets.settings import Settings
from tests.conftest import price_text, write_market
from tests.helpers import rest

MARKET = {"stocks/A.csv": price_text(2), "etfs/B.csv": price_text(3)}
State = dict[str, tuple[int, int, int]]


def use(layout: Layout, **settings: Any) -> Manifest:
    return refresh(Settings(data_dir=layout.data_dir, threads=1, **settings), print)


def use_demo(layout: Layout, seed: int = 7) -> Manifest:
    return use(layout, source="demo", demo_files=30, demo_start=date(2018, 12, 31), demo_seed=seed)


def use_path(layout: Layout, path: Path) -> Manifest:
    return use(layout, source="folder", source_path=path)


def pack(root: Path) -> Path:
    return Path(shutil.make_archive(str(root), "zip", root))


def state(root: Path) -> State:
    """What changes when anything below a folder is written, moved or made anew."""
    stats = {str(path.relative_to(root)): path.stat() for path in root.rglob("*")}
    return {name: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()}


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.csv")}


def test_a_folder_is_read_where_it_stands(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "mine", MARKET | {"notes.tmp": "x"})
    before = state(root)
    manifest = use_path(layout, root)

    assert state(root) == before
    assert manifest == read_manifest(layout)
    assert (manifest.source, manifest.root) == ("folder", root)
    assert [file.file for file in manifest.files] == ["etfs/B.csv", "stocks/A.csv"]
    assert [path.name for path in layout.raw.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("place", [".", "mine", "mine/deeper"])
def test_a_folder_of_the_user_below_raw_is_never_changed(layout: Layout, place: str) -> None:
    root = write_market(layout.raw / place, MARKET)
    use_path(layout, root)

    assert contents(root) == {name: text.encode() for name, text in MARKET.items()}


def test_a_relative_path_is_found_from_anywhere(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_market(tmp_path / "mine", MARKET)
    manifest = use_path(layout, Path("mine"))
    monkeypatch.chdir("/")

    assert manifest.folder(layout) == root


def test_a_changed_folder_is_another_version(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "mine", MARKET)
    before = use_path(layout, root)
    write_market(root, {"stocks/A.csv": price_text(3)})

    assert use_path(layout, root).version != before.version


def test_only_changed_files_of_a_folder_are_read_again(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "mine", MARKET | {"stocks/BAD.csv": ""})
    rest()
    assert use_path(layout, root).files_read == 3
    (root / "etfs/B.csv").touch()
    write_market(root, {"stocks/C.csv": price_text(4)})
    rest()
    manifest = use_path(layout, root)

    # What was unsound is looked at again: why it was may lie outside of the file.
    assert manifest.files_read == 3
    assert manifest.fingerprints == inspect("folder", "", root, 1).fingerprints
    assert use_path(layout, root).files_read == 1


def test_a_file_as_long_and_as_old_as_before_is_read_again(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "mine", MARKET)
    rest()
    before = use_path(layout, root)
    path = root / "stocks/A.csv"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"1000", b"1001"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    rest()
    after = use_path(layout, root)

    assert path.stat().st_size == status.st_size
    assert (after.files_read, compare(before.fingerprints, after.fingerprints).changed) == (1, ["stocks/A.csv"])


def test_a_file_that_has_just_been_written_is_read_again_next_time(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stock_assets.ingest.inspection.CLOCK_TICK", 3_600_000_000_000)
    root = write_market(tmp_path / "mine", MARKET)

    assert [use_path(layout, root).files_read for _ in range(2)] == [2, 2]


def test_another_folder_is_read_from_the_start(layout: Layout, tmp_path: Path) -> None:
    one, two = (write_market(tmp_path / name, MARKET) for name in ("one", "two"))
    rest()
    before = use_path(layout, one)
    after = use_path(layout, two)

    assert after.files_read == 2
    assert (after.version, after.fingerprints) == (before.version, before.fingerprints)


def test_the_demo_lies_below_raw(layout: Layout) -> None:
    manifest = use_demo(layout)

    assert manifest.folder(layout) == layout.raw / manifest.version
    assert len(contents(layout.raw / manifest.version)) == len(manifest.files) + 1 == 31
    assert sorted(path.name for path in layout.raw.iterdir()) == sorted([manifest.version, "manifest.json"])


@pytest.mark.parametrize("source", ["demo", "zip"])
def test_a_snapshot_in_place_is_used_again(layout: Layout, tmp_path: Path, source: str) -> None:
    archive = pack(write_market(tmp_path / "mine", MARKET))

    def again() -> Manifest:
        return use_demo(layout) if source == "demo" else use_path(layout, archive)

    manifest = again()
    before = state(layout.raw / manifest.version)

    assert again().fingerprints == manifest.fingerprints
    assert state(layout.raw / manifest.version) == before


@pytest.mark.parametrize("damage", ["lost", "cut", "lost folder"])
def test_a_damaged_snapshot_is_made_again(layout: Layout, damage: str) -> None:
    manifest = use_demo(layout)
    root = manifest.folder(layout)
    whole = contents(root)
    if damage == "lost":
        (root / "stocks/T.csv").unlink()
    elif damage == "cut":
        (root / "stocks/T.csv").write_bytes(whole["stocks/T.csv"][:-1])
    else:
        shutil.rmtree(root)

    assert use_demo(layout).fingerprints == manifest.fingerprints
    assert contents(root) == whole
    assert sorted(path.name for path in layout.raw.iterdir()) == sorted([manifest.version, "manifest.json"])


def test_another_seed_is_another_snapshot(layout: Layout) -> None:
    assert use_demo(layout, seed=1).version != use_demo(layout, seed=2).version


def test_only_the_snapshot_in_use_is_kept(layout: Layout, tmp_path: Path) -> None:
    root = write_market(tmp_path / "mine", MARKET)
    demo, archive = use_demo(layout), use_path(layout, pack(root))
    assert [path.name for path in layout.raw.iterdir() if path.is_dir()] == [archive.version]
    assert demo.version != archive.version

    use_path(layout, root)
    assert [path.name for path in layout.raw.iterdir()] == ["manifest.json"]
    assert contents(root) == {name: text.encode() for name, text in MARKET.items()}


def test_the_manifest_moves_with_the_data_folder(layout: Layout, tmp_path: Path) -> None:
    use_demo(layout)
    moved = Layout(layout.data_dir.rename(tmp_path / "moved"))

    assert len(contents(read_manifest(moved).folder(moved))) == 31


def _missing(_: Path) -> Path | None:
    return None


def _no_such_path(folder: Path) -> Path:
    return folder / "nowhere"


def _no_prices(folder: Path) -> Path:
    return write_market(folder / "other", {"A.csv": price_text(1)})


def _no_zip(folder: Path) -> Path:
    return write_market(folder, {"prices.zip": "Date,Open\n"}) / "prices.zip"


def _bad_names(folder: Path) -> Path:
    return write_market(folder / "other", MARKET | {"symbols_valid_meta.csv": "a,b\n1,2\n"})


def _zip_with_bad_names(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "prices.zip", "w") as archive:
        archive.writestr("stocks/A.csv", price_text(1))
        archive.writestr("symbols_valid_meta.csv", "a,b\n1,2\n")
    return folder / "prices.zip"


@pytest.mark.parametrize("source", [_missing, _no_such_path, _no_prices, _no_zip, _bad_names, _zip_with_bad_names])
def test_an_unsound_source_leaves_the_snapshot_before(layout: Layout, tmp_path: Path, source: Any) -> None:
    manifest = use_demo(layout)
    before, published = state(layout.raw), layout.manifest.read_bytes()

    with pytest.raises(UserError) as failure:
        use_path(layout, source(tmp_path))

    assert "\n" not in str(failure.value)
    assert layout.manifest.read_bytes() == published
    assert state(layout.raw) == before
    assert read_manifest(layout) == manifest
