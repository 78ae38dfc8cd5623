"""What becomes of a trained model: a recorded version that is promoted if it has skill, or the one before is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from stock_assets import registry
from stock_assets.card import PLOTS
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
    """What is told of a version: its pictures, in a line why this model was chosen, and the asset that made it.

    `describe` writes its card.
    """

    pictures: tuple[Picture, ...]
    chosen: str
    asset_key: str
    describe: Callable[[Path, dict[str, Any]], None]


def publish(settings: Settings, folder: Path, write: Callable[[Path], dict[str, Any]], told: Told) -> Trained:
    """Publish a version that `write` fills, record it, and promote it if it beats its baseline.

    Raises what `write` and the recording raise; then nothing is published.
    """

    def record_it(manifest: dict[str, Any]) -> None:
        promoted = skill_of(manifest) > 0
        record(settings, [of_manifest(manifest, promoted=promoted, reason=_reason(manifest, told.chosen))])

    version, manifest = registry.publish_version(folder, write, told.describe, record_it)
    skill = skill_of(manifest)
    if skill > 0:
        registry.promote(folder, version, told.asset_key, manifest["run_id"])
    return Trained(folder / version, version, skill > 0, skill, manifest, told.pictures)


def keep(folder: Path, last: dict[str, Any], asset_key: str, run_id: str, why: str) -> Trained:
    """The version that is there.

    It is promoted if it has skill, where none is served or the run that made it was stopped before it could; what was
    promoted by hand since then stays.
    """
    version, served, skill = last["version"], served_pointer(folder), skill_of(last)
    made = datetime.fromisoformat(last["created_at"])
    if skill > 0 and (served is None or served.promoted_at < made):
        served = registry.promote(folder, version, asset_key, run_id)
    plots = sorted((folder / version / PLOTS).glob("*.png"))
    pictures = tuple(Picture(path.stem, path.stem, "", path.read_bytes()) for path in plots)
    return Trained(
        folder / version, version, served is not None and served.version == version, skill, last, pictures, why
    )


def served_pointer(folder: Path) -> registry.Pointer | None:
    """The promoted version, None where there is none or the service would refuse it."""
    try:
        pointer = registry.read_pointer(folder)
        if pointer:
            registry.verify(folder, pointer)
    except registry.RegistryError:
        return None
    return pointer


def skill_of(manifest: dict[str, Any]) -> float:
    """The skill against the baseline that decides; a version of ours always says it."""
    return registry.skill_of(manifest) or 0.0


def _reason(manifest: dict[str, Any], chosen: str) -> str:
    skill, baseline = skill_of(manifest), manifest["baseline"]
    if skill > 0:
        return f"promoted: {chosen}, and it saves {skill:+.2%} of the MAE of {baseline} on the test window"
    return f"not promoted: {chosen}, but it has a skill of {skill:+.2%} against {baseline} on the test window"
