"""What the real Kaggle client is refused: each case ends in one line that helps, and leaves nothing behind."""

import os
import resource
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kagglesdk.kaggle_http_client import KaggleHttpClient  # type: ignore[import-untyped]

from stock_assets.errors import TransientError, UserError
from stock_assets.ingest.kaggle_dataset import current_version, download
from tests.ingest.kaggle_server import CHILD, TOKEN, USER, KaggleServer, Status, point_client_at

VERSION = "alice/market/versions/1"


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KaggleServer]:
    """Its zip is not sound, which none of these tests comes to see."""
    with KaggleServer({1: bytes(3_100_000)}) as server:
        point_client_at(server, monkeypatch, tmp_path / "home")
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "download"


def left(folder: Path) -> list[Path]:
    return list(folder.parent.rglob("*"))


def _no_credentials(_: KaggleServer, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("KAGGLE_API_TOKEN")


def _wrong_token(_: KaggleServer, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("KAGGLE_API_TOKEN", "KGAT_wrong")


def _wrong_key(_: KaggleServer, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("KAGGLE_API_TOKEN")
    patch.setenv("KAGGLE_USERNAME", USER)
    patch.setenv("KAGGLE_KEY", "wrong")


def _refused_token(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.api_faults = [Status(401)]


def _down(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.api_faults = [Status(503)] * 20


def _storage_down(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.storage_faults = [Status(503)] * 20


def _storage_refuses(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.storage_faults = [Status(403)] * 20


def _bad_request(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.api_faults = [None, Status(400)]


def _no_json(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.api_faults = [Status(200, {}, "<html>")] * 20


def _unreachable(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.__exit__(None, None, None)


def _version_gone(kaggle: KaggleServer, _: pytest.MonkeyPatch) -> None:
    kaggle.zips[2] = kaggle.zips.pop(1)


def _full_disk(_: KaggleServer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))


def _client_exits(_: KaggleServer, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KaggleHttpClient, "call", lambda *_: sys.exit(1))


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (_no_credentials, "no Kaggle credentials were found: make a token at https://www.kaggle.com/settings/api"),
        (_wrong_token, "does not accept the credentials in KAGGLE_API_TOKEN"),
        (_wrong_key, "does not accept the credentials in KAGGLE_USERNAME and KAGGLE_KEY (401)"),
        (_refused_token, "does not accept the credentials in KAGGLE_API_TOKEN (401)"),
        (_version_gone, "Kaggle has no alice/market/versions/1 (404)"),
        (_bad_request, "Kaggle refuses alice/market/versions/1 (400)"),
        (_full_disk, "market.zip takes 4 MB more but"),
        (_client_exits, "gave up"),
    ],
)
def test_what_the_user_must_mend(
    kaggle: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: Any, told: str
) -> None:
    message = refusal(kaggle, folder, monkeypatch, trouble, UserError)

    assert told in message
    assert len(kaggle.log) <= 3


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (_down, "Kaggle answered 503"),
        (_storage_down, "Kaggle answered 503"),
        (_storage_refuses, "Kaggle answered 403"),
        (_no_json, "did not answer in JSON"),
        (_unreachable, "the connection to Kaggle failed"),
    ],
)
def test_what_may_pass(
    kaggle: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch, trouble: Any, told: str
) -> None:
    assert told in refusal(kaggle, folder, monkeypatch, trouble, TransientError)


def refusal(kaggle: KaggleServer, folder: Path, patch: pytest.MonkeyPatch, trouble: Any, kind: type[UserError]) -> str:
    """The line that a download ends with, once nothing was found to be left of it."""
    trouble(kaggle, patch)
    with pytest.raises(UserError) as failure:
        download(VERSION, folder, print)
    assert type(failure.value) is kind or (kind is TransientError and isinstance(failure.value, kind))
    assert "\n" not in str(failure.value)
    assert "Signature" not in told(failure.value)
    assert left(folder) == []
    return str(failure.value)


def told(error: BaseException) -> str:
    """The error with all that led to it, as Dagster stores it."""
    return "".join(traceback.format_exception(error))


def test_a_disk_that_fills_up(kaggle: KaggleServer, folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write the 4 MB of .*market\.zip: File too large") as failure:
            download(VERSION, folder, print)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not isinstance(failure.value, TransientError)
    assert len(kaggle.ranges) == 1
    assert left(folder) == []


def test_a_place_that_cannot_be_a_folder(kaggle: KaggleServer, folder: Path) -> None:
    folder.parent.write_text("a file")

    with pytest.raises(UserError, match=r"cannot write the 4 MB of .*market\.zip: Not a directory"):
        download(VERSION, folder, print)
    assert len(kaggle.ranges) == 1


def test_a_token_is_never_told(kaggle: KaggleServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks first whether a file has the token for its name, and one so long may not."""
    token = "KGAT_" + "x" * 300
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)

    with pytest.raises(UserError) as failure:
        download(VERSION, folder, print)
    assert token not in told(failure.value)


def test_the_current_version_is_asked_for(kaggle: KaggleServer) -> None:
    kaggle.zips[12] = b""

    assert current_version("alice/market", print) == "alice/market/versions/12"


def test_a_pinned_version_needs_no_one(kaggle: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")

    assert current_version("alice/market/versions/3", print) == "alice/market/versions/3"
    assert kaggle.log == []


def test_a_dataset_that_is_not_there(kaggle: KaggleServer) -> None:
    with pytest.raises(UserError, match=r"Kaggle forbids alice/mraket \(403\): see whether https://www\.kaggle\.com"):
        current_version("alice/mraket", print)


def test_the_version_may_be_asked_for_once_only(kaggle: KaggleServer) -> None:
    kaggle.api_faults = [Status(503)] * 2

    with pytest.raises(TransientError):
        current_version("alice/market", print, tries=1)
    assert len(kaggle.log) == 1


def test_a_folder_that_the_client_cannot_make(kaggle: KaggleServer, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, kaggle.api, VERSION, str(folder)],
        env=os.environ | {"KAGGLE_CONFIG_DIR": str(tmp_path / "file" / "kaggle"), "KAGGLE_API_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "set KAGGLE_CONFIG_DIR to a folder that can be written" in child.stderr.splitlines()[-1]
    assert kaggle.log == []


def test_the_first_import_of_the_client_asks_no_one_and_prints_nothing(
    kaggle: KaggleServer, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "home" / "config").mkdir(exist_ok=True)
    settings = tmp_path / "home" / "config" / "kaggle.json"
    settings.write_text("{}")
    settings.chmod(0o644)
    kaggle.api_faults = [Status(404)]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, kaggle.api, VERSION, str(folder)], capture_output=True, text=True, check=False
    )

    assert child.stdout == ""
    assert "does not accept the credentials in KAGGLE_API_TOKEN" in child.stderr.splitlines()[-1]
    assert len(kaggle.log) == 1
