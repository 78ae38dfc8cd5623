"""What a snapshot of raw files is: its manifest, each file's fingerprint, and which files are unsound."""

import csv
import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ValidationError

from stock_assets.errors import UserError
from stock_assets.layout import PRICE_COLUMNS, Layout, letter_of
from stock_assets.publishing import write_json

FOLDERS = ("stocks", "etfs")
META_FILE = "symbols_valid_meta.csv"
HEADER = ",".join(PRICE_COLUMNS)


class RawFile(BaseModel):
    """One price file. `rows` are its lines after the header that are not blank.

    `fault` says why the file cannot be loaded, None where it can.
    """

    file: str
    symbol: str
    letter: str
    security_name: str | None
    size: int
    sha256: str
    rows: int
    fault: str | None


class Manifest(BaseModel):
    """`raw/manifest.json`. `origin` identifies what the files were made from, `version` their content.

    `root` is the folder that `files` lie in, relative to the data folder where it is below it.
    """

    source: str
    origin: str
    version: str
    root: Path
    files: list[RawFile]

    def folder(self, layout: Layout) -> Path:
        return layout.data_dir / self.root

    @property
    def loadable(self) -> list[RawFile]:
        return [file for file in self.files if file.fault is None]


def read_manifest(layout: Layout) -> Manifest:
    """The published manifest. Raises `UserError` before the first snapshot."""
    try:
        return Manifest.model_validate_json(layout.manifest.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"no raw files yet: {layout.manifest} is missing; materialize raw_files") from error
    except ValidationError as error:
        raise UserError(f"{layout.manifest} is not a manifest: remove it and materialize raw_files") from error


def write_manifest(layout: Layout, manifest: Manifest) -> None:
    write_json(layout.manifest, manifest.model_dump(mode="json"))


def inspect(source: str, origin: str, root: Path, threads: int) -> Manifest:
    """Read every price file below `root` once and describe it.

    Raises `UserError` where `root` has no CSV file in `stocks/` or `etfs/`.
    """
    paths = sorted(_price_files(root))
    if not paths:
        raise UserError(
            f"{root} has no CSV file in stocks/ or etfs/: point STOCK_ASSETS_SOURCE_PATH at the folder or zip "
            f"that holds stocks/*.csv, etfs/*.csv and {META_FILE}"
        )
    names, meta_digest = _security_names(root / META_FILE)
    with ThreadPoolExecutor(threads) as pool:
        files = list(pool.map(lambda path: _describe(path, names), paths))
    _fault_repeated_symbols(files)
    digest = hashlib.sha256(meta_digest)
    for file in files:
        digest.update(f"{file.file}\0{file.sha256}\n".encode())
    return Manifest(source=source, origin=origin, version=digest.hexdigest()[:16], root=root, files=files)


def is_intact(layout: Layout, manifest: Manifest) -> bool:
    """Whether every sound file of the snapshot is still there in the size it had."""
    folder = manifest.folder(layout)
    try:
        return all((folder / file.file).stat().st_size == file.size for file in manifest.loadable)
    except OSError:
        return False


def _price_files(root: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (root / folder).glob("*"):
            if path.suffix.lower() == ".csv" and not path.name.startswith("."):
                yield path


def _describe(path: Path, names: dict[str, str]) -> RawFile:
    name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    symbol = name[: -len(".csv")]
    content, fault = b"", None if name == path.name else "its name is not UTF-8"
    try:
        content = path.read_bytes()
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    lines = _count_lines(content)
    return RawFile(
        file=f"{path.parent.name}/{name}",
        symbol=symbol,
        letter=letter_of(symbol),
        security_name=names.get(symbol),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        rows=max(lines - 1, 0),
        fault=fault or _fault(content, lines),
    )


def _fault(content: bytes, lines: int) -> str | None:
    if not content:
        return "empty file"
    first = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    header = first[:200].decode("utf-8", "replace").strip()
    if header != HEADER:
        return f"its first line is {header!r}, not {HEADER!r}"
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
