"""What a snapshot of raw files is: its manifest, each file's fingerprint, and what differs from another one."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ValidationError, computed_field

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.publishing import write_json

FOLDERS = ("stocks", "etfs")
META_FILE = "symbols_valid_meta.csv"


class RawFile(BaseModel):
    """One price file. `rows` are its lines after the header that are not blank.

    `fault` says why the file cannot be loaded, None where it can. `stamp` tells when the file was changed last; a
    file with another stamp is read again, one without always.
    """

    file: str
    symbol: str
    letter: str
    security_name: str | None
    size: int
    sha256: str
    rows: int
    fault: str | None
    stamp: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def fingerprint(self) -> str:
        """Of all that the file's part of the tables is made of: the same fingerprint makes the same rows."""
        parts = (self.file, self.sha256, self.security_name or "", self.fault or "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class Manifest(BaseModel):
    """`raw/manifest.json`. `origin` identifies what the files were made from, `version` their content.

    `root` is the folder that `files` lie in, relative to the data folder where it is below it. `files_read` is how
    many of them were read to make the manifest; the others had not changed since the one before.
    """

    source: str
    origin: str
    version: str
    root: Path
    files_read: int = 0
    files: list[RawFile]

    @property
    def data_version(self) -> str:
        """What the snapshot is called: the dataset and its version on Kaggle, or else its own version."""
        return self.origin.removeprefix("kaggle ") if self.source == "kaggle" else self.version

    @property
    def fingerprints(self) -> dict[str, str]:
        return {file.file: file.fingerprint for file in self.files}

    def folder(self, layout: Layout) -> Path:
        return layout.data_dir / self.root

    def is_complete(self, layout: Layout) -> bool:
        """Whether every file is still there; what is in them is another question."""
        folder = self.folder(layout)
        return all((folder / file.file).exists() for file in self.files)

    @property
    def loadable(self) -> list[RawFile]:
        return [file for file in self.files if file.fault is None]


class Changes(NamedTuple):
    """What one snapshot has otherwise than the one before, by file."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    @property
    def to_read(self) -> set[str]:
        return {*self.added, *self.changed}

    @property
    def to_forget(self) -> list[str]:
        return [*self.changed, *self.removed]

    def __bool__(self) -> bool:
        return any(self)


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> Changes:
    """The difference between two snapshots, given as fingerprints by file."""
    return Changes(
        added=sorted(after.keys() - before.keys()),
        changed=sorted(file for file in after.keys() & before.keys() if before[file] != after[file]),
        removed=sorted(before.keys() - after.keys()),
    )


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
