"""Trying again what may pass by itself, with growing waits or those that the server asks for."""

import time
from collections.abc import Callable
from typing import TypeVar

from stock_assets.errors import TransientError
from stock_assets.publishing import Report

T = TypeVar("T")

TRIES = 5
FIRST_WAIT = 1.0
"""Seconds before the second try; each further wait is three times as long."""
LONGEST_WAIT = 120.0
"""A server that asks for more seconds than these is better asked again by a later run."""


class BusyError(TransientError):
    """What may be gone on the next try, which should wait at least `retry_after` seconds."""

    def __init__(self, what: str, retry_after: float = 0) -> None:
        super().__init__(f"{what}; run it again in some minutes, a download goes on where it was cut")
        self.what, self.retry_after = what, retry_after


def patiently(call: Callable[[], T], report: Report, tries: int, progress: Callable[[], int] = lambda: 0) -> T:
    """What `call` gives. A `BusyError` rises after `tries` tries in a row during which `progress` did not grow."""
    failed, best = 0, progress()
    while True:
        try:
            return call()
        except BusyError as error:
            now = progress()
            failed, best = (failed + 1, best) if now <= best else (1, now)
            if failed >= tries or error.retry_after > LONGEST_WAIT:
                raise
            wait = max(error.retry_after, FIRST_WAIT * 3 ** (failed - 1))
            report(f"{error.what}: trying again in {wait:.0f} s")
            time.sleep(wait)
