"""The price files of crypto assets: which there are, whether they are sound, and whether they have changed."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from stock_assets.crypto.demo import write_assets
from stock_assets.errors import UserError, first_line
from stock_assets.ingest.inspection import describe
from stock_assets.ingest.snapshot import Manifest
from stock_assets.ingest.watch import Decision, Look, Seen, decide, stat_of
from stock_assets.layout import Layout
from stock_assets.publishing import staged_folder, write_json
from stock_assets.settings import Settings

HEADER = "date,price,volume,marketCap"


def refresh(settings: Settings, place: Path) -> Manifest:
    """Write the manifest of the files to `place`; without a path of the user's they are generated.

    It is published with what was made of the files: until then the sensor takes them for new ones. Raises `UserError`
    where there are none.
    """
    if settings.crypto_path is None:
        with staged_folder(Layout(settings.data_dir).crypto_demo) as folder:
            write_assets(folder, settings.demo_seed)
    manifest = inspect(settings)
    write_json(place, manifest.model_dump(mode="json"))
    return manifest


def inspect(settings: Settings) -> Manifest:
    """Describe every file: they are small, so all are read. Raises `UserError` where there are none."""
    path = (settings.crypto_path or Layout(settings.data_dir).crypto_demo).absolute()
    files = [describe(file, HEADER) for file in _files(path)]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.file}\0{file.sha256}\n".encode())
    return Manifest(
        source="folder" if settings.crypto_path else "demo",
        origin=str(path) if settings.crypto_path else _demo_origin(settings),
        version=digest.hexdigest()[:16],
        root=path.parent if path.is_dir() else path.parent.parent,
        files_read=len(files),
        files=files,
    )


def watch(settings: Settings, seen: Seen, now: float, busy: bool) -> Decision:
    """Look at the files and decide, as for the market: see `ingest.watch`."""
    try:
        look = _look(settings)
        return decide(seen, look, now, busy, lambda: _is_published(settings, look))
    except (UserError, OSError) as error:
        return Decision(seen, None, first_line(error))


def _look(settings: Settings) -> Look:
    if settings.crypto_path is None:
        origin = _demo_origin(settings)
        return Look(origin, 0, lambda manifest: manifest.origin == origin)
    stats = [f"{os.fsencode(file)!r} {stat_of(file)}" for file in _files(settings.crypto_path.absolute())]
    digest = hashlib.sha256("\n".join(stats).encode()).hexdigest()[:16]
    return Look(
        f"crypto {settings.crypto_path} {digest}",
        settings.settle_seconds,
        lambda known: inspect(settings).version == known.version,
    )


def _demo_origin(settings: Settings) -> str:
    return f"crypto demo seed={settings.demo_seed}"


def _is_published(settings: Settings, look: Look) -> bool:
    """Whether the published manifest is of what was looked at."""
    try:
        known = Manifest.model_validate_json(Layout(settings.data_dir).crypto_manifest.read_bytes())
    except (FileNotFoundError, ValidationError):
        return False
    return look.is_published(known)


def _files(path: Path) -> Iterable[Path]:
    """The file, or the CSV files of the folder. Raises `UserError` where there are none."""
    if not path.exists():
        raise UserError(f"STOCK_ASSETS_CRYPTO_PATH={path}: there is no such file or folder")
    found = sorted(file for file in path.iterdir() if not file.name.startswith(".")) if path.is_dir() else [path]
    files = [file for file in found if file.suffix.lower() == ".csv"]
    if not files:
        raise UserError(f"STOCK_ASSETS_CRYPTO_PATH={path}: give a file `<asset>.csv`, or a folder with such files")
    return files
