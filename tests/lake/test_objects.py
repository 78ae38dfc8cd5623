"""Objects by key, in a folder and on a real S3 server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stock_assets.errors import UserError
from stock_assets.objects import ObjectStore, open_store

LARGE = bytes(range(256)) * 40_000
"""Ten megabytes: more than S3 is sent in one part."""


@pytest.fixture
def store(lake_url: str) -> ObjectStore:
    return open_store(lake_url)


def test_a_file_comes_back_as_it_was(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    store.put(tmp_path / "large", "a/b/large")
    store.get("a/b/large", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == LARGE
    store.write(b"short", "a/b/large")
    assert store.read("a/b/large") == b"short"
    assert store.address("a/b/large") == f"{store.url}/a/b/large"


def test_what_is_not_there(store: ObjectStore, tmp_path: Path) -> None:
    store.write(b"x", "there")

    assert (store.read("not"), store.read_newer("not", ""), store.has("not")) == (None, None, False)
    assert (list(store.list("not")), store.has("ther"), store.has("there")) == ([], False, True)
    store.delete("not")
    with pytest.raises(UserError, match="not"):
        store.get("not", tmp_path / "copy")


def test_objects_are_listed_by_the_beginning_of_their_keys(store: ObjectStore) -> None:
    for key in ("b/2", "a/1", "b/1", "bc", "b/c/3"):
        store.write(key.encode(), key)
    found = list(store.list("b/"))

    assert [(one.key, one.size) for one in found] == [("b/1", 3), ("b/2", 3), ("b/c/3", 5)]
    assert all(abs(one.modified - datetime.now(UTC)) < timedelta(minutes=1) for one in found)
    assert [one.key for one in store.list("b")] == ["b/1", "b/2", "b/c/3", "bc"]
    store.delete("b/1")
    assert [one.key for one in store.list("b/")] == ["b/2", "b/c/3"]


def test_only_what_is_new_is_read(store: ObjectStore) -> None:
    store.write(b"first", "key")
    first = store.read_newer("key", "")
    assert first is not None
    assert first[0] == b"first"
    assert store.read_newer("key", first[1]) is None
    store.write(b"second", "key")
    second = store.read_newer("key", first[1])
    assert second is not None
    assert (second[0], store.read_newer("key", second[1])) == (b"second", None)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"the lake {tmp_path / 'file'}: .*: File exists"):
        open_store(str(tmp_path / "file")).write(b"x", "key")
