"""The sources: each brings raw files into place and publishes `raw/manifest.json`."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from stock_assets.budget import thread_count
from stock_assets.errors import UserError
from stock_assets.ingest import archive, demo, kaggle_dataset
from stock_assets.ingest.inspection import inspect
from stock_assets.ingest.snapshot import Manifest, read_manifest, write_manifest
from stock_assets.layout import Layout
from stock_assets.publishing import Report, scratch
from stock_assets.registry import sha256_of
from stock_assets.settings import Settings


def refresh(settings: Settings, report: Report) -> Manifest:
    """Bring the files of the chosen source into place and publish their manifest.

    Raises `UserError` where the source is missing or unsound; the snapshot before stays in use then.
    """
    layout = Layout(settings.data_dir)
    if settings.source == "demo":
        manifest = _demo(settings, layout, report)
    elif settings.source == "kaggle":
        manifest = _kaggle(settings, layout, report)
    else:
        path = source_path(settings)
        manifest = _folder(settings, layout, path, report) if path.is_dir() else _zip(settings, layout, path, report)
    write_manifest(layout, manifest)
    _remove_other_snapshots(layout, manifest)
    kaggle_dataset.remove_downloads(layout.raw / "download")
    return manifest


def source_path(settings: Settings) -> Path:
    """The user's folder or zip. Raises `UserError` where there is none."""
    path = settings.source_path
    if path is None:
        raise UserError("STOCK_ASSETS_SOURCE=folder needs STOCK_ASSETS_SOURCE_PATH: a folder or a zip")
    if not path.exists():
        raise UserError(f"STOCK_ASSETS_SOURCE_PATH={path}: there is no such folder or zip")
    return path.resolve()


def zip_origin(path: Path) -> str:
    """What a snapshot of this zip has as its origin."""
    return f"zip {sha256_of(path)}"


def kaggle_origin(version: str) -> str:
    """What a snapshot of `owner/name/versions/N` has as its origin."""
    return f"kaggle {version}"


def demo_origin(settings: Settings) -> str:
    """What a snapshot of the generated market has as its origin: the settings, and the code that generates it."""
    code = "".join(sha256_of(path)[:8] for path in sorted(Path(__file__).parent.glob("demo*.py")))
    return f"demo files={settings.demo_files} start={settings.demo_start} seed={settings.demo_seed} code={code}"


def _folder(settings: Settings, layout: Layout, path: Path, report: Report) -> Manifest:
    report(f"looking at the files of {path}")
    known = _current(layout)
    return inspect(
        "folder", str(path), path, thread_count(settings), known if known and known.origin == str(path) else None
    )


def _zip(settings: Settings, layout: Layout, path: Path, report: Report) -> Manifest:
    def fill(root: Path) -> None:
        report(f"unpacking {path}")
        archive.extract(path, root)

    return _snapshot(settings, layout, zip_origin(path), fill)


def _kaggle(settings: Settings, layout: Layout, report: Report) -> Manifest:
    version = kaggle_dataset.current_version(settings.kaggle_dataset, report)

    def fill(root: Path) -> None:
        path = kaggle_dataset.download(version, layout.raw / "download", report)
        report(f"unpacking {path}")
        archive.extract(path, root)

    return _snapshot(settings, layout, kaggle_origin(version), fill)


def _demo(settings: Settings, layout: Layout, report: Report) -> Manifest:
    files, start, seed = settings.demo_files, settings.demo_start, settings.demo_seed

    def fill(root: Path) -> None:
        def progress(done: int, total: int) -> None:
            report(f"generated {done} of {total} files")

        demo.write_market(root, files, start, seed, thread_count(settings), progress)

    return _snapshot(settings, layout, demo_origin(settings), fill)


def _current(layout: Layout) -> Manifest | None:
    """The manifest in force; None where there is none, or a broken one, which the next one replaces."""
    try:
        return read_manifest(layout)
    except UserError:
        return None


def _snapshot(settings: Settings, layout: Layout, origin: str, fill: Callable[[Path], None]) -> Manifest:
    """The snapshot of `origin` below `raw/`: the one in use if it is that and whole, or else a new one."""
    current = _current(layout)
    if current and current.origin == origin and current.is_complete(layout):
        again = inspect(settings.source, origin, current.folder(layout), thread_count(settings), current)
        if again.version == current.version:
            return again.model_copy(update={"root": current.root})
    with scratch(layout.raw / "snapshot") as root:
        root.mkdir()
        fill(root)
        manifest = inspect(settings.source, origin, root, thread_count(settings))
        place = layout.raw / manifest.version
        with scratch(place) as damaged:
            if place.exists():
                place.rename(damaged)
            root.rename(place)
    return manifest.model_copy(update={"root": place.relative_to(layout.data_dir)})


def _remove_other_snapshots(layout: Layout, manifest: Manifest) -> None:
    """Only the snapshot in use is kept: at full size each takes 2.5 GB. What has another name is not ours."""
    used = manifest.folder(layout).resolve()
    for path in layout.raw.resolve().glob("*/"):
        if re.fullmatch(r"[0-9a-f]{16}", path.name) and not used.is_relative_to(path):
            shutil.rmtree(path)
