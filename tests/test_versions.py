"""What becomes of a version once it is filled, with a model that is a line of text."""

import json
from pathlib import Path
from typing import Any

import pytest

from stock_assets import registry, versions
from stock_assets.errors import UserError
from stock_assets.experiments import Recorded, read_experiments
from stock_assets.pictures import Picture
from stock_assets.settings import Settings
from stock_assets.versions import Told, Trained, keep, publish, served_pointer, skill_of

PICTURE = Picture("shown", "Shown", "what it shows", b"picture")


def describe(place: Path, named: dict[str, Any]) -> None:
    (place / "card.md").write_text(f"{named['name']} {named['version']} of {named['run_id']}", "utf-8")


TOLD = Told((PICTURE,), "it was to be shown", "the/asset", describe)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def served_version(folder: Path) -> str | None:
    pointer = served_pointer(folder)
    return pointer.version if pointer else None


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.data_dir / "models" / "a_model"


def facts(skill: float, **others: Any) -> dict[str, Any]:
    """A manifest's; skill against another baseline than the one that decides is always high."""
    return {"baseline": "b", "run_id": "a-run", "metrics": {"skill": {"a": 0.9, "b": skill}}} | others


def make(settings: Settings, folder: Path, skill: float, text: str = "model", **others: Any) -> Trained:
    def write(place: Path) -> dict[str, Any]:
        (place / "model.txt").write_text(text, "utf-8")
        (place / "plots").mkdir()
        (place / "plots" / "shown.png").write_bytes(b"picture")
        return facts(skill, **others)

    return publish(settings, folder, write, TOLD)


def recorded(settings: Settings) -> list[Recorded]:
    return read_experiments(settings, "a_model")


def test_skill_is_that_against_the_baseline_that_decides() -> None:
    assert skill_of(facts(0.125)) == 0.125


def test_skill_promotes_and_says_why(settings: Settings, folder: Path) -> None:
    made = make(settings, folder, 0.125)
    pointer = registry.read_pointer(folder)
    (row,) = recorded(settings)

    assert (made.promoted, made.skill, made.kept, made.pictures) == (True, 0.125, None, (PICTURE,))
    assert made.folder == folder / made.version
    assert made.verdict == f"{made.version} saves +12.50% of the MAE of b on the test window: promoted"
    assert pointer is not None
    assert (pointer.version, pointer.asset_key, pointer.run_id) == (made.version, "the/asset", "a-run")
    assert (row.version, row.promoted) == (made.version, True)
    assert row.reason == "promoted: it was to be shown, and it saves +12.50% of the MAE of b on the test window"


@pytest.mark.parametrize("skill", [0.0, -0.25])
def test_no_skill_is_recorded_and_not_promoted(settings: Settings, folder: Path, skill: float) -> None:
    first = make(settings, folder, 0.1)
    before = (folder / "latest.json").read_bytes()
    second = make(settings, folder, skill, text="worse")
    row = recorded(settings)[0]

    assert (second.promoted, second.skill) == (False, skill)
    assert second.verdict.endswith("not promoted, latest.json stays as it was")
    assert (folder / "latest.json").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {first.version, second.version, "latest.json"}
    assert (row.version, row.promoted) == (second.version, False)
    assert (
        row.reason
        == f"not promoted: it was to be shown, but it has a skill of {skill:+.2%} against b on the test window"
    )


def test_a_candidate_is_named_in_the_verdict(settings: Settings, folder: Path) -> None:
    made = make(settings, folder, 0.1, candidate="the best")

    assert made.verdict.startswith(f"{made.version} (the best) saves ")
    assert recorded(settings)[0].parameters["candidate"] == "the best"


@pytest.mark.parametrize("error", [UserError("no database"), OSError("no space")])
def test_what_cannot_be_recorded_is_neither_there_nor_promoted(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    first = make(settings, folder, 0.1)
    before = (folder / "latest.json").read_bytes()

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(versions, "record", refuse)
    with pytest.raises(type(error), match=str(error)):
        make(settings, folder, 0.2, text="better")
    assert {path.name for path in folder.iterdir()} == {first.version, "latest.json"}
    assert (folder / "latest.json").read_bytes() == before
    assert len(recorded(settings)) == 1


def test_what_cannot_be_written_is_not_recorded(settings: Settings, folder: Path) -> None:
    def write(place: Path) -> dict[str, Any]:
        (place / "model.txt").write_text("half of it", "utf-8")
        raise UserError("too few rows")

    with pytest.raises(UserError, match="too few rows"):
        publish(settings, folder, write, TOLD)
    assert list(folder.iterdir()) == []
    assert recorded(settings) == []


def test_a_kept_version_has_its_pictures_and_is_not_recorded_again(settings: Settings, folder: Path) -> None:
    first = make(settings, folder, 0.1)
    before = (folder / "latest.json").read_bytes()
    made = keep(folder, first.manifest, "the/asset", "another-run", "nothing is new")

    assert (made.version, made.promoted, made.skill, made.kept) == (first.version, True, 0.1, "nothing is new")
    assert [(picture.name, picture.png) for picture in made.pictures] == [("shown", b"picture")]
    assert made.verdict.endswith(": kept, nothing is new")
    assert (folder / "latest.json").read_bytes() == before
    assert len(recorded(settings)) == 1


@pytest.mark.parametrize(("skill", "promoted"), [(0.1, True), (0.0, False), (-0.1, False)])
@pytest.mark.parametrize("pointer", [None, "{"])
def test_a_kept_version_is_promoted_where_none_is_served_and_it_has_skill(
    settings: Settings, folder: Path, pointer: str | None, skill: float, promoted: bool
) -> None:
    first = make(settings, folder, skill)
    (folder / "latest.json").unlink(missing_ok=True)
    if pointer:
        (folder / "latest.json").write_text(pointer, "utf-8")
    made = keep(folder, first.manifest, "the/asset", "another-run", "nothing is new")

    assert made.promoted == promoted
    assert served_version(folder) == (first.version if promoted else None)


def test_a_kept_version_does_not_displace_the_one_that_is_served(settings: Settings, folder: Path) -> None:
    first, second = (make(settings, folder, 0.1, text=text) for text in ("one", "two"))
    registry.promote(folder, first.version, "by/hand", "a-run")
    made = keep(folder, second.manifest, "the/asset", "another-run", "nothing is new")

    assert (made.version, made.promoted) == (second.version, False)
    assert served_version(folder) == first.version


def test_a_version_whose_run_was_stopped_before_its_promotion_is_promoted_by_the_next(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(settings, folder, 0.1)
    pointer = json.loads((folder / "latest.json").read_text("utf-8"))
    (folder / "latest.json").write_text(json.dumps(pointer | {"promoted_at": "2020-01-01T00:00:00Z"}), "utf-8")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "promote", stop)
        with pytest.raises(KeyboardInterrupt):
            make(settings, folder, 0.2, text="better")
    assert served_version(folder) == first.version
    newest = registry.newest_manifest(folder)
    assert newest is not None
    made = keep(folder, newest, "the/asset", "another-run", "nothing is new")

    assert made.promoted
    assert served_version(folder) == made.version != first.version
    assert [row.promoted for row in recorded(settings)] == [True, True]


def test_the_card_knows_its_version_and_is_hashed(settings: Settings, folder: Path) -> None:
    made = make(settings, folder, 0.1)

    assert (made.folder / "card.md").read_text("utf-8") == f"a_model {made.version} of a-run"
    assert made.manifest["files"]["card.md"] == registry.sha256_of(made.folder / "card.md")


def test_a_damaged_version_is_not_served(settings: Settings, folder: Path) -> None:
    assert served_version(folder) is None
    made = make(settings, folder, 0.1)
    assert served_version(folder) == made.version
    (made.folder / "model.txt").write_text("changed", "utf-8")

    assert served_version(folder) is None
