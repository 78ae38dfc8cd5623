"""Predictions on their way from the requests to the thread that keeps them."""

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from time import time_ns
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.model import Array, LoadedModel, Volumes

MOST_ROWS = 1_000_000
MOST_REQUESTS = 50_000
"""About 24 MB each: a row of a batch is three numbers, a request of its own some Python objects."""


class Answered(NamedTuple):
    """What one request was told: one row, or inputs (n, 2) and volumes (n,) in shares. `time` is in ns since 1970."""

    time: int
    request_id: str
    model: LoadedModel
    inputs: tuple[float, float] | Array
    volumes: int | Volumes


class Rows(NamedTuple):
    """n answers of one version: times in ns since 1970, inputs (n, 2), volumes in whole shares; one id of all or n."""

    model: LoadedModel
    times: NDArray[np.int64]
    request_ids: str | list[str]
    inputs: Array
    volumes: Volumes


class Backlog:
    """What waits for the thread, which `wake` calls when there is much of it. It is bounded: more is refused."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self._lock = threading.Lock()
        self._entries: list[Answered] = []
        self._rows = 0

    def add(
        self, request_id: str, model: LoadedModel, inputs: tuple[float, float] | Array, volumes: int | Volumes
    ) -> int:
        """Gives how many rows are refused: none, or all of them."""
        rows = 1 if isinstance(inputs, tuple) else len(inputs)
        with self._lock:
            if self._entries and (self._rows + rows > MOST_ROWS or len(self._entries) >= MOST_REQUESTS):
                return rows
            self._rows += rows
            self._entries.append(Answered(time_ns(), request_id, model, inputs, volumes))
        if self._rows > MOST_ROWS // 2:
            self.wake.set()
        return 0

    def take(self) -> list[Answered]:
        """All that waits, oldest first."""
        with self._lock:
            entries, self._entries, self._rows = self._entries, [], 0
        return entries


def rows_of(entries: Sequence[Answered]) -> Iterator[Rows]:
    """The same answers as arrays: neighbours of one version together, a batch by itself."""
    for (_, single), group in groupby(entries, lambda entry: (id(entry.model), isinstance(entry.inputs, tuple))):
        if single:
            times, ids, (model, *_), inputs, volumes = zip(*group, strict=True)
            yield Rows(model, np.array(times), list(ids), np.array(inputs, float), np.array(volumes, np.int64))
        else:
            yield from map(_batch, group)


def _batch(entry: Answered) -> Rows:
    inputs, volumes = np.asarray(entry.inputs, float), np.asarray(entry.volumes, np.int64)
    return Rows(entry.model, np.full(len(volumes), entry.time), entry.request_id, inputs, volumes)
