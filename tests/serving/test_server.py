"""The protocol under the application, asked over raw sockets."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

import serving.server
from serving.server import MOST_BYTES, BoundedProtocol

LINE = b"POST / HTTP/1.1\r\nHost: here\r\n"


async def count(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body; `/unread` at once, `/late` after a while."""
    length, more = 0, scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    if scope["path"] == "/late":
        await asyncio.sleep(0.6)
    body = b"%d" % length
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    protocol: Any = partial(BoundedProtocol, seconds=0.3)
    config = uvicorn.Config(
        count, port=0, log_config=None, lifespan="off", ws="none", http=protocol, timeout_keep_alive=2
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(10)


@contextmanager
def connection(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=5) as client:
        yield client


def told(client: socket.socket) -> tuple[int, Any]:
    """All that is answered until the connection is closed: the last status and body."""
    received = b""
    try:
        while part := client.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    status = received.rpartition(b"HTTP/1.1 ")[2][:3]
    body = received.rpartition(b"\r\n\r\n")[2]
    return int(status or 0), json.loads(body or b"null")


def send_until_closed(client: socket.socket, part: bytes, times: int) -> int:
    """How many bytes of an endless message were taken."""
    sent = 0
    try:
        for _ in range(times):
            client.sendall(part)
            sent += len(part)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize("beginning", [b"", b"POST /", LINE + b"X-Long: ", LINE])
def test_a_request_without_end_is_closed(address: tuple[str, int], beginning: bytes) -> None:
    part = b"X-A: b\r\n" * 128 if beginning == LINE else b"a" * 1024
    with connection(address) as client:
        client.sendall(beginning or LINE)
        for _ in range(MOST_BYTES // 1024):
            client.sendall(part if beginning else b"Y: " + b"a" * 1019 + b"\r\n")
        assert told(client) == (431, {"detail": f"the headers are larger than {MOST_BYTES} bytes"})


def test_much_of_it_in_one_piece_is_not_read(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(LINE)
        taken = send_until_closed(client, b"X-A: " + b"b" * 1_000_000 + b"\r\n", 200)
    assert taken < 100_000_000


def test_headers_below_the_limit_pass(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(
            LINE + b"X-Long: " + b"a" * (MOST_BYTES - 200) + b"\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab"
        )
        assert told(client) == (200, 2)


def test_a_body_may_be_larger(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(LINE + b"Connection: close\r\nContent-Length: 3000000\r\n\r\n" + b"a" * 3_000_000)
        assert told(client) == (200, 3_000_000)


def test_trailers_without_end_are_closed(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(LINE + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        taken = send_until_closed(client, b"X-A: " + b"b" * 1000 + b"\r\n", 50_000)
    assert taken < 50_000 * 1007


def test_a_request_byte_by_byte_is_closed(address: tuple[str, int]) -> None:
    started = time.monotonic()
    with connection(address) as client:
        client.settimeout(0.02)
        for letter in LINE:
            client.sendall(bytes([letter]))
            try:
                answer = client.recv(1000)
            except TimeoutError:
                continue
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert answer.endswith(b'{"detail": "no whole request within 0.3 s"}')
            break
        else:
            pytest.fail("a slow client may go on for ever")
    assert 0.25 < time.monotonic() - started < 2


def test_who_asks_nothing_is_closed_without_a_word(address: tuple[str, int]) -> None:
    with connection(address) as client:
        assert client.recv(1000) == b""


def test_a_second_request_that_never_ends_is_closed(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(LINE + b"Content-Length: 1\r\n\r\na")
        assert client.recv(1000).endswith(b"1")
        client.sendall(LINE)
        assert told(client)[0] == 408


def test_an_answer_may_take_longer_than_a_request(address: tuple[str, int]) -> None:
    with connection(address) as client:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        assert told(client) == (200, 0)
    with connection(address) as client:
        client.sendall(b"POST /late HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nConnection: close\r\n\r\na")
        time.sleep(0.45)  # the application waits for the rest, and it is for the application to say how long
        client.sendall(b"b")
        assert told(client) == (200, 2)


def test_the_rest_of_a_body_that_was_not_read_may_not_trickle(address: tuple[str, int]) -> None:
    started = time.monotonic()
    with connection(address) as client:
        client.sendall(b"POST /unread HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\na")
        assert client.recv(1000).endswith(b"0")
        for _ in range(100):
            time.sleep(0.02)
            if send_until_closed(client, b"a", 1) == 0:
                break
    assert time.monotonic() - started < 1.5


def test_many_requests_on_one_connection_pass(address: tuple[str, int]) -> None:
    with connection(address) as client:
        for _ in range(5):
            time.sleep(0.1)
            client.sendall(LINE + b"Content-Length: 3\r\n\r\nabc")
            assert client.recv(1000).endswith(b"3")
        client.sendall((LINE + b"Content-Length: 3\r\n\r\nabc") * 3)  # without waiting for answers
        received = b""
        while received.count(b"200 OK") < 3:
            received += client.recv(1000)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT here:1 HTTP/1.1\r\n\r\n",
        b"GET \xff HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_bad_request(address: tuple[str, int], nonsense: bytes) -> None:
    with connection(address) as client:
        client.sendall(nonsense)
        assert told(client) == (400, {"detail": "Invalid HTTP request received."})


def test_connections_are_bounded(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.server, "MOST_CONNECTIONS", 1)
    with connection(address) as first:
        first.sendall(b"G")
        time.sleep(0.05)
        with connection(address) as second:
            assert told(second) == (503, {"detail": "too many connections; try again"})
