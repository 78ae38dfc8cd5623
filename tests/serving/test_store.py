import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from typing import Any

import pytest

import serving.store
from serving.store import ModelStore
from tests.serving.conftest import INPUTS, Models, publish, sound_facts, train


def _edited(models: Models, file: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Promote a good version, then change one of its JSON files (or `latest.json`) in place."""
    version, _ = models.publish(level=1.0)
    models.promote(version)
    path = models.pointer if file == "latest.json" else models.folder / version / file
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def _with_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Models], None]:
    return lambda models: _edited(models, "manifest.json", change)


def _with_pointer(change: Callable[[dict[str, Any]], Any]) -> Callable[[Models], None]:
    return lambda models: _edited(models, "latest.json", change)


def _with_file(name: str, content: bytes | None) -> Callable[[Models], None]:
    def spoil(models: Models) -> None:
        version, _ = models.publish(level=1.0)
        models.promote(version)
        path = models.pointer if name == "latest.json" else models.folder / version / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    return spoil


def _with_text(change: Callable[[str], str | bytes]) -> Callable[[Models], None]:
    """A version that was published with a bad model text, so its hashes are right."""

    def spoil(models: Models) -> None:
        booster = train(1.0)
        models.promote(publish(models.folder, change(booster.model_to_string()), sound_facts(booster)))

    return spoil


def _with_three_columns(models: Models) -> None:
    text = train(1.0, columns=3).model_to_string()
    models.promote(publish(models.folder, text, sound_facts(train(1.0))))


def _with_endless_scores(models: Models) -> None:
    facts = {"inputs": INPUTS, "target": "log_ratio", "self_test": {"inputs": [[0, 1]], "outputs": [0.0]}}
    models.promote(publish(models.folder, train(690.0).model_to_string(), facts))


BROKEN = {
    "model missing": (_with_file("model.txt", None), "model.txt cannot be read"),
    "model changed": (_with_file("model.txt", b"x"), "it was changed"),
    "manifest missing": (_with_file("manifest.json", None), "manifest.json cannot be read"),
    "manifest no JSON": (_with_file("manifest.json", b"{"), "manifest.json cannot be read"),
    "manifest too deep": (_with_file("manifest.json", b"[" * 100_000), "manifest.json cannot be read"),
    "manifest a list": (_with_file("manifest.json", b"[]"), "is not a manifest"),
    "pointer no JSON": (_with_file("latest.json", b'{"name'), "is not a pointer"),
    "pointer empty": (_with_file("latest.json", b""), "is not a pointer"),
    "pointer leads out": (_with_pointer(lambda p: p.update(path="../x")), "points outside"),
    "pointer's hash": (_with_pointer(lambda p: p.update(sha256="0" * 64)), "disagree on the model"),
    "pointer's version": (_with_pointer(lambda p: p.update(version="x")), "not 'x'"),
    "files no object": (_with_manifest(lambda m: m.update(files=[])), "disagree on the model"),
    "version no header": (_with_manifest(lambda m: m.update(version="a\nb")), "version in the manifest"),
    "no inputs": (_with_manifest(lambda m: m.pop("inputs")), "inputs in the manifest: Field required"),
    "other inputs": (_with_manifest(lambda m: m["inputs"].reverse()), "its inputs are"),
    "no target": (_with_manifest(lambda m: m.pop("target")), "target in the manifest: Field required"),
    "a target in prose": (
        _with_manifest(
            lambda m: m.update(target="log(Volume / vol_moving_avg); prediction = vol_moving_avg * exp(score)")
        ),
        "target in the manifest: Input should be 'log_ratio' or 'volume'",
    ),
    "another target": (_with_manifest(lambda m: m.update(target="volume")), "self-test fails"),
    "no self-test": (_with_manifest(lambda m: m.pop("self_test")), "self_test in the manifest"),
    "empty self-test": (
        _with_manifest(lambda m: m.update(self_test={"inputs": [], "outputs": []})),
        "self_test.inputs in the manifest",
    ),
    "short self-test": (_with_manifest(lambda m: m["self_test"]["outputs"].pop()), "self-test fails"),
    "failed self-test": (
        _with_manifest(lambda m: m["self_test"]["outputs"].__setitem__(1, 1000.001)),
        "self-test fails",
    ),
    "text cut off": (_with_text(lambda text: text[: len(text) // 2]), "not a complete LightGBM text"),
    "text no model": (_with_text(lambda _: "tree\nend of trees\n"), "LightGBM refuses it"),
    "text no UTF-8": (_with_text(lambda _: b"\xff\nend of trees\n"), "can't decode"),
    "three columns": (_with_three_columns, "has 3 inputs, not 2"),
    "endless scores": (_with_endless_scores, "could be too large"),
}


@pytest.mark.parametrize(("spoil", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_version_is_refused_once_and_the_old_one_stays(
    models: Models, caplog: pytest.LogCaptureFixture, spoil: Callable[[Models], None], reason: str
) -> None:
    models.promote(models.publish()[0])
    store = ModelStore(models.folder)
    store.refresh()
    good = store.model
    assert good is not None
    spoil(models)
    for _ in range(3):
        store.refresh()
    assert store.model is good
    assert reason in str(store.problem)
    assert str(models.data_dir) not in str(store.problem)
    assert [record.message for record in caplog.records] == [store.problem]
    recovered, _ = models.publish(level=2.0)
    models.promote(recovered)
    store.refresh()
    assert (store.model.version, store.problem) == (recovered, None)


@pytest.mark.parametrize(("spoil", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_first_version_is_a_problem(models: Models, spoil: Callable[[Models], None], reason: str) -> None:
    spoil(models)
    store = ModelStore(models.folder)
    store.refresh()
    assert store.model is None
    assert reason in str(store.problem)


def test_a_half_copied_version_is_tried_again(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    version, _ = models.publish()
    models.promote(version)
    elsewhere = models.data_dir / "elsewhere"
    shutil.move(models.folder / version, elsewhere)
    store = ModelStore(models.folder)
    for _ in range(3):
        store.refresh()
    assert store.model is None
    assert len(caplog.records) == 1
    shutil.move(elsewhere, models.folder / version)
    store.refresh()
    assert store.model is not None
    assert store.problem is None


@pytest.mark.parametrize("sound", [True, False])
def test_idle_reads_no_file(models: Models, monkeypatch: pytest.MonkeyPatch, sound: bool) -> None:
    if sound:
        models.promote(models.publish()[0])
    else:
        _with_manifest(lambda m: m["inputs"].reverse())(models)
    store = ModelStore(models.folder)
    store.refresh()
    monkeypatch.setattr(serving.store, "read_pointer", None)
    store.refresh()


def test_a_pointer_that_went_and_came_back(models: Models, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    models.promote(models.publish()[0])
    store = ModelStore(models.folder)
    store.refresh()
    aside = models.pointer.with_name("aside.json")
    for _ in range(2):
        models.pointer.rename(aside)
        store.refresh()
        store.refresh()
        assert "is gone" in str(store.problem)
        aside.rename(models.pointer)
        store.refresh()
        assert store.problem is None
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "INFO", "WARNING", "INFO"]


def test_a_data_folder_that_is_a_file(models: Models) -> None:
    models.data_dir.write_text("")
    store = ModelStore(models.folder)
    store.refresh()
    assert "Not a directory" in str(store.problem)


def test_whatever_goes_wrong_it_looks_again(
    models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    models.promote(models.publish()[0])
    store = ModelStore(models.folder)
    refresh, calls = store.refresh, 0

    def fail_twice() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise MemoryError
        refresh()

    async def follow_until_served() -> None:
        following = asyncio.create_task(store.follow(0.001))
        while store.model is None:
            await asyncio.sleep(0.001)
        following.cancel()

    monkeypatch.setattr(store, "refresh", fail_twice)
    asyncio.run(asyncio.wait_for(follow_until_served(), 10))
    assert [record.message for record in caplog.records if record.exc_info] == [
        "looking for a newly promoted model failed; it is tried again"
    ]
    assert store.problem is None
