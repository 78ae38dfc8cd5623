"""Versioned model folders, their manifest, and the atomic `latest` pointer. JSON and hashes only."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stock_assets.publishing import scratch, write_json

MODEL_FILE = "model.txt"
MANIFEST_FILE = "manifest.json"


class Pointer(BaseModel):
    """`models/<name>/latest.json`: the promoted version. `path` is relative to `models/<name>`."""

    name: str
    version: str
    path: str
    sha256: str
    asset_key: str
    run_id: str
    promoted_at: datetime


class RegistryError(Exception):
    """A pointer or a version on disk that cannot be trusted; the message says which and why."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_version(folder: Path, write: Callable[[Path], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Make a new version below `folder` (`models/<name>`).

    `write` fills a temporary folder with the model's files and returns the facts for the manifest.
    Gives the version, which is its time in UTC and the first digits of the model's hash, and the
    manifest, completed with the files' hashes. Raises what `write` raises; then nothing is published.
    """
    created = datetime.now(UTC)
    with scratch(folder / "new-version") as temporary:
        temporary.mkdir()
        facts = write(temporary)
        files = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        version = f"{created:%Y%m%dT%H%M%S%f}-{files[MODEL_FILE][:8]}"
        manifest = {
            "name": folder.name,
            "version": version,
            "created_at": created.isoformat(timespec="seconds"),
            "files": files,
            **facts,
        }
        write_json(temporary / MANIFEST_FILE, manifest)
        temporary.rename(folder / version)
    return version, manifest


def promote(folder: Path, version: str, asset_key: str, run_id: str) -> Pointer:
    """Point `latest.json` at a version that is on disk."""
    manifest = read_manifest(folder, version)
    pointer = Pointer(
        name=folder.name,
        version=version,
        path=version,
        sha256=manifest["files"][MODEL_FILE],
        asset_key=asset_key,
        run_id=run_id,
        promoted_at=datetime.now(UTC),
    )
    write_json(folder / "latest.json", pointer.model_dump(mode="json"))
    return pointer


def read_pointer(folder: Path) -> Pointer | None:
    """The promoted version, or None before the first one. Raises `RegistryError` on a broken pointer."""
    path = folder / "latest.json"
    try:
        pointer = Pointer.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise RegistryError(f"{path} is not a pointer: {error.errors()[0]['msg']}") from error
    if not re.fullmatch(r"[\w.-]+", pointer.path) or pointer.path.startswith("."):
        raise RegistryError(f"{path} points outside its folder: {pointer.path!r}")
    return pointer


def read_manifest(folder: Path, version: str) -> dict[str, Any]:
    """The manifest of a version. Raises `RegistryError` where there is none that can be read."""
    path = folder / version / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise RegistryError(f"{path} is not a manifest")
    return manifest


def newest_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of the version that was made last, promoted or not; None where there is none that is whole."""
    for path in sorted(folder.glob("*/" + MANIFEST_FILE), reverse=True):
        try:
            manifest = read_manifest(folder, path.parent.name)
            if sha256_of(path.with_name(MODEL_FILE)) == manifest["files"][MODEL_FILE]:
                return manifest
        except (RegistryError, OSError, KeyError):
            continue
    return None


def verify(folder: Path, pointer: Pointer) -> tuple[dict[str, Any], bytes]:
    """The manifest and the model text of the promoted version, held against its hash.

    The bytes are those that were hashed, so nobody needs to open the file again. Raises
    `RegistryError` for a file that is missing or differs, and for a pointer whose `sha256` is not
    that of the manifest.
    """
    manifest = read_manifest(folder, pointer.path)
    files = manifest.get("files")
    if not isinstance(files, dict) or files.get(MODEL_FILE) != pointer.sha256:
        raise RegistryError(f"{folder / pointer.path}: the manifest and latest.json disagree on the model")
    path = folder / pointer.path / MODEL_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    actual = hashlib.sha256(text).hexdigest()
    if actual != pointer.sha256:
        raise RegistryError(f"{path} has sha256 {actual}, not {pointer.sha256}: it was changed")
    return manifest, text
