"""Publishing to the lake: what is missing there is put, then the manifest; last, what nobody can be reading is removed.

Who publishes last decides what the lake has, also where two hosts do: both manifests name only objects that are there.
For that, nothing is removed that was put, or named by the manifest in force, within the last `GRACE`; and who publishes
relies only on objects that are named by the manifest in force, or so young that they outlast the publication.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, get_args

from filelock import FileLock, Timeout

from stock_assets.errors import TransientError, UserError
from stock_assets.lake import (
    HISTORY,
    MANIFEST,
    MODELS,
    OBJECTS,
    OURS,
    LakeFile,
    LakeManifest,
    LakeModel,
    find_manifest,
    settings_store,
)
from stock_assets.lake_files import Local, by_table, described, local_models, table_of
from stock_assets.layout import CryptoTable, Layout
from stock_assets.objects import Found, ObjectStore
from stock_assets.publishing import Report
from stock_assets.settings import Settings

GRACE = timedelta(days=1)
"""How long readers of a replaced manifest, and engines that put objects ahead of one, can rely on what they use."""
KEPT = 5
"""Manifests whose objects stay however old they are."""
THREADS = 4
LOCK_SECONDS = 60.0
"""For another process to publish the models of the same data folder, which takes seconds."""

CRYPTO_TABLES = get_args(CryptoTable)


class Published(NamedTuple):
    """What is in the lake now; `new` says whether that is another version than before.

    `uploaded` and `removed` are numbers of objects, `uploaded_bytes` their size.
    """

    manifest: LakeManifest
    new: bool
    uploaded: int
    uploaded_bytes: int
    removed: int


def publish(settings: Settings, report: Report, *, crypto: bool = False) -> Published:
    """Publish the tables of one of the two pipelines, and all models, for whoever holds the data folder's lock.

    The other pipeline's tables stay as the lake has them: its last run may have ended between two of them. Raises
    `UserError` where the lake refuses it or a model was damaged, `TransientError` where it does not answer; then the
    lake has what it had.
    """
    layout = Layout(settings.data_dir)
    publication = _Publication(settings_store(settings), report)
    paths = [path for path in sorted(layout.lake.glob("*/**/*.parquet")) if (table_of(path) in CRYPTO_TABLES) == crypto]
    with ThreadPoolExecutor(THREADS) as pool:
        own = list(pool.map(described, paths))
    publication.put(own)
    with _alone(layout):  # not to undo a promotion by hand that is published meanwhile
        models = local_models(layout, report)
        publication.put(local for _, locals_ in models.values() for local in locals_)
        kept = {name: files for name, files in publication.tables().items() if (name in CRYPTO_TABLES) != crypto}
        published = publication.finish(kept | by_table(own), {name: model for name, (model, _) in models.items()})
    return publication.prune(published)


def publish_models(settings: Settings, report: Report) -> Published:
    """Publish the models of the data folder beside the tables that the lake has; no lock of a run is waited for.

    One that is damaged stays as the lake has it, and keeps no other from a promotion. Raises as `publish` does.
    """
    layout = Layout(settings.data_dir)
    with _alone(layout):
        publication = _Publication(settings_store(settings), report)
        before = publication.before.models if publication.before else {}
        models = local_models(layout, report, before)
        publication.put(local for _, locals_ in models.values() for local in locals_)
        published = publication.finish(publication.tables(), {name: model for name, (model, _) in models.items()})
    return publication.prune(published)


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Hold what is published of the data folder's models. Raises `TransientError` where another process does so."""
    try:
        held = FileLock(layout.lake_lock).acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise TransientError(
            f"another process holds {layout.lake_lock} for {LOCK_SECONDS:.0f} s: a publication that does not end, or a "
            "service that mirrors a lake into this data folder"
        ) from error
    with held:
        yield


class _Publication:
    """One publication: what was there when it began, and what it has put."""

    def __init__(self, store: ObjectStore, report: Report) -> None:
        self.before = find_manifest(store)
        self._store = store
        self._report = report
        self._found = {found.key: found for prefix in (OBJECTS, MODELS) for found in store.list(prefix)}
        self._uploaded = 0
        self._bytes = 0

    def put(self, locals_: Iterable[Local]) -> None:
        """Put the files that are not there, or may not be there for long. Raises as the store does."""
        named = {file.key for file in self.before.files()} if self.before else set()
        missing = [(path, file) for path, file in locals_ if not self._stays(file, named)]
        if not missing:
            return
        size = sum(file.bytes for _, file in missing)
        self._report(f"{len(missing)} files of {size / 1e6:,.1f} MB go to the lake {self._store.url}")
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for _ in pool.map(lambda local: self._store.put(local[0], local[1].key), missing):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._uploaded += len(missing)
        self._bytes += size

    def tables(self) -> dict[str, tuple[LakeFile, ...]]:
        """The tables that the lake had when the publication began."""
        return self.before.tables if self.before else {}

    def finish(self, tables: dict[str, tuple[LakeFile, ...]], models: dict[str, LakeModel]) -> Published:
        """Replace the manifest, if it is another one now."""
        current = find_manifest(self._store)
        new = current is None or (current.tables, current.models) != (tables, models)
        if current is None or new:
            now = datetime.now(UTC)
            current = LakeManifest(
                version=f"{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}",
                published_at=now,
                previous=current.version if current else None,
                tables=tables,
                models=models,
            )
            content = current.model_dump_json(indent=1, exclude_none=True).encode()
            self._store.write(content, f"{HISTORY}{current.version}.json")
            self._store.write(content, MANIFEST)
        return Published(current, new, self._uploaded, self._bytes, removed=0)

    def prune(self, published: Published) -> Published:
        """Remove what is not needed any more. The new version is in force: where that fails, it is only told."""
        try:
            return published._replace(removed=_prune(self._store, published.manifest, self._found.values()))
        except UserError as error:
            self._report(f"what nobody needs any more stays in the lake until the next publication: {error}")
            return published

    def _stays(self, file: LakeFile, named: set[str]) -> bool:
        found = self._found.get(file.key)
        if found is None or found.size != file.bytes:
            return False
        return file.key in named or found.modified > datetime.now(UTC) - GRACE / 2


def _prune(store: ObjectStore, current: LakeManifest, found: Iterable[Found]) -> int:
    """Remove old objects that no manifest names which is in force, was until lately, or is one of the last few."""
    oldest = datetime.now(UTC) - GRACE
    named = {file.key for file in current.files()}
    aged = {one.key for one in found if _is_ours(one) and one.modified < oldest and one.key not in named}
    listed = [one for one in store.list(HISTORY) if _is_ours(one)]
    history = [one for one in listed if one.key.endswith(".json")]  # in a folder, what a killed run left is there too
    # A manifest was in force until the next one came.
    replaced = [one.modified for one in history[1:]] + [datetime.now(UTC)]
    gone = [one.key for one, when in zip(history[:-KEPT], replaced[:-KEPT], strict=True) if when < oldest]
    gone += [one.key for one in listed if one not in history and one.modified < oldest]
    if aged:
        for one in history:
            if one.key not in gone and (manifest := find_manifest(store, one.key)):
                aged -= {file.key for file in manifest.files()}
    removed = 0
    for key in sorted(aged):
        # Looked at once more: another host may have put it again since it was listed.
        if any(one.key == key and one.modified < oldest for one in store.list(key)):
            store.delete(key)
            removed += 1
    for key in gone:
        store.delete(key)
    return removed


def _is_ours(found: Found) -> bool:
    """Whether this program put it, under its name or, in a folder, a temporary one."""
    return OURS.fullmatch(re.sub(r"\.[0-9a-f]{8}\.tmp$", "", found.key)) is not None
