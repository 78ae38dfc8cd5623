"""Versioned model folders, their manifest, and the atomic `latest` pointer. JSON and hashes only."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stock_assets.publishing import scratch, write_json

MODEL_FILE = "model.txt"
MANIFEST_FILE = "manifest.json"
LONGEST_HISTORY = 100


class Pointer(BaseModel):
    """`models/<name>/latest.json`: the promoted version. `path` is relative to `models/<name>`.

    `history` has the versions that were served before and not rolled back from, newest last.
    """

    name: str
    version: str
    path: str
    sha256: str
    asset_key: str
    run_id: str
    promoted_at: datetime
    history: tuple[str, ...] = ()


class RegistryError(Exception):
    """A pointer or a version on disk that cannot be trusted; the message says which and why."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_version(
    folder: Path,
    write: Callable[[Path], dict[str, Any]],
    describe: Callable[[Path, dict[str, Any]], None] = lambda _place, _facts: None,
    record: Callable[[dict[str, Any]], None] = lambda _manifest: None,
) -> tuple[str, dict[str, Any]]:
    """Make a new version below `folder` (`models/<name>`).

    `write` fills a temporary folder with the model's files and returns the facts for the manifest; `describe` adds
    what tells of them, once they have their version; `record` is given the manifest before the version has its place.
    Gives the version, which is its time in UTC and the first digits of the model's hash, and the manifest, completed
    with the files' hashes. Raises what these raise; then nothing is published.
    """
    created = datetime.now(UTC)
    with scratch(folder / "new-version") as temporary:
        temporary.mkdir()
        facts = write(temporary)
        version = f"{created:%Y%m%dT%H%M%S%f}-{sha256_of(temporary / MODEL_FILE)[:8]}"
        named = {"name": folder.name, "version": version, "created_at": created.isoformat(timespec="seconds")} | facts
        describe(temporary, named)
        paths = sorted(path for path in temporary.rglob("*") if path.is_file())
        manifest = named | {"files": {path.relative_to(temporary).as_posix(): sha256_of(path) for path in paths}}
        write_json(temporary / MANIFEST_FILE, manifest)
        record(manifest)
        temporary.rename(folder / version)
    return version, manifest


def promote(folder: Path, version: str, asset_key: str, run_id: str) -> Pointer:
    """Point `latest.json` at a version that is on disk; what it pointed at until now goes into the history."""
    before = readable_pointer(folder)
    history = before.history if before else ()
    if before and before.version != version:
        history = (*history, before.version)[-LONGEST_HISTORY:]
    return _point(folder, version, asset_key, run_id, history)


def rollback(folder: Path) -> tuple[Pointer, dict[str, str]]:
    """Point `latest.json` at the version that was served before this one, by one atomic replacement.

    Gives the new pointer, and what was wrong with the versions between, which are missing or damaged and were
    skipped. Raises `RegistryError` where nothing is promoted, or no version before it is left that can be served;
    then `latest.json` stays as it is.
    """
    now = read_pointer(folder)
    if now is None:
        raise RegistryError(f"no version is promoted in {folder}")
    skipped: dict[str, str] = {}
    for place in reversed(range(len(now.history))):
        version = now.history[place]
        try:
            manifest = sound_manifest(folder, version)
        except RegistryError as error:
            skipped[version] = str(error)
            continue
        return _point(folder, version, now.asset_key, manifest.get("run_id", ""), now.history[:place]), skipped
    damaged = f": {'; '.join(skipped.values())}" if skipped else ""
    raise RegistryError(f"{now.version} has no version before it to go back to{damaged}")


def readable_pointer(folder: Path) -> Pointer | None:
    """The pointer, None also where it is broken: whoever promotes replaces such a one."""
    try:
        return read_pointer(folder)
    except RegistryError:
        return None


def _point(folder: Path, version: str, asset_key: str, run_id: str, history: tuple[str, ...]) -> Pointer:
    manifest = read_manifest(folder, version)
    pointer = Pointer(
        name=folder.name,
        version=version,
        path=version,
        sha256=manifest["files"][MODEL_FILE],
        asset_key=asset_key,
        run_id=run_id,
        promoted_at=datetime.now(UTC),
        history=history,
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
    if not _is_name(pointer.path):
        raise RegistryError(f"{path} points outside its folder: {pointer.path!r}")
    return pointer


def read_manifest(folder: Path, version: str) -> dict[str, Any]:
    """The manifest of a version. Raises `RegistryError` where there is none that can be read."""
    path = folder / version / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RegistryError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise RegistryError(f"{path} is not a manifest")
    return manifest


def versions(folder: Path) -> list[str]:
    """The versions on disk, promoted or not, sound or not, the one that was made last first."""
    found = (path.parent.name for path in folder.glob("*/" + MANIFEST_FILE))
    return sorted((name for name in found if not name.endswith(".tmp")), reverse=True)


def has_version(folder: Path, version: str) -> bool:
    """Whether there is a version of this name on disk, sound or not."""
    return _is_name(version) and (folder / version / MANIFEST_FILE).is_file()


def newest_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of the version that was made last, promoted or not; None where there is none that is whole."""
    for version in versions(folder):
        try:
            return sound_manifest(folder, version)
        except RegistryError:
            continue
    return None


def sound_manifest(folder: Path, version: str) -> dict[str, Any]:
    """The manifest of a version whose models have the hashes that are in it. Raises `RegistryError` for any other."""
    if not _is_name(version):
        raise RegistryError(f"{version!r} is not the name of a version")
    manifest = read_manifest(folder, version)
    files = manifest.get("files")
    if not isinstance(files, dict) or MODEL_FILE not in files:
        raise RegistryError(f"{folder / version / MANIFEST_FILE} names no {MODEL_FILE}")
    for name in filter(_is_model, files):
        path = folder / version / name
        try:
            actual = sha256_of(path)
        except OSError as error:
            raise RegistryError(f"{path} cannot be read: {error.strerror}") from error
        if files[name] != actual:
            raise RegistryError(f"{path} has not the hash that its manifest gives: it was changed")
    return manifest


def _is_model(name: str) -> bool:
    """LightGBM texts: a model may have several, as the ends of an interval."""
    return name.endswith(".txt") and _is_name(name)


def skill_of(manifest: Mapping[str, Any]) -> float | None:
    """The share of the MAE of its `baseline` that a version saves on the test window; None where it does not say."""
    skill = manifest.get("metrics", {}).get("skill", {}).get(manifest.get("baseline"))
    return None if skill is None else float(skill)


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


def _is_name(text: str) -> bool:
    """Whether it can be a folder right below the model's, and leads nowhere else."""
    return re.fullmatch(r"[\w.-]+", text) is not None and not text.startswith(".")
