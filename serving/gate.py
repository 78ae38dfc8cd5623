"""What each request passes and pays for, hence in plain ASGI: an id, a time limit, numbers and a log line."""

import asyncio
import re
import secrets
from collections.abc import Callable
from time import perf_counter
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.logs import AccessLog
from serving.metrics import METHODS, OTHER_METHOD, REQUESTS, SECONDS, UNMATCHED
from serving.refusals import refusal
from serving.store import logger

ID_HEADER = b"x-request-id"
SOUND_ID = re.compile(rb"[\w.:-]{1,64}", re.ASCII)
"""An id that a client or a proxy gave is kept if it is short and harmless."""
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
POLICY = b"content-security-policy"
FOR_DATA = (POLICY, b"default-src 'none'; frame-ancestors 'none'")
"""Unless a route has a policy of its own: an answer is no page, and may load nothing."""
FOR_DOCS = (
    POLICY,
    (
        b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    ),
)
"""Swagger's page has its script in line."""
NOT_KEPT = (b"cache-control", b"no-store")
"""Unless a route says otherwise: the next model may answer differently."""


class Gate:
    """Middleware around the whole application. `seconds` is what a request may take, its body's arrival included.

    `cors` goes around the application and around the gate's own failures, so that the page of another origin can read
    both; it has nothing to do without such origins.
    """

    def __init__(self, app: ASGIApp, cors: Callable[[ASGIApp], ASGIApp], access_log: AccessLog, seconds: float) -> None:
        self._app = cors(app)
        self._cors = cors
        self._log = access_log
        self._seconds = seconds
        self._counters: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 0
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = message["headers"]
                message["headers"] = [
                    *own, *SECURITY_HEADERS, *_defaults(scope["path"], own), (ID_HEADER, request_id.encode())
                ]  # fmt: skip
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, receive, answer)
        except Exception as error:
            if status:
                raise  # the answer has begun: only breaking the connection can tell that it is not whole
            await self._cors(self._failure(scope, error, request_id))(scope, receive, answer)
        finally:
            # No status where the client went away before there was an answer: nginx logs that as 499 too.
            self._record(scope, request_id, status or 499, perf_counter() - started)

    def _failure(self, scope: Scope, error: Exception, request_id: str) -> JSONResponse:
        if isinstance(error, TimeoutError):
            # Closed, since it may be the rest of the body that did not come.
            problem = f"no answer within {self._seconds:g} s, the limit of this service"
            return refusal(scope, 504, problem, {"Connection": "close"})
        logger.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
        return refusal(scope, 500, f"the service failed; its log has the cause under {request_id}")

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        method, path = scope["method"], getattr(scope.get("route"), "path", UNMATCHED)
        key = (method if method in METHODS else OTHER_METHOD, path, status)
        if key not in self._counters:
            self._counters[key] = REQUESTS.labels(*key), SECONDS.labels(path)
        count, histogram = self._counters[key]
        count.inc()
        histogram.observe(seconds)
        self._log.add(request_id, method, scope["path"], status, seconds)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == ID_HEADER and SOUND_ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(8)


def _defaults(path: str, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What an answer with these headers leaves to the gate. Files bring an ETag and may be kept."""
    given = {name for name, _ in headers}
    defaults = [] if POLICY in given else [FOR_DOCS if path.startswith("/docs") else FOR_DATA]
    return defaults if NOT_KEPT[0] in given or b"etag" in given else [*defaults, NOT_KEPT]
