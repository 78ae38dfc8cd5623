"""`stock-assets doctor`: what the environment lacks, and what to do about it."""

import ctypes.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from stock_assets.errors import UserError
from stock_assets.ingest.kaggle_credentials import REMEDY, find_credentials
from stock_assets.lake import find_manifest, settings_store
from stock_assets.layout import Layout
from stock_assets.objects import S3
from stock_assets.ports import port_problem
from stock_assets.settings import PREFIX, Settings, load_settings

BYTES_PER_FILE = 700_000
"""Disk that one generated or downloaded file takes in all: the CSV and its share of the tables."""
KAGGLE_FILES = 8049
"""In the dataset that is downloaded by default."""
ROOM = 1e9


class Finding(NamedTuple):
    """One check: what was looked at, what was found, and what to do, None where all is well."""

    subject: str
    found: str
    remedy: str | None = None


def examine(console: Console) -> bool:
    """Print every check; True when nothing needs mending."""
    findings = list(_findings())
    table = Table(title="stock-assets doctor", title_justify="left")
    for name in ("", "what", "found", "what to do"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        table.add_row("[red]✗[/]" if finding.remedy else "[green]✓[/]", finding.subject, finding.found, finding.remedy)
    console.print(table)
    return all(finding.remedy is None for finding in findings)


def _findings() -> Iterator[Finding]:
    yield _python()
    yield _libgomp()
    try:
        settings = load_settings()
    except UserError as error:
        yield Finding("settings", "unusable", str(error))
        return
    yield _unknown_variables()
    yield _writable("data folder", settings.data_dir)
    home = Path(os.environ.get("DAGSTER_HOME") or Layout(settings.data_dir).dagster_home)
    yield _writable("DAGSTER_HOME", home)
    yield _source(settings)
    yield _disk(settings)
    if settings.lake_url:
        yield _lake(settings, settings.lake_url)
    if settings.engine == "dask" and find_spec("distributed") is None:
        yield Finding(
            "engine", "dask is not installed", "install it: pip install --require-hashes -r requirements-server.lock"
        )
    for name, port in (("Dagster's port", settings.dagster_port), ("service's port", settings.serving_port)):
        yield Finding(name, f"{settings.host}:{port}", port_problem(settings.host, port))


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("Python", platform.python_version(), None if good else "install Python 3.11 or newer")


def _unknown_variables() -> Finding:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        return Finding("settings", f"{', '.join(unknown)}: no such setting", "see the settings table in README.md")
    return Finding("settings", "read")


def _libgomp() -> Finding:
    if sys.platform != "linux" or ctypes.util.find_library("gomp"):
        return Finding("OpenMP", "found")
    return Finding("OpenMP", "libgomp is missing", "install it (Debian: apt-get install libgomp1): LightGBM needs it")


def _writable(subject: str, folder: Path) -> Finding:
    """A folder that is there or can be made; nothing is made here."""
    place = _existing(folder)
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding(subject, str(folder))
    return Finding(subject, f"{place} cannot be written", "change its owner or mode, or set another folder")


def _source(settings: Settings) -> Finding:
    if settings.source == "demo":
        return Finding("source", f"demo, {settings.demo_files} files; needs no credentials")
    if settings.source == "kaggle":
        return _kaggle(settings.kaggle_dataset)
    path = settings.source_path
    if path is None or not path.exists():
        return Finding("source", f"folder {path}", "set STOCK_ASSETS_SOURCE_PATH to a folder or zip that exists")
    return Finding("source", f"folder {path}; needs no credentials")


def _kaggle(dataset: str) -> Finding:
    place = find_credentials()
    found = f"credentials in {place}" if place else "no credentials"
    return Finding("source", f"kaggle {dataset}; {found}", None if place else REMEDY)


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    files = {"demo": settings.demo_files, "kaggle": KAGGLE_FILES, "folder": 0}[settings.source]
    needed = ROOM + files * BYTES_PER_FILE
    found = f"{free / 1e9:.1f} GB free"
    return Finding(
        "disk space", found, None if free >= needed else f"free {needed / 1e9:.1f} GB, or set another folder"
    )


def _lake(settings: Settings, url: str) -> Finding:
    if not url.startswith(S3) and not settings.serving_from_lake:
        writable = _writable("lake", Path(url))
        if writable.remedy:
            return writable
    try:
        manifest = find_manifest(settings_store(settings))
    except UserError as error:
        return Finding("lake", url, str(error))
    return Finding("lake", f"{url}, {f'version {manifest.version}' if manifest else 'nothing published yet'}")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    place = folder.expanduser().absolute()
    return next(path for path in (place, *place.parents) if path.exists())
