"""Downloads by the real Kaggle client from a server on this machine: whatever goes wrong, the bytes are the same."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from stock_assets.errors import TransientError, UserError
from stock_assets.ingest import patience, resumable
from stock_assets.ingest.kaggle_dataset import download
from tests.ingest.kaggle_server import (
    CHILD,
    Cut,
    Fault,
    KaggleServer,
    NoLength,
    Stall,
    Status,
    Swap,
    point_client_at,
)

VERSION = "alice/market/versions/1"


def packed(content: bytes) -> bytes:
    """A zip that is a little larger than its content."""
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("stocks/A.csv", content)
    return file.getvalue()


ZIP = packed(bytes(range(250)) * 12_000)
OTHER_ZIP = packed(bytes(range(249, -1, -1)) * 12_400)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KaggleServer]:
    with KaggleServer({1: ZIP}) as server:
        point_client_at(server, monkeypatch, tmp_path / "home")
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "download"


def fetched(folder: Path, version: str = VERSION) -> bytes:
    path = download(version, folder, print)
    assert [found for found in folder.rglob("*.zip") if found.is_file()] == [path]
    return path.read_bytes()


def part_of(folder: Path) -> Path:
    (part,) = folder.rglob("*.zip")
    return part


def leave_part(kaggle: KaggleServer, folder: Path, size: int) -> Path:
    """What a run leaves that was cut for good."""
    kaggle.storage_faults = [Cut(size), *[Cut(0)] * 2 * patience.TRIES]
    with pytest.raises(TransientError):
        download(VERSION, folder, print)
    kaggle.storage_faults.clear()
    kaggle.log.clear()
    return part_of(folder)


def left(folder: Path) -> list[Path]:
    return list(folder.parent.rglob("*"))


def test_an_undisturbed_download(kaggle: KaggleServer, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    path = download(VERSION, folder, lines.append)

    assert path.read_bytes() == ZIP
    assert kaggle.asked("DownloadDataset")[0].body["datasetVersionNumber"] == 1
    assert kaggle.ranges == [None]
    assert "Authorization" not in kaggle.asked("storage")[0].headers
    assert "downloaded 2 of 4 MB" in lines
    assert "downloaded 4 of 4 MB" in lines
    assert re.search(r"sha256 [0-9a-f]{64}$", lines[-1])
    assert len(lines) < 110
    assert capfd.readouterr() == ("", "")


RESUMED = f"bytes={4 * resumable.CHUNK}-"
AFTER = 4 * resumable.CHUNK + 9


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([Cut(AFTER)], [None, None, RESUMED]),
        ([Cut(AFTER), None, Cut(resumable.CHUNK)], [None, None, RESUMED, None, f"bytes={5 * resumable.CHUNK}-"]),
        ([Cut(0)], [None, None]),
        ([Cut(AFTER, expires=True)], [None, None, RESUMED]),
        ([Cut(AFTER), None, Status(403)], [None, None, RESUMED, None, RESUMED]),
        ([Cut(AFTER), None, Status(503)], [None, None, RESUMED, None, RESUMED]),
        ([Cut(AFTER), None, Status(416)], [None, None, RESUMED, None, RESUMED]),
        ([Status(403)], [None, None]),
        ([Status(429, {"Retry-After": "0"}), Status(503), Status(500)], [None] * 4),
        ([NoLength()], [None, None]),
    ],
    ids=str,
)
def test_what_the_storage_does(
    kaggle: KaggleServer, folder: Path, faults: list[Fault], ranges: list[str | None]
) -> None:
    kaggle.storage_faults = list(faults)

    assert fetched(folder) == ZIP
    assert kaggle.ranges == ranges
    assert kaggle.storage_faults == []


@pytest.mark.parametrize(
    "faults",
    [
        [Status(503)],
        [Status(429, {"Retry-After": "junk"})],
        [Status(429, {"Retry-After": "0", "Content-Type": "application/json"}, '{"code": 429, "message": "slow"}')],
        [None, Status(502), Status(504)],
    ],
    ids=str,
)
def test_what_the_api_does(kaggle: KaggleServer, folder: Path, faults: list[Fault]) -> None:
    kaggle.api_faults = list(faults)

    assert fetched(folder) == ZIP
    assert kaggle.api_faults == []


@pytest.mark.parametrize("place", ["api", "storage headers", "storage body", "rest"])
def test_silence(kaggle: KaggleServer, folder: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "TIMEOUT", (10, 0.4))
    if place == "api":
        kaggle.api_faults = [Stall()]
    else:
        faults: dict[str, list[Fault]] = {
            "storage headers": [Stall()],
            "storage body": [Stall(AFTER)],
            "rest": [Cut(AFTER), None, Stall()],
        }
        kaggle.storage_faults = faults[place]

    assert fetched(folder) == ZIP


def test_connections_that_break_often_are_no_failure_while_bytes_come(kaggle: KaggleServer, folder: Path) -> None:
    """Each answer that goes on has its turn only after one that begins anew."""
    kaggle.storage_faults = [Cut(resumable.CHUNK), *[None, Cut(resumable.CHUNK)] * (patience.TRIES + 2)]

    assert fetched(folder) == ZIP
    assert kaggle.storage_faults == []


def test_the_server_says_how_long_to_wait(kaggle: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    kaggle.api_faults = [Status(429, {"Retry-After": "7"})]

    assert fetched(folder) == ZIP
    assert waited == [7]


def test_a_long_wait_is_left_to_a_later_run(kaggle: KaggleServer, folder: Path) -> None:
    kaggle.api_faults = [Status(429, {"Retry-After": "3600"})]

    with pytest.raises(TransientError, match="answered 429"):
        download(VERSION, folder, print)
    assert len(kaggle.log) == 1


def test_a_zip_that_changes_is_begun_anew(kaggle: KaggleServer, folder: Path) -> None:
    leave_part(kaggle, folder, AFTER)
    kaggle.zips[1] = OTHER_ZIP

    assert fetched(folder) == OTHER_ZIP
    assert kaggle.ranges == [None]


def test_a_zip_that_changes_before_the_rest_is_asked_for(kaggle: KaggleServer, folder: Path) -> None:
    kaggle.storage_faults = [Cut(AFTER), None, Swap(OTHER_ZIP)]

    assert fetched(folder) == OTHER_ZIP
    assert kaggle.ranges == [None, None, RESUMED]


def test_a_later_run_goes_on_where_one_was_cut(kaggle: KaggleServer, folder: Path) -> None:
    part = leave_part(kaggle, folder, AFTER)

    assert part.read_bytes() == ZIP[: 4 * resumable.CHUNK]
    assert fetched(folder) == ZIP
    assert kaggle.ranges == [None, RESUMED]


def test_a_killed_download_goes_on(kaggle: KaggleServer, folder: Path) -> None:
    kaggle.storage_faults = [Stall(AFTER)]
    with subprocess.Popen([sys.executable, "-c", CHILD, kaggle.api, VERSION, str(folder)]) as child:
        end = time.monotonic() + 30
        while not any(path.stat().st_size == 4 * resumable.CHUNK for path in folder.rglob("*.zip")):
            assert time.monotonic() < end
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
    kaggle.log.clear()

    assert fetched(folder) == ZIP
    assert kaggle.ranges == [None, RESUMED]


@pytest.mark.parametrize("damage", ["flipped", "zeros at the end", "error page", "whole but wrong", "too long"])
def test_a_part_that_is_not_what_it_seems_is_found_out(kaggle: KaggleServer, folder: Path, damage: str) -> None:
    part = leave_part(kaggle, folder, AFTER)
    content = part.read_bytes()
    part.write_bytes(
        {
            "flipped": content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
            "zeros at the end": content[:-4096] + bytes(4096),
            "error page": content + b"<Error>Expired</Error>",
            "whole but wrong": bytes(len(ZIP)),
            "too long": ZIP + b"x",
        }[damage]
    )

    assert fetched(folder) == ZIP
    assert kaggle.ranges[-1] is None


def test_a_whole_zip_is_not_downloaded_again(kaggle: KaggleServer, folder: Path) -> None:
    first = download(VERSION, folder, print).stat()
    kaggle.log.clear()

    assert fetched(folder) == ZIP
    assert part_of(folder).stat().st_mtime_ns == first.st_mtime_ns
    assert kaggle.ranges == [None]


def test_what_was_never_a_zip_is_an_error(kaggle: KaggleServer, folder: Path) -> None:
    kaggle.zips[1] = b"<html>Sign in to the hotel</html>" * 10_000

    with pytest.raises(UserError, match="not a sound zip") as failure:
        download(VERSION, folder, print)
    assert not isinstance(failure.value, TransientError)
    assert kaggle.ranges == [None, None]
    assert left(folder) == []


def test_parts_of_versions_and_datasets_do_not_mix(kaggle: KaggleServer, folder: Path) -> None:
    part = leave_part(kaggle, folder, AFTER)
    kaggle.zips[2] = OTHER_ZIP
    (folder / "notes").mkdir()

    assert fetched(folder, "alice/market/versions/2") == OTHER_ZIP
    assert kaggle.ranges == [None]
    assert not part.exists()
    assert (folder / "notes").exists()
