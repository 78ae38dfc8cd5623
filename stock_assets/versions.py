"""What becomes of a trained model: a recorded version that is promoted if it has skill, or the one before is kept."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stock_assets import registry
from stock_assets.card import PLOTS
from stock_assets.errors import UserError
from stock_assets.experiments import of_manifest, record
from stock_assets.pictures import Picture
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Trained:
    """A published version. `skill` is the share of the MAE of its `baseline` that it saves on the test window.

    `kept` says why an earlier version was kept in place of a new one, None where it is new. `pictures` are those of
    the card in `folder`.
    """

    folder: Path
    version: str
    promoted: bool
    skill: float
    manifest: dict[str, Any]
    pictures: tuple[Picture, ...]
    kept: str | None = None

    @property
    def verdict(self) -> str:
        named = f" ({self.manifest['candidate']})" if "candidate" in self.manifest else ""
        saves = f"saves {self.skill:+.2%} of the MAE of {self.manifest['baseline']} on the test window"
        beats = f"{self.version}{named} {saves}"
        if self.kept:
            return f"{beats}: kept, {self.kept}"
        return f"{beats}: promoted" if self.promoted else f"{beats}: not promoted, latest.json stays as it was"


class Told(NamedTuple):
    """What is told of a version: its pictures, in a line why this model was chosen, and the asset that made it."""

    pictures: tuple[Picture, ...]
    chosen: str
    asset_key: str


def publish(settings: Settings, folder: Path, write: Callable[[Path], dict[str, Any]], told: Told) -> Trained:
    """Publish a version that `write` fills, record it, and promote it if it beats its baseline.

    Raises what `write` and the recording raise; then nothing is published.
    """
    version, manifest = registry.publish_version(folder, write)
    skill = skill_of(manifest)
    promoted = skill > 0
    try:
        record(settings, [of_manifest(manifest, promoted=promoted, reason=_reason(manifest, told.chosen))])
    except (UserError, OSError):
        shutil.rmtree(folder / version)  # or the next run would keep a version that was never recorded
        raise
    if promoted:
        registry.promote(folder, version, told.asset_key, manifest["run_id"])
    return Trained(folder / version, version, promoted, skill, manifest, told.pictures)


def keep(folder: Path, last: dict[str, Any], asset_key: str, run_id: str, why: str) -> Trained:
    """The version that is there; it is promoted if it has skill and none is served."""
    version, served, skill = last["version"], served_version(folder), skill_of(last)
    if served is None and skill > 0:
        served = registry.promote(folder, version, asset_key, run_id).version
    plots = sorted((folder / version / PLOTS).glob("*.png"))
    pictures = tuple(Picture(path.stem, path.stem, "", path.read_bytes()) for path in plots)
    return Trained(folder / version, version, served == version, skill, last, pictures, why)


def served_version(folder: Path) -> str | None:
    """The promoted version, None where there is none or the service would refuse it."""
    try:
        pointer = registry.read_pointer(folder)
        if pointer:
            registry.verify(folder, pointer)
    except registry.RegistryError:
        return None
    return pointer.version if pointer else None


def skill_of(manifest: dict[str, Any]) -> float:
    """The skill against the baseline that decides."""
    return float(manifest["metrics"]["skill"][manifest["baseline"]])


def _reason(manifest: dict[str, Any], chosen: str) -> str:
    skill, baseline = skill_of(manifest), manifest["baseline"]
    if skill > 0:
        return f"promoted: {chosen}, and it saves {skill:+.2%} of the MAE of {baseline} on the test window"
    return f"not promoted: {chosen}, but it has a skill of {skill:+.2%} against {baseline} on the test window"
