"""The service of a host without the pipeline: what it takes from the lake, when, and what it does without one."""

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import serving.mirror
from serving.app import create_app
from serving.mirror import Mirror
from stock_assets.errors import UserError
from stock_assets.lake import MANIFEST, LakeManifest, settings_store
from stock_assets.lake_publishing import publish
from stock_assets.layout import Layout
from stock_assets.objects import Folder
from stock_assets.registry import read_pointer
from stock_assets.settings import Settings
from tests.conftest import Built
from tests.helpers import child_environment, digests, litter
from tests.promoted_model import copy_market
from tests.serving.conftest import QUESTION, Models

READ = ("symbols", "next_day_forecasts", "features")


class Pipeline:
    """A host with a pipeline and a lake, and the settings of a service elsewhere."""

    def __init__(self, folder: Path, market: Layout) -> None:
        self.layout = copy_market(market, folder / "pipeline")
        self.models = Models(self.layout.data_dir)
        self.lake = folder / "lake"
        # A table that the service reads, besides those that the market has.
        shutil.copytree(self.layout.lake / "symbols", self.layout.lake / "next_day_forecasts")
        self.service = Settings(
            data_dir=folder / "served", lake_url=str(self.lake), serving_from_lake=True, reload_seconds=0.05
        )

    def promote(self, level: float = 0.0) -> tuple[str, int]:
        """Publish and promote a model, in the lake too; gives its version and its answer."""
        version, answer = self.models.publish(level)
        (self.models.folder / version / "model.pkl").write_bytes(b"pickle")
        self.models.promote(version)
        self.publish()
        return version, answer

    def publish(self) -> LakeManifest:
        settings = Settings(data_dir=self.layout.data_dir, lake_url=str(self.lake))
        return publish(settings, lambda _: None).manifest

    def mirror(self) -> Mirror:
        return Mirror(self.service)

    def tables(self, data_dir: Path) -> dict[str, str]:
        return {
            name: sha256
            for name, sha256 in digests(data_dir, "lake/**/*.parquet").items()
            if Path(name).parts[1] in READ
        }


@pytest.fixture
def pipeline(tmp_path: Path, demo_market: Built) -> Pipeline:
    return Pipeline(tmp_path, demo_market.layout)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tags with which the manifest was asked for."""
    tags: list[str] = []
    ask = Folder.read_newer

    def told(self: Folder, key: str, tag: str) -> tuple[bytes, str] | None:
        tags.append(tag)
        return ask(self, key, tag)

    monkeypatch.setattr(Folder, "read_newer", told)
    return tags


def refresh(mirror: Mirror) -> None:
    mirror.refresh()
    mirror.fetch_features(60)


def wait_for(state: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not state():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_service_serves_from_an_empty_folder_and_follows_promotions(pipeline: Pipeline) -> None:
    first, answer = pipeline.promote()
    with TestClient(create_app(pipeline.service)) as client:
        ready = client.get("/health/ready").json()
        assert (ready["version"], ready["problem"]) == (first, None), "it was there before the service was"
        assert client.get("/predict", params=QUESTION).json() == answer
        assert client.get("/symbols", params={"limit": 1}).status_code == 200

        second, answer = pipeline.promote(0.5)
        wait_for(lambda: client.get("/health/ready").json()["version"] == second)
        assert client.get("/predict", params=QUESTION).json() == answer

        pipeline.models.promote(first)
        pipeline.publish()
        wait_for(lambda: client.get("/health/ready").json()["version"] == first)
    assert litter(pipeline.service.data_dir) == []


def test_only_what_the_service_reads_is_fetched_and_as_it_is(pipeline: Pipeline) -> None:
    version, _ = pipeline.promote()
    refresh(pipeline.mirror())

    served = pipeline.service.data_dir
    assert digests(served, "lake/**/*.parquet") == pipeline.tables(pipeline.layout.data_dir)
    folder = Layout(served).models / "volume_model"
    assert read_pointer(folder) == read_pointer(pipeline.models.folder)
    assert sorted(path.name for path in (folder / version).iterdir()) == ["manifest.json", "model.txt"]


def test_only_what_has_changed_is_fetched_again(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.promote()
    refresh(pipeline.mirror())
    got: list[str] = []
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda self, key, path: [got.append(key), get(self, key, path)][-1])
    path = pipeline.layout.parquet("features", "A")
    shutil.copy(pipeline.layout.parquet("features", "B"), path)
    gone = pipeline.layout.parquet("features", "C")
    gone.unlink()
    manifest = pipeline.publish()

    refresh(pipeline.mirror())  # of a service that was started anew: it knows no hash
    assert got == [file.key for file in manifest.tables["features"] if file.letter == "A"]
    assert not Layout(pipeline.service.data_dir).parquet("features", "C").exists()
    assert pipeline.tables(pipeline.service.data_dir) == pipeline.tables(pipeline.layout.data_dir)


def test_a_file_that_was_changed_in_the_lake_never_takes_its_place(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.promote()
    mirror = pipeline.mirror()
    refresh(mirror)
    before = digests(pipeline.service.data_dir, "lake/**/*.parquet")
    shutil.copy(pipeline.layout.parquet("features", "B"), pipeline.layout.parquet("features", "A"))
    manifest = pipeline.publish()
    store = settings_store(pipeline.service)
    (file,) = (file for file in manifest.tables["features"] if file.letter == "A")
    store.write(b"x" * file.bytes, file.key)

    for _ in range(3):
        refresh(mirror)
    assert digests(pipeline.service.data_dir, "lake/**/*.parquet") == before
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert f"{file.key} has not the hash that manifest.json gives: it was changed; remove it there" in warnings[0]
    store.delete(file.key)
    pipeline.publish()
    refresh(mirror)
    assert pipeline.tables(pipeline.service.data_dir) == pipeline.tables(pipeline.layout.data_dir)


def test_one_bad_file_keeps_no_other_from_its_place(pipeline: Pipeline) -> None:
    pipeline.promote()
    manifest = pipeline.publish()
    files = manifest.tables["features"]
    settings_store(pipeline.service).write(b"x" * files[-1].bytes, files[-1].key)

    refresh(pipeline.mirror())
    folder = Layout(pipeline.service.data_dir).lake / "features"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")} == {
        file.name for file in files[:-1]
    }


def test_one_bad_model_keeps_no_other_and_no_table_from_its_place(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.promote()
    shutil.copytree(pipeline.models.folder, pipeline.layout.models / "a_model")
    manifest = pipeline.publish()
    (bad,) = (file for files in manifest.models["a_model"].versions.values() for file in files if "txt" in file.name)
    settings_store(pipeline.service).write(b"x" * bad.bytes, bad.key)
    got: list[str] = []
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda self, key, path: [got.append(key), get(self, key, path)][-1])
    mirror = pipeline.mirror()
    refresh(mirror)

    served = Layout(pipeline.service.data_dir)
    assert read_pointer(served.models / "volume_model") == read_pointer(pipeline.models.folder)
    assert read_pointer(served.models / "a_model") is None
    assert pipeline.tables(served.data_dir) == pipeline.tables(pipeline.layout.data_dir)
    refresh(mirror)
    assert got.count(bad.key) == 1, "not every second"
    monkeypatch.setattr(serving.mirror, "AGAIN_SECONDS", 0)
    mirror._due = 0
    settings_store(pipeline.service).delete(bad.key)
    pipeline.publish()
    refresh(mirror)
    assert read_pointer(served.models / "a_model") is not None


def test_a_damaged_version_that_is_not_promoted_keeps_no_promotion_from_its_place(pipeline: Pipeline) -> None:
    first, _ = pipeline.promote()
    second, _ = pipeline.promote(0.5)
    mirror = pipeline.mirror()
    pipeline.models.promote(first)
    manifest = pipeline.publish()
    for file in manifest.models["volume_model"].versions[second]:
        settings_store(pipeline.service).write(b"x" * file.bytes, file.key)

    refresh(mirror)
    assert read_pointer(Layout(pipeline.service.data_dir).models / "volume_model") == read_pointer(
        pipeline.models.folder
    )


@pytest.mark.parametrize("version", ["../../../outside", "20261201T000000000000-01234567"])
def test_a_version_that_the_manifest_does_not_have_is_not_promoted(pipeline: Pipeline, version: str) -> None:
    pipeline.promote()
    store, manifest = settings_store(pipeline.service), pipeline.publish()
    promoted = manifest.models["volume_model"].pointer
    assert promoted is not None
    content = manifest.model_dump(mode="json")
    content["models"]["volume_model"]["pointer"] |= {"version": version, "path": version}
    store.write(json.dumps(content).encode(), MANIFEST)
    refresh(pipeline.mirror())

    models = Layout(pipeline.service.data_dir).models
    assert not (models / "volume_model" / "latest.json").exists()
    assert not (models / "volume_model" / version).exists()


def test_versions_that_the_lake_has_no_more_are_removed(pipeline: Pipeline) -> None:
    first, _ = pipeline.promote()
    refresh(pipeline.mirror())
    second, _ = pipeline.promote()
    shutil.rmtree(pipeline.models.folder / first)
    pipeline.publish()
    refresh(pipeline.mirror())

    folder = Layout(pipeline.service.data_dir).models / "volume_model"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [second]


def test_a_pipeline_that_begins_in_the_folder_later_is_left_alone(pipeline: Pipeline) -> None:
    pipeline.promote()
    mirror = pipeline.mirror()
    Layout(pipeline.service.data_dir).database.parent.mkdir(parents=True, exist_ok=True)
    Layout(pipeline.service.data_dir).database.write_bytes(b"")

    assert not mirror.refresh()
    assert not Layout(pipeline.service.data_dir).models.exists()


def test_a_version_that_was_damaged_here_is_fetched_again(pipeline: Pipeline) -> None:
    version, _ = pipeline.promote()
    refresh(pipeline.mirror())
    model = Layout(pipeline.service.data_dir).models / "volume_model" / version / "model.txt"
    model.write_text("damaged", "utf-8")

    refresh(pipeline.mirror())
    assert model.read_bytes() == (pipeline.models.folder / version / "model.txt").read_bytes()


def test_without_the_lake_what_was_fetched_before_is_served(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    version, answer = pipeline.promote()
    refresh(pipeline.mirror())
    pipeline.lake.rename(pipeline.lake.with_name("away"))
    pipeline.lake.write_text("no folder", "utf-8")

    with TestClient(create_app(pipeline.service)) as client:
        assert client.get("/predict", params=QUESTION).json() == answer
        assert client.get("/health/ready").json()["version"] == version
        time.sleep(0.3)  # several intervals
    told = [record.getMessage() for record in caplog.records if "of the lake" in record.getMessage()]
    place = f"the lake {pipeline.lake}: {pipeline.lake / MANIFEST}: Not a directory"
    assert told == [f"the service goes on with what it has of the lake: {place}"]


def test_an_empty_lake_is_told_and_waited_for(pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(create_app(pipeline.service)) as client:
        assert client.get("/health/ready").status_code == 503
        assert f"the lake {pipeline.lake} has no manifest.json: nothing was published there yet" in caplog.text
        pipeline.promote()
        wait_for(lambda: client.get("/health/ready").status_code == 200)


def test_one_of_several_workers_asks_and_another_takes_over(pipeline: Pipeline, asked: list[str]) -> None:
    pipeline.promote()
    first, second = pipeline.mirror(), pipeline.mirror()
    for _ in range(3):
        first.refresh()
        second.refresh()
    assert len(asked) == 3
    assert (asked[0], len({*asked[1:]}), "" in asked[1:]) == ("", 1, False), "conditional after the first"

    del first  # with its lock, as when its process ends
    second.refresh()
    assert len(asked) == 4


def test_the_data_folder_of_a_pipeline_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.promote()
    settings = pipeline.service.model_copy(update={"data_dir": pipeline.layout.data_dir})
    with pytest.raises(UserError, match="is the data folder of a pipeline, which the lake would overwrite"):
        create_app(settings)

    variables = {
        "STOCK_ASSETS_SERVING_FROM_LAKE": "true",
        "STOCK_ASSETS_LAKE_URL": str(pipeline.lake),
        "STOCK_ASSETS_DATA_DIR": str(settings.data_dir),
    }
    done = _serving(variables, tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"{settings.data_dir} is the data folder of a pipeline")
    del variables["STOCK_ASSETS_LAKE_URL"]
    assert _serving(variables, tmp_path).stderr == (
        "STOCK_ASSETS_LAKE_URL is not set: give it a folder or s3://bucket/prefix\n"
    )


def test_who_has_no_lake_loads_nothing_of_it(tmp_path: Path) -> None:
    shown = "import sys, serving.app; print({'serving.mirror', 'stock_assets.lake', 'boto3'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", shown],
        env=child_environment({}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def _serving(variables: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "serving"]
    environment = child_environment(variables)
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=30, check=False)
