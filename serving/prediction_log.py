"""The log of predictions: what was asked and answered, as Parquet files that appear whole and never change.

Each worker writes files of its own. What a full or broken disk does not take is dropped and counted, and the service
goes on.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.arrays import to_arrow
from serving.backlog import Rows
from serving.metrics import LOG_DROPPED
from serving.model import Volumes
from serving.store import logger, signature
from stock_assets.learning.volume import INPUTS
from stock_assets.publishing import staged

SECONDS_A_FILE = 300
ROWS_A_FILE = 250_000
"""What is held in memory until it is written, about 20 MB."""
KEPT_BYTES = 10_000_000_000
LITTER_SECONDS = 3600
"""Writing a file takes a second; one that has no name after so long is of a worker that was killed."""

SCHEMA = pa.schema(
    [
        pa.field("time", pa.timestamp("us", "UTC")),
        pa.field("request_id", pa.string()),
        pa.field("version", pa.string()),
        *(pa.field(name, pa.float64()) for name in INPUTS),
        pa.field("volume", pa.int64()),
        pa.field("shadow_version", pa.string()),
        pa.field("shadow_volume", pa.int64()),
    ]
)


class PredictionLog:
    """The rows of the next file below `folder`. All its methods are called by one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._since = 0.0
        self._failing = False

    def add(self, rows: Rows, shadow_version: str | None, shadow: Volumes | None) -> None:
        """Keep rows for the next file, with the shadow's volumes (n,), and publish it when it has become large."""
        for batch in _batches(rows, shadow_version, shadow):
            if not self._rows:
                self._since = time.monotonic()
            self._waiting.append(batch)
            self._rows += batch.num_rows
            if self._rows >= ROWS_A_FILE:
                self.publish()

    def publish_if_due(self) -> None:
        """Publish the file if its first row has waited for `SECONDS_A_FILE`."""
        if self._rows and time.monotonic() - self._since >= SECONDS_A_FILE:
            self.publish()

    def publish(self) -> None:
        """Write the waiting rows, if there are any, as a file. A failure costs these rows, and is logged once."""
        waiting, rows = self._waiting, self._rows
        self._waiting, self._rows = [], 0
        if not rows:
            return
        path = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{os.getpid()}.parquet"
        try:
            _make_room(self._folder)
            with staged(path) as temporary:
                pq.write_table(pa.Table.from_batches(waiting), temporary, compression="zstd")
        except (OSError, pa.ArrowException) as error:
            LOG_DROPPED.inc(rows)
            if not self._failing:
                logger.error("predictions are not logged but dropped and counted: %s: %s", self._folder, error)
            self._failing = True
        else:
            self._failing = False


def _batches(rows: Rows, shadow_version: str | None, shadow: Volumes | None) -> Iterator[pa.RecordBatch]:
    """The rows as Arrow has them, not more than a file's at once."""
    for start in range(0, len(rows.volumes), ROWS_A_FILE):
        part = slice(start, start + ROWS_A_FILE)
        size, ids = len(rows.volumes[part]), rows.request_ids
        columns = [
            _numbers("time", rows.times[part] // 1000),
            _repeated(ids, size) if isinstance(ids, str) else to_arrow(ids[part], pa.string()),
            _repeated(rows.model.version, size),
            *(_numbers(name, column) for name, column in zip(INPUTS, rows.inputs[part].T, strict=True)),
            _numbers("volume", rows.volumes[part]),
            _repeated(shadow_version, size),
            pa.nulls(size, pa.int64()) if shadow is None else _numbers("shadow_volume", shadow[part]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _numbers(name: str, values: NDArray[Any]) -> pa.Array:
    """A column's 64-bit numbers without nulls; see `arrays` for why not by `pa.array`."""
    return pa.Array.from_buffers(
        SCHEMA.field(name).type, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )


def _repeated(text: str | None, size: int) -> pa.Array:
    """The same text so many times; `pa.repeat` imports pandas."""
    if text is None:
        return pa.nulls(size, pa.string())
    one = text.encode()
    ends = np.arange(size + 1, dtype=np.int32) * np.int32(len(one))
    return pa.Array.from_buffers(pa.string(), size, [None, pa.py_buffer(ends), pa.py_buffer(one * size)])


def _make_room(folder: Path) -> None:
    """Remove the oldest files beyond `KEPT_BYTES`, and what workers left that were killed while they wrote.

    Other workers do the same at the same time, so any file may be gone already.
    """
    kept = 0
    for path in sorted(folder.glob("*.parquet"), reverse=True):
        _, _, size = signature(path) or (0, 0, 0)
        kept += size
        if kept > KEPT_BYTES:
            path.unlink(missing_ok=True)
    for path in folder.glob("*.parquet.*.tmp"):
        _, changed, _ = signature(path) or (0, time.time_ns(), 0)
        if time.time_ns() - changed > LITTER_SECONDS * 10**9:
            path.unlink(missing_ok=True)
