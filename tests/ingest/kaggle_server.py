"""A stand-in for Kaggle on this machine: its API and, on a second port, the storage that it redirects downloads to.

It speaks as much of the protocol as the client 2.2 needs. Faults are played in the order of the requests, one each.
"""

import hashlib
import json
import os
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from kagglesdk.kaggle_env import KaggleEnv, _env_to_endpoint  # type: ignore[import-untyped]

from stock_assets.ingest import patience

TOKEN, USER, KEY = "KGAT_right", "alice", "0123456789abcdef"

CHILD = """
import sys
from pathlib import Path
from kagglesdk.kaggle_env import KaggleEnv, _env_to_endpoint
from stock_assets.ingest.kaggle_dataset import download

_env_to_endpoint[KaggleEnv.PROD] = sys.argv[1]
download(sys.argv[2], Path(sys.argv[3]), print)
"""
"""Downloads in a process of its own; its arguments are the address of the API, the version and the folder."""


@dataclass(frozen=True)
class Status:
    """An error in place of the answer."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "<?xml version='1.0'?><Error><Code>Test</Code></Error>"


@dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes of the body; if so, the signed address has expired then."""

    after: int
    expires: bool = False


@dataclass(frozen=True)
class Stall:
    """Silence after so many bytes of the body; None: not even a header."""

    after: int | None = None


@dataclass(frozen=True)
class Swap:
    """From this request on, the zip of the version is another one."""

    content: bytes


@dataclass(frozen=True)
class NoLength:
    """The body comes without its length."""


Fault = Status | Cut | Stall | Swap | NoLength | None


@dataclass(frozen=True)
class Request:
    name: str
    headers: dict[str, str]
    body: dict[str, Any]


class KaggleServer:
    """The dataset `alice/market`: `zips` by version number, the highest is current. `log` has what was asked."""

    def __init__(self, zips: dict[int, bytes]) -> None:
        self.zips = zips
        self.api_faults: list[Fault] = []
        self.storage_faults: list[Fault] = []
        self.log: list[Request] = []
        self.signature = self.first_valid = 0
        self.closing = threading.Event()
        self._listeners = [_Listener(self, handler) for handler in (_Api, _Storage)]
        self.api, self.storage = (f"http://127.0.0.1:{listener.server_port}" for listener in self._listeners)

    def __enter__(self) -> Self:
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()

    def asked(self, name: str) -> list[Request]:
        return [request for request in self.log if request.name == name]

    @property
    def ranges(self) -> list[str | None]:
        """The `Range` header of each request to the storage."""
        return [request.headers.get("Range") for request in self.asked("storage")]


class _Listener(ThreadingHTTPServer):
    def __init__(self, kaggle: KaggleServer, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.kaggle = kaggle

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    @property
    def kaggle(self) -> KaggleServer:
        return self.server.kaggle

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def respond(self, faults: list[Fault], serve: Callable[[Fault], None]) -> None:
        """Play the next fault: in place of the answer, or as a part of it."""
        fault = faults.pop(0) if faults else None
        if isinstance(fault, Status):
            self.answer(fault.code, fault.body.encode(), fault.headers)
        elif fault == Stall():
            self.stay_silent()
        else:
            serve(fault)

    def stay_silent(self) -> None:
        self.kaggle.closing.wait(60)
        self.close_connection = True


class _Api(_Handler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.rpartition("/")[2]
        self.kaggle.log.append(Request(name, dict(self.headers), body))
        self.respond(self.kaggle.api_faults, lambda _: getattr(self, f"_{name}")(body))

    def _json(self, content: dict[str, Any], code: int = 200) -> None:
        self.answer(code, json.dumps(content).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _IntrospectToken(self, body: dict[str, Any]) -> None:  # noqa: N802 - the method's name in the protocol
        right = body["token"] == TOKEN
        self._json({"active": right, "username": USER if right else ""})

    def _GetDataset(self, body: dict[str, Any]) -> None:  # noqa: N802
        if self._may_have(body):
            self._json({"ref": f"{body['ownerSlug']}/market", "currentVersionNumber": max(self.kaggle.zips)})

    def _DownloadDataset(self, body: dict[str, Any]) -> None:  # noqa: N802
        number = body.get("datasetVersionNumber", max(self.kaggle.zips))
        if not self._may_have(body):
            return
        if number in self.kaggle.zips:
            self.kaggle.signature += 1
            self.answer(302, b"", {"Location": f"{self.kaggle.storage}/{number}?Signature={self.kaggle.signature}"})
        else:
            self._json({"code": 404, "message": "Dataset version not found"}, 404)

    def _may_have(self, body: dict[str, Any]) -> bool:
        basic = b64encode(f"{USER}:{KEY}".encode()).decode()
        if self.headers.get("Authorization") not in (f"Bearer {TOKEN}", f"Basic {basic}"):
            self._json({"code": 401, "message": "Unauthenticated"}, 401)
        elif (body["ownerSlug"], body["datasetSlug"]) != ("alice", "market"):
            self._json({"code": 403, "message": "Permission 'datasets.get' was denied"}, 403)
        else:
            return True
        return False


class _Storage(_Handler):
    def do_GET(self) -> None:
        self.kaggle.log.append(Request("storage", dict(self.headers), {}))
        self.respond(self.kaggle.storage_faults, self._serve)

    def _serve(self, fault: Fault) -> None:
        address = urlsplit(self.path)
        number = int(address.path.strip("/"))
        if int(parse_qs(address.query)["Signature"][0]) < self.kaggle.first_valid:
            self.answer(403, b"<Error><Code>ExpiredToken</Code></Error>", {})
        else:
            if isinstance(fault, Swap):
                self.kaggle.zips[number] = fault.content
            self._send(self.kaggle.zips[number], fault)

    def _send(self, content: bytes, fault: Fault) -> None:
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        start = 0
        if self.headers.get("Range") and self.headers.get("If-Range") in (None, etag):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        headers = {"ETag": etag, "Last-Modified": formatdate(1_700_000_000, usegmt=True), "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if not isinstance(fault, NoLength):
            headers["Content-Length"] = str(len(content) - start)
        self.send_response(206 if start else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        rest = content[start:]
        self.wfile.write(rest[: fault.after] if isinstance(fault, Cut | Stall) else rest)
        self._end(fault)

    def _end(self, fault: Fault) -> None:
        if isinstance(fault, Cut) and fault.expires:
            self.kaggle.first_valid = self.kaggle.signature + 1
        if isinstance(fault, Stall):
            self.stay_silent()
        self.close_connection = isinstance(fault, Cut | Stall | NoLength)


def point_client_at(kaggle: KaggleServer, patch: pytest.MonkeyPatch, home: Path) -> None:
    """The client in this process talks to `kaggle` with the right token, sees an empty `home`, and waits little."""
    for name in list(os.environ):
        if name.upper().startswith(("KAGGLE_", "XDG_")) or name.upper().endswith("_PROXY"):
            patch.delenv(name)
    home.mkdir()
    patch.setenv("HOME", str(home))
    patch.setenv("KAGGLE_CONFIG_DIR", str(home / "config"))
    patch.setenv("KAGGLE_API_TOKEN", TOKEN)
    patch.setitem(_env_to_endpoint, KaggleEnv.PROD, kaggle.api)
    patch.setattr(patience, "FIRST_WAIT", 0.001)
