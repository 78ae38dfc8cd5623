"""The HTTP protocol under the application: uvicorn's, with limits on what comes before an application is asked."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.metrics import OTHER_METHOD, REQUESTS, UNMATCHED

MOST_BYTES = 65_536
"""Of a request line with its headers, of trailers, or of anything else that brings no byte of a body."""
MOST_CONNECTIONS = 900
"""At once, of one worker. A process may usually have 1024 files open, and needs some to load a model."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection, whose client may neither send headers without end nor take for ever to send them.

    A piece of up to `MOST_BYTES` is parsed at once, so twice as much may be in memory. A request that came as a whole,
    as nearly all do, costs two comparisons more than under uvicorn's own. `seconds` is what a request may take until it
    has arrived; once an application has it, that is the application's to limit.
    """

    def __init__(self, *, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds = seconds
        self._barren = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503, "too many connections; try again")
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) <= MOST_BYTES:
            self._take(data)
            return
        for start in range(0, len(data), MOST_BYTES):
            if not self.transport.is_closing():
                self._take(data[start : start + MOST_BYTES])

    def _take(self, data: bytes) -> None:
        self._barren += len(data)
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body and "method" in self.scope:
            self._arrived()
        elif self._barren > MOST_BYTES:
            self._refuse(431, f"the headers are larger than {MOST_BYTES} bytes")
        elif self._deadline is None:
            self._expect()

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for a request that it cannot parse."""
        self._refuse(400, msg)

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(self._seconds, self._too_slow)

    def _arrived(self) -> None:
        self._barren = 0
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._answering():
            self._expect()  # the application has its own limit; this looks again after it
        elif not self._barren:
            self.transport.close()  # nothing was asked: browsers open connections in advance
        else:
            self._refuse(408, f"no whole request within {self._seconds:g} s")

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, problem: str) -> None:
        """Close the connection, with an answer unless that of an application is under way."""
        if self.transport.is_closing():
            return
        if not self._answering():
            body = json.dumps({"detail": problem}).encode()
            head = [STATUS_LINE[status], b"content-type: application/json\r\n", b"connection: close\r\n"]
            self.transport.write(b"".join([*head, b"content-length: %d\r\n\r\n" % len(body), body]))
        REQUESTS.labels(OTHER_METHOD, UNMATCHED, status).inc()
        self.transport.close()
