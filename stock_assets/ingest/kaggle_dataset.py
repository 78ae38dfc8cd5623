"""A dataset of Kaggle's: which version is current, and its zip, verified, in spite of what networks do."""

import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stock_assets.errors import UserError, first_line
from stock_assets.ingest.archive import UNSOUND
from stock_assets.ingest.kaggle_credentials import required_credentials
from stock_assets.ingest.patience import TRIES, patiently
from stock_assets.publishing import Report
from stock_assets.registry import sha256_of

if TYPE_CHECKING:
    from stock_assets.ingest.kaggle_client import Client


def current_version(dataset: str, report: Report, tries: int = TRIES) -> str:
    """The version to use now, as `owner/name/versions/N`: the one that `dataset` names, or else Kaggle's current one.

    Raises `UserError` for missing or wrong credentials and for a dataset that is not there, `TransientError` where
    what may pass did not pass in so many `tries`.
    """
    if "/versions/" in dataset:
        return dataset

    def ask() -> int:
        with _client(dataset, report) as client:
            return client.current_version_number(*dataset.split("/"))

    return f"{dataset}/versions/{patiently(ask, report, tries)}"


def download(version: str, folder: Path, report: Report) -> Path:
    """The verified zip of `owner/name/versions/N` in `folder`; `remove_downloads` is for when it was used.

    Goes on where an earlier call was cut; parts of other versions are removed. Raises `UserError` for what the user
    must mend, and `TransientError` for what may pass.
    """
    place = folder / version.replace("/", ".")
    part = place / f"{version.split('/')[1]}.zip"
    remove_downloads(folder, but=place.name)
    for _ in range(2):
        try:
            patiently(lambda: _fetch(version, place, report), report, TRIES, lambda: _size(part))
        except UserError:
            if not part.exists():
                remove_downloads(folder)
            raise
        report(f"checking {part.name}")
        fault = _fault(part)
        if fault is None:
            report(f"downloaded {version}: {part.stat().st_size:,} bytes, sha256 {sha256_of(part)}")
            return part
        report(f"{part} is not sound and was removed: {fault}")
        remove_downloads(folder)
    raise UserError(
        f"what Kaggle sends as {version} is not a sound zip ({fault}): "
        "look for a proxy in between, or set STOCK_ASSETS_KAGGLE_DATASET to another version"
    )


def remove_downloads(folder: Path, but: str = "") -> None:
    """Remove the zips and parts of all versions `but` one, and `folder` with the last; what has another name stays."""
    for path in folder.glob("*"):
        if re.fullmatch(r"[\w-]+\.[\w-]+\.versions\.\d+", path.name) and path.name != but:
            shutil.rmtree(path)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _fetch(version: str, place: Path, report: Report) -> None:
    owner, name, _, number = version.split("/")
    with _client(version, report) as client:
        client.dataset_download_files(f"{owner}/{name}/{number}", path=str(place), force=True, quiet=True)


@contextmanager
def _client(dataset: str, report: Report) -> Iterator["Client"]:
    """The client, authenticated; what it raises within the block is turned into one line."""
    required_credentials()
    try:
        with _import_only():
            from stock_assets.ingest.kaggle_client import Client, in_one_line  # noqa: PLC0415 - it imports kaggle
    except OSError as error:
        raise UserError(
            f"the Kaggle client cannot make its folder {error.filename} ({error.strerror}): "
            "set KAGGLE_CONFIG_DIR to a folder that can be written"
        ) from error
    with in_one_line(dataset):
        client = Client(report)
        client.authenticate()
        yield client


@contextmanager
def _import_only() -> Iterator[None]:
    """Let the first import of `kaggle` only import: by itself it authenticates, without time limits, and prints."""
    if "kaggle" in sys.modules:
        yield
        return
    from kagglesdk.kaggle_http_client import KaggleHttpClient  # type: ignore[import-untyped]  # noqa: PLC0415

    def refuse(*_: Any) -> NoReturn:
        raise ConnectionError("not while it is imported")

    call, KaggleHttpClient.call = KaggleHttpClient.call, refuse
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        KaggleHttpClient.call = call


def _fault(path: Path) -> str | None:
    """Why the zip is not sound, found by reading every member; None where it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
    except UNSOUND as error:
        return first_line(error)
    return f"bad CRC of {member}" if member else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
