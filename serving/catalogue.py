"""What is known of the models on disk: which version is promoted, and what each was measured to be worth."""

from collections import OrderedDict
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving import next_price
from serving.published import RUN
from serving.store import signature, told
from stock_assets.errors import first_line
from stock_assets.registry import Pointer, RegistryError, read_manifest, read_pointer, versions

PURPOSES = {
    "volume_model": "A day's volume, from the 30-day windows that end on that day.",
    "next_day_model": "A symbol's volume on its next trading day.",
    "next_price_model": "A crypto asset's price on the next day.",
}
"""The models that this project makes; others that lie beside them are listed too."""
SERVED = "volume_model"
"""The one that this service loads; what the others said is in published files."""
MOST_VERSIONS = 100
CARD_FILE, PLOTS = "card.html", "plots/"
REMEDIES = {"next_price_model": next_price.REMEDY}
"""What makes a model that the pipeline of the market does not."""
KEPT = 16
"""Models whose listing stays in memory."""


class Scores(BaseModel):
    """Errors on the rows of one window: MAE and RMSE in shares a day, the APE and WAPE as parts of the volume.

    Of next_price_model MAE and RMSE are parts of the asset's mean price, the APE is of the price.
    """

    model_config = ConfigDict(populate_by_name=True)
    rows: int | None = None
    from_: date | None = Field(None, alias="from", description="First day of the window.")
    to: date | None = Field(None, description="Last day of the window.")
    mae: float | None = None
    rmse: float | None = None
    median_ape: float | None = None
    wape: float | None = None
    r2_log: float | None = None


class Candidate(BaseModel):
    """What a candidate that was measured beside a version reached on the same rows."""

    validation_mae: float | None = Field(
        None, description="MAE on the validation window, which decides, in the unit of the scores."
    )
    mae: float | None = Field(None, description="MAE on the test window, in the unit of the scores.")
    skill: dict[str, float] = Field({}, description="By baseline, the share of its MAE that is saved.")
    skill_interval: dict[str, tuple[float, float]] = {}
    servable: bool | None = Field(None, description="Whether the service can run it.")


class Coverage(BaseModel):
    """The share of actual volumes inside the prediction interval, which was made to hold `nominal` of them."""

    nominal: float
    coverage: float
    by_liquidity: dict[str, float] = {}


class Data(BaseModel):
    """What a version was trained and tested on."""

    until: date | None = Field(None, description="The newest day.")
    rows: int | None = None
    fingerprint: str | None = None


class Metrics(BaseModel):
    """What the test window says of a version, as `metrics.json` has it."""

    test: Scores | None = None
    baselines: dict[str, Scores] = Field({}, description="What simple rules reached on the same rows.")
    skill: dict[str, float] = Field({}, description="By baseline, the share of its MAE that is saved.")
    skill_interval: dict[str, tuple[float, float]] = Field({}, description="95 % intervals of the skill.")
    interval: Coverage | None = None
    candidates: dict[str, Candidate] = {}


class Facts(BaseModel):
    """What the manifest of a version says of it."""

    created_at: datetime | None = None
    about: str | None = None
    candidate: str | None = Field(None, description="The candidate that it was.")
    baseline: str | None = Field(None, description="The baseline that decides on promotion.")
    data: Data = Data()
    metrics: Metrics = Metrics()


class Version(Facts):
    """One version on disk, promoted or not."""

    version: str
    promoted: bool = Field(description="Whether latest.json names it.")
    promoted_before: bool = Field(description="Whether it was promoted earlier and not rolled back from.")
    card: bool = Field(description="Whether it has a card.")
    plots: list[str] = Field(description="The names of its pictures.")
    problem: str | None = Field(description="Why nothing is known of it, if so.")


class Listing(NamedTuple):
    """A model's newest versions, and what `latest.json` says or what is wrong with it."""

    pointer: Pointer | None
    problem: str | None
    versions: list[Version]


class Catalogue:
    """The models below a folder (`models`). Read again when something is published or promoted; made for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: OrderedDict[str, tuple[object, Listing]] = OrderedDict()

    def names(self) -> list[str]:
        """The project's own models, there or not, then any other folder with a pointer or a version."""
        there = sorted(folder.name for folder in self._folder.glob("*/") if _is_model(folder))
        return [*PURPOSES, *(name for name in there if name not in PURPOSES)]

    def listing(self, name: str) -> Listing | None:
        """What is on disk of a model; None for a name that is none of `names`."""
        if name not in self.names():
            return None
        folder = self._folder / name
        # Versions appear and latest.json is replaced by renames in this folder, which change its own times too.
        state = signature(folder), signature(folder / "latest.json")
        kept = self._listed.get(name)
        if kept is None or kept[0] != state:
            kept = state, _listing(folder)
            self._listed[name] = kept
            while len(self._listed) > KEPT:
                self._listed.popitem(last=False)
        return kept[1]

    def content(self, name: str, version: str, file: str) -> bytes | None:
        """The content of a file that the manifest of a version names; None where it names none such.

        `name` is one of `names` and `version` one of its listing. Raises `RegistryError` for a manifest or a file that
        cannot be read.
        """
        folder = self._folder / name
        if file not in _files(read_manifest(folder, version)):
            return None
        try:
            return (folder / version / file).read_bytes()
        except OSError as error:
            raise RegistryError(f"{file} of version {version} cannot be read: {error.strerror}") from error

    def told(self, error: RegistryError, name: str) -> str:
        """What a client learns of an error of `content`."""
        return told(error, self._folder / name)


def _is_model(folder: Path) -> bool:
    return (folder / "latest.json").is_file() or next(iter(versions(folder)), None) is not None


def _listing(folder: Path) -> Listing:
    pointer, problem = None, None
    newest = versions(folder)[:MOST_VERSIONS]
    try:
        pointer = read_pointer(folder)
        if pointer is None:
            why = "no version so far is worth more than its baseline" if newest else REMEDIES.get(folder.name, RUN)
            problem = f"no {folder.name} has been promoted; {why}"
    except RegistryError as error:
        problem = told(error, folder)
    if pointer and pointer.version not in newest:
        newest.append(pointer.version)  # an old one that was gone back to
    return Listing(pointer, problem, [_version(folder, version, pointer) for version in newest])


def _version(folder: Path, version: str, pointer: Pointer | None) -> Version:
    place = {
        "version": version,
        "promoted": bool(pointer and version == pointer.version),
        "promoted_before": bool(pointer and version in pointer.history),
    }
    facts, files, problem = Facts(), dict[str, Any](), None
    try:
        manifest = read_manifest(folder, version)
        facts, files = Facts.model_validate(manifest), _files(manifest)
    except RegistryError as error:
        problem = told(error, folder)
    except ValidationError as error:
        problem = f"its manifest is not as expected: {first_line(error)}"
    return Version(**place, **dict(facts), card=CARD_FILE in files, plots=sorted(_pictures(files)), problem=problem)


def _files(manifest: dict[str, Any]) -> dict[str, Any]:
    files = manifest.get("files")
    return files if isinstance(files, dict) else {}


def _pictures(files: dict[str, Any]) -> Iterator[str]:
    for name in files:
        plot = name.removeprefix(PLOTS).removesuffix(".png")
        if name == f"{PLOTS}{plot}.png" and "/" not in plot:
            yield plot
