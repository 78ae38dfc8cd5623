"""Ids, log lines, the time limit and the headers of every answer."""

import asyncio
import json
import logging
import logging.config
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse

from serving.app import create_app
from serving.logs import LOGGING
from stock_assets.settings import Settings
from tests.serving.conftest import QUESTION, Models

CAUSE = "the cause is for the log"


@contextmanager
def service(models: Models, **settings: Any) -> Iterator[TestClient]:
    """A service with routes that fail in all ways a route may."""
    app = create_app(Settings(data_dir=models.data_dir, **settings))
    _add_failures(app)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def _add_failures(app: FastAPI) -> None:
    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError(CAUSE)

    @app.get("/hangs")
    async def hangs() -> None:
        await asyncio.sleep(60)

    @app.post("/reads")
    async def reads(request: Request) -> int:
        return len(await request.body())

    @app.get("/breaks")
    async def breaks() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError(CAUSE)

        return StreamingResponse(parts())


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The access log so far; the service must have ended, which writes the rest."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if '"access"' in line]


def test_an_id_comes_back_and_is_in_the_log(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    with service(models) as client:
        answer = client.get("/health/live", headers={"X-Request-Id": "desk-7:2026.a_b"})
    (line,) = lines(capsys)
    assert answer.headers["x-request-id"] == line["request_id"] == "desk-7:2026.a_b"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/live", 200)
    assert 0 < line["ms"] < 5000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


@pytest.mark.parametrize("hostile", ['x", "status": 200}', "a" * 65, "", "a b", "\u0436".encode(), b"a\x1b[31m"])
def test_a_hostile_id_is_replaced(models: Models, capsys: pytest.CaptureFixture[str], hostile: str | bytes) -> None:
    with service(models) as client:
        answer = client.get(
            "/health/live", headers=[(b"x-request-id", hostile.encode() if isinstance(hostile, str) else hostile)]
        )
    (line,) = lines(capsys)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert line["request_id"] == answer.headers["x-request-id"]


def test_a_hostile_path_is_escaped_and_cut(models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    with service(models) as client:
        client.get("/%0A%22%7D%1B%5B31m%00%ff%E2%80%A8")
        client.get("/" + "a" * 5000)
    escaped, cut = lines(capsys)
    assert escaped["path"] == '/\n"}\x1b[31m\x00\ufffd\u2028'
    assert len(cut["path"]) == 500


def test_a_failure_tells_the_log_the_cause_and_the_client_the_id(
    models: Models, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with service(models) as client:
        answer = client.get("/fails", headers={"X-Request-Id": "desk-8"})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "the service failed; its log has the cause under desk-8"}
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    line = json.loads(_formatter().format(record))
    assert (line["request_id"], line["level"]) == ("desk-8", "ERROR")
    assert f"RuntimeError: {CAUSE}" in line["exception"]
    assert [line["status"] for line in lines(capsys)] == [500]


def test_what_fails_in_the_middle_is_broken_off(models: Models) -> None:
    app = create_app(Settings(data_dir=models.data_dir))
    _add_failures(app)
    with TestClient(app) as client, pytest.raises(RuntimeError, match=CAUSE):
        client.get("/breaks")


def test_a_log_line_has_no_colours() -> None:
    record = logging.makeLogRecord({"msg": "Started", "color_message": "\x1b[36mStarted", "name": "uvicorn.error"})
    line = json.loads(_formatter().format(record))
    assert line.pop("time")
    assert line == {"level": "Level None", "logger": "uvicorn.error", "message": "Started"} | {"level": line["level"]}


def test_what_libraries_log_is_json_too() -> None:
    code = "import logging.config, serving.logs as l; logging.config.dictConfig(l.LOGGING); logging.error('one\\ntwo')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["message"] == "one\ntwo"
    assert done.stderr.count("\n") == 1


def test_time_is_limited(models: Models) -> None:
    with service(models, request_seconds=0.1) as client:
        answer = client.get("/hangs")
    assert answer.status_code == 504
    assert answer.json() == {"detail": "no answer within 0.1 s, the limit of this service"}
    assert answer.headers["connection"] == "close"


def test_the_time_of_a_body_counts(models: Models) -> None:
    async def ask() -> list[Any]:
        app = create_app(Settings(data_dir=models.data_dir, request_seconds=0.1))
        _add_failures(app)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.03)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(
            {"type": "http", "method": "POST", "path": "/reads", "headers": [], "query_string": b""}, receive, send
        )
        return sent

    start, _ = asyncio.run(ask())
    assert start["status"] == 504


def test_a_page_of_another_origin_can_read_failures(models: Models) -> None:
    origin = "https://desk.example.com"
    with service(models, cors_origins=origin, request_seconds=0.1) as client:
        for path in ("/fails", "/hangs"):
            answer = client.get(path, headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin


def test_every_answer_has_the_security_headers(models: Models, good_client: TestClient) -> None:
    with service(models) as client:
        asked = [(good_client, "/predict"), (good_client, "/nowhere"), (good_client, "/docs"), (client, "/fails")]
        answers = [running.get(path, params=QUESTION) for running, path in asked]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


def test_data_may_load_nothing_and_the_docs_only_from_here(good_client: TestClient) -> None:
    data = good_client.get("/predict", params=QUESTION).headers["content-security-policy"]
    assert data == "default-src 'none'; frame-ancestors 'none'"
    docs = good_client.get("/docs").headers["content-security-policy"]
    assert "script-src 'self' 'unsafe-inline'" in docs
    assert "http" not in docs


def test_a_route_may_have_headers_of_its_own(models: Models) -> None:
    app = create_app(Settings(data_dir=models.data_dir))
    own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
    app.get("/own")(lambda: StreamingResponse(iter([b""]), headers=own))
    with TestClient(app) as client:
        headers = client.get("/own").headers
    assert headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert headers.get_list("cache-control") == ["max-age=60"]


def test_files_may_be_kept(good_client: TestClient) -> None:
    assert "no-store" not in good_client.get("/static-offline-docs/swagger-ui.css").headers.get("cache-control", "")


def _formatter() -> logging.Formatter:
    given = dict(LOGGING["formatters"]["json"])
    made = logging.config.DictConfigurator({"version": 1}).configure_custom({"()": given.pop("()"), **given})
    assert isinstance(made, logging.Formatter)
    return made
