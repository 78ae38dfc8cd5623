"""How often one client may ask this worker: a sliding window in memory. Loaded only where a limit is set."""

import math
import time

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from stock_assets.errors import UserError

MOST_CLIENTS = 10_000
"""Remembered at once, two counters each. When there are more all are forgotten, so that memory stays bounded."""


class RateLimit:
    """`text` such as `100/minute` or `20 per 5 seconds`; raises `UserError` for anything else."""

    def __init__(self, text: str) -> None:
        self._limit = _parsed(text)
        self._storage = MemoryStorage()
        self._window = SlidingWindowCounterRateLimiter(self._storage)

    def __str__(self) -> str:
        return str(self._limit)

    def wait(self, client: str) -> int:
        """Whole seconds until the client may ask again; 0 where this request may pass."""
        if len(self._storage.storage) > 2 * MOST_CLIENTS:
            self._storage.reset()
        if self._window.hit(self._limit, client):
            return 0
        return max(1, math.ceil(self._window.get_window_stats(self._limit, client).reset_time - time.time()))


def _parsed(text: str) -> RateLimitItem:
    try:
        limits = parse_many(text)
    except ValueError:
        limits = []
    if len(limits) != 1 or limits[0].amount < 1:
        raise UserError(f"STOCK_ASSETS_RATE_LIMIT={text}: one limit such as 100/minute or 20/second is meant")
    return limits[0]
