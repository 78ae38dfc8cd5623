"""A zip in the Kaggle layout, checked before and while it is unpacked."""

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stock_assets.errors import UserError
from stock_assets.ingest.snapshot import FOLDERS, META_FILE

UNSOUND = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, struct.error, ValueError)
"""What `zipfile` raises, depending on which byte is wrong."""

MAX_MEMBERS = 200_000
MAX_RATIO = 100
"""Price files shrink to about a third; zeros to a thousandth."""


def extract(archive: Path, root: Path) -> None:
    """Unpack the price files and the meta file of `archive` into the new folder `root`.

    The layout may lie below one folder in the zip. Every unpacked member's CRC is tested. Raises `UserError`
    for what is no zip, a member whose path leaves the folder, links, encryption, a bomb, a bad CRC.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(archive, opened.infolist())
            _check_room(archive, members, root)
            for target, member in _wanted(archive, members).items():
                path = root / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as packed, path.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except UNSOUND as error:
        raise UserError(f"{archive} is not a sound zip, or cannot be unpacked: {error}") from error


def _checked(archive: Path, members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{archive} has {len(members)} members, more than {MAX_MEMBERS}: not a price archive")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        mode = member.external_attr >> 16
        if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
            raise UserError(f"{archive}: the member {member.filename!r} leads out of the folder; nothing was unpacked")
        if stat.S_ISLNK(mode):
            raise UserError(f"{archive}: the member {member.filename!r} is a link; nothing was unpacked")
        if member.flag_bits & 1:
            raise UserError(f"{archive}: the member {member.filename!r} is encrypted; unpack it yourself")
    return [member for member in members if not member.is_dir()]


def _check_room(archive: Path, members: list[zipfile.ZipInfo], root: Path) -> None:
    unpacked = sum(member.file_size for member in members)
    packed = archive.stat().st_size
    if unpacked > MAX_RATIO * packed:
        raise UserError(f"{archive} grows {unpacked // packed}-fold when unpacked, like a zip bomb; it was not")
    free = shutil.disk_usage(root.parent).free
    if unpacked > free:
        raise UserError(
            f"{archive} needs {unpacked / 1e9:.1f} GB unpacked but {root.parent} has {free / 1e9:.1f} GB free"
        )


def _wanted(archive: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members to unpack, by their path in the layout."""
    paths = [(PurePosixPath(member.filename), member) for member in members]
    tops = {path.parts[:-2] for path, _ in paths if _is_price_file(path)}
    if len(tops) != 1:
        found = "no" if not tops else "more than one"
        raise UserError(f"{archive} holds {found} folder with stocks/*.csv or etfs/*.csv; it must hold one")
    (top,) = tops
    wanted: dict[str, zipfile.ZipInfo] = {}
    for path, member in paths:
        if path.parts[: len(top)] != top:
            continue
        inner = PurePosixPath(*path.parts[len(top) :])
        if str(inner) == META_FILE or (len(inner.parts) == 2 and _is_price_file(inner)):
            if str(inner) in wanted:
                raise UserError(f"{archive} holds {member.filename!r} twice; nothing was unpacked")
            wanted[str(inner)] = member
    return wanted


def _is_price_file(path: PurePosixPath) -> bool:
    return (
        len(path.parts) >= 2
        and path.parts[-2] in FOLDERS
        and path.suffix.lower() == ".csv"
        and not path.name.startswith(".")
        and "__MACOSX" not in path.parts
    )
