"""The lake: tables and models in an object store. A manifest names every object of one version; readers begin there.

Objects never change: those of tables are named by their content, those of models by their version. `manifest.json` is
replaced last, so whoever reads it and then only what it names sees one version, whatever is published meanwhile.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from stock_assets.errors import UserError
from stock_assets.layout import Layout
from stock_assets.objects import S3, ObjectStore, open_store
from stock_assets.registry import Pointer, sha256_of
from stock_assets.settings import Settings

MANIFEST = "manifest.json"
HISTORY = "manifests/"
OBJECTS = "objects/"
MODELS = "models/"

OURS = re.compile(
    r"objects/\w+/(letter=\w/)?[0-9a-f]{32}\.parquet|models/\w+/\d{8}T\d{12}-[0-9a-f]{8}/.+|manifests/[\w-]+\.json"
)
"""Keys of what this program publishes, so that what others keep in the same place is left alone."""

Name = Annotated[str, Field(pattern=r"^\w[\w.=-]*(/\w[\w.=-]*)*$")]
"""A relative path that leads nowhere else."""


class LakeFile(BaseModel, frozen=True):
    """An object, and its file in a data folder: `name` is below `lake/<table>` or `models/<model>/<version>`.

    Tables have `rows`, and a `letter` where they are partitioned by it.
    """

    key: Name
    name: Name
    bytes: int
    sha256: str
    rows: int | None = None
    letter: str | None = None


class LakeModel(BaseModel, frozen=True):
    """The promoted version of a model, as `latest.json` has it, and the files of that and of the newest version."""

    pointer: Pointer | None = None
    versions: dict[Name, tuple[LakeFile, ...]]


class LakeManifest(BaseModel, frozen=True):
    """One version of the lake: its tables and models by name. `previous` is the version that it replaced."""

    format: Literal[1] = 1
    version: str
    published_at: datetime
    previous: str | None = None
    tables: dict[Name, tuple[LakeFile, ...]]
    models: dict[Name, LakeModel]

    def files(self) -> Iterator[LakeFile]:
        """All files, of tables and of models."""
        for table in self.tables.values():
            yield from table
        for model in self.models.values():
            for version in model.versions.values():
                yield from version


def object_key(table: str, letter: str | None, sha256: str) -> str:
    """Where a Parquet file with this content lies, in `table` or in the letter's part of it."""
    part = f"letter={letter}/" if letter else ""
    return f"{OBJECTS}{table}/{part}{sha256[:32]}.parquet"


def settings_store(settings: Settings) -> ObjectStore:
    """The store of `lake_url`. Raises `UserError` where that is not set, or lies in the data folder."""
    if settings.lake_url is None:
        raise UserError("STOCK_ASSETS_LAKE_URL is not set: give it a folder or s3://bucket/prefix")
    if not settings.lake_url.startswith(S3):
        folder = Path(settings.lake_url).expanduser().resolve()
        if folder.is_relative_to(settings.data_dir.resolve()):
            raise UserError(
                f"STOCK_ASSETS_LAKE_URL={settings.lake_url} is in the data folder {settings.data_dir}, whose tables "
                "and models it would mix up: give it a folder elsewhere"
            )
        if Layout(folder).database.exists() or Layout(folder).manifest.exists():
            raise UserError(
                f"STOCK_ASSETS_LAKE_URL={settings.lake_url} is the data folder of a pipeline, whose models it would "
                "mix up: give it a folder of its own"
            )
    return open_store(settings.lake_url)


def read_manifest(store: ObjectStore) -> LakeManifest:
    """What was published last. Raises `UserError` where nothing was, and what the store raises."""
    manifest = find_manifest(store)
    if manifest is None:
        raise UserError(f"the lake {store.url} has no {MANIFEST}: nothing was published there yet (stock-assets run)")
    return manifest


def find_manifest(store: ObjectStore, key: str = MANIFEST) -> LakeManifest | None:
    """The manifest of this key, None where there is none. Raises `UserError` for one that cannot be used."""
    content = store.read(key)
    return None if content is None else parse_manifest(content, store.address(key))


def parse_manifest(content: bytes, address: str) -> LakeManifest:
    """The manifest of these bytes. Raises `UserError` for one of another format, or for none."""
    try:
        return LakeManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"{address}: {where}: {first['msg']}; another version of this program made it, or it was damaged"
        ) from error


def table_files(store: ObjectStore, manifest: LakeManifest, table: str) -> tuple[LakeFile, ...]:
    """The files of a table. Raises `UserError` where the lake has none of that name."""
    if table not in manifest.tables:
        known = ", ".join(manifest.tables) or "none"
        raise UserError(f"the lake {store.url} has no table {table}; it has {known}")
    return manifest.tables[table]


def table_addresses(store: ObjectStore, manifest: LakeManifest, table: str) -> list[str]:
    """The URLs or paths of the files of a table, by which other programs read them. Raises as `table_files` does."""
    return [store.address(file.key) for file in table_files(store, manifest, table)]


def fetch(store: ObjectStore, file: LakeFile, path: Path) -> None:
    """Write an object to `path`, a temporary name. Raises `UserError` where it has not the hash that it should."""
    path.parent.mkdir(parents=True, exist_ok=True)
    store.get(file.key, path)
    if sha256_of(path) != file.sha256:
        raise UserError(
            f"{store.address(file.key)} has not the hash that {MANIFEST} gives: it was changed; remove it there, then "
            "materialize lake, which puts it again"
        )
