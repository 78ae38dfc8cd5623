"""Promoting and rolling back by hand: a version is looked at, `latest.json` moves, and table and lake are told.

`run.lock` is not waited for, so that a rollback takes no longer while a run is training: `latest.json` is replaced as
a whole, and whoever is last has decided.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stock_assets import registry
from stock_assets.errors import UserError
from stock_assets.experiments import of_manifest, record
from stock_assets.layout import Layout
from stock_assets.settings import Settings


class Change(NamedTuple):
    """What is served now and what was before; `skipped` tells what is wrong with versions that were passed over."""

    version: str
    before: str | None
    skipped: dict[str, str]


def model_folders(settings: Settings) -> dict[str, Path]:
    """The folder of each model that has a version, by its name."""
    folders = sorted(Layout(settings.data_dir).models.glob("*/"))
    return {folder.name: folder for folder in folders if registry.versions(folder)}


def model_folder(settings: Settings, model: str) -> Path:
    """`models/<model>`. Raises `UserError` where it has no version."""
    folders = model_folders(settings)
    if model not in folders:
        known = f"there are {', '.join(folders)}" if folders else "run the pipeline first (make run)"
        raise UserError(f"{model}: no such model in {Layout(settings.data_dir).models}: {known}")
    return folders[model]


def promote(settings: Settings, model: str, version: str, *, force: bool) -> Change:
    """Serve a version from now on. Raises `UserError` for one that is missing or damaged.

    Without `force` also for one that is worth no more than its baseline, or does not say.
    """
    folder = model_folder(settings, model)
    with _one_line(f"stock-assets models list {model} shows the versions"):
        manifest = registry.sound_manifest(folder, version)
        skill = registry.skill_of(manifest)
        if not force and (skill is None or skill <= 0):
            worth = "its manifest gives no skill" if skill is None else f"its skill is {skill:+.2%}"
            raise UserError(f"{version} is not promoted: {worth}; --force promotes it all the same")
        before = registry.readable_pointer(folder)
        registry.promote(folder, version, model, manifest.get("run_id", ""))
    _tell(settings, manifest, "promoted by hand")
    return Change(version, before.version if before else None, {})


def roll_back(settings: Settings, model: str) -> Change:
    """Serve the version again that was served before. Raises `UserError` where there is none that can be."""
    folder = model_folder(settings, model)
    with _one_line(f"stock-assets models promote {model} VERSION takes any version"):
        before = registry.read_pointer(folder)
        pointer, skipped = registry.rollback(folder)
        manifest = registry.read_manifest(folder, pointer.version)
    served = before.version if before else "nothing"
    _tell(settings, manifest, f"rolled back from {served}")
    return Change(pointer.version, served, skipped)


def _tell(settings: Settings, manifest: dict[str, Any], reason: str) -> None:
    """Append the experiment and publish in the lake. Raises `UserError` for what of it failed, after both."""
    told: dict[str, Callable[[], object]] = {
        "recorded": lambda: record(settings, [of_manifest(manifest, promoted=True, reason=reason)]),
    }
    if settings.lake_url:
        from stock_assets.lake_publishing import publish_models  # noqa: PLC0415 - for those who have one

        told["published in the lake"] = lambda: publish_models(settings, lambda _: None)
    faults = []
    for what, tell in told.items():
        try:
            tell()
        except (UserError, OSError) as error:
            faults.append(f"that was not {what}: {error}")
    if faults:
        raise UserError(f"{manifest['version']} is promoted, but {'; and '.join(faults)}")


@contextmanager
def _one_line(remedy: str) -> Iterator[None]:
    try:
        yield
    except registry.RegistryError as error:
        raise UserError(f"{error}; {remedy}") from error
    except OSError as error:
        raise UserError(f"latest.json stays as it was: {error}; try again") from error
