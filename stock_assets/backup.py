"""A copy of the data folder in one tar file, and a data folder made of it again.

Models, tables and logs are published by rename and never changed after that, so under the lock of the runs each is
whole as it lies there. The command line holds that lock for a whole run, Dagster's servers for each step: between two
of their steps a copy has what a run that is killed there leaves, and the next run goes on from. SQLite files (Dagster's
history, the experiments) may be written at any time, and are copied by SQLite itself.
"""

import glob
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stock_assets.errors import UserError, first_line
from stock_assets.layout import Layout
from stock_assets.publishing import Report, exclusive, scratch, staged
from stock_assets.settings import Settings

NOT_COPIED = (".lock", ".tmp", ".scratch", ".wal", "-wal", "-shm", "-journal")
"""Ends of names of what belongs to a running process, or is litter."""


@dataclass
class Copied:
    """What was copied: bytes by the first part of the path."""

    sizes: dict[str, int] = field(default_factory=dict)

    def count(self, part: str, size: int) -> None:
        self.sizes[part] = self.sizes.get(part, 0) + size


def back_up(settings: Settings, file: Path, report: Report, *, tables: bool = True) -> Copied:
    """Write the data folder to a tar file, which appears whole; waits for whoever is writing to the folder.

    Without `tables` what is large and made again by a run is left out: raw files, DuckDB files, and the Parquet files
    of letters. Raises `UserError` where there is nothing to copy or it cannot be written.
    """
    layout = Layout(settings.data_dir)
    if not layout.data_dir.is_dir():
        raise UserError(f"there is no data folder {layout.data_dir}: set STOCK_ASSETS_DATA_DIR to the one to copy")
    if file.resolve().is_relative_to(layout.data_dir.resolve()):
        raise UserError(f"{file} is in the data folder itself: write the copy elsewhere, best to another disk")
    copied = Copied()
    try:
        with exclusive(layout, settings.lock_timeout, report):
            for litter in file.parent.glob(f"{glob.escape(file.name)}.*.tmp"):  # of copies that were killed
                litter.unlink()
            with staged(file) as temporary, tarfile.open(temporary, "w", dereference=True) as archive:
                for path in sorted(_files(layout, tables=tables)):
                    with suppress(FileNotFoundError):  # a log that was removed meanwhile
                        _add(archive, layout, path, temporary)
                        copied.count(path.relative_to(layout.data_dir).parts[0], path.stat().st_size)
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise UserError(f"the copy {file} cannot be made: {first_line(error)}") from error
    return copied


def restore(settings: Settings, file: Path, report: Report) -> Copied:
    """Make the data folder of a copy; it must not have any file in it yet.

    Raises `UserError` where it has, or where the file is no whole copy: the folder is empty then.
    """
    layout = Layout(settings.data_dir)
    copied = Copied()
    with exclusive(layout, settings.lock_timeout, report):
        there = next(_files(layout, tables=True), None)
        if there:
            raise UserError(f"{layout.data_dir} has {there.relative_to(layout.data_dir)} in it: empty it first")
        try:
            with scratch(layout.data_dir / "restored") as folder:
                with tarfile.open(file) as archive:
                    _extract(archive, folder)
                    _require_end(archive)
                for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                    name = path.relative_to(folder)
                    copied.count(name.parts[0], path.stat().st_size)
                    (layout.data_dir / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.move(path, layout.data_dir / name)
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"{file} cannot be restored: {first_line(error)}") from error
    return copied


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Its files below the folder. Raises `tarfile.ExtractError` for anything else, which no copy has.

    The filters of `tarfile` do the same, but not before Python 3.11.4.
    """
    for member in archive:
        path, content = folder / member.name, archive.extractfile(member) if member.isfile() else None
        if content is None or not path.resolve().is_relative_to(folder.resolve()):
            raise tarfile.ExtractError(f"{member.name} is no file of a data folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        path.chmod(member.mode & 0o777)
        os.utime(path, (member.mtime, member.mtime))


def _require_end(archive: tarfile.TarFile) -> None:
    """Raises `tarfile.ReadError` for an archive, read to its end, that was cut off between two files."""
    content: Any = archive.fileobj  # None only once it is closed
    content.seek(archive.offset)
    if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")


def _files(layout: Layout, *, tables: bool) -> Iterator[Path]:
    for folder, _, names in os.walk(layout.data_dir, followlinks=True):  # a part of it may lie on another disk
        for path in map(Path(folder).joinpath, names):
            parts = path.relative_to(layout.data_dir).parts
            if path.is_file() and not any(part.endswith(NOT_COPIED) for part in parts) and (tables or _is_kept(parts)):
                yield path


def _is_kept(parts: tuple[str, ...]) -> bool:
    """Whether it is kept in a copy without tables: small ones are, and the lists of raw files."""
    in_letters = any(part.startswith("letter=") for part in parts)
    return not (in_letters or parts[0].endswith(".duckdb") or (parts[0] == "raw" and len(parts) > 2))


def _add(archive: tarfile.TarFile, layout: Layout, path: Path, beside: Path) -> None:
    """Raises `FileNotFoundError` where the file has gone; nothing is added then."""
    name = str(path.relative_to(layout.data_dir))
    if path.suffix != ".db":
        archive.add(path, name, recursive=False)
        return
    with scratch(beside) as copy:
        address = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        archive.add(copy, name, recursive=False)
