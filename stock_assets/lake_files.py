"""What of a data folder is published in the lake: its files, described as the manifest has them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from stock_assets import registry
from stock_assets.errors import UserError, first_line
from stock_assets.lake import MODELS, LakeFile, LakeModel, object_key
from stock_assets.layout import Layout
from stock_assets.publishing import Report

LETTER = "letter="

Local = tuple[Path, LakeFile]


def described(path: Path) -> Local:
    """A file of `lake/<table>`, as the manifest has it. Raises `UserError` where it is damaged or oddly named."""
    letter = path.parent.name.removeprefix(LETTER) if path.parent.name.startswith(LETTER) else None
    sha256 = registry.sha256_of(path)
    name = f"{path.parent.name}/{path.name}" if letter else path.name
    return path, _file(path, object_key(table_of(path), letter, sha256), name, sha256, rows=_rows(path), letter=letter)


def table_of(path: Path) -> str:
    """The table of a file, in the folder of its table or of a letter there."""
    return path.parents[path.parent.name.startswith(LETTER)].name


def _file(path: Path, key: str, name: str, sha256: str, **others: Any) -> LakeFile:
    """Raises `UserError` where the file or its folder has a name that none has here."""
    try:
        return LakeFile(key=key, name=name, bytes=path.stat().st_size, sha256=sha256, **others)
    except ValidationError as error:
        raise UserError(f"{path} has a name that nothing in the lake can have: rename it or take it away") from error


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}; remove it and materialize its table") from error


def by_table(locals_: Iterable[Local]) -> dict[str, tuple[LakeFile, ...]]:
    """The files of each table."""
    tables: dict[str, tuple[LakeFile, ...]] = {}
    for path, file in locals_:
        tables[table_of(path)] = (*tables.get(table_of(path), ()), file)
    return tables


def local_models(
    layout: Layout, report: Report, before: Mapping[str, LakeModel] | None = None
) -> dict[str, tuple[LakeModel, list[Local]]]:
    """Each model that has a version: what the manifest says of it, and its files.

    Raises `UserError` for one that is damaged, but where it is known from `before`, then stays so and is reported.
    """
    models: dict[str, tuple[LakeModel, list[Local]]] = {}
    for folder in sorted(layout.models.glob("*/")):
        try:
            pointer = registry.read_pointer(folder)
            found = {pointer.version: registry.sound_manifest(folder, pointer.version)} if pointer else {}
        except registry.RegistryError as error:
            damage = f"{error}; materialize {folder.name} anew, or promote another version"
            if before is None:
                raise UserError(damage) from error
            report(f"{folder.name} stays in the lake as it is: {damage}")
            if folder.name in before:
                models[folder.name] = before[folder.name], []
            continue
        found |= _newest(folder)
        if found:
            files = {version: list(_version_files(folder / version, found[version], report)) for version in found}
            model = LakeModel(
                pointer=pointer,
                versions={version: tuple(file for _, file in locals_) for version, locals_ in files.items()},
            )
            models[folder.name] = model, [local for locals_ in files.values() for local in locals_]
    return models


def _newest(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest of the version that was made last, by its name; none where no version is whole."""
    for version in registry.versions(folder):
        with suppress(registry.RegistryError):
            return {version: registry.sound_manifest(folder, version)}
    return {}


def _version_files(folder: Path, manifest: dict[str, Any], report: Report) -> Iterator[Local]:
    """The files of a version, but not those changed since it was made: their keys stand for what they were."""
    for name, sha256 in sorted(manifest["files"].items()):
        path = folder / name
        if not path.is_file() or registry.sha256_of(path) != sha256:
            report(f"{path} stays out of the lake: it is missing or was changed since the version was made")
            continue
        yield path, _version_file(folder, name, sha256)
    yield (
        folder / registry.MANIFEST_FILE,
        _version_file(folder, registry.MANIFEST_FILE, registry.sha256_of(folder / registry.MANIFEST_FILE)),
    )


def _version_file(folder: Path, name: str, sha256: str) -> LakeFile:
    key = f"{MODELS}{folder.parent.name}/{folder.name}/{name}"
    return _file(folder / name, key, name, sha256)
