"""Publish by rename: outputs are built under a temporary name beside their place, then moved there.

A reader of a file sees the old one or the new one. A crash leaves the old one and a `*.tmp` that the next
run removes. Writers take turns through one lock on the data folder, so any `*.tmp` that a holder of
the lock finds is litter.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stock_assets.errors import UserError
from stock_assets.layout import Layout

Report = Callable[[str], None]
"""Told in a line what is going on."""

Stage = Callable[[Path], Path]
"""Gives the temporary name of a file that is to be published at a path."""


@contextmanager
def exclusive(layout: Layout, timeout: float, report: Report) -> Iterator[None]:
    """Hold the data folder for writing; the operating system frees it when the process dies.

    Waits up to `timeout` seconds for another writer and says so through `report`, then raises
    `UserError`. Also raises `UserError` where the folder cannot be made or written.
    """
    try:
        layout.data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(layout.lock, is_singleton=True)  # so that a whole run and its assets may nest
        try:
            lock.acquire(timeout=0)
        except Timeout:
            report(f"another run is writing to {layout.data_dir}: waiting up to {timeout:.0f} s")
            lock.acquire(timeout=timeout)
    except Timeout as error:
        raise UserError(
            f"another run still holds {layout.lock} after {timeout:.0f} s: wait for it to end, or stop it"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write to the data folder {layout.data_dir}: {error.strerror or error}; "
            "mend it or set STOCK_ASSETS_DATA_DIR to another one"
        ) from error
    try:
        sweep(layout.data_dir)
        yield
    finally:
        lock.release()


def sweep(data_dir: Path) -> None:
    """Remove what a killed run left behind: everything named `*.tmp` where outputs are built, and DuckDB's logs."""
    for place in (".", "raw", "lake/*", "lake/*/*", "models/*", "models/*/*"):
        for name in ("*.tmp", "*.tmp.wal"):
            for litter in data_dir.glob(f"{place}/{name}"):
                _remove(litter)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, for a file or a folder; whatever is left there goes at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        _remove(temporary)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A temporary name whose file replaces `path` if the block succeeds."""
    with scratch(path) as temporary:
        yield temporary
        temporary.replace(path)


@contextmanager
def staged_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of the folder `path`, with all that is in it, if the block succeeds.

    A kill between its two renames leaves no folder; what was there is litter then.
    """
    with scratch(path) as temporary, scratch(path) as before:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(before)
        temporary.rename(path)


@contextmanager
def staging() -> Iterator[Stage]:
    """Like `staged` for several files: all are built first, then moved one right after the other.

    Where the block built no file for a path the old one is removed: that output is empty now.
    """
    with ExitStack() as stack:
        pairs: list[tuple[Path, Path]] = []

        def stage(path: Path) -> Path:
            temporary = stack.enter_context(scratch(path))
            pairs.append((temporary, path))
            return temporary

        yield stage
        for temporary, path in pairs:
            if temporary.exists():
                temporary.replace(path)
            else:
                path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Publish a JSON file; it is on the disk before it has its name."""
    with staged(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
