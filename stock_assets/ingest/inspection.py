"""Looking at the files of a snapshot: what each one is, its fingerprint, and whether it is sound."""

import csv
import hashlib
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stock_assets.errors import UserError
from stock_assets.ingest.snapshot import FOLDERS, META_FILE, Manifest, RawFile
from stock_assets.layout import PRICE_COLUMNS, Layout, letter_of
from stock_assets.registry import sha256_of

HEADER = ",".join(PRICE_COLUMNS)

CLOCK_TICK = 100_000_000
"""Nanoseconds within which two changes of a file may bear the same time."""
COARSE_TICK = 2_000_000_000
"""The same where the file system counts in whole milliseconds, or in seconds."""


def inspect(source: str, origin: str, root: Path, threads: int, known: Manifest | None = None) -> Manifest:
    """Describe every price file below `root`. A file that `known` has with the same stamp is not read again.

    `known` is an earlier manifest of the same folder. Raises `UserError` where `root` has no CSV file in `stocks/`
    or `etfs/`.
    """
    paths = sorted(_price_files(root))
    if not paths:
        raise UserError(
            f"{root} has no CSV file in stocks/ or etfs/: point STOCK_ASSETS_SOURCE_PATH at the folder or zip "
            f"that holds stocks/*.csv, etfs/*.csv and {META_FILE}"
        )
    names, meta_digest = _security_names(root / META_FILE)
    described = {file.file: file for file in known.files if file.fault is None} if known else {}
    with ThreadPoolExecutor(threads) as pool:
        read = list(pool.map(lambda path: describe(path, HEADER, described.get(_file_name(path))), paths))
    files = [file.model_copy(update={"security_name": names.get(file.symbol)}) for file in read]
    _fault_repeated_symbols(files)
    digest = hashlib.sha256(meta_digest)
    for file in files:
        digest.update(f"{file.file}\0{file.sha256}\n".encode())
    return Manifest(
        source=source,
        origin=origin,
        version=digest.hexdigest()[:16],
        root=root,
        files_read=sum(file is not described.get(file.file) for file in read),
        files=files,
    )


def changed_since(layout: Layout, manifest: Manifest, files: set[str]) -> list[str]:
    """Which of these files are no longer as the manifest describes them."""
    folder = manifest.folder(layout)
    return [file.file for file in manifest.files if file.file in files and _has_changed(folder / file.file, file)]


def _has_changed(path: Path, file: RawFile) -> bool:
    """By its stamp; a file that was too new for one is read again."""
    if file.stamp:
        return _stamp(path) != file.stamp
    try:
        return sha256_of(path) != file.sha256
    except OSError:
        return file.size > 0  # what could not be read before has no size


def _price_files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (root / folder).glob("*"):
            if path.suffix.lower() == ".csv" and not path.name.startswith("."):
                yield path


def _file_name(path: Path) -> str:
    return f"{path.parent.name}/{os.fsencode(path.name).decode('utf-8', 'backslashreplace')}"


def _stamp(path: Path) -> str:
    """Size and times of the last change; empty for a file so new that its next change could bear the same times.

    The time of the file's content can be set by whoever copies it; the time of its inode cannot.
    """
    try:
        status = path.stat()
    except OSError:
        return ""
    last = max(status.st_mtime_ns, status.st_ctime_ns)
    tick = CLOCK_TICK if last % 1_000_000 else COARSE_TICK
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}" if time.time_ns() - last > tick else ""


def describe(path: Path, header: str, known: RawFile | None = None) -> RawFile:
    """What a price file is, and whether it begins with `header`; `known` if that has the same stamp."""
    stamp = _stamp(path)
    if known and known.stamp and known.stamp == stamp:
        return known
    file = _file_name(path)
    symbol = file.split("/", 1)[1][: -len(".csv")]
    content, fault = b"", None if file.endswith(path.name) else "its name is not UTF-8"
    try:
        content = path.read_bytes()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    lines = _count_lines(content)
    return RawFile(
        file=file,
        symbol=symbol,
        letter=letter_of(symbol),
        security_name=None,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        rows=max(lines - 1, 0),
        fault=fault or _fault(content, lines, header),
        stamp=stamp,
    )


def _fault(content: bytes, lines: int, wanted: str) -> str | None:
    if not content:
        return "empty file"
    first = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    header = first[:200].decode("utf-8", "replace").strip()
    if header != wanted:
        return f"its first line is {header!r}, not {wanted!r}"
    if lines < 2:
        return "only a header, no rows"
    returns = content.count(b"\r")
    if returns and not returns == content.count(b"\r\n") == content.count(b"\n"):
        return "its lines end in different ways (LF, CRLF, CR)"
    return None


def _count_lines(content: bytes) -> int:
    """Lines that are not blank, as a CSV reader counts them."""
    if b"\n\n" in content or b"\n\r\n" in content or content[:1] in b"\r\n":
        return sum(1 for line in content.split(b"\n") if line not in (b"", b"\r"))
    return content.count(b"\n") + (not content.endswith(b"\n"))


def _security_names(path: Path) -> tuple[dict[str, str], bytes]:
    """Names by symbol, and the digest of the file they are from; both empty where there is no such file.

    The key is the column `NASDAQ Symbol`: the files are named by it, not by `Symbol`.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}, b""
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    table = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"), newline=""))
    columns = {name.replace(" ", "").lower(): name for name in table.fieldnames or ()}
    try:
        key, value = columns["nasdaqsymbol"], columns["securityname"]
    except KeyError as error:
        raise UserError(
            f"{path} lacks the column `NASDAQ Symbol` or `Security Name`: mend its header or remove the file"
        ) from error
    try:
        names = {row[key]: (row[value] or "").strip() for row in table if row[key]}
    except csv.Error as error:
        raise UserError(f"{path} cannot be read near line {table.line_num}: {error}; mend it or remove it") from error
    return {symbol: name for symbol, name in names.items() if name}, hashlib.sha256(content).digest()


def _fault_repeated_symbols(files: list[RawFile]) -> None:
    """A symbol has one file: two would mix two series under one name. The one in `stocks/` is kept."""
    first: dict[str, str] = {}
    for file in sorted(files, key=lambda file: (file.file.split("/")[0] != "stocks", file.file)):
        if file.fault is None and first.setdefault(file.symbol, file.file) != file.file:
            file.fault = f"the symbol {file.symbol} is loaded from {first[file.symbol]} already"
