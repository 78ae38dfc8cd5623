"""What is published, what is sent again, what a reader sees meanwhile, and what is removed when."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from stock_assets import lake_publishing
from stock_assets.errors import TransientError, UserError
from stock_assets.lake import (
    HISTORY,
    MANIFEST,
    OBJECTS,
    LakeFile,
    LakeManifest,
    find_manifest,
    object_key,
    read_manifest,
    settings_store,
    table_addresses,
)
from stock_assets.lake_publishing import Published, publish, publish_models
from stock_assets.layout import Layout
from stock_assets.objects import ObjectStore
from stock_assets.registry import promote, read_pointer, sha256_of, versions
from stock_assets.settings import Settings
from tests.promoted_model import booster_of, promote_model


def silent(_: str) -> None:
    pass


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    return settings_store(settings)


def put(settings: Settings) -> Published:
    return publish(settings, silent)


def change(settings: Settings, letter: str = "A") -> Path:
    """Take the last row from a letter's features, as another run would have made them."""
    path = Layout(settings.data_dir).parquet("features", letter)
    table = pq.read_table(path)
    pq.write_table(table.slice(0, table.num_rows - 1), path)
    return path


def keys(store: ObjectStore, prefix: str = OBJECTS) -> set[str]:
    return {found.key for found in store.list(prefix)}


def read(store: ObjectStore, file: LakeFile, folder: Path) -> bytes:
    store.get(file.key, folder / "read")
    return (folder / "read").read_bytes()


def test_every_file_of_the_lake_folder_and_of_the_promoted_version_is_published(
    settings: Settings, store: ObjectStore, tmp_path: Path
) -> None:
    published = put(settings)
    manifest = read_manifest(store)

    assert published.manifest == manifest
    layout = Layout(settings.data_dir)
    here = {path.relative_to(layout.lake).as_posix(): path for path in layout.lake.rglob("*.parquet")}
    there = {f"{table}/{file.name}": file for table, files in manifest.tables.items() for file in files}
    assert there.keys() == here.keys()
    for name, file in there.items():
        assert (file.bytes, file.sha256) == (here[name].stat().st_size, sha256_of(here[name]))
        assert file.rows == pq.read_metadata(here[name]).num_rows
        assert file.letter == (name.split("letter=")[1][0] if "letter=" in name else None)
    for name in ("features/letter=A/part-0.parquet", "symbols/part-0.parquet"):
        assert read(store, there[name], tmp_path) == here[name].read_bytes()
    model = manifest.models["volume_model"]
    assert model.pointer == read_pointer(layout.models / "volume_model")
    assert [{file.name for file in files} for files in model.versions.values()] == [{"model.txt", "manifest.json"}]


def test_a_table_s_object_is_named_by_its_content() -> None:
    assert (
        object_key("features", "A", "0123456789abcdef" * 4)
        == f"objects/features/letter=A/{'0123456789abcdef' * 2}.parquet"
    )
    assert object_key("symbols", None, "f" * 64) == f"objects/symbols/{'f' * 32}.parquet"


def test_what_has_not_changed_is_neither_sent_nor_published_again(settings: Settings, store: ObjectStore) -> None:
    first = put(settings)
    assert (first.new, first.uploaded) == (True, len(list(first.manifest.files())))
    again = put(settings)

    assert (again.new, again.uploaded, again.removed) == (False, 0, 0)
    assert again.manifest == first.manifest
    change(settings)
    third = put(settings)
    assert (third.new, third.uploaded, third.manifest.previous) == (True, 1, first.manifest.version)
    assert {f"{HISTORY}{one.manifest.version}.json" for one in (first, third)} == keys(store, HISTORY)
    assert find_manifest(store, f"{HISTORY}{first.manifest.version}.json") == first.manifest


def test_a_reader_of_the_first_version_is_not_disturbed_by_the_second(
    settings: Settings, store: ObjectStore, made: Layout
) -> None:
    first = put(settings).manifest
    addresses = table_addresses(store, first, "features")
    change(settings)
    put(settings)

    found = pl.read_parquet(addresses, hive_partitioning=True).sort("Symbol", "Date")
    local = pl.read_parquet(made.lake / "features/*/*.parquet", hive_partitioning=True).sort("Symbol", "Date")
    assert found.equals(local)
    assert pl.read_parquet(table_addresses(store, read_manifest(store), "features")).height == local.height - 1


def test_an_object_that_was_lost_or_cut_short_is_put_again(settings: Settings, store: ObjectStore) -> None:
    manifest = put(settings).manifest
    lost, cut = (file.key for file in manifest.tables["features"][:2])
    store.delete(lost)
    store.write(b"half", cut)
    again = put(settings)

    assert (again.new, again.uploaded) == (False, 2)
    assert {found.size for found in store.list(cut)} == {manifest.tables["features"][1].bytes}


def made_days_ago(lake: Path, days: float) -> None:
    for path in lake.rglob("*"):
        if path.is_file():
            times = path.stat().st_mtime - days * 86400
            os.utime(path, (times, times))


def test_what_was_in_force_within_the_last_day_stays(tmp_path: Path, made: Layout) -> None:
    """However old its objects are: there may be a reader who began before it was replaced."""
    shutil.copytree(made.data_dir, tmp_path / "data")
    lake = tmp_path / "lake"
    settings = Settings(data_dir=tmp_path / "data", lake_url=str(lake))
    first = put(settings).manifest
    gone = {file.key for file in first.tables["features"] if file.letter == "A"}
    made_days_ago(lake, 30)
    for _ in range(lake_publishing.KEPT + 1):
        change(settings)
        assert put(settings).removed == 0
    assert gone < keys(settings_store(settings))

    made_days_ago(lake, 0.9)
    assert put(settings).removed == 0, "replaced 0.9 days ago"
    made_days_ago(lake, 0.2)
    assert put(settings).removed == 2, "both that are older than the last five"
    assert gone.isdisjoint(keys(settings_store(settings)))
    assert len(keys(settings_store(settings), HISTORY)) == lake_publishing.KEPT


def test_what_others_keep_in_the_same_place_stays(tmp_path: Path, made: Layout) -> None:
    shutil.copytree(made.data_dir, tmp_path / "data")
    lake = tmp_path / "lake"
    others = [lake / name for name in ("models/bert/weights.bin", "objects/invoices/2020.pdf", "manifests/of-2020.txt")]
    for path in others:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"of somebody else")
    made_days_ago(lake, 30)
    assert put(Settings(data_dir=tmp_path / "data", lake_url=str(lake))).removed == 0
    assert all(path.exists() for path in others)


def test_each_pipeline_publishes_its_own_tables_beside_those_of_the_other(
    settings: Settings, store: ObjectStore
) -> None:
    crypto = Layout(settings.data_dir).crypto("crypto_prices")
    crypto.parent.mkdir(parents=True)
    shutil.copy(Layout(settings.data_dir).symbols, crypto)
    market = put(settings).manifest
    assert "crypto_prices" not in market.tables

    change(settings)  # by a run that failed later
    both = publish(settings, silent, crypto=True).manifest
    assert both.tables == market.tables | {"crypto_prices": both.tables["crypto_prices"]}
    assert put(settings).manifest.tables.keys() == both.tables.keys()


def test_what_cannot_be_removed_keeps_no_version_from_being_in_force(
    settings: Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings)
    change(settings)
    put(settings)
    store.write(b"damaged", f"{HISTORY}{read_manifest(store).version}.json")
    monkeypatch.setattr(lake_publishing, "GRACE", timedelta(0))
    change(settings)
    told: list[str] = []
    last = publish(settings, told.append)

    assert (last.new, last.removed, read_manifest(store)) == (True, 0, last.manifest)
    assert "stays in the lake until the next publication" in told[-1]


def test_old_objects_that_no_late_manifest_names_are_removed(
    settings: Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(settings).manifest
    gone = {file.key for file in first.tables["features"] if file.letter == "A"}
    monkeypatch.setattr(lake_publishing, "KEPT", 2)
    change(settings)
    put(settings)
    change(settings)
    assert put(settings).removed == 0, "it was replaced only now"

    monkeypatch.setattr(lake_publishing, "GRACE", timedelta(0))
    assert put(settings).removed == 1
    assert gone.isdisjoint(keys(store))
    assert len(keys(store, HISTORY)) == 2
    for key in keys(store, HISTORY):
        manifest = find_manifest(store, key)
        assert manifest is not None
        assert {file.key for file in manifest.files()} <= keys(store) | keys(store, "models/")


def test_what_an_engine_put_ahead_of_a_manifest_stays_while_it_is_young(
    settings: Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings)
    ahead = object_key("features", "A", "a" * 64)
    store.write(b"of a run that goes on", ahead)
    change(settings)
    put(settings)
    assert store.has(ahead)

    monkeypatch.setattr(lake_publishing, "GRACE", timedelta(0))
    put(settings)
    assert not store.has(ahead)


def test_two_that_publish_to_one_lake_leave_both_versions_whole(
    settings: Settings, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one publishes, and prunes, between what the first one puts and its manifest."""
    other = settings.model_copy(update={"data_dir": Path(shutil.copytree(settings.data_dir, tmp_path / "other"))})
    change(settings)
    change(other, "B")
    finish = lake_publishing._Publication.finish
    seen: list[Published] = []

    def late(self: object, *arguments: object) -> Published:
        monkeypatch.setattr(lake_publishing._Publication, "finish", finish)
        seen.append(put(other))
        return finish(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lake_publishing._Publication, "finish", late)
    last = put(settings)

    assert last.manifest.previous == seen[0].manifest.version
    assert read_manifest(store) == last.manifest
    there = keys(store) | keys(store, "models/")
    for manifest in (last.manifest, seen[0].manifest):
        assert {file.key for file in manifest.files()} <= there


def test_an_old_object_that_no_manifest_names_is_put_again_before_it_is_relied_on(
    settings: Settings, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings)
    path = Layout(settings.data_dir).parquet("features", "A")
    before = path.read_bytes()
    change(settings)
    put(settings)
    path.write_bytes(before)
    assert put(settings).uploaded == 0, "young enough"

    change(settings)
    put(settings)
    path.write_bytes(before)
    monkeypatch.setattr(lake_publishing, "GRACE", timedelta(0))
    assert put(settings).uploaded == 1


def test_a_promotion_by_hand_is_published_beside_the_tables(settings: Settings, store: ObjectStore) -> None:
    layout = Layout(settings.data_dir)
    first = put(settings).manifest
    folder = layout.models / "volume_model"
    new = promote_model(layout, booster_of(0.5))
    change(settings)  # of a run that goes on: not published before it ends
    published = publish_models(settings, silent)

    assert published.manifest.tables == first.tables
    model = published.manifest.models["volume_model"]
    assert model.pointer is not None
    assert (model.pointer.version, list(model.versions)) == (new, [new])

    old = versions(folder)[1]
    promote(folder, old, "volume_model", "a-run")
    model = publish_models(settings, silent).manifest.models["volume_model"]
    assert model.pointer is not None
    assert (model.pointer.version, set(model.versions)) == (old, {old, new}), "the newest one too"


def test_models_can_be_published_before_any_table(settings: Settings, store: ObjectStore) -> None:
    publish_models(settings, silent)
    manifest = read_manifest(store)

    assert (manifest.tables, list(manifest.models)) == ({}, ["volume_model"])


def test_a_damaged_model_stops_the_publication(settings: Settings, store: ObjectStore) -> None:
    first = put(settings).manifest
    folder = Layout(settings.data_dir).models / "volume_model"
    (folder / versions(folder)[0] / "model.txt").write_text("other", "utf-8")
    change(settings)

    with pytest.raises(UserError, match=r"it was changed; materialize volume_model anew, or promote another version$"):
        put(settings)
    assert read_manifest(store) == first


def test_a_damaged_model_keeps_no_other_from_being_promoted(settings: Settings, store: ObjectStore) -> None:
    layout = Layout(settings.data_dir)
    shutil.copytree(layout.models / "volume_model", layout.models / "next_day_model")
    first = put(settings).manifest
    folder = layout.models / "next_day_model"
    (folder / versions(folder)[0] / "model.txt").write_text("other", "utf-8")
    new = promote_model(layout, booster_of(0.5))
    told: list[str] = []
    models = publish_models(settings, told.append).manifest.models

    assert models["next_day_model"] == first.models["next_day_model"]
    assert models["volume_model"].pointer is not None
    assert models["volume_model"].pointer.version == new
    assert told[0].startswith("next_day_model stays in the lake as it is: ")


@pytest.mark.parametrize("name", ["lake/features/letter=A/copy of part-0.parquet", "models/old model"])
def test_a_name_that_nothing_has_is_told(settings: Settings, name: str) -> None:
    layout = Layout(settings.data_dir)
    if name.startswith("lake"):
        shutil.copy(layout.parquet("features", "A"), settings.data_dir / name)
    else:
        shutil.copytree(layout.models / "volume_model", settings.data_dir / name)
    with pytest.raises(UserError, match=r"has a name that nothing in the lake can have: rename it or take it away$"):
        put(settings)


def test_a_damaged_table_stops_the_publication(settings: Settings, store: ObjectStore) -> None:
    first = put(settings).manifest
    path = change(settings)
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(UserError, match=r"part-0.parquet cannot be read: .*; remove it and materialize its table$"):
        put(settings)
    assert read_manifest(store) == first


def test_what_a_killed_run_left_in_a_folder_is_no_manifest_and_goes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"lake_url": str(tmp_path / "folder")})
    put(settings)
    litter = [
        tmp_path / "folder" / name
        for name in ("manifests/v.json.0a1b2c3d.tmp", f"{object_key('features', 'A', 'a' * 64)}.0a1b2c3d.tmp")
    ]
    for path in litter:
        path.write_bytes(b"half")
    change(settings)
    put(settings)
    assert all(path.exists() for path in litter), "it may be of one that goes on"

    monkeypatch.setattr(lake_publishing, "GRACE", timedelta(0))
    put(settings)
    assert not any(path.exists() for path in litter)


def test_a_manifest_of_another_format_is_told(settings: Settings, store: ObjectStore) -> None:
    put(settings)
    content = store.read(MANIFEST)
    assert content is not None
    store.write(content.replace(b'"format": 1', b'"format": 2'), MANIFEST)

    with pytest.raises(
        UserError, match=r"manifest.json: format: .*; another version of this program made it, or it was damaged$"
    ):
        read_manifest(store)


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/x", "a/../../b", ".hidden/x", ""])
def test_a_name_that_leads_elsewhere_is_no_file_of_a_manifest(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        LakeFile(key="k", name=name, bytes=1, sha256="0" * 64)
    with pytest.raises(ValueError, match="key"):
        LakeFile(key=name, name="n", bytes=1, sha256="0" * 64)
    with pytest.raises(ValueError, match="tables"):
        LakeManifest.model_validate({"version": "v", "published_at": "2026-01-01", "tables": {name: []}, "models": {}})


@pytest.mark.parametrize("place", [".", "lake", "models", "elsewhere/below"])
def test_a_lake_in_the_data_folder_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(UserError, match="is in the data folder"):
        settings_store(Settings(data_dir=tmp_path, lake_url=str(tmp_path / place)))


def test_a_lake_in_the_data_folder_of_another_pipeline_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is the data folder of a pipeline"):
        settings_store(Settings(data_dir=tmp_path / "mine", lake_url=str(settings.data_dir)))


def test_another_publication_is_not_waited_for_without_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_publishing, "LOCK_SECONDS", 0.1)
    with (
        FileLock(Layout(settings.data_dir).lake_lock),
        pytest.raises(TransientError, match=r"another process holds .*lake\.lock"),
    ):
        publish_models(settings, silent)
    publish_models(settings, silent)
