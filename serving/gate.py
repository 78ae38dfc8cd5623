"""What each request passes and pays for, hence in plain ASGI: an id, a time limit, numbers and a log line."""

import asyncio
import re
import secrets
from time import perf_counter
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.logs import AccessLog
from serving.metrics import REQUESTS, SECONDS
from serving.security import Guard
from serving.store import logger

ID_HEADER = b"x-request-id"
SOUND_ID = re.compile(rb"[\w.:-]{1,64}", re.ASCII)
"""An id that a client or a proxy gave is kept if it is short and harmless."""
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class Gate:
    """Middleware around the whole application. `seconds` is what a request may take, its body's arrival included."""

    def __init__(self, app: ASGIApp, guard: Guard, access_log: AccessLog, seconds: float) -> None:
        self._app = app
        self._guard = guard
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
        extra = (*SECURITY_HEADERS, (ID_HEADER, request_id.encode()))

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        app = self._guard.refusal(scope) or self._app
        try:
            async with asyncio.timeout(self._seconds):
                await app(scope, receive, answer)
        except Exception as error:
            if status:
                raise  # the answer has begun: only breaking the connection can tell that it is not whole
            await self._failure(error, request_id)(scope, receive, answer)
        finally:
            # No status where the client went away before there was an answer: nginx logs that as 499 too.
            self._record(scope, request_id, status or 499, perf_counter() - started)

    def _failure(self, error: Exception, request_id: str) -> JSONResponse:
        if isinstance(error, TimeoutError):
            return JSONResponse({"detail": f"no answer within {self._seconds:g} s, the limit of this service"}, 504)
        logger.error("request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
        return JSONResponse({"detail": f"the service failed; its log has the cause under {request_id}"}, 500)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        method, route = scope["method"], scope.get("route")
        path = getattr(route, "path", "unmatched")
        key = (method, path, status)
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
