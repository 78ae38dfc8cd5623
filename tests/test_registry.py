"""Versions, the pointer, and everything that can be wrong with either."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stock_assets.registry import (
    Pointer,
    RegistryError,
    newest_manifest,
    promote,
    publish_version,
    read_manifest,
    read_pointer,
    rollback,
    skill_of,
    sound_manifest,
    verify,
    versions,
)

TEXT = b"tree\nthe model\n"


def write(folder: Path) -> dict[str, Any]:
    (folder / "model.txt").write_bytes(TEXT)
    (folder / "card.md").write_text("# card\n", "utf-8")
    return {"inputs": ["a", "b"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "a_model"


@pytest.fixture
def pointer(folder: Path) -> Pointer:
    return promote(folder, publish_version(folder, write)[0], "the/asset", "a-run")


def change_pointer(folder: Path, **values: Any) -> None:
    path = folder / "latest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values), "utf-8")


def test_a_version_is_published_with_its_manifest(folder: Path) -> None:
    version, manifest = publish_version(folder, write)
    digest = hashlib.sha256(TEXT).hexdigest()

    assert version.endswith(digest[:8])
    assert manifest == read_manifest(folder, version)
    assert (manifest["name"], manifest["version"], manifest["inputs"]) == ("a_model", version, ["a", "b"])
    assert manifest["files"] == {"model.txt": digest, "card.md": hashlib.sha256(b"# card\n").hexdigest()}
    assert [path.name for path in folder.iterdir()] == [version]


def test_files_in_folders_are_hashed_too(folder: Path) -> None:
    def with_plots(place: Path) -> dict[str, Any]:
        (place / "plots").mkdir()
        (place / "plots" / "skill.png").write_bytes(b"a picture")
        return write(place)

    _, manifest = publish_version(folder, with_plots)

    assert sorted(manifest["files"]) == ["card.md", "model.txt", "plots/skill.png"]
    assert manifest["files"]["plots/skill.png"] == hashlib.sha256(b"a picture").hexdigest()


@pytest.mark.parametrize("files", [[], ["model.txt"], ["card.md"]])
def test_a_failing_write_publishes_nothing(folder: Path, files: list[str]) -> None:
    def fail(place: Path) -> dict[str, Any]:
        for name in files:
            (place / name).touch()
        raise InterruptedError

    with pytest.raises(InterruptedError):
        publish_version(folder, fail)

    assert list(folder.iterdir()) == []


def test_a_version_without_a_model_is_not_published(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish_version(folder, lambda _: {})

    assert list(folder.iterdir()) == []


def test_the_same_model_published_twice_at_once_gives_two_versions(folder: Path) -> None:
    versions = [publish_version(folder, write)[0] for _ in range(3)]

    assert sorted(path.name for path in folder.iterdir()) == sorted(set(versions))
    assert len(set(versions)) == 3


def test_nothing_is_promoted_by_publishing(folder: Path) -> None:
    publish_version(folder, write)

    assert read_pointer(folder) is None


def test_the_pointer_tells_what_is_promoted(folder: Path, pointer: Pointer) -> None:
    assert read_pointer(folder) == pointer
    assert (pointer.name, pointer.asset_key, pointer.run_id) == ("a_model", "the/asset", "a-run")
    assert pointer.path == pointer.version
    assert pointer.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert set(json.loads((folder / "latest.json").read_bytes())) == {
        *("name", "version", "path", "sha256", "asset_key", "run_id", "promoted_at", "history"),
    }


def test_a_promoted_version_verifies_to_its_manifest_and_bytes(folder: Path, pointer: Pointer) -> None:
    assert verify(folder, pointer) == (read_manifest(folder, pointer.version), TEXT)


def test_a_missing_version_cannot_be_promoted(folder: Path, pointer: Pointer) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        promote(folder, "no-such-version", "the/asset", "a-run")

    assert read_pointer(folder) == pointer


def _tamper(version: Path) -> None:
    (version / "model.txt").write_bytes(TEXT + b"\n")


def _remove_model(version: Path) -> None:
    (version / "model.txt").unlink()


def _remove_manifest(version: Path) -> None:
    (version / "manifest.json").unlink()


def _break_manifest(version: Path) -> None:
    (version / "manifest.json").write_text('{"files": ', "utf-8")


def _empty_manifest(version: Path) -> None:
    (version / "manifest.json").write_text("{}", "utf-8")


def _list_for_a_manifest(version: Path) -> None:
    (version / "manifest.json").write_text("[]", "utf-8")


def _tamper_with_both(version: Path) -> None:
    _tamper(version)
    manifest = json.loads((version / "manifest.json").read_bytes())
    manifest["files"]["model.txt"] = hashlib.sha256(TEXT + b"\n").hexdigest()
    (version / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_tamper, "it was changed"),
        (_remove_model, "cannot be read"),
        (_remove_manifest, "cannot be read"),
        (_break_manifest, "cannot be read"),
        (_empty_manifest, "disagree"),
        (_list_for_a_manifest, "is not a manifest"),
        (_tamper_with_both, "disagree"),
    ],
)
def test_a_damaged_version_is_refused(
    folder: Path, pointer: Pointer, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder / pointer.path)

    with pytest.raises(RegistryError, match=message) as failure:
        verify(folder, pointer)
    assert pointer.version in str(failure.value)


@pytest.mark.parametrize("path", ["../other", "..", ".", "", "a/b", "/etc", "a\\b", ".hidden"])
def test_a_pointer_that_leads_outside_is_refused(folder: Path, pointer: Pointer, path: str) -> None:
    change_pointer(folder, path=path)

    with pytest.raises(RegistryError, match="points outside"):
        read_pointer(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "a_model"}', "\xff"])
def test_a_broken_pointer_is_refused(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "latest.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(RegistryError, match=r"latest\.json is not a pointer"):
        read_pointer(folder)


def served(folder: Path, *steps: int) -> list[str]:
    """Three versions, promoted in this order; gives them."""
    made = [publish_version(folder, write)[0] for _ in range(3)]
    for step in steps:
        promote(folder, made[step], "the/asset", "a-run")
    return made


def pointer_of(folder: Path) -> Pointer:
    found = read_pointer(folder)
    assert found is not None
    return found


def test_the_history_has_what_was_served_before(folder: Path) -> None:
    a, b, c = served(folder, 0, 1, 1, 2, 0)

    assert pointer_of(folder).history == (a, b, c)
    assert pointer_of(folder).version == a


def test_the_history_is_not_endless(folder: Path) -> None:
    made = served(folder, *[0, 1] * 60)

    assert pointer_of(folder).history == (made[1], made[0]) * 50


def test_a_broken_pointer_does_not_stop_a_promotion(folder: Path) -> None:
    made = served(folder)
    (folder / "latest.json").write_text("{", "utf-8")
    promote(folder, made[2], "the/asset", "a-run")

    assert (pointer_of(folder).version, pointer_of(folder).history) == (made[2], ())


def test_a_rollback_goes_back_step_by_step_and_not_forth(folder: Path) -> None:
    a, b, _ = served(folder, 0, 1, 2)

    pointer, skipped = rollback(folder)
    assert (pointer.version, pointer.path, pointer.history, skipped) == (b, b, (a,), {})
    assert (pointer.name, pointer.asset_key) == ("a_model", "the/asset")
    assert pointer_of(folder) == pointer
    assert verify(folder, pointer)[1] == TEXT
    assert rollback(folder)[0].version == a
    with pytest.raises(RegistryError, match=f"{a} has no version before it"):
        rollback(folder)
    assert pointer_of(folder).version == a


def test_without_a_promoted_version_there_is_no_way_back(folder: Path) -> None:
    served(folder)

    with pytest.raises(RegistryError, match="no version is promoted"):
        rollback(folder)


@pytest.mark.parametrize("damage", [_tamper, _remove_model, _remove_manifest, _break_manifest, _empty_manifest])
def test_a_rollback_skips_damaged_versions(folder: Path, damage: Callable[[Path], None]) -> None:
    a, b, _ = served(folder, 0, 1, 2)
    damage(folder / b)

    pointer, skipped = rollback(folder)
    assert (pointer.version, pointer.history) == (a, ())
    assert list(skipped) == [b]
    assert b in skipped[b]


def test_a_rollback_without_a_sound_version_changes_nothing(folder: Path) -> None:
    a, _, _ = served(folder, 0, 1)
    (folder / a / "model.txt").unlink()
    before = (folder / "latest.json").read_bytes()

    with pytest.raises(RegistryError, match=r"no version before it.*model\.txt cannot be read"):
        rollback(folder)
    assert (folder / "latest.json").read_bytes() == before


def test_a_history_that_leads_outside_is_not_followed(folder: Path) -> None:
    made = served(folder, 0)
    change_pointer(folder, history=["../a_model/" + made[1]])

    with pytest.raises(RegistryError, match="is not the name of a version"):
        rollback(folder)


def test_versions_are_listed_newest_first(folder: Path) -> None:
    made = served(folder, 0)
    (folder / "candidates" / "linear").mkdir(parents=True)
    (folder / "candidates" / "linear" / "manifest.json").write_text("{}", "utf-8")
    (folder / "new-version.0.tmp").mkdir()
    (folder / "new-version.0.tmp" / "manifest.json").write_text("{}", "utf-8")

    assert versions(folder) == made[::-1]
    assert versions(folder / "nowhere") == []


def test_a_sound_version_gives_its_manifest(folder: Path, pointer: Pointer) -> None:
    assert sound_manifest(folder, pointer.version) == read_manifest(folder, pointer.version)


@pytest.mark.parametrize(
    ("manifest", "skill"),
    [
        ({"baseline": "b", "metrics": {"skill": {"a": 0.1, "b": -0.2}}}, -0.2),
        ({"baseline": "c", "metrics": {"skill": {"a": 0.1}}}, None),
        ({"metrics": {"skill": {"a": 0.1}}}, None),
        ({"baseline": "a"}, None),
    ],
)
def test_skill_is_that_against_the_baseline_of_the_manifest(manifest: dict[str, Any], skill: float | None) -> None:
    assert skill_of(manifest) == skill


def test_a_version_of_several_texts_is_sound_with_all_of_them(tmp_path: Path) -> None:
    def write(place: Path) -> dict[str, Any]:
        for name in ("model.txt", "low.txt"):
            (place / name).write_text(name, "utf-8")
        return {}

    version, manifest = publish_version(tmp_path / "m", write)
    assert sound_manifest(tmp_path / "m", version) == manifest
    (tmp_path / "m" / version / "low.txt").write_text("changed", "utf-8")

    with pytest.raises(RegistryError, match=r"low\.txt has not the hash"):
        sound_manifest(tmp_path / "m", version)
    assert newest_manifest(tmp_path / "m") is None
