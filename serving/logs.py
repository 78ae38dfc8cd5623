"""The service's log: one JSON object a line on standard error, for events and for requests alike."""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted  # what json.dumps does with a text, in a tenth of the time
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "message"],
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            "timestamp": "time",
            # The message once more, with the colours of a terminal, is uvicorn's own.
            "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
"""For uvicorn's `log_config`."""

FLUSH_SECONDS = 0.2
FULL = 1000
LONGEST_PATH = 500


class AccessLog:
    """One line a request, written together a few times a second: a write of its own would cost as much as an answer."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._second, self._stamp = 0, ""

    def add(self, request_id: str, method: str, path: str, status: int, seconds: float) -> None:
        """`path` without the query. What a client chose is escaped, and cut where it is long."""
        self._lines.append(
            f'{{"time": "{self._now()}", "logger": "access", "request_id": "{request_id}", '
            f'"method": {quoted(method)}, "path": {quoted(path[:LONGEST_PATH])}, '
            f'"status": {status}, "ms": {seconds * 1000:.2f}}}\n'
        )
        if len(self._lines) >= FULL:
            self.flush()

    async def flush_often(self) -> None:
        """Write every `FLUSH_SECONDS`, and once more when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            with suppress(OSError):  # who reads the log has gone; that is no reason not to answer
                sys.stderr.write("".join(lines))
                sys.stderr.flush()

    def _now(self) -> str:
        """The time to the millisecond; the calendar is done once a second."""
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._stamp}.{int(now % 1 * 1000):03d}Z"
