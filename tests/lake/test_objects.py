"""Objects by key, in a folder and on a real S3 server."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stock_assets.errors import TransientError, UserError
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


class CutOff(BaseHTTPRequestHandler):
    """Promises a hundred bytes and hangs up after ten."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.send_header("ETag", '"0"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"x" * 10)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with ThreadingHTTPServer(("127.0.0.1", 0), CutOff) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "none")
        yield open_store("s3://bucket")
        server.shutdown()


def test_an_answer_that_is_cut_off_may_be_whole_the_next_time(cut_off: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="the lake s3://bucket: "):
        cut_off.read("key")
    with pytest.raises(TransientError, match="the lake s3://bucket: key: "):
        cut_off.get("key", tmp_path / "copy")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"the lake {tmp_path / 'file'}: .*: File exists"):
        open_store(str(tmp_path / "file")).write(b"x", "key")
