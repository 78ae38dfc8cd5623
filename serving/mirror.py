"""The lake, mirrored into the service's own data folder, for a host without the pipeline.

One process of a host does it, whichever holds the lock; all of them find what is new as they would find what a pipeline
published: by renames of whole files and folders. Every file is held against its hash before it has its name.
"""

import shutil
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from serving.store import logger, signature
from stock_assets import registry
from stock_assets.errors import TransientError, UserError
from stock_assets.lake import MANIFEST, LakeFile, LakeManifest, LakeModel, fetch, parse_manifest, settings_store
from stock_assets.layout import Layout
from stock_assets.publishing import staged, staged_folder, sweep, write_json
from stock_assets.settings import Settings

TABLES = ("symbols", "next_day_forecasts", "next_day_explanations", "next_day_backtest", "next_price_predictions")
"""What the service reads beside the models; and `features`, which is large and comes last."""
NOT_READ = ("model.pkl",)
AGAIN_SECONDS = 30.0
"""Until what could not be had is asked for again, unless the lake has another version before."""


class Mirror:
    """Follows the lake in a thread of its own, from `start` to `stop`.

    Raises `UserError` where no lake is set, or the data folder is that of a pipeline, which would be overwritten.
    """

    def __init__(self, settings: Settings) -> None:
        layout = Layout(settings.data_dir)
        self._store = settings_store(settings)
        _require_no_pipeline(layout)
        self._layout = layout
        self._seconds = settings.reload_seconds
        self._lock = FileLock(layout.lake_lock)
        self._tag = ""
        self._wanted: LakeManifest | None = None
        self._later: list[tuple[LakeFile, Path]] = []
        self._known: dict[Path, tuple[tuple[int, ...] | None, str]] = {}
        self._due, self._again = 0.0, 0.0
        self._problem: str | None = None
        self._looked, self._stopped = threading.Event(), threading.Event()

    def start(self, patience: float) -> None:
        """Begin, and wait up to so many seconds for what the lake has now, but for features."""
        # A daemon, so that a lake that does not answer keeps no service from ending.
        threading.Thread(target=self._follow, name="lake", daemon=True).start()
        self._looked.wait(patience)

    def stop(self) -> None:
        """End after what is under way; nothing is waited for."""
        self._stopped.set()

    def refresh(self) -> bool:
        """Ask for the manifest once, and bring all that it names but features to where the service reads it.

        Costs no request where another process of this host does it. What fails is logged once and tried again; gives
        whether the lake can be followed.
        """
        try:
            if not self._leads():
                return True
            newer = self._store.read_newer(MANIFEST, self._tag)
            if newer:
                self._wanted, self._due = parse_manifest(newer[0], self._store.address(MANIFEST)), 0.0
                self._tag = newer[1]
            elif not self._tag:
                raise UserError(f"the lake {self._store.url} has no {MANIFEST}: nothing was published there yet")  # noqa: TRY301
            if self._wanted and time.monotonic() >= self._due:
                self._take(self._wanted)
            if not self._wanted and not self._later:
                self._problem = None
        except (UserError, OSError) as error:
            self._report(error)
            return False
        return True

    def fetch_features(self, seconds: float) -> None:
        """Look at the features for so long, a file at least, and fetch those that are others than here.

        One that cannot be had goes behind the others, until the manifest is another one or its turn comes again.
        """
        until = time.monotonic() + seconds
        for file, path in list(self._later):
            if self._stopped.is_set() or time.monotonic() > until:
                return
            self._later.remove((file, path))
            try:
                self._take_file(file, path)
            except (UserError, OSError) as error:
                self._later.append((file, path))
                self._report(error)
                self._again = time.monotonic() + AGAIN_SECONDS
        if not self._later:
            self._problem = None

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                well = self.refresh()
                self._looked.set()
                if well and self._later and time.monotonic() > self._again:
                    self.fetch_features(self._seconds)
            except Exception:
                logger.exception("mirroring the lake failed; it is tried again")
            self._looked.set()
            self._stopped.wait(self._seconds)
        self._lock.release()

    def _leads(self) -> bool:
        if not self._lock.is_locked:
            try:
                self._layout.data_dir.mkdir(parents=True, exist_ok=True)
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
            sweep(self._layout.data_dir)
        return True

    def _take(self, manifest: LakeManifest) -> None:
        """What of it cannot be had keeps nothing else from its place, and is asked for again after a while.

        Raises `TransientError` where the lake does not answer.
        """
        _require_no_pipeline(self._layout)
        parts = [
            partial(self._take_model, self._layout.models / name, model) for name, model in manifest.models.items()
        ]
        for name in TABLES:
            parts += [partial(self._take_file, file, path) for file, path in self._files(manifest, name)]
        faults = 0
        for take in parts:
            try:
                take()
            except TransientError:
                raise
            except (UserError, OSError) as error:
                faults += 1
                self._report(error)
        self._later = self._files(manifest, "features")
        if faults:
            self._due = time.monotonic() + AGAIN_SECONDS
        else:
            self._wanted = None
            logger.info("the models and tables of the lake's version %s are in place", manifest.version)

    def _take_model(self, folder: Path, model: LakeModel) -> None:
        """The promoted version first, then the pointer to it, as they are published."""
        if model.pointer is None:
            (folder / "latest.json").unlink(missing_ok=True)
        else:
            if model.pointer.version not in model.versions:
                raise UserError(f"the lake's {MANIFEST} promotes a version of {folder.name} that it names no files of")
            self._take_version(folder / model.pointer.version, model.versions[model.pointer.version])
            if model.pointer != registry.readable_pointer(folder):
                write_json(folder / "latest.json", model.pointer.model_dump(mode="json"))
        for version, files in model.versions.items():
            self._take_version(folder / version, files)
        for version in registry.versions(folder):
            if version not in model.versions:
                shutil.rmtree(folder / version)

    def _take_version(self, folder: Path, files: Sequence[LakeFile]) -> None:
        if not _is_sound(folder.parent, folder.name):
            with staged_folder(folder) as place:
                for file in files:
                    if file.name not in NOT_READ:
                        fetch(self._store, file, place / file.name)

    def _files(self, manifest: LakeManifest, table: str) -> list[tuple[LakeFile, Path]]:
        """The files of a table and their places; what lies in others is removed, as the lake does not have it."""
        folder = self._layout.lake / table
        places = [(file, folder / file.name) for file in manifest.tables.get(table, ())]
        for path in {*folder.rglob("*.parquet")} - {path for _, path in places}:
            path.unlink()
        return places

    def _take_file(self, file: LakeFile, path: Path) -> None:
        seen = signature(path)
        if seen and self._known.get(path, (None, ""))[0] != seen:
            self._known[path] = seen, registry.sha256_of(path)
        if seen is None or self._known[path][1] != file.sha256:
            with staged(path) as temporary:
                fetch(self._store, file, temporary)
            self._known[path] = signature(path), file.sha256

    def _report(self, error: Exception) -> None:
        problem = str(error)
        if problem != self._problem:
            self._problem = problem
            logger.warning("the service goes on with what it has of the lake: %s", problem)


def _require_no_pipeline(layout: Layout) -> None:
    for own in (layout.database, layout.manifest, layout.crypto_database):
        if own.exists():
            raise UserError(
                f"{layout.data_dir} is the data folder of a pipeline, which the lake would overwrite: give the "
                "service another STOCK_ASSETS_DATA_DIR, or set STOCK_ASSETS_SERVING_FROM_LAKE=false"
            )


def _is_sound(folder: Path, version: str) -> bool:
    try:
        registry.sound_manifest(folder, version)
    except registry.RegistryError:
        return False
    return True
